//! What programs read: every command that prints JSON is described in `docs/json/remit.schema.json`, and prints what is
//! described. Every other test that asks for JSON is held to it too, see `common/schema.rs`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use crate::common::{SECRET, World, schema, scope};
use serde_json::json;

const ACTION: &str = "rotate-secret.wasm";

/// Every command that there is, as it is typed, which takes `--json` (or, of tests, `--format json`).
fn with_json(world: &World, path: &[&str], found: &mut BTreeSet<String>) {
    let help = world.remit(&[path, &["--help"]].concat()).exits(0).out;
    let own: &str = help.split("\nOptions:").nth(1).unwrap_or_default();
    if own.contains("--json") || path == ["test"] || path == ["connector", "test"] {
        found.insert(path.join(" "));
    }
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    for line in commands.lines().take_while(|line| line.starts_with(' ')) {
        let name = line.split_whitespace().next().unwrap();
        // A longer description goes on below its beginning.
        if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
            with_json(world, &[path, &[name]].concat(), found);
        }
    }
}

#[test]
fn every_command_that_prints_json_is_described() {
    let world = World::empty();
    let mut found = BTreeSet::new();
    with_json(&world, &[], &mut found);
    assert!(found.len() > 20, "{found:?}");
    let described: BTreeSet<String> = schema::commands().into_iter().collect();
    assert_eq!(found, described);
    let page = include_str!("../docs/json.md");
    for name in &described {
        assert!(page.contains(&format!("`{name}`")), "docs/json.md does not name `{name}`");
    }
}

#[test]
fn what_is_described_is_printed() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    // Each of these is held to its description as it is printed.
    let json = |args: &[&str]| world.remit(&[args, &["--json"]].concat());
    for args in
        [&["doctor"][..], &["principals"], &["status"], &["runs"], &["requests"], &["recover"], &["notify"]]
    {
        json(args).exits(0);
    }
    json(&["inspect", ACTION]).exits(0);
    json(&["inspect", "--diff", ACTION, "misbehave.wasm"]).exits(0);
    json(&["plan", ACTION, "--input", &input]).exits(0);
    let ask = ["request", ACTION, "--input", &input, "--reason", "r", "--key", "bot.key"];
    let asked = json(&ask).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap();
    json(&["status"]).exits(0);
    json(&["request", "show", id]).exits(0);
    json(&["policy", "explain", id]).exits(0);
    json(&["approve", id, "--key", "bob.key"]).exits(0);
    let ran = json(&["run", id, "--key", "bot.key"]).exits(0).json();
    let run = ran["run"].as_str().unwrap();
    json(&["policy", "explain", id]).exits(0);
    let denied = json(&ask).exits(0).json();
    json(&["deny", denied["request"]["id"].as_str().unwrap(), "--reason", "no", "--key", "alice.key"])
        .exits(0);
    json(&["show", run]).exits(0);
    assert_eq!(json(&["show", run, "--own-words"]).exits(0).json(), json!(null));
    json(&["replay", run]).exits(0);
    json(&["revert", run, "--dry-run"]).exits(0);
    json(&["secret", "show", SECRET]).exits(0);
    json(&["audit", "verify"]).exits(0);
    world.remit(&["audit", "prove", run, "--out", "run.proof"]).exits(0);
    json(&["audit", "check-proof", "run.proof", "--key", "home/log.pub"]).exits(0);
    json(&["revert", run, "--reason", "r"]).exits(0);

    // What goes wrong.
    for (head, deed, code) in [
        ("", "rotate-then-fail", 1),
        ("", "rotate-then-outside", 3),
        ("on_failure = \"hold\"", "rotate-then-panic", 5),
        ("", "fail", 1),
    ] {
        let input = format!(r#"{{"do":"{deed}","path":"{SECRET}","paths":["prod/other"]}}"#);
        world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "g");
        world.run("g").exits(code);
        json(&["show", &world.last_run().0]).exits(0);
    }
    json(&["doctor"]).exits(1);
    json(&["status"]).exits(5);
    let held = json(&["runs", "--state", "held"]).exits(0).json()[0]["run"].as_str().unwrap().to_owned();
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    json(&["revert", &held, "--dry-run"]).exits(5);
    json(&["revert", &held, "--reason", "r"]).exits(5);

    // Ahead of need.
    let allow =
        |name| format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:**\"]\n");
    world.write("s.toml", format!("{}{}", allow("inspect"), allow("rotate")));
    let standing =
        ["request", ACTION, "--standing", "--scope", "s.toml", "--for", "bot", "--hours", "mon 08:00-09:00"];
    for more in [&["--versions", "^0.1"][..], &[]] {
        let asked =
            json(&[&standing[..], more, &["--reason", "r", "--key", "alice.key"]].concat()).exits(0).json();
        json(&["request", "show", asked["request"]["id"].as_str().unwrap()]).exits(0);
    }
    json(&["rules", "check"]).exits(0);
    let policy = world.home().join("policies/default.cedar");
    std::fs::write(&policy, std::fs::read_to_string(&policy).unwrap() + "\n// new").unwrap();
    json(&["rules", "check"]).exits(3);
    let signed = json(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0).json();
    assert!(!signed["void"].as_array().unwrap().is_empty(), "{signed}");
    json(&["freeze", "--reason", "r"]).exits(0);
    json(&["status"]).exits(5);
    json(&["requests", "--all"]).exits(0);
    json(&["runs", "--live"]).exits(0);
    json(&["unfreeze", "--reason", "r"]).exits(0);
    json(&["revoke", "principal", "bot", "--reason", "r"]).exits(0);
    json(&["revoke", "all", "--reason", "r"]).exits(0);
    json(&["journal", "expire-undo", "--older-than", "0s"]).exits(0);
}

#[test]
fn a_description_that_does_not_fit_is_noticed() {
    let fine = json!([{"what": "journal", "ok": true, "detail": "sound"}]);
    assert!(schema::wrong("doctor", &fine).is_empty());
    for wrong in [
        json!([{"what": "journal", "ok": true}]),
        json!([{"what": 1, "ok": true, "detail": "", "x": 1}]),
        json!({}),
    ] {
        assert!(!schema::wrong("doctor", &wrong).is_empty(), "{wrong}");
    }
}
