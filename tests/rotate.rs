//! The main job, end to end, through the command line.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::{SECRET, World, contains};
use serde_json::Value;

const ACTION: &str = "rotate-secret.wasm";

fn input(path: &str) -> String {
    format!(r#"{{"path":"{path}"}}"#)
}

/// Kinds of the records of a run, in order.
fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().map(|r| r["event"].as_object().unwrap().keys().next().unwrap().as_str()).collect()
}

#[test]
fn plan_grant_run_verify_audit_revert() {
    let world = World::new();
    world.grant(ACTION, &input(SECRET), "first");
    assert_eq!(world.current_version(SECRET), 1, "a rehearsal changes nothing");

    let ran = world.run("first").exits(0).json();
    assert_eq!(ran["state"], "succeeded");
    assert_eq!(ran["output"]["previous"], 1);
    assert_eq!(ran["output"]["current"], 2);
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();

    let (run, records) = world.last_run();
    let kinds = kinds(&records);
    assert_eq!(kinds.first(), Some(&"started"));
    assert_eq!(kinds.last(), Some(&"ended"));
    let change = records.iter().find(|r| r["event"]["intent"]["effect"] == "change").unwrap();
    assert_eq!(change["event"]["intent"]["resource"], format!("secret:{SECRET}"));
    assert!(change["event"]["intent"]["sealed"].is_string(), "the undo is on record, sealed");

    world.remit(&["revert", &run]).exits(0);
    assert_eq!(world.current_version(SECRET), 3, "the old value is back as a newer version");
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(world.current_version(SECRET), 3, "reverting twice is harmless");
    world.audit_is_sound();
}

#[test]
fn the_least_scope_of_a_plan_is_enough_and_no_more() {
    let world = World::new();
    world.remit(&["secret", "put", "prod/payments/other", "api_key", "--generate"]).exits(0);
    world.remit(&["plan", ACTION, "--input", &input(SECRET), "--emit-scope", "least.toml"]).exits(0);
    let scope = std::fs::read_to_string(world.path("least.toml")).unwrap();
    assert!(scope.contains(SECRET) && !scope.contains('*'), "{scope}");

    world.grant_scope(&scope, ACTION, &input(SECRET), "least");
    world.run("least").exits(0);

    world.grant_scope(&scope, ACTION, &input("prod/payments/other"), "elsewhere");
    let refused = world.run("elsewhere").exits(3);
    assert!(refused.err.contains("outside the granted scope"), "{}", refused.err);
    assert_eq!(world.current_version("prod/payments/other"), 1);
    let (_, records) = world.last_run();
    assert!(kinds(&records).contains(&"denied"), "the refusal is on record");
    world.audit_is_sound();
}

