//! The TCP connections of a namespace, as `/proc/net/tcp` and `/proc/net/tcp6` have them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::place::Connection;

/// The most that are handed on.
const MOST: usize = 1_000;

/// A line of such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: u8,
    pub(super) uid: u32,
    inode: u64,
}

impl Line {
    /// Reads a line; none if it is the heading, or nothing that the kernel writes.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (local, remote, state) = (words.nth(1)?, words.next()?, words.next()?);
        let (uid, inode) = (words.nth(3)?, words.nth(1)?);
        Some(Self {
            local: end(local)?,
            remote: end(remote)?,
            state: u8::from_str_radix(state, 16).ok()?,
            uid: uid.parse().ok()?,
            inode: inode.parse().ok()?,
        })
    }

    /// All lines of a file, or of several.
    pub(super) fn all(text: &str) -> impl Iterator<Item = Self> {
        text.lines().filter_map(Self::read)
    }

    /// Whether it is a connection with another machine or namespace. One that only listens or waits is none, and neither is one that
    /// stays on this machine.
    pub(super) fn is_with_others(&self) -> bool {
        let (listens, waits) = (self.state == 0x0a, self.state == 0x06);
        !listens && !waits && !self.remote.ip().is_loopback()
    }
}

/// The numbers of the sockets that have an address on either side. UDP's lines are like those of TCP.
pub(crate) fn inodes(text: &str, address: IpAddr) -> BTreeSet<u64> {
    let has = |line: &Line| line.local.ip() == address || line.remote.ip() == address;
    Line::all(text).filter(has).map(|line| line.inode).collect()
}

/// The connections of some lines, in order.
pub(super) fn connections(lines: impl Iterator<Item = Line>) -> Vec<Connection> {
    let mut all: Vec<_> = lines
        .map(|line| Connection {
            local: line.local.to_string(),
            remote: line.remote.to_string(),
            state: state(line.state).to_owned(),
        })
        .collect();
    all.sort();
    all.truncate(MOST);
    all
}

/// An address and a port, in hexadecimal: the address in words of 32 bits, each in the order of this machine's bytes.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |at: usize| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}

/// The states of `include/net/tcp_states.h`.
fn state(number: u8) -> &'static str {
    const STATES: [&str; 12] = [
        "established",
        "syn-sent",
        "syn-recv",
        "fin-wait-1",
        "fin-wait-2",
        "time-wait",
        "close",
        "close-wait",
        "last-ack",
        "listen",
        "closing",
        "new-syn-recv",
    ];
    usize::from(number).checked_sub(1).and_then(|at| STATES.get(at)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn a_connection_is_read_as_the_kernel_writes_it() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1058 1 0 100 0 0 10 0\n\
            \x20  1: 0100000A:A028 0900CB71:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 27506 1 0 100 0 0 10 0\n\
            \x20  2: 0100000A:A029 0100007F:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 27507 1 0 100 0 0 10 0\n\
            \x20  3: B80D0120000000000000000001000000:0050 B80D0120000000000000000002000000:C350 08 00000000:00000000 00:00000000 \
            00000000     0        0 9 1 0 100 0 0 10 0\n\
            \x20  4: 0000000000000000FFFF00000100000A:0050 0000000000000000FFFF00000200000A:C350 01 00000000:00000000 00:00000000 \
            00000000     0        0 9 1 0 100 0 0 10 0\n\
            \x20  5: 0100000A:A02A 0900CB71:01BB 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0 100 0 0 10 0\n";
        let lines: Vec<_> = Line::all(text).collect();
        assert_eq!((lines.len(), lines[1].uid), (6, 1000));
        let found = connections(lines.into_iter().filter(Line::is_with_others));
        let words: Vec<_> =
            found.iter().map(|found| format!("{} {} {}", found.local, found.remote, found.state)).collect();
        assert_eq!(
            words,
            [
                "10.0.0.1:41000 113.203.0.9:443 established",
                "10.0.0.1:80 10.0.0.2:50000 established",
                "[2001:db8::1]:80 [2001:db8::2]:50000 close-wait",
            ]
        );
        for broken in [
            "",
            "x",
            "0: 0:0 0:0 01 0 0 0 0",
            "0: 0100007F:07E8 zz:0 0A 0:0 0:0 0 0",
            "0: 😀😀:1 2:3 4 5 6 7 8",
        ] {
            assert_eq!(Line::all(broken).count(), 0, "{broken}");
        }
    }
}
