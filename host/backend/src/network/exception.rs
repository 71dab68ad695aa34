//! What a workload may still talk with when it is cut.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// A part of `allow` of `[[network]]`: `10.0.0.5`, `10.0.0.0/24`, `10.0.0.5:9000/tcp`, `[2001:db8::5]:53/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Exception {
    pub(super) block: IpNet,
    pub(super) port: Option<(u16, Protocol)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl FromStr for Exception {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{}` is no exception: {why}", text.escape_debug()));
        let read = |(address, port)| Some((block(address)?, port));
        let Some((block, port)) = split(text).and_then(read) else {
            return refuse("write 10.0.0.5, 10.0.0.0/24, 10.0.0.5:9000/tcp or [2001:db8::5]:53/udp");
        };
        if block.trunc() != block {
            return refuse("its address is not the first of its block");
        }
        if block.prefix_len() == 0 {
            return refuse("it would leave everything open");
        }
        if block.addr().is_unspecified()
            || block.addr().is_multicast()
            || port.is_some_and(|(port, _)| port == 0)
        {
            return refuse("that is an address or a port of nobody");
        }
        Ok(Self { block, port })
    }
}

fn split(text: &str) -> Option<(&str, Option<(u16, Protocol)>)> {
    let (address, rest) = match (text.strip_prefix('['), text.split_once(':')) {
        (Some(bracketed), _) => bracketed.split_once("]:").filter(|(address, _)| address.contains(':'))?,
        (None, Some((address, rest))) if !rest.contains(':') => (address, rest),
        // An IPv6 address, or one without a port.
        (None, _) => return Some((text, None)),
    };
    let (port, protocol) = rest.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some((address, Some((port.parse().ok()?, protocol))))
}

fn block(text: &str) -> Option<IpNet> {
    let single = |address: IpAddr| (address.to_canonical() == address).then(|| IpNet::from(address));
    text.parse().ok().or_else(|| single(text.parse().ok()?))
}

impl TryFrom<String> for Exception {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = self.block.prefix_len() == self.block.max_prefix_len();
        let address = if single { self.block.addr().to_string() } else { self.block.to_string() };
        match self.port {
            None => f.write_str(&address),
            Some((port, protocol)) if self.block.addr().is_ipv6() => {
                write!(f, "[{address}]:{port}/{}", protocol.name())
            }
            Some((port, protocol)) => write!(f, "{address}:{port}/{}", protocol.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_narrow_and_has_one_spelling() {
        for text in [
            "10.0.0.5",
            "10.0.0.0/24",
            "10.0.0.5:9000/tcp",
            "10.0.0.0/24:53/udp",
            "2001:db8::5",
            "2001:db8::/64",
            "[2001:db8::5]:53/udp",
        ] {
            assert_eq!(text.parse::<Exception>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("", "write 10.0.0.5"),
            ("host.example", "write 10.0.0.5"),
            ("10.0.0.5:9000", "write 10.0.0.5"),
            ("10.0.0.5:x/tcp", "write 10.0.0.5"),
            ("10.0.0.5:1/sctp", "write 10.0.0.5"),
            ("[10.0.0.5]:1/tcp", "write 10.0.0.5"),
            ("::ffff:10.0.0.1", "write 10.0.0.5"),
            ("10.0.0.5 accept", "write 10.0.0.5"),
            ("10.0.0.5/24", "not the first of its block"),
            ("0.0.0.0/0", "leave everything open"),
            ("::/0:53/udp", "write 10.0.0.5"),
            ("[::/0]:53/udp", "leave everything open"),
            ("0.0.0.0", "of nobody"),
            ("10.0.0.5:0/tcp", "of nobody"),
            ("224.0.0.1", "of nobody"),
        ] {
            let told = text.parse::<Exception>().unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
