//! The table that cuts a workload: how it is written, and how it is known again.
//!
//! It is written in the language of `nft`, because its JSON cannot say at which level a control group is to be matched. Nothing in
//! it is free text: numbers, addresses, a digest, a run, and the path of a control group, whose characters a resource limits.

use std::fmt::Write as _;

use remit_gate::Failure;
use remit_journal::RunId;
use remit_trust::Digest;
use serde_json::Value;

use super::exception::Exception;
use super::target::Target;

/// The name of the table of one target: the same target has the same one, so that it cannot be cut twice.
pub(super) fn table(target: &Target) -> String {
    let digest = Digest::of(target.to_string().as_bytes()).to_string();
    let hex = digest.rsplit(':').next().unwrap_or_default();
    format!("remit-{}", &hex[..16.min(hex.len())])
}

/// What the rules of a target match: of packets that leave, and of ones that come in. `below` is where the root of version 2 of the
/// control groups is below `/sys/fs/cgroup`.
fn selectors(target: &Target, below: &str) -> (Vec<String>, Vec<String>) {
    match target {
        Target::Uid(uid) => (vec![format!("meta skuid {uid}")], vec![format!("meta skuid {uid}")]),
        Target::Cgroup(path) => {
            let level = path.split('/').count();
            let selector = format!("socket cgroupv2 level {level} \"{below}{path}\"");
            (vec![selector.clone()], vec![selector])
        }
        Target::Namespace(_) | Target::Process(_) => (vec![String::new()], vec![String::new()]),
        Target::Address(address) => {
            let family = if address.is_ipv4() { "ip" } else { "ip6" };
            let either = vec![format!("{family} daddr {address}"), format!("{family} saddr {address}")];
            (either.clone(), either)
        }
    }
}

/// The whole table, as one transaction that fails if there is such a table. The hooks run after connections are tracked and before
/// addresses are translated, so that rules of others cannot let anything by: what is refused here is refused.
pub(super) fn text(target: &Target, below: &str, exceptions: &[Exception], run: &RunId) -> String {
    let table = table(target);
    let mut text = format!("create table inet {table}\n");
    let mut line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let _ = writeln!(text, "add {}", words.join(" "));
    };
    // Traffic that only passes through has no socket here.
    let of_sockets = matches!(target, Target::Uid(_) | Target::Cgroup(_));
    let chains = [("outbound", "output"), ("inbound", "input"), ("forwarded", "forward")];
    let chains = if of_sockets { &chains[..2] } else { &chains[..] };
    for (chain, hook) in chains {
        line(&format!(
            "chain inet {table} {chain} {{ type filter hook {hook} priority -150; policy accept; }}"
        ));
    }
    let mut rule = |chain: &str, what: &str| line(&format!("rule inet {table} {chain} {what}"));
    if of_sockets {
        // The resets that the kernel sends to a socket whose packet was refused.
        rule("inbound", "iifname \"lo\" tcp flags & rst == rst accept");
    } else {
        rule("outbound", "oifname \"lo\" accept");
        rule("inbound", "iifname \"lo\" accept");
    }
    let mut neighbours = false;
    for Exception { block, port } in exceptions {
        let family = if block.addr().is_ipv4() { "ip" } else { "ip6" };
        neighbours |= block.addr().is_ipv6();
        let port = |side: &str| {
            port.map_or_else(String::new, |(port, protocol)| format!("{} {side} {port}", protocol.name()))
        };
        let (to, from) = (
            format!("{family} daddr {block} {} accept", port("dport")),
            format!("{family} saddr {block} {} accept", port("sport")),
        );
        rule("outbound", &to);
        rule("inbound", &from);
        if !of_sockets {
            rule("forwarded", &to);
            rule("forwarded", &from);
        }
    }
    if neighbours && !of_sockets {
        // Without these no other IPv6 address of the link can be found.
        for kind in ["nd-neighbor-solicit", "nd-neighbor-advert"] {
            rule("outbound", &format!("icmpv6 type {kind} accept"));
            rule("inbound", &format!("icmpv6 type {kind} accept"));
        }
    }
    let (leaving, coming) = selectors(target, below);
    let comment = format!("comment \"{}\"", comment(run));
    for selector in leaving {
        for chain in ["outbound", "forwarded"] {
            if chain == "outbound" || !of_sockets {
                // A program is told at once, and its session does not come alive again when the rules are gone.
                rule(chain, &format!("{selector} meta l4proto tcp counter reject with tcp reset {comment}"));
                rule(chain, &format!("{selector} counter drop {comment}"));
            }
        }
    }
    for selector in coming {
        rule("inbound", &format!("{selector} counter drop {comment}"));
    }
    text
}