#[test]
fn a_failed_run_is_taken_back_at_once() {
    for (deed, code) in [("rotate-then-fail", 1), ("rotate-then-panic", 1), ("verify-fails", 1)] {
        let world = World::new();
        let input = format!(r#"{{"do":"{deed}","path":"{SECRET}"}}"#);
        world.grant_scope(&everything(SECRET, "revert"), "misbehave.wasm", &input, "g");
        let ran = world.run("g").exits(code);
        assert_eq!(ran.json()["state"], "reverted", "{deed}");
        assert_eq!(world.current_version(SECRET), 3, "{deed}: rotated, and put back");
        world.audit_is_sound();
    }
}

#[test]
fn a_call_outside_the_scope_reverts_what_came_before() {
    let world = World::new();
    world.remit(&["secret", "put", "prod/other", "k", "--generate"]).exits(0);
    let input = format!(r#"{{"do":"rotate-then-outside","path":"{SECRET}","paths":["prod/other"]}}"#);
    world.grant_scope(&everything(SECRET, "revert"), "misbehave.wasm", &input, "g");
    let ran = world.run("g").exits(3);
    assert_eq!(ran.json()["state"], "reverted");
    assert_eq!(world.current_version("prod/other"), 1);
    assert_eq!(world.current_version(SECRET), 3);
}

#[test]
fn hold_leaves_the_changes_for_a_person() {
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-then-fail","path":"{SECRET}"}}"#);
    world.grant_scope(&everything(SECRET, "hold"), "misbehave.wasm", &input, "g");
    let ran = world.run("g").exits(5);
    assert_eq!(ran.json()["state"], "held");
    assert_eq!(world.current_version(SECRET), 2);
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(world.current_version(SECRET), 3);
}

#[test]
fn an_undo_never_overwrites_someone_elses_change() {
    let world = World::new();
    world.grant(ACTION, &input(SECRET), "g");
    world.run("g").exits(0);
    let (run, _) = world.last_run();
    // Someone else rotates by hand.
    world.remit_with_stdin(&["secret", "put", SECRET, "api_key"], "theirs").exits(0);
    assert_eq!(world.current_version(SECRET), 3);
    let refused = world.remit(&["revert", &run]).exits(5);
    assert!(refused.out.contains("version 3") || refused.err.contains("version 3"), "{refused:?}");
    assert_eq!(world.current_version(SECRET), 3, "nothing was touched");
}

#[test]
fn a_killed_host_leaves_what_is_needed_to_take_it_back() {
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    let scope = everything(SECRET, "revert").replace("changes = 5", "changes = 5\nfuel = 1_000_000_000_000");
    world.grant_scope(&scope, "misbehave.wasm", &input, "g");
    let request = world.request("g");
    let args = ["run", &request, "--key", "bot.key"];
    let mut host = world.command(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
    while world.current_version(SECRET) == 1 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    host.kill().unwrap();
    host.wait().unwrap();
    let (run, _) = world.last_run();
    let recovered = world.remit(&["recover", "--json"]).exits(0).json();
    assert_eq!(
        (recovered[0]["run"].as_str(), recovered[0]["state"].as_str()),
        (Some(&*run), Some("reverted"))
    );
    assert_eq!(world.current_version(SECRET), 3);
    assert_eq!(world.remit(&["recover", "--json"]).exits(0).json(), serde_json::json!([]));
    world.audit_is_sound();
}

#[test]
fn verify_may_only_look() {
    let world = World::new();
    let input = format!(r#"{{"do":"change-in-verify","path":"{SECRET}"}}"#);
    world.grant_scope(&everything(SECRET, "revert"), "misbehave.wasm", &input, "g");
    world.run("g").exits(3).says("verify");
    assert_eq!(world.current_version(SECRET), 1);
}

#[test]
fn irrevocable_needs_to_be_said() {
    let input = format!(r#"{{"do":"destroy","path":"{SECRET}","version":1}}"#);
    let world = World::new();
    world.grant_scope(&everything(SECRET, "revert"), "misbehave.wasm", &input, "g");
    world.run("g").exits(3).says("irrevocable = true");
    let accepted = everything(SECRET, "revert")
        .replace("\"remit:secrets/destroy\"", "\"remit:secrets/destroy\"\nirrevocable = true");
    world.grant_scope(&accepted, "misbehave.wasm", &input, "h");
    world.run("h").exits(0);
    let shown = world.remit(&["secret", "show", SECRET, "--json"]).exits(0).json();
    assert_eq!(shown["versions"][0]["state"], "destroyed");
}

#[test]
fn disabling_is_undone_by_enabling() {
    let world = World::new();
    let input = format!(r#"{{"do":"disable","path":"{SECRET}","version":1}}"#);
    world.grant_scope(&everything(SECRET, "revert"), "misbehave.wasm", &input, "g");
    world.run("g").exits(0);
    let state =
        |w: &World| w.remit(&["secret", "show", SECRET, "--json"]).json()["versions"][0]["state"].clone();
    assert_eq!(state(&world), "disabled");
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(state(&world), "enabled");
}

#[test]
fn secrets_stay_on_the_hosts_side() {
    const VALUE: &str = "correct-horse-battery-staple";
    let world = World::empty();
    world.remit_with_stdin(&["secret", "put", SECRET, "value"], VALUE).exits(0);
    world.grant(ACTION, &input(SECRET), "g");
    let ran = world.run("g").exits(0);
    let (run, records) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    assert!(!serde_json::to_string(&records).unwrap().contains(VALUE));
    assert!(!ran.out.contains(VALUE) && !ran.err.contains(VALUE));
    assert!(!contains(&world.all_bytes(), VALUE), "no file of the home holds the value in clear");

    // Revealing needs to be said, and is sealed in the journal.
    let input = format!(r#"{{"do":"reveal","path":"{SECRET}","field":"value","version":1}}"#);
    world.grant_scope(&everything(SECRET, "revert"), "misbehave.wasm", &input, "r");
    world.run("r").exits(3).says("disclose = true");
    // A rehearsal is told something of the same shape, so that the plan shows it.
    let plan = world.remit(&["plan", "misbehave.wasm", "--input", &input, "--json"]).exits(0);
    assert_eq!(plan.json()["plan"]["steps"][0]["effect"], "disclose", "{}", plan.out);
    assert!(!plan.out.contains(VALUE));
    assert!(!contains(&world.all_bytes(), VALUE));
}

/// Every capability of `misbehave` on one secret.
fn everything(secret: &str, on_failure: &str) -> String {
    crate::common::scope(&format!("on_failure = \"{on_failure}\"\n[limits]\nchanges = 5"), secret)
}
