//! What a workload is, by the path of its resource.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A workload of a place: everything on this machine that is to be cut off together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// What runs as this user, `uid/1000`.
    Uid(u32),
    /// What runs in this control group or below, `cgroup/system.slice/shop.service`. Its path is relative to the root of version 2.
    Cgroup(String),
    /// A network namespace by its name below `/run/netns`, `netns/shop`.
    Namespace(String),
    /// The network namespace that a process is in, `pid/4711`.
    Process(u32),
    /// Whatever talks with or as this address, `address/203.0.113.9`.
    Address(IpAddr),
}

impl Target {
    /// Reads the part of a path after the place. There is one spelling for each target; an error says what is wrong.
    pub fn parse(path: &str) -> Result<Self, String> {
        let (what, which) = path.split_once('/').unwrap_or((path, ""));
        let target = match what {
            "uid" => which.parse().ok().map(Self::Uid),
            "cgroup" if !which.is_empty() => Some(Self::Cgroup(which.to_owned())),
            "netns" if !which.is_empty() && !which.contains('/') => Some(Self::Namespace(which.to_owned())),
            "pid" => which.parse().ok().filter(|pid| *pid > 0).map(Self::Process),
            "address" => address(which).map(Self::Address),
            _ => None,
        };
        // `+1`, `01` and `2001-DB8--1` are other spellings.
        target.filter(|target| target.to_string() == path).ok_or_else(|| {
            "a workload is PLACE/uid/NUMBER, PLACE/cgroup/PATH, PLACE/netns/NAME, PLACE/pid/NUMBER or PLACE/address/ADDRESS, where \
             the colons of an IPv6 address are written as `-`, and numbers and addresses in their shortest form"
                .to_owned()
        })
    }
}

/// An address of one machine. An IPv4 address in the clothes of IPv6 is written as what it is.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = if text.contains('.') {
        text.parse().ok()?
    } else {
        text.replace('-', ":").parse::<Ipv6Addr>().ok()?.into()
    };
    (address.to_canonical() == address).then_some(address)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid/{uid}"),
            Self::Cgroup(path) => write!(f, "cgroup/{path}"),
            Self::Namespace(name) => write!(f, "netns/{name}"),
            Self::Process(pid) => write!(f, "pid/{pid}"),
            Self::Address(address) => write!(f, "address/{}", address.to_string().replace(':', "-")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_spelling() {
        for path in [
            "uid/0",
            "uid/4294967295",
            "cgroup/system.slice/shop.service",
            "netns/shop",
            "pid/1",
            "address/10.0.0.1",
            "address/2001-db8--1",
        ] {
            assert_eq!(Target::parse(path).unwrap().to_string(), path);
        }
        for path in [
            "",
            "uid",
            "uid/",
            "uid/-1",
            "uid/+1",
            "uid/01",
            "uid/4294967296",
            "uid/1/2",
            "uid/root",
            "cgroup",
            "cgroup/",
            "netns",
            "netns/a/b",
            "pid/0",
            "pid/x",
            "address/",
            "address/10.0.0",
            "address/010.0.0.1",
            "address/2001-DB8--1",
            "address/2001-db8-0-0-0-0-0-1",
            "address/--ffff-10.0.0.1",
            "address/--ffff-a00-1",
            "address/10.0.0.0/8",
            "user/1",
        ] {
            assert!(Target::parse(path).is_err(), "{path}");
        }
    }
}
