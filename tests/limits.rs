//! Guests that misbehave, and the named end each of them comes to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use common::{SECRET, World};

const GUEST: &str = "misbehave.wasm";

/// Runs a deed under limits; returns the run as JSON and what it said.
#[track_caller]
fn ends(world: &World, input: &str, limits: &str, code: i32, words: &str) -> serde_json::Value {
    let scope = common::scope(&format!("[limits]\n{limits}"), SECRET);
    world.grant_scope(&scope, GUEST, input, "g");
    world.run("g").exits(code).says(words).json()
}

#[test]
fn every_limit_is_a_named_end() {
    let world = World::new();
    let path = format!(r#""path":"{SECRET}""#);
    for (input, limits, words) in [
        (r#"{"do":"loop"}"#.to_owned(), "fuel = 1_000_000", "limit `fuel` exceeded"),
        (
            r#"{"do":"loop"}"#.to_owned(),
            "fuel = 100_000_000_000\nwall_time = \"300ms\"",
            "limit `wall_time` exceeded",
        ),
        (r#"{"do":"memory"}"#.to_owned(), "memory = \"8 MiB\"", "limit `memory` exceeded"),
        (r#"{"do":"recursion"}"#.to_owned(), "", "limit `stack` exceeded"),
        (format!(r#"{{"do":"flood",{path}}}"#), "host_calls = 50", "limit `host_calls` exceeded"),
        (r#"{"do":"log-bomb"}"#.to_owned(), "", "limit `memory` exceeded"),
        (r#"{"do":"log-bomb","size":3000000}"#.to_owned(), "", "limit `log_bytes` exceeded"),
        (r#"{"do":"output-bomb","size":3000000}"#.to_owned(), "", "limit `output` exceeded"),
        (r#"{"do":"loop"}"#.to_owned(), "input = \"5 B\"", "limit `input` exceeded"),
    ] {
        let ran = ends(&world, &input, limits, 1, words);
        assert_eq!(ran["state"], "failed", "{input}");
    }
    assert_eq!(world.current_version(SECRET), 1);
    world.audit_is_sound();
}

#[test]
fn more_changes_than_allowed_are_refused_and_the_rest_reverted() {
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}","{SECRET}"]}}"#);
    let ran = ends(&world, &input, "changes = 1", 1, "limit `changes` exceeded");
    assert_eq!(ran["state"], "reverted");
    assert_eq!(world.current_version(SECRET), 3, "one rotation, put back");
}

#[test]
fn a_change_stands_or_falls_whole_when_the_guest_runs_out_of_time() {
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    let limits = "fuel = 100_000_000_000\nwall_time = \"500ms\"";
    let ran = ends(&world, &input, limits, 1, "limit `wall_time` exceeded");
    assert_eq!(ran["state"], "reverted");
    assert_eq!(world.current_version(SECRET), 3);
    world.audit_is_sound();
}

#[test]
fn a_crash_is_told_readably() {
    let world = World::new();
    ends(&world, r#"{"do":"panic"}"#, "", 1, "the action crashed");
    ends(&world, r#"{"do":"fail"}"#, "", 1, "failing as asked");
}

#[test]
fn what_was_used_is_reported() {
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}"]}}"#);
    let ran = ends(&world, &input, "", 0, "");
    let used = &ran["consumed"];
    for name in ["fuel", "memory", "host_calls", "changes", "input", "output"] {
        assert!(used[name].as_u64().unwrap() > 0, "{name} in {used}");
    }
}

#[test]
fn a_path_has_one_spelling() {
    let world = World::new();
    for path in
        ["../x", "prod//x", "/prod", "prod/", "prod/./x", "prod/%2e%2e", "prod/\u{0440}ayments", "a b", ""]
    {
        let input = serde_json::json!({"do": "bad-path", "path": path}).to_string();
        let ran = ends(&world, &input, "", 0, "");
        let answer = ran["output"]["failure"].as_str().unwrap_or_else(|| panic!("`{path}` was taken: {ran}"));
        assert!(answer.contains("canonical"), "{path}: {answer}");
        let (_, records) = world.last_run();
        assert!(records.iter().any(|r| r["event"]["denied"].is_object()), "{path}: on record");
    }
}
