//! Who may be who.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use remit_trust::SigningKey;
use remit_trust::principals::{Kind, Principals};

fn parse(text: &str, base: &Path) -> Result<Principals, String> {
    Principals::parse(text, "principals.toml", base).map_err(|error| error.to_string())
}

/// `a.pub` and `b.pub`.
fn keys() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        SigningKey::generate().unwrap().write_pair(&folder.path().join(name)).unwrap();
    }
    folder
}

fn principal(name: &str, key: &str) -> String {
    format!("[[principal]]\nname = \"{name}\"\nkind = \"human\"\n[[principal.key]]\nfile = \"{key}.pub\"\n")
}

#[test]
fn what_cannot_be_is_said() {
    let folder = keys();
    let one = principal("alice", "a");
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH x";
    let inline = |name: &str| {
        format!("[[principal]]\nname = \"{name}\"\nkind = \"agent\"\n[[principal.key]]\npublic = \"{ssh}\"\n")
    };
    for (text, says) in [
        (one.replace("name", "nam"), "nam"),
        (one.replace("human", "robot"), "robot"),
        (one.replace("alice", "Alice"), "no name for a principal"),
        (one.replace("alice", "al/ice"), "no name for a principal"),
        (one.replace("[[principal.key]]\nfile = \"a.pub\"\n", ""), "has no key"),
        (one.replace("a.pub", "c.pub"), "c.pub"),
        (one.replace("file = \"a.pub\"", ""), "either `file` or `public`"),
        (one.clone() + &one, "one key proves one identity"),
        (one.clone() + &principal("alice", "b"), "alice is there twice"),
        (one.clone() + &principal("bob", "a"), "one key proves one identity"),
        (inline("x") + &inline("y"), "one key proves one identity"),
        (one.clone() + "from = 2026-02-01T00:00:00Z\nuntil = 2026-01-01T00:00:00Z\n", "before it begins"),
        (one.clone() + "until = \"soon\"\n", "until"),
        (one.clone() + "until = 2026-01-01\n", "is no moment"),
        (one.clone() + "until = 2026-01-01T00:00:00\n", "is no moment"),
        (one.clone() + "[break-glass]\nquorum = 0\ngroup = \"x\"\n", "at least 1"),
        (one.replace("kind", "groups = [\"A B\"]\nkind"), "no name for a group"),
    ] {
        let error = parse(&text, folder.path()).unwrap_err();
        assert!(error.contains(says), "no `{says}` in {error}");
    }
    let error = parse(&one.replace("name", "nam"), folder.path()).unwrap_err();
    assert!(error.contains("line 2") && error.contains('^'), "{error}");
}

#[test]
fn a_key_counts_from_its_first_to_its_last_moment() {
    let folder = keys();
    let text = principal("alice", "a") + "from = 2026-01-01T00:00:00Z\nuntil = 2026-02-01T00:00:00Z\n";
    let principals = parse(&text, folder.path()).unwrap();
    let alice = principals.get("alice").unwrap();
    assert_eq!((alice.kind, alice.keys.len()), (Kind::Human, 1));
    let id = alice.keys[0].key.id();
    let counts = |at: &str| principals.in_force(&id, at.parse::<Timestamp>().unwrap());
    assert!(!counts("2025-12-31T23:59:59Z") && counts("2026-01-01T00:00:00Z"));
    assert!(counts("2026-01-31T23:59:59Z") && !counts("2026-02-01T00:00:00Z"));
    assert_eq!(principals.holder(&id).unwrap().name, "alice");
    assert_eq!(principals.keys().len(), 1, "what it signed stays verifiable");
}

#[test]
fn the_digest_is_of_what_is_meant() {
    let folder = keys();
    let text = principal("alice", "a") + &principal("bob", "b");
    let digest = |text: &str| parse(text, folder.path()).unwrap().digest();
    let first = digest(&text);
    assert_eq!(first, digest(&format!("# a remark\n\n{text}")));
    assert_eq!(first, digest(&(principal("bob", "b") + &principal("alice", "a"))));
    assert_ne!(first, digest(&text.replacen("human", "agent", 1)));
    assert_ne!(first, digest(&text.replacen("name", "groups = [\"x\"]\nname", 1)));
    assert_ne!(first, digest(&(text.clone() + "until = 2030-01-01T00:00:00Z\n")));
    // A key file that is another key now.
    fs::remove_file(folder.path().join("b.pub")).unwrap();
    SigningKey::generate().unwrap().write_pair(&folder.path().join("c")).unwrap();
    fs::rename(folder.path().join("c.pub"), folder.path().join("b.pub")).unwrap();
    assert_ne!(first, digest(&text));
}
