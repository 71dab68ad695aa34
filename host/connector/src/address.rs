//! Which addresses a connector's origin may be at. A name is resolved for each connection, and the connection goes to the very
//! addresses that were checked here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// A block of addresses: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    base: IpAddr,
    bits: u8,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Block {
    Block { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
}

const fn v6(base: u128, bits: u8) -> Block {
    Block { base: IpAddr::V6(Ipv6Addr::from_bits(base)), bits }
}

/// Addresses that are not public, or not of one machine, and what they are: IANA's registries of special addresses.
const SPECIAL: [(Block, &str); 26] = [
    (v4(0, 0, 0, 0, 8), "of this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "of a provider's inner network"),
    (v4(127, 0, 0, 0, 8), "this machine's"),
    // Where clouds answer machines about themselves, with credentials.
    (v4(168, 63, 129, 16, 32), "a cloud's metadata service"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "for documentation"),
    (v4(192, 88, 99, 0, 24), "reserved"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "for measurements"),
    (v4(198, 51, 100, 0, 24), "for documentation"),
    (v4(203, 0, 113, 0, 24), "for documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
    (v6(1, 128), "this machine's"),
    (v6(0x0064_ff9b << 96, 96), "a translated one, which can lead to any other"),
    (v6(0xfc00 << 112, 7), "private"),
    (v6(0xfe80 << 112, 10), "link-local"),
    (v6(0xff00 << 112, 8), "multicast"),
    (v6(0x2001 << 112, 23), "reserved"),
    (v6(0x2001_0db8 << 96, 32), "for documentation"),
    (v6(0x2002 << 112, 16), "a translated one, which can lead to any other"),
    (v6(0x3fff << 112, 20), "for documentation"),
    (v6(0, 3), "reserved"),
];

/// The block that holds all public addresses of IPv6.
const PUBLIC_V6: Block = v6(0x2000 << 112, 3);

impl Block {
    /// Whether it has this address. An IPv4 address in the clothes of IPv6 counts as what it is.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }

    /// Whether all of its addresses are special.
    fn is_special(&self) -> bool {
        let inside = |block: &Block| block.bits <= self.bits && block.has(self.base);
        let outside_of_public =
            self.base.is_ipv6() && self.bits >= PUBLIC_V6.bits && !PUBLIC_V6.has(self.base);
        outside_of_public || SPECIAL.iter().any(|(block, _)| inside(block))
    }
}

impl FromStr for Block {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            let shown = remit_text::short_line(text, 60);
            Err(format!("`{shown}` is not a block of private addresses: {why}"))
        };
        let Some((base, bits)) = text.split_once('/') else {
            return refuse("write it like 10.0.0.0/8 or 127.0.0.1/32");
        };
        let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u8>()) else {
            return refuse("write it like 10.0.0.0/8 or 127.0.0.1/32");
        };
        if base.to_canonical() != base {
            return refuse("write the IPv4 address itself");
        }
        if bits > if base.is_ipv4() { 32 } else { 128 } {
            return refuse("an IPv4 address has 32 bits, an IPv6 address 128");
        }
        let block = Self { base, bits };
        let first = match base {
            IpAddr::V4(base) => {
                base.to_bits() & !u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0) == 0
            }
            IpAddr::V6(base) => {
                base.to_bits() & !u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0) == 0
            }
        };
        if !first {
            return refuse("the address is not the first of its block");
        }
        if !block.is_special() {
            return refuse("it has public addresses, which need not be listed");
        }
        Ok(block)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// What an address is that is not public; none of one that is.
fn special(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    match SPECIAL.iter().find(|(block, _)| block.has(address)) {
        Some((_, what)) => Some(what),
        None if address.is_ipv6() && !PUBLIC_V6.has(address) => Some("reserved"),
        None => None,
    }
}

