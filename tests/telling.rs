//! Who is told of what, by whose order not, and what never leaves the machine.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::fs;

use crate::common::{POLICY, SECRET, World, contains, scope};
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
    crate::common::finish(keyless, "").exits(2).says("no key was given");
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
    let told =
        |ran: &crate::common::Ran| contains(ran.out.as_bytes(), VALUE) || contains(ran.err.as_bytes(), VALUE);
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

/// Puts a secret there with this value, after whatever was there was deleted with all its versions.
fn made_anew(world: &World, value: &str) {
    let store = rusqlite::Connection::open(world.home().join("secrets.db")).unwrap();
    store.execute_batch("DELETE FROM version; DELETE FROM secret").unwrap();
    world.remit_with_stdin(&["secret", "put", SECRET, "k"], value).exits(0);
}

/// A disclosure that was approved is of the thing that was there, and not of whatever has its number by then: neither a
/// secret that was made anew under the path, nor a version that was made, or enabled, since.
#[test]
fn attack_a_disclosure_of_what_was_made_since() {
    const FIRST: &str = "the-first-value";
    const SINCE: &str = "what-was-made-since";
    type Meanwhile = fn(&World);
    let second: Meanwhile =
        |world| drop(world.remit_with_stdin(&["secret", "put", SECRET, "k"], SINCE).exits(0));
    let enable: Meanwhile = |world| {
        let store = rusqlite::Connection::open(world.home().join("secrets.db")).unwrap();
        store.execute("UPDATE version SET disabled = 0", []).unwrap();
    };
    let anew: Meanwhile = |world| made_anew(world, SINCE);
    for phase in ["run", "verify"] {
        for (name, version, meanwhile, disabled) in [
            ("made anew", 1, anew, false),
            ("a version that was not there", 2, second, false),
            ("a version that was disabled", 1, enable, true),
        ] {
            let world = World::with(&["hostile"]);
            let value = if disabled { SINCE } else { FIRST };
            world.remit_with_stdin(&["secret", "put", SECRET, "k"], value).exits(0);
            if disabled {
                let store = rusqlite::Connection::open(world.home().join("secrets.db")).unwrap();
                store.execute("UPDATE version SET disabled = 1", []).unwrap();
            }
            let script = format!(r#"{{"{phase}":[{{"reveal":["{SECRET}","k","{version}"]}}]}}"#);
            let allowed = scope("", SECRET).replace("reveal\"", "reveal\"\ndisclose = true");
            world.write("s.toml", allowed);
            world.ask(&["request", "hostile.wasm", "--input", &script, "--scope", "s.toml"], "g");
            meanwhile(&world);
            world.run("g").exits(3).says("it would do something else");
            world.run("g").exits(3).says("it was voided");
            let records = world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
            assert!(!records.contains(SINCE), "{name} in {phase}: {records}");
            // Asked for again, it is another plan.
            world.ask(&["request", "hostile.wasm", "--input", &script, "--scope", "s.toml"], "again");
            world.run("again").exits(0);
            let (run, records) = world.last_run();
            assert!(serde_json::to_string(&records).unwrap().contains(SINCE), "{name} in {phase}");
            world.remit(&["replay", &run]).exits(0);
            let proof = world.remit(&["audit", "prove", &run]).exits(0).out;
            world.write("proof.json", proof);
            world
                .remit(&[
                    "audit",
                    "check-proof",
                    "proof.json",
                    "--key",
                    "home/log.pub",
                    "--approver",
                    "alice.pub",
                ])
                .exits(0);
            world.audit_is_sound();
        }
    }
}

/// A call that finds nothing to disclose is no step of the plan, and stops nothing: not in its run, not in its replay, not
/// in its proof.
#[test]
fn a_disclosure_of_what_is_not_there_fails_as_it_was_rehearsed() {
    let world = World::with(&["hostile"]);
    world.remit(&["secret", "put", SECRET, "k", "--generate"]).exits(0);
    let reveal = |field: &str, version: &str| format!(r#"{{"reveal":["{SECRET}","{field}","{version}"]}}"#);
    let steps = [
        reveal("k", "2"),
        reveal("k", "0"),
        reveal("none", "1"),
        r#"{"if":["failed",[],["trap"]]}"#.to_owned(),
        format!(r#"{{"rotate":["{SECRET}",null]}}"#),
        reveal("k", "2"),
        r#"{"if":["failed",["trap"],[]]}"#.to_owned(),
    ];
    let script = format!(r#"{{"run":[{}]}}"#, steps.join(","));
    let allowed = scope("[limits]\nchanges = 1", SECRET);
    // What is not there needs no rule that accepts it either: to disclose it, or to destroy it.
    let nothing = format!(r#"{{"run":[{},{{"destroy":["{SECRET}","7"]}}]}}"#, reveal("k", "2"));
    for (script, allowed) in
        [(nothing, allowed.clone()), (script, allowed.replace("reveal\"", "reveal\"\ndisclose = true"))]
    {
        world.write("s.toml", allowed);
        world.ask(&["request", "hostile.wasm", "--input", &script, "--scope", "s.toml"], "g");
        world.run("g").exits(0);
        let (run, _) = world.last_run();
        world.remit(&["replay", &run]).exits(0);
        let proof = world.remit(&["audit", "prove", &run]).exits(0).out;
        world.write("proof.json", proof);
        let check =
            ["audit", "check-proof", "proof.json", "--key", "home/log.pub", "--approver", "alice.pub"];
        world.remit(&check).exits(0);
    }
    world.audit_is_sound();
}

/// What a rehearsal makes up has the shape of the secret. Where that is too much, a policy on disclosures keeps it.
#[test]
fn attack_the_shape_of_a_secret_where_a_policy_forbids_it() {
    let forbid = r#"
@id("not-even-the-shape")
forbid (principal, action == Remit::Action::"rehearse", resource)
when { resource.mayDisclose.contains(Remit::Path::"secret:prod") };
"#;
    let world = World::with(&["hostile"]);
    world.policies(&format!("{POLICY}{forbid}"));
    for secret in [SECRET, "dev/pin"] {
        world.remit_with_stdin(&["secret", "put", secret, "k"], "1234").exits(0);
    }
    let plan = |secret: &str, allowed: &str| {
        let script = format!(r#"{{"run":[{{"reveal":["{secret}","k","1"]}}]}}"#);
        world.write("s.toml", allowed);
        world.remit(&["plan", "hostile.wasm", "--input", &script, "--scope", "s.toml", "--key", "bot.key"])
    };
    // A rehearsal needs no rule that accepts it.
    for accepts in ["", "\ndisclose = true"] {
        let allowed = |place| scope("", place).replace("reveal\"", &format!("reveal\"{accepts}"));
        plan(SECRET, &allowed(SECRET)).exits(3).says("not-even-the-shape");
        plan(SECRET, &allowed("**")).exits(3).says("not-even-the-shape");
        plan("dev/pin", &allowed("dev/**")).exits(0);
    }
    let all = ["plan", "hostile.wasm", "--input", r#"{"run":[]}"#, "--key", "bot.key"];
    world.remit(&all).exits(3).says("not-even-the-shape");
    world.audit_is_sound();
}

/// Rehearsed again, an action reads what is in a file by then, and puts it into the name of a call: that makes another plan,
/// and what is told of it outside this machine does not hold the name.
#[test]
fn attack_content_in_the_reason_why_a_request_is_void() {
    const BEFORE: &str = "as-it-was-approved";
    const CONTENT: &str = "hunter2-is-the-content";
    let world = World::with(&["hostile"]);
    fs::create_dir(world.path("etc")).unwrap();
    world.write("etc/app.conf", BEFORE);
    let files = format!("\n[[files]]\nname = \"etc\"\npath = \"{}\"\n", world.path("etc").display());
    configure(&world, &files);
    configure(&world, "\n[[notify]]\nname = \"pager\"\nfile = \"events.jsonl\"\n");
    let rule = "[[allow]]\ncapability = \"remit:files/read\"\nresources = [\"file:etc/**\"]\n";
    world.write("s.toml", scope("", "**") + rule);
    let script = r#"{"run":[{"read":"/etc/app.conf"},{"inspect":"prod/{content}"}]}"#;
    world.ask(&["request", "hostile.wasm", "--input", script, "--scope", "s.toml"], "g");
    world.write("etc/app.conf", CONTENT);
    world.run("g").exits(3).says("it would do something else");
    // A request that reads nothing is told of as it is.
    world.remit(&["secret", "put", SECRET, "k", "--generate"]).exits(0);
    world.write("s.toml", scope("[limits]\nchanges = 1", SECRET));
    let rotate = format!(r#"{{"run":[{{"rotate":["{SECRET}",null]}}]}}"#);
    world.ask(&["request", "hostile.wasm", "--input", &rotate, "--scope", "s.toml"], "other");
    world.remit(&["secret", "put", SECRET, "k", "--generate"]).exits(0);
    world.run("other").exits(3).says("it would do something else");
    world.remit(&["notify"]).exits(0);
    let events = fs::read_to_string(world.path("home/events.jsonl")).unwrap();
    assert!(!events.contains(CONTENT), "{events}");
    let void = |id: String| {
        let mut lines = events.lines().filter(|line| line.contains(&id) && line.contains("request-voided"));
        lines.next().unwrap_or_else(|| panic!("{id} is not told to be void: {events}"))
    };
    assert!(void(world.request("g")).contains("own words are not shown"), "{events}");
    assert!(void(world.request("other")).contains("rotate.rotate"), "{events}");
    world.audit_is_sound();
}
