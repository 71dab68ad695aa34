//! Guests that misbehave, and the named end each of them comes to.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::process::Command;

use crate::common::{Ran, SECRET, World};

const GUEST: &str = "misbehave.wasm";

/// Runs a deed under limits; returns the run as JSON and what it said.
#[track_caller]
fn ends(world: &World, input: &str, limits: &str, code: i32, words: &str) -> serde_json::Value {
    let scope = crate::common::scope(&format!("[limits]\n{limits}"), SECRET);
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
    let source = include_str!("guests/misbehave/src/lib.rs");
    let line = source.lines().position(|line| line.contains("panic!(\"panicking as asked\")")).unwrap() + 1;
    let panic = &format!("src/lib.rs:{line}:5: panicking as asked");
    ends(&world, r#"{"do":"panic"}"#, "", 1, panic);
    let (run, _) = world.last_run();
    let shown = world.remit(&["show", &run]).exits(0).out;
    let told = |line: &str| line.contains("panicked at ") && line.contains(panic);
    assert_eq!(shown.lines().filter(|line| told(line)).count(), 3, "state, log and end:\n{shown}");
    ends(&world, &format!(r#"{{"do":"verify-fails","path":"{SECRET}"}}"#), "", 1, "error: verify failed: ");
    ends(&world, r#"{"do":"fail"}"#, "", 1, "failing as asked");
}

/// `remit` where a process may have less addresses than one memory of a guest takes.
fn cramped(world: &World, args: &[&str]) -> Ran {
    let remit = world.command(args);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""])
        .arg(remit.get_program())
        .args(remit.get_args())
        .current_dir(remit.get_current_dir().unwrap())
        .env_clear()
        .envs(remit.get_envs().filter_map(|(name, value)| Some((name, value?))));
    crate::common::finish(shell, "")
}

#[test]
fn a_machine_without_room_is_not_the_actions_fault() {
    let world = World::new();
    let (input, room) = (format!(r#"{{"path":"{SECRET}"}}"#), "the host has no room for the action");
    cramped(&world, &["plan", "rotate-secret.wasm", "--input", &input]).exits(1).says(room);
    let scope = crate::common::scope("", SECRET);
    for (name, cramps, version) in [("g", true, 1), ("h", false, 2)] {
        world.grant_scope(&scope, "rotate-secret.wasm", &input, name);
        let run = ["run", &*world.request(name), "--key", "bot.key", "--json"];
        if cramps {
            cramped(&world, &run).exits(1).says(room)
        } else {
            world.remit(&run).exits(0)
        };
        assert_eq!(world.current_version(SECRET), version);
        let (run, _) = world.last_run();
        let told = world.remit(&["replay", &run, "--json"]).exits(0).json();
        assert_eq!(told["complete"], !cramps, "{told}");
        // It is no sign that the record is another's, either.
        cramped(&world, &["replay", &run]).exits(1).says(room);
    }
    world.audit_is_sound();
}

/// Whoever may rehearse writes the scope of the rehearsal, and nobody approves it.
#[test]
fn attack_a_rehearsal_with_limits_of_its_own() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    let refused = |world: &World, limit: &str, says: &str| {
        world.write("s.toml", crate::common::scope(&format!("[limits]\n{limit}"), SECRET));
        for ask in [&["plan"][..], &["request", "--reason", "r"]] {
            let given = ["rotate-secret.wasm", "--input", &input, "--scope", "s.toml", "--key", "bot.key"];
            let ran = world.remit(&[ask, &given].concat());
            if says.is_empty() {
                ran.exits(0)
            } else {
                ran.exits(3).says(says).says("most_times_default")
            };
        }
    };
    for (limit, says) in [
        ("answers = \"161 MiB\"", "`answers` is 161.0 MiB, and a rehearsal may have at most 160.0 MiB"),
        ("fuel = 10_000_000_001", "at most 10000000000"),
        ("host_calls = 10_001", "at most 10000"),
        ("wall_time = \"301s\"", "`wall_time` is 5m 1s, and a rehearsal may have at most 5m"),
        ("memory = \"1 TiB\"", "`memory`"),
        ("table_elements = 1_000_001", "`table_elements`"),
        ("log_bytes = \"641 KiB\"", "`log_bytes`"),
        ("input = \"641 KiB\"", "`input`"),
        ("output = \"641 KiB\"", "`output`"),
        ("one_answer = \"81 MiB\"", "`one_answer`"),
        ("changes = 1_000\nwall_time = \"5m\"\nanswers = \"160 MiB\"", ""),
    ] {
        refused(&world, limit, says);
    }
    let config = world.home().join("remit.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    for (times, says) in [("0", "at most 0"), ("11", "")] {
        std::fs::write(&config, format!("{written}\n[rehearsals]\nmost_times_default = {times}\n")).unwrap();
        refused(&world, "answers = \"161 MiB\"", says);
    }
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