fn comment(run: &RunId) -> String {
    format!("remit {run}")
}

/// A table that was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The number that the kernel gave this table and no other one.
    pub(super) handle: u64,
    /// The digest of all of it, but for numbers that the kernel gave, counts, and whose it is.
    pub(super) digest: Digest,
    /// The run that its rules name; none if they name none, or not all the same.
    pub(super) run: Option<RunId>,
    /// How many packets its rules refused.
    pub(super) refused: u64,
}

impl Listed {
    /// Reads what `nft -j list table` or `nft -j -e -f` says of one table.
    pub(super) fn read(json: &[u8]) -> Result<Self, Failure> {
        let broken = |why: &str| Failure::Unavailable(format!("nft answered what nobody understands: {why}"));
        let answer: Value = serde_json::from_slice(json).map_err(|error| broken(&error.to_string()))?;
        let objects = answer["nftables"].as_array().ok_or_else(|| broken("it has no `nftables`"))?;
        let (mut table, mut runs, mut refused) = (None, Vec::new(), 0);
        let mut parts = Vec::new();
        for object in objects {
            // An echo says what was done with each.
            let object = ["add", "create"].iter().find_map(|did| object.get(did)).unwrap_or(object);
            let Some((kind, body)) = object.as_object().and_then(|object| object.iter().next()) else {
                continue;
            };
            let mut body = body.clone();
            let Some(fields) = body.as_object_mut() else { continue };
            let handle = fields.remove("handle").and_then(|handle| handle.as_u64());
            let rank = match kind.as_str() {
                "metainfo" => continue,
                "table" if table.is_none() => {
                    table = handle;
                    0
                }
                "chain" => 1,
                "rule" => 2,
                // Sets and the like are nobody's of ours, and are a part of the digest.
                _ => 3,
            };
            if let Some(comment) = fields.remove("comment") {
                let run = comment.as_str().and_then(|comment| comment.strip_prefix("remit "));
                runs.push(run.and_then(|run| run.parse::<RunId>().ok()));
            }
            for part in fields.get_mut("expr").and_then(Value::as_array_mut).into_iter().flatten() {
                refused += plain(part);
            }
            let chain = if rank == 2 {
                fields["chain"].as_str().unwrap_or_default().to_owned()
            } else {
                String::new()
            };
            parts.push((rank, chain, format!("{kind} {body}")));
        }
        let handle = table.ok_or_else(|| broken("it names no table, or one without a handle"))?;
        // A listing has the rules of each chain after it, an echo in the order in which they were made.
        parts.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        let whole: Vec<String> = parts.into_iter().map(|(_, _, text)| text).collect();
        let run = runs.first().copied().flatten().filter(|run| runs.iter().all(|other| *other == Some(*run)));
        Ok(Self { handle, digest: Digest::of(whole.join("\n").as_bytes()), run, refused })
    }
}

