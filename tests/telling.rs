//! Who is told of what, by whose order not, and what never leaves the machine.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;

use common::{POLICY, SECRET, World, contains, scope};
use serde_json::Value;

fn configure(world: &World, more: &str) {
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + more).unwrap();
}

/// What the journal holds of that kind.
fn acts(world: &World, kind: &str) -> Vec<Value> {
    let exported = world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
    let records = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter_map(|record| record["event"].get(kind).cloned()).collect()
}

#[test]
fn attack_what_nobody_wants_is_not_read_for_ever() {
    let world = World::with(&[]);
    configure(&world, "\n[[notify]]\nname = \"pager\"\non = [\"run-held\"]\nfile = \"events.jsonl\"\n");
    world.remit(&["notify"]).exits(0);
    for _ in 0..70 {
        world.remit(&["freeze", "--reason", "r"]).exits(0);
        world.remit(&["unfreeze", "--reason", "r"]).exits(0);
    }
    // 140 events: not a record for each command, and never more than a handful that the next one reads.
    let told = acts(&world, "notified");
    assert_eq!(told.len(), 3, "{told:?}");
    let upto = told.last().unwrap()["upto"].as_i64().unwrap();
    let journal = rusqlite::Connection::open(world.home().join("journal.db")).unwrap();
    let left = "SELECT count(*) FROM record WHERE seq > ?1 AND kind IN ('frozen', 'unfrozen')";
    let left: i64 = journal.query_row(left, [upto], |row| row.get(0)).unwrap();
    assert!(left < 64, "{left}");
    world.audit_is_sound();
}

