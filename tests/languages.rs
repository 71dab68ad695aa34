//! The same action in every language: nobody can tell from the journal which it was, but for its name, size and
//! cost.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::{World, finish};
use serde_json::{Value, json};

const LANGUAGES: [&str; 5] = ["c", "js", "ts", "python", "go"];

/// What a run of `action` does to a fresh estate, without what differs from run to run and from guest to guest.
struct Story {
    steps: Value,
    output: Value,
    journal: Vec<Value>,
    refusal: String,
}

fn input(path: &str) -> String {
    json!({ "path": path, "field": "api_key" }).to_string()
}

fn story(world: &World, action: &str, secret: &str) -> Story {
    world.remit(&["secret", "put", secret, "api_key", "--generate"]).exits(0);
    let input = input(secret);
    world.grant(action, &input, action);
    let asked = world.remit(&["request", "show", &world.request(action), "--json"]).exits(0).json();
    let plan = &asked["request"]["asks"]["run"]["plan"];
    let ran = world.run(action).exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{action}");
    assert_eq!(world.current_version(secret), 2, "{action}");

    let (run, records) = world.last_run();
    let replay = world.remit(&["replay", &run]).exits(0);
    assert!(replay.out.contains("identical"), "{action}:\n{}", replay.out);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(world.current_version(secret), 3, "{action}");

    let missing = world.remit(&["plan", action, "--input", r#"{"path":"no/such/secret"}"#]).exits(1);
    let refusal = missing.err.lines().find(|line| line.contains("could not")).unwrap_or(&missing.err);
    Story {
        steps: neutral(plan["steps"].clone(), secret),
        output: neutral(ran["output"].clone(), secret),
        journal: journal(&records, secret),
        refusal: refusal.replace(action.trim_end_matches(".wasm"), "ACTION"),
    }
}

/// The tests that the plugins share, as their author runs them. What `world` compiled for its runs serves here too.
fn fixtures(world: &World, action: &str) {
    let cache = world.path("cache/remit");
    if !cache.exists() {
        std::fs::create_dir_all(&cache).unwrap();
        symlink(world.home().join("cache"), cache.join("compiled")).unwrap();
        symlink(world.home().join("cache.key"), cache.join("compiled.key")).unwrap();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(action).join("tests");
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path().display().to_string());
    let mut command = world.command(&["test", &format!("{action}.wasm")]);
    command.args(files).env("XDG_CACHE_HOME", world.path("cache"));
    let ran = finish(command, "").exits(0);
    assert!(ran.out.contains("4 passed, 0 failed"), "{}", ran.out);
}

/// What happened between the start of a run, which names the component, and its end, which counts its fuel.
/// Without what a language's runtime asks of the clock for itself; the other calls are numbered as if it had not.
fn journal(records: &[Value], secret: &str) -> Vec<Value> {
    let mut calls = Vec::new();
    let mut events = Vec::new();
    for event in records.iter().map(|record| &record["event"]) {
        if event.get("started").is_some() || event.get("ended").is_some() {
            continue;
        }
        let mut event = neutral(event.clone(), secret);
        if let Some(intent) = event.get("intent") {
            if intent["operation"].as_str().unwrap().starts_with("wasi:clocks/") {
                continue;
            }
            calls.push(intent["call"].clone());
        }
        for kind in ["intent", "outcome"] {
            let Some(number) = event.pointer_mut(&format!("/{kind}/call")) else { continue };
            *number = json!(calls.iter().position(|call| call == number));
        }
        if event.pointer("/outcome/call") != Some(&Value::Null) {
            events.push(event);
        }
    }
    events
}

/// Without what is of one secret alone: its name, identity, times, and sealed data, which is never twice the same.
fn neutral(value: Value, secret: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(secret, "SECRET")),
        Value::Array(items) => items.into_iter().map(|item| neutral(item, secret)).collect(),
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, _)| !["created", "identity", "sealed", "time", "at"].contains(&name.as_str()))
            .map(|(name, member)| (name, neutral(member, secret)))
            .collect(),
        other => other,
    }
}

#[test]
fn every_language_does_the_same() {
    let world = World::with(&["rotate-secret"]);
    let rust = story(&world, "rotate-secret.wasm", "prod/rust");
    fixtures(&world, "rotate-secret");
    assert_eq!(rust.steps.as_array().unwrap().len(), 3, "{}", rust.steps);
    for language in LANGUAGES {
        let action = format!("rotate-secret-{language}");
        world.add(&action);
        let other = story(&world, &format!("{action}.wasm"), &format!("prod/{language}"));
        assert_eq!(other.steps, rust.steps, "{language}: the plan");
        assert_eq!(other.output, rust.output, "{language}: the output");
        assert_eq!(other.journal, rust.journal, "{language}: the journal");
        assert_eq!(other.refusal, rust.refusal, "{language}: what it says when the host refuses");
        fixtures(&world, &action);
    }
    world.audit_is_sound();
}

#[test]
fn a_defect_of_the_action_says_what_it_was_and_is_taken_back() {
    let world = World::with(&[]);
    for (language, says) in [
        ("c", "the sky over version 2 fell"),
        ("js", "cannot read property 'fall' of undefined"),
        ("python", "ZeroDivisionError: division by zero"),
        ("go", "index out of range [2] with length 0\\n  fail-go/action.go:23 in main.run"),
    ] {
        let (action, secret) = (format!("fail-{language}"), format!("prod/{language}"));
        world.add(&action);
        let action = format!("{action}.wasm");
        world.remit(&["secret", "put", &secret, "api_key", "--generate"]).exits(0);
        let input = json!({ "path": secret }).to_string();
        let scope =
            format!("[[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = [\"secret:{secret}\"]\n");
        world.grant_scope(&scope, &action, &input, language);
        let ran = world.run(language).exits(1);
        assert_eq!(ran.json()["state"], "reverted", "{language}");
        assert_eq!(world.current_version(&secret), 3, "{language}: rotated, and put back");
        let (run, _) = world.last_run();
        let shown = world.remit(&["show", &run]).exits(0).out;
        assert!(shown.contains(says), "{language}: no `{says}` in:\n{shown}");
        assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"), "{language}");
    }
}
