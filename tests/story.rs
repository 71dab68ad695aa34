//! What happened, as others read it: an incident report, a stream of records, OCSF events.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::{SECRET, World, contains, scope};
use serde_json::Value;

const ACTION: &str = "rotate-secret.wasm";

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, name) in [
        (r"run-[0-9a-z]{26}", "RUN"),
        (r"req-[0-9a-z]{26}", "REQUEST"),
        (r"sha256:[0-9a-f]{64}", "sha256:DIGEST"),
        (r"\b[0-9a-f]{12}\b", "SHORT"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r", for [0-9.]+ m?s", ", for DURATION"),
        (r"\d+ ms, \d+ fuel, \d+ KiB", "TIME ms, FUEL fuel, SIZE KiB"),
        (r#""created":\d+"#, r#""created":TIME"#),
        (r"  +", "  "),
    ] {
        settings.add_filter(pattern, name);
    }
    settings.set_prepend_module_to_snapshot(false);
    settings
}

/// A world in which much went on; with the names of its live runs.
fn eventful() -> (World, Vec<String>) {
    let world = World::new();
    world.remit(&["secret", "put", "prod/other", "k", "--generate"]).exits(0);
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    world.grant(ACTION, &input, "g");
    world.run("g").exits(0);
    let (first, _) = world.last_run();
    for deed in ["rotate-then-outside", "fail", "rotate-then-panic"] {
        let input = format!(r#"{{"do":"{deed}","path":"{SECRET}","paths":["prod/other"]}}"#);
        world.grant_scope(&scope("", SECRET), "misbehave.wasm", &input, "h");
        assert_ne!(world.run("h").code, 0, "{deed}");
    }
    // Others rotated since, and were put back: the value is the one that the first run left.
    world.remit(&["revert", &first, "--reason", "a|`b`\n# c <img> @all"]).exits(0);
    let runs = world.remit(&["runs", "--json"]).exits(0).json();
    let live = runs.as_array().unwrap().iter().filter(|run| run["mode"] == "live");
    (world, live.map(|run| run["run"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn an_incident_report() {
    let (world, runs) = eventful();
    let mut text = String::new();
    for run in &runs[..2] {
        text += &world.remit(&["show", run, "--format", "markdown"]).exits(0).out;
        text += "\n----\n\n";
    }
    text += &world.remit(&["show", &runs[0]]).exits(0).out;
    settings().bind(|| insta::assert_snapshot!("incident-report", text));
    // What a person wrote is quoted: it makes no line, no cell and no markup of its own.
    let page = world.remit(&["show", &runs[0], "--format", "markdown"]).exits(0).out;
    assert!(!page.lines().any(|line| line.starts_with("# c")), "{page}");
    let json = world.remit(&["show", &runs[0], "--format", "json"]).exits(0).json();
    assert_eq!(json["story"]["state"], "reverted");
    assert_eq!(json["story"]["states"][1]["by"], "alice");
    assert_eq!(json["story"]["changed"][0]["standing"], "undone");
    assert!(json["records"].as_array().unwrap().len() > 8);
}

#[test]
fn every_record_is_exported_once() {
    let (world, runs) = eventful();
    let all = world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
    let records: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let audit = world.remit(&["audit", "verify", "--json"]).exits(0).json();
    assert_eq!(records.len() as u64, audit["records"].as_u64().unwrap());
    assert!(records.iter().zip(1..).all(|(record, seq)| record["seq"] == seq));
    let later = world.remit(&["audit", "export", "--format", "jsonl", "--since", "7"]).exits(0).out;
    assert_eq!(later.lines().count(), records.len() - 6);
    let one = world.remit(&["audit", "export", "--format", "jsonl", "--run", &runs[0]]).exits(0).out;
    let shown = world.remit(&["show", &runs[0], "--json"]).exits(0).json();
    assert_eq!(one.lines().count(), shown["records"].as_array().unwrap().len());
}

#[test]
fn ocsf_events_are_what_the_schema_says() {
    let (world, runs) = eventful();
    let events = world.ocsf_events();
    assert_eq!(events.len(), runs.len() + 1, "one for each run, and one for the revert");
    let said: Vec<_> = events
        .iter()
        .map(|e| (e["activity_name"].as_str().unwrap(), e["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("Harden", "Success"),
            ("Restore", "Success"),
            ("Harden", "Failure"),
            ("No change", "Failure"),
            ("Harden", "Failure")
        ]
    );
}

#[test]
fn no_story_tells_a_secret() {
    const VALUE: &str = "correct-horse-battery-staple";
    let world = World::empty();
    world.remit_with_stdin(&["secret", "put", SECRET, "value"], VALUE).exits(0);
    let input = format!(r#"{{"do":"reveal","path":"{SECRET}","field":"value"}}"#);
    let open = scope("", SECRET).replace("secrets/reveal\"", "secrets/reveal\"\ndisclose = true");
    // What the action returns is its own; here it fails after it was told.
    world.grant_scope(&open, "misbehave.wasm", &input, "g");
    world.run("g");
    world.grant(ACTION, &format!(r#"{{"path":"{SECRET}"}}"#), "h");
    world.run("h").exits(0);
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    for args in [
        vec!["show", &run],
        vec!["show", &run, "--format", "markdown"],
        vec!["show", &run, "--json"],
        vec!["audit", "prove", &run],
        vec!["audit", "export", "--format", "jsonl", "--run", &run],
        vec!["audit", "export", "--format", "ocsf", "--run", &run],
        vec!["replay", &run],
    ] {
        let ran = world.remit(&args).exits(0);
        assert!(!contains(ran.out.as_bytes(), VALUE) && !contains(ran.err.as_bytes(), VALUE), "{args:?}");
    }
}