/// Takes out of a part of a rule what differs between two listings of the same rule; how many packets it counted.
fn plain(part: &mut Value) -> u64 {
    if let Some(counter) = part.get_mut("counter") {
        let packets = counter["packets"].as_u64().unwrap_or_default();
        *counter = Value::Null;
        return packets;
    }
    // `nft` looks for a control group's path by its number, and finds the path of another one when that is gone.
    if part["match"]["left"]["socket"]["key"] == "cgroupv2" {
        part["match"]["right"] = Value::Null;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(target: &str, exceptions: &[&str]) -> String {
        let exceptions: Vec<Exception> = exceptions.iter().map(|text| text.parse().unwrap()).collect();
        let run = "run-01k00000000000000000000000".parse().unwrap();
        text(&Target::parse(target).unwrap(), "unified/", &exceptions, &run)
    }

    #[test]
    fn a_table_says_whom_it_cuts_and_whom_it_leaves() {
        let uid = written("uid/1000", &["10.0.0.5:9000/tcp"]);
        assert!(uid.starts_with("create table inet remit-") && !uid.contains("forward"), "{uid}");
        assert!(uid.contains("outbound ip daddr 10.0.0.5/32 tcp dport 9000 accept\n"), "{uid}");
        assert!(uid.contains("inbound ip saddr 10.0.0.5/32 tcp sport 9000 accept\n"), "{uid}");
        assert!(uid.contains("inbound meta skuid 1000 counter drop comment \"remit run-01k"), "{uid}");
        let cgroup = written("cgroup/system.slice/shop.service", &[]);
        assert!(cgroup.contains("socket cgroupv2 level 2 \"unified/system.slice/shop.service\""), "{cgroup}");
        let namespace = written("netns/shop", &["2001:db8::5"]);
        assert!(
            namespace.contains("forwarded counter drop") && namespace.contains("nd-neighbor-advert"),
            "{namespace}"
        );
        let address = written("address/203.0.113.9", &[]);
        assert!(address.contains("inbound ip saddr 203.0.113.9 counter drop"), "{address}");
        // One transaction, one table, and what is let through comes before what is not.
        for text in [uid, cgroup, namespace, address] {
            let name = text.split_whitespace().nth(3).unwrap();
            assert!(
                text.lines().all(|line| line.contains(name)) && text.matches("table inet").count() == 1,
                "{text}"
            );
            for chain in ["outbound", "inbound", "forwarded"] {
                let rules = text
                    .lines()
                    .filter(|line| line.contains(&format!("{name} {chain}")) && line.contains("rule"));
                let mut rules = rules.skip_while(|line| line.ends_with("accept"));
                assert!(rules.all(|line| line.contains("comment \"remit run-01k")), "{text}");
            }
        }
    }

    #[test]
    fn a_table_is_known_again_whatever_it_counted() {
        let listing = |handle: u64, packets: u64, drop: &str, run: &str| {
            let rule = format!(
                r#"{{"rule":{{"family":"inet","table":"t","chain":"outbound","handle":{handle},"comment":"remit {run}","expr":[{{"counter":{{"packets":{packets},"bytes":9}}}},{{"{drop}":null}}]}}}}"#
            );
            format!(
                r#"{{"nftables":[{{"metainfo":{{"version":"1"}}}},{{"table":{{"name":"t","handle":{handle}}}}},{rule}]}}"#
            )
        };
        let read = |text: String| Listed::read(text.as_bytes()).unwrap();
        let run = "run-01k00000000000000000000000";
        let (one, other) = (read(listing(7, 0, "drop", run)), read(listing(8, 41, "drop", run)));
        assert_eq!((one.handle, other.refused, one.run), (7, 41, Some(run.parse().unwrap())));
        assert_eq!(one.digest, other.digest);
        assert_ne!(one.digest, read(listing(7, 0, "accept", run)).digest);
        assert_eq!(read(listing(7, 0, "drop", "x")).run, None);
        // An echo has chains and rules in another order.
        let chain = |name: &str| format!(r#"{{"chain":{{"name":"{name}","handle":3}}}}"#);
        let rule = |chain: &str| format!(r#"{{"rule":{{"chain":"{chain}","handle":4,"expr":[]}}}}"#);
        let (a, b, t) = (chain("a"), chain("b"), r#"{"table":{"name":"t","handle":1}}"#);
        let listed = format!(r#"{{"nftables":[{t},{a},{b},{},{}]}}"#, rule("a"), rule("b"));
        let echoed = format!(
            r#"{{"nftables":[{{"create":{t}}},{{"add":{a}}},{{"add":{}}},{{"add":{b}}},{{"add":{}}}]}}"#,
            rule("a"),
            rule("b")
        );
        assert_eq!(read(listed).digest, read(echoed).digest);
        for broken in ["", "{}", r#"{"nftables":[]}"#, r#"{"nftables":[{"table":{"name":"t"}}]}"#, "[1]"] {
            assert!(Listed::read(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