/// An address to which nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its address {address} is {why}")]
pub(crate) struct Refused {
    address: IpAddr,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Why {
    #[error("{0}, and `allow_private` of its entry in remit.toml does not list it")]
    Special(&'static str),
    #[error("another machine's, to which nothing is sent by http://")]
    Plain,
}

/// Checks an address.
pub(crate) fn check(address: IpAddr, allowed: &[Block]) -> Result<(), Refused> {
    match special(address) {
        Some(what) if !allowed.iter().any(|block| block.has(address)) => {
            Err(Refused { address, why: Why::Special(what) })
        }
        _ => Ok(()),
    }
}

/// Resolves names, and answers only addresses to which something may be sent. If a name has one that is refused, it is refused
/// with all of them: whoever answers for the name wants to lead us somewhere else.
pub(crate) struct Checked<R> {
    pub(crate) inner: R,
    pub(crate) allowed: Vec<Block>,
}

impl<R> fmt::Debug for Checked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl<R: Resolver> Resolver for Checked<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = match literal(uri) {
            Some(address) => {
                let mut found = self.empty();
                found.push(address);
                found
            }
            None => self.inner.resolve(uri, config, timeout)?,
        };
        let plain = uri.scheme_str() == Some("http");
        for socket in &found {
            let address = socket.ip();
            // Plain HTTP is for this machine: what only its name says could be another.
            let checked = if plain && !address.to_canonical().is_loopback() {
                Err(Refused { address, why: Why::Plain })
            } else {
                check(address, &self.allowed)
            };
            checked.map_err(|refused| ureq::Error::Other(Box::new(refused)))?;
        }
        Ok(found)
    }
}

/// The address that is written in place of a name. It needs no resolver, which takes a thread for each question.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let authority = uri.authority()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let port = authority.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    });
    Some(SocketAddr::new(host, port?))
}

/// The refusal behind a client's error.
pub(crate) fn refused(error: &ureq::Error) -> Option<Refused> {
    match error {
        ureq::Error::Other(other) => other.downcast_ref::<Refused>().copied(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_and_listed_blocks_are_reached() {
        let refused = |text: &str, allowed: &[Block]| check(text.parse().unwrap(), allowed).is_err();
        for public in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "168.63.129.17",
            "2606:4700::1",
            "2a00::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(!refused(public, &[]), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(refused(special, &[]), "{special}");
            // Its own address alone, and not its neighbour.
            let address: IpAddr = special.parse::<IpAddr>().unwrap().to_canonical();
            let own = Block { base: address, bits: if address.is_ipv4() { 32 } else { 128 } };
            assert!(!refused(special, &[own]), "{special}");
            assert!(refused(if special == "10.0.0.9" { "::1" } else { "10.0.0.9" }, &[own]), "{special}");
        }
        let ten = ["10.0.0.0/8".parse().unwrap()];
        assert!(
            !refused("10.255.0.1", &ten)
                && !refused("::ffff:10.0.0.1", &ten)
                && refused("11.0.0.1", &[]) == refused("11.0.0.1", &ten)
        );
        assert!(refused("127.0.0.1", &ten));
    }

    #[test]
    fn an_address_in_place_of_a_name_is_not_looked_up() {
        for (uri, address) in [
            ("http://127.0.0.1:8080/a", Some("127.0.0.1:8080")),
            ("https://10.0.0.1/", Some("10.0.0.1:443")),
            ("https://[::1]:8200/", Some("[::1]:8200")),
            ("http://[fd00::7]/", Some("[fd00::7]:80")),
            ("https://localhost/", None),
            ("https://1.2.3/", None),
            ("https://a.example/", None),
        ] {
            assert_eq!(literal(&uri.parse().unwrap()), address.map(|it| it.parse().unwrap()), "{uri}");
        }
    }

    #[test]
    fn a_block_has_one_spelling_and_no_public_address() {
        for block in
            ["10.0.0.0/8", "10.1.0.0/16", "127.0.0.1/32", "fd00::/8", "::1/128", "169.254.169.254/32"]
        {
            assert_eq!(block.parse::<Block>().unwrap().to_string(), block);
        }
        for (text, why) in [
            ("10.0.0.0", "write it like"),
            ("localhost/8", "write it like"),
            ("10.0.0.0/33", "32 bits"),
            ("10.0.0.1/8", "not the first"),
            ("0.0.0.0/0", "public addresses"),
            ("10.0.0.0/7", "public addresses"),
            ("8.8.8.8/32", "public addresses"),
            ("::/0", "public addresses"),
            ("2606::/16", "public addresses"),
            ("::ffff:10.0.0.0/104", "IPv4 address itself"),
        ] {
            let told = text.parse::<Block>().unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