#[test]
fn attack_giving_up_is_an_order_of_somebody_entitled() {
    let world = World::new();
    let humans = "principal, action in [Remit::Action::\"review\", Remit::Action::\"resolve\"], resource";
    let policy = POLICY.replace(
        "Remit::Action::\"freeze\", Remit::Action::\"review\", Remit::Action::\"resolve\"",
        "Remit::Action::\"freeze\"",
    );
    assert_ne!(policy, POLICY);
    world.policies(&format!(
        "{policy}@id(\"h\")\npermit ({humans}) when {{ principal.kind == \"human\" }};\n"
    ));
    configure(&world, "\n[[notify]]\nname = \"pager\"\nfile = \"gone/events.jsonl\"\n");
    world.remit(&["notify"]).exits(0);
    world.remit(&["freeze", "--reason", "r"]).exits(0);
    world.remit(&["unfreeze", "--reason", "r"]).exits(0);
    let before = acts(&world, "notified").len();
    let give_up = |key: &str, more: &[&str]| {
        let args = ["notify", "--give-up", "pager", "--key", key];
        world.remit(&[&args[..], more].concat())
    };
    give_up("alice.key", &[]).exits(2).says("--reason");
    give_up("bot.key", &["--reason", "quiet"]).exits(3).says("may not");
    let mut keyless = world.command(&["notify", "--give-up", "pager", "--reason", "quiet"]);
    keyless.env_remove("REMIT_KEY");
    common::finish(keyless, "").exits(3).says("no key was given");
    assert_eq!(acts(&world, "notified").len(), before);
    // The next event still cannot be told.
    give_up("alice.key", &["--reason", "that pager is gone"]).exits(1);
    let word = acts(&world, "notified").last().unwrap()["statement"].clone();
    assert_eq!(word["principal"], "alice");
    assert_eq!(word["reason"], "that pager is gone");
    assert!(word["document"]["signatures"][0]["sig"].is_string(), "{word}");

    let input = format!(r#"{{"do":"rotate-then-fail","path":"{SECRET}"}}"#);
    world.grant_scope(&scope("", SECRET), "misbehave.wasm", &input, "g");
    world.run("g").exits(1);
    let (run, _) = world.last_run();
    let expire = |key: &str| world.remit(&["journal", "expire-undo", "--older-than", "0s", "--key", key]);
    expire("bot.key").exits(3).says("may not");
    let shown = world.remit(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["story"]["undo_expired"], Value::Null);
    // Each run is asked about, not the order alone.
    let forbidden = "forbid (principal, action == Remit::Action::\"resolve\", resource in Remit::Path::\"secret:prod\");\n";
    let before = fs::read_to_string(world.home().join("policies/default.cedar")).unwrap();
    world.policies(&(forbidden.to_owned() + &before));
    expire("alice.key").exits(3).says("may not");
    world.policies(&before);
    expire("alice.key").exits(0);
    let shown = world.remit(&["show", &run, "--json"]).exits(0).json();
    let given =
        shown["records"].as_array().unwrap().iter().find_map(|r| r["event"].get("undo-expired")).unwrap();
    assert_eq!(given["principal"], "alice");
    assert!(given["order"]["signatures"][0]["sig"].is_string(), "{given}");
    world.audit_is_sound();
}

#[test]
fn attack_what_an_action_was_told_it_cannot_tell_on() {
    const VALUE: &str = "correct-horse-battery-staple";
    let world = World::empty();
    configure(&world, "\n[[notify]]\nname = \"all\"\nfile = \"events.jsonl\"\n");
    world.remit(&["notify"]).exits(0);
    world.remit_with_stdin(&["secret", "put", SECRET, "value"], VALUE).exits(0);
    // `misbehave` returns what it was told.
    let input = format!(r#"{{"do":"reveal","path":"{SECRET}","field":"value"}}"#);
    let open = scope("", SECRET).replace("secrets/reveal\"", "secrets/reveal\"\ndisclose = true");
    world.grant_scope(&open, "misbehave.wasm", &input, "g");
    let ran = world.run("g").exits(0);
    let (run, _) = world.last_run();
    let told = |ran: &common::Ran| contains(ran.out.as_bytes(), VALUE) || contains(ran.err.as_bytes(), VALUE);
    assert!(!told(&ran), "{ran:?}");
    assert_eq!(ran.json()["sealed"], true);
    for args in [
        vec!["show", &run],
        vec!["show", &run, "--json"],
        vec!["audit", "prove", &run],
        vec!["audit", "export", "--format", "jsonl"],
        vec!["audit", "export", "--format", "ocsf"],
    ] {
        assert!(!told(&world.remit(&args).exits(0)), "{args:?}");
    }
    assert!(!contains(&world.all_bytes(), VALUE), "no file of the home holds it in clear");
    // Somebody at this machine can ask; and the run replays, to the same words.
    assert!(told(&world.remit(&["show", &run, "--own-words"]).exits(0)));
    let replayed = world.remit(&["replay", &run, "--json"]).exits(0).json();
    assert_eq!(replayed["divergence"], Value::Null, "{replayed}");
    world.audit_is_sound();
}

/// The same of an action that fails with the value in its error, or asks for a path that holds it.
#[test]
fn attack_a_secret_in_the_words_of_a_failure() {
    const VALUE: &str = "hunter2-is-the-value";
    let world = World::with(&["hostile"]);
    configure(&world, "\n[[notify]]\nname = \"pager\"\nfile = \"events.jsonl\"\n");
    world.remit(&["notify"]).exits(0);
    world.remit_with_stdin(&["secret", "put", SECRET, "k"], VALUE).exits(0);
    let reveal = format!(r#"{{"reveal":["{SECRET}","k","1"]}}"#);
    let allowed = scope("[limits]\nchanges = 1", SECRET).replace("reveal\"", "reveal\"\ndisclose = true");
    for ending in [r#"{"fail":"it is {value}"}"#, r#"{"inspect":"{value}"}"#] {
        let script = format!(r#"{{"run":[{reveal},{ending}]}}"#);
        world.grant_scope(&allowed, "hostile.wasm", &script, "g");
        // Not even in the host's own log, with all that it tells.
        let ran = world.remit(&["-vvv", "run", &world.request("g"), "--key", "bot.key", "--json"]);
        assert!(ran.code != 0 && ran.err.contains("host call"), "{}", ran.err);
        world.remit(&["notify"]).exits(0);
        let (run, _) = world.last_run();
        let own = world.remit(&["show", &run, "--own-words"]).exits(0).out;
        assert!(own.contains(VALUE), "it did try: {own}");
        let events = fs::read(world.path("home/events.jsonl")).unwrap();
        assert!(contains(&events, "the action's own words are not shown"));
        let ocsf = world.remit(&["audit", "export", "--format", "ocsf"]).exits(0).out;
        for text in [ran.out.as_bytes(), ran.err.as_bytes(), &events, ocsf.as_bytes()] {
            assert!(!contains(text, VALUE), "{ending}: {}", String::from_utf8_lossy(text));
        }
    }
    world.audit_is_sound();
}
