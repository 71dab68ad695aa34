//! What an operator sees and is told, at whatever hour: nothing to do is done, lines tell apart, a freeze is seen, lists can be
//! read, and budgets and rules say what they are about to refuse.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::fs;

use crate::common::{POLICY, Ran, SECRET, World, scope};
use serde_json::{Value, json};

const ACTION: &str = "rotate-secret.wasm";

/// A home with the policies that Remit ships.
fn shipped(actions: &[&str]) -> World {
    let world = World::with(actions);
    world.policies(remit_policy::shipped_files()[0].1);
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    world
}

fn ask(world: &World, args: &[&str]) -> String {
    let asked = world.remit(&[&["request"], args, &["--reason", "r", "--json"]].concat()).exits(0).json();
    asked["request"]["id"].as_str().unwrap().to_owned()
}

fn status_of(world: &World, id: &str) -> Value {
    world.remit(&["request", "show", id, "--json"]).exits(0).json()["status"].clone()
}

/// Rotates the secret if it is at its second version; whatever else, it looks and is done.
fn only_at_version_two() -> String {
    let rotate = json!({"rotate": [SECRET, null]});
    json!({"run": [{"inspect": SECRET}, {"if": [{"same": ["{current}", "2"]}, [rotate], []]}], "verify": []})
        .to_string()
}

#[track_caller]
fn holds(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
}

#[test]
fn an_action_with_nothing_to_do_is_asked_for_runs_and_does_nothing() {
    let world = shipped(&["hostile", "misbehave"]);
    let idle = only_at_version_two();
    // It imports every capability there is, and its plan is one look, or nothing at all.
    holds(&world.remit(&["plan", "hostile.wasm", "--input", &idle]).exits(0).out, &["inspect.metadata"]);
    let nothing = r#"{"run":[],"verify":[]}"#;
    holds(&world.remit(&["plan", "hostile.wasm", "--input", nothing]).exits(0).out, &["touches nothing"]);
    let one_line = r#"{"do":"log-bomb","size":1}"#;
    for (action, input, key) in [
        ("hostile.wasm", nothing, "alice.key"),
        ("hostile.wasm", &*idle, "alice.key"),
        ("misbehave.wasm", one_line, "bot.key"),
    ] {
        let id = ask(&world, &[action, "--input", input, "--key", key]);
        assert_eq!(status_of(&world, &id), "approved", "to look needs nobody's leave");
        let ran = world.remit(&["run", &id, "--key", key, "--json"]).exits(0).json();
        assert_eq!(ran["state"], "succeeded");
        assert_eq!(ran["consumed"]["changes"], 0);
        let told = world.remit(&["show", "last"]).exits(0).out;
        holds(&told, &["succeeded (nothing changed)", "for a plan of 0 changes"]);
        let run = ran["run"].as_str().unwrap();
        world.remit(&["replay", run]).exits(0);
    }
    assert_eq!(world.current_version(SECRET), 1);

    // Approved as doing nothing, it may do nothing: what it would do by now is another plan.
    let id = ask(&world, &["hostile.wasm", "--input", &idle, "--key", "alice.key"]);
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    assert_eq!(world.current_version(SECRET), 2);
    world.remit(&["run", &id, "--key", "alice.key"]).exits(3).says("is void");
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();
}

#[test]
fn an_action_with_nothing_to_do_is_asked_for_with_the_scope_of_its_plan() {
    let world = shipped(&["hostile"]);
    let idle = only_at_version_two();
    for input in [r#"{"run":[],"verify":[]}"#, &idle] {
        let what = ["hostile.wasm", "--input", input];
        world.remit(&[&["plan"], &what[..], &["--emit-scope", "least.toml"]].concat()).exits(0);
        world.remit(&[&["plan"], &what[..], &["--scope", "least.toml"]].concat()).exits(0);
        let id = ask(&world, &[&what[..], &["--scope", "least.toml"]].concat());
        let ran = world.remit(&["run", &id, "--json"]).exits(0).json();
        assert_eq!((&ran["state"], &ran["consumed"]["changes"]), (&json!("succeeded"), &json!(0)));
    }
    let missing = "needs what the scope does not allow: remit:secrets/";
    // Any change inside the scope is another matter: nothing shows that it makes none.
    let any = ["--without-plan", "--scope", "least.toml", "--reason", "r"];
    let ask = |more: &[&str]| {
        world.remit(&[&["request", "hostile.wasm", "--input", &*idle], more].concat()).exits(3).says(missing)
    };
    ask(&any);
    // What finds something to do needs a scope that somebody wrote, with all that it imports.
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    ask(&any[1..]).says("remit:secrets/rotate@0.1.0").says("remit:secrets/reveal@0.1.0");
    let planned = ["plan", "hostile.wasm", "--input", &*idle, "--scope", "least.toml"];
    world.remit(&planned).exits(3).says(missing);
    // Also where every call is inside, and an import that it does not use is not.
    let rotate = "[[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = [\"secret:prod/**\"]\n";
    let inspect = rotate.replace("rotate", "inspect");
    world.write("least.toml", format!("{rotate}{inspect}"));
    ask(&any[1..]).says("remit:secrets/reveal@0.1.0");
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();
}

/// Two people are needed, and besides who asks there is one.
#[test]
fn status_says_where_nobody_is_left_who_could_approve() {
    let world = shipped(&["rotate-secret"]);
    world.write("scope.toml", scope("", SECRET));
    let input = format!("path={SECRET}");
    let any = [ACTION, "--input", &input, "--without-plan", "--scope", "scope.toml"];
    let id = ask(&world, &any);
    let status = |lacks: &str| {
        let text = world.remit(&["status"]).exits(0).out;
        holds(&text, &[&id, lacks]);
        let told = world.remit(&["status", "--json"]).exits(0).json();
        assert_eq!(told["waiting"][0]["out_of_reach"], true);
    };
    status("lacks 2 more of 2 humans (open-ended-needs-two): only bob may approve, which is not enough");
    world.remit(&["approve", &id, "--key", "bob.key", "--reason", "r"]).exits(0);
    status("lacks 1 more of 2 humans (open-ended-needs-two): nobody may approve it");
}

/// What tells a rehearsal from a run, by a coin that differs, and then asks for more than it was approved for.
#[test]
fn attack_an_empty_plan_gives_no_power() {
    let world = World::with(&["hostile"]);
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    let coin = json!({"run": ["random", {"if": [{"odd": "{random}"}, [{"rotate": [SECRET, null]}], []]}]});
    // Until it tried: on average the third time.
    for _ in 0..60 {
        let args = [
            "request",
            "hostile.wasm",
            "--input",
            &coin.to_string(),
            "--reason",
            "r",
            "--key",
            "bot.key",
            "--json",
        ];
        let asked = world.remit(&args);
        // Where the coin fell on the other side: a plan with a change and imports that it does not use.
        if asked.code != 0 {
            continue;
        }
        let id = asked.json()["request"]["id"].as_str().unwrap().to_owned();
        world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
        let ran = world.remit(&["run", &id, "--key", "bot.key", "--json"]);
        assert!(ran.code == 0 || ran.code == 3, "{ran:?}");
        assert_eq!(world.current_version(SECRET), 1, "{ran:?}");
        if ran.code == 3 {
            world.audit_is_sound();
            return;
        }
    }
    panic!("it never tried");
}

#[test]
fn an_idle_run_over_the_budget_of_its_standing_scope_can_be_run_as_a_request() {
    let world = shipped(&["hostile"]);
    let allow = |name| {
        format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:prod/**\"]\n")
    };
    let secrets = ["inspect", "rotate", "disable", "destroy", "reveal"].map(allow).concat();
    let files = "[[allow]]\ncapability = \"remit:files/read\"\nresources = [\"file:none/**\"]\n[[allow]]\ncapability = \"remit:files/write\"\nresources = [\"file:none/**\"]\n";
    world.write("night.toml", secrets + files);
    let standing =
        ["hostile.wasm", "--standing", "--scope", "night.toml", "--for", "bot", "--runs-per-hour", "1"];
    let id = ask(&world, &[&standing[..], &["--key", "alice.key"]].concat());
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    world.policies(&remit_policy::shipped_files()[0].1.replace("\"2 human\"", "\"1 human\""));
    let id = ask(&world, &[&standing[..], &["--key", "alice.key"]].concat());
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    let idle = only_at_version_two();
    let run = || {
        let under = ["--under", &id, "--reason", "night", "--key", "bot.key"];
        world.remit(&[&["run", "hostile.wasm", "--input", &idle][..], &under].concat())
    };
    run().exits(0);
    let asked = run()
        .exits(3)
        .says("its budget of 1 run(s) an hour is spent: 1 used, free again at 20")
        .says("a request was made instead; needs no approval: `remit run req-");
    let instead = asked.out.split_whitespace().next().unwrap().to_owned();
    world.remit(&["run", &instead, "--key", "bot.key"]).exits(0);
    assert_eq!(world.current_version(SECRET), 1);
    world.audit_is_sound();
}

#[test]
fn an_idle_action_passes_its_offline_test() {
    let world = World::with(&["hostile"]);
    let expect = "outcome = \"succeeded\"\noperations = []\n";
    world.write("idle.toml", format!("input = {{ run = [], verify = [] }}\n[expect]\n{expect}"));
    let tried = world.remit(&["test", "hostile.wasm", "idle.toml"]).exits(0);
    holds(&tried.out, &["1 passed, 0 failed"]);
}

#[test]
fn every_line_says_which() {
    let world = shipped(&["hostile"]);
    for _ in 0..3 {
        world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    }
    world.policies(POLICY);
    let disable = |version: &str| json!({"disable": [SECRET, version]});
    let input = json!({"run": [disable("1"), disable("2"), disable("3")]}).to_string();
    let allow = scope("[limits]\nchanges = 3", SECRET);
    let files = "[[allow]]\ncapability = \"remit:files/read\"\nresources = [\"file:none/**\"]\n[[allow]]\ncapability = \"remit:files/write\"\nresources = [\"file:none/**\"]\n";
    world.write("scope.toml", allow + files);
    let different = |told: &str, marks: &[&str]| {
        let lines: Vec<&str> =
            told.lines().filter(|line| marks.iter().all(|mark| line.contains(mark))).collect();
        assert_eq!(lines.len(), 3, "{marks:?} in:\n{told}");
        for (line, version) in lines.iter().zip(1..) {
            let version = if marks.contains(&"undo #") { 4 - version } else { version };
            holds(line, &[&format!("(version {version})")]);
        }
    };
    let planned = world.remit(&["plan", "hostile.wasm", "--input", &input]).exits(0);
    different(&planned.out, &["disable.disable"]);
    world.ask(&["request", "hostile.wasm", "--input", &input, "--scope", "scope.toml"], "g");
    let told = world.remit(&["request", "show", &world.request("g")]).exits(0).out;
    different(&told, &["disable.disable"]);
    world.run("g").exits(0);
    let (run, _) = world.last_run();
    let told = world.remit(&["show", &run]).exits(0).out;
    holds(&told, &["succeeded (3 changes stand)"]);
    different(&told, &["remit:secrets/disable.disable", "found: state enabled"]);
    let dry = world.remit(&["revert", &run, "--dry-run"]).exits(0);
    different(&dry.out, &["undo #", "back to: state enabled", "would be undone"]);
    let dry = world.remit(&["revert", &run, "--dry-run", "--json"]).exits(0).json();
    let versions: Vec<&Value> =
        dry["steps"].as_array().unwrap().iter().map(|step| &step["arguments"]["version"]).collect();
    assert_eq!(versions, [3, 2, 1]);
    world.remit(&["revert", &run, "--reason", "r"]).exits(0);
    holds(&world.remit(&["show", &run]).exits(0).out, &["reverted (3 changes undone)"]);
}

#[test]
fn a_freeze_is_seen_wherever_one_looks() {
    let world = shipped(&["rotate-secret"]);
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    let id = ask(&world, &[ACTION, "--input", &input, "--key", "bot.key"]);
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    let clear = world.remit(&["status", "--json"]).exits(0).json();
    assert_eq!(clear["frozen"], Value::Null);
    assert!(!world.remit(&["doctor"]).exits(0).out.contains("freeze"));
    world.remit(&["freeze", "--reason", "INC-9: somebody is in", "--key", "alice.key"]).exits(0);

    let frozen = ["FROZEN since 20", "by alice: INC-9: somebody is in", "remit unfreeze"];
    holds(&world.remit(&["status"]).exits(3).out, &frozen);
    holds(&world.remit(&["requests"]).exits(0).out, &frozen);
    holds(&world.remit(&["runs"]).exits(0).out, &frozen);
    holds(
        &world.remit(&["doctor"]).exits(1).out,
        &["FIX  freeze", "by alice: INC-9: somebody is in", "remit unfreeze"],
    );
    let told = world.remit(&["status", "--json"]).exits(3).json();
    assert_eq!(told["frozen"]["by"], "alice");
    assert_eq!(told["frozen"]["reason"], "INC-9: somebody is in");
    assert_eq!(world.remit(&["requests", "--json"]).exits(0).json()["frozen"]["by"], "alice");

    // Nobody is told to ask again: the request is as good as before.
    let plan = ["plan", ACTION, "--input", &input];
    let request = ["request", ACTION, "--input", &input, "--reason", "r", "--key", "bot.key"];
    let run = ["run", &id, "--key", "bot.key"];
    for args in [&plan[..], &request, &run] {
        let refused = world.remit(args).exits(3).says("everything is frozen").says("remit unfreeze");
        assert!(!refused.err.contains("ask again"), "{}", refused.err);
    }
    world.remit(&["unfreeze", "--reason", "over", "--key", "alice.key"]).exits(0);
    assert_eq!(status_of(&world, &id), "approved");
    world.remit(&run).exits(0);
    holds(&world.remit(&["status"]).exits(0).out, &["not frozen"]);
    world.audit_is_sound();
}

#[test]
fn status_says_what_waits_for_whom_and_what_needs_a_person() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    let waiting = ask(&world, &[ACTION, "--input", &input, "--key", "bot.key", "--ttl", "30m"]);
    let approved = ask(&world, &[ACTION, "--input", &input, "--key", "alice.key", "--ttl", "8h"]);
    world.remit(&["approve", &approved, "--key", "bob.key"]).exits(0);
    let allow =
        |name| format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:**\"]\n");
    world.write("s.toml", format!("{}{}", allow("inspect"), allow("rotate")));
    let standing = [ACTION, "--standing", "--scope", "s.toml", "--for", "bot", "--ttl", "24h"];
    let standing = ask(&world, &[&standing[..], &["--runs-per-hour", "1", "--key", "alice.key"]].concat());
    world.remit(&["approve", &standing, "--key", "bob.key"]).exits(0);
    let run = |path: &str| {
        let input = format!("path={path}");
        let under = ["--under", &standing, "--reason", "night", "--key", "bot.key"];
        world.remit(&[&["run", ACTION, "--input", &input][..], &under].concat())
    };
    run(SECRET).exits(0);
    // Its changes stand, and a person decides.
    let fails = format!(r#"{{"do":"rotate-then-fail","path":"{SECRET}"}}"#);
    world.grant_scope(&scope("on_failure = \"hold\"", SECRET), "misbehave.wasm", &fails, "h");
    world.run("h").exits(5);
    let (held, _) = world.last_run();

    let told = world.remit(&["status", "--json"]).exits(5).json();
    assert_eq!(told["waiting"][0]["request"], waiting);
    assert_eq!(told["waiting"][0]["target"], json!([format!("secret:{SECRET}")]));
    assert_eq!(told["waiting"][0]["may_approve"], json!(["alice", "bob"]));
    assert_eq!(told["waiting"][0]["needs"], json!(["1 more of 1 human (one-human)"]));
    assert_eq!(told["approved"][0]["request"], approved);
    assert_eq!(told["approved"][0]["may_start"], json!(["alice"]));
    assert_eq!(told["standing"][0]["request"], standing);
    let runs = &told["standing"][0]["budgets"]["runs"];
    assert_eq!((&runs["used"], &runs["limit"]), (&json!(1), &json!(1)));
    assert!(runs["free_again"].is_string(), "{runs}");
    assert_eq!(told["held"][0]["run"], held);
    assert_eq!(
        (&told["going_on"], &told["left_behind"], &told["in_doubt"]),
        (&json!([]), &json!([]), &json!([]))
    );
    let ends: Vec<&str> =
        told["ends_soon"].as_array().unwrap().iter().map(|ends| ends["name"].as_str().unwrap()).collect();
    assert_eq!(ends, [&waiting, &standing], "what ends first comes first");

    let text = world.remit(&["status"]).exits(5).out;
    holds(
        &text,
        &[
            "not frozen",
            "lacks 1 more of 1 human (one-human): alice, bob may approve",
            "alice may start it",
            "runs within the hour: 1 of 1 used, free again at 20",
            "held",
            &held,
            "remit revert RUN",
            "ends soon",
        ],
    );
    // The doctor names what helps with that run.
    let doctor = world.remit(&["doctor"]).exits(1).out;
    holds(&doctor, &[&held, "remit revert RUN"]);
    assert!(!doctor.contains("recover"), "{doctor}");
    world.remit(&["revert", &held, "--reason", "r"]).exits(0);
    world.remit(&["status"]).exits(0);
    // Rules that are not in force keep everyone out, and are told.
    fs::write(world.home().join("policies/default.cedar"), POLICY.to_owned() + "\n// new").unwrap();
    holds(&world.remit(&["status"]).exits(3).out, &["NOBODY CAN ASK OR START ANYTHING", "changed since"]);
}

#[test]
fn lists_are_filtered_and_can_be_read() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    world.grant(ACTION, &input, "g");
    world.run("g").exits(0);
    let fails = format!(r#"{{"do":"rotate-then-fail","path":"{SECRET}"}}"#);
    world.grant_scope(&scope("", SECRET), "misbehave.wasm", &fails, "h");
    world.run("h").exits(1);
    let long = "a long story, told at length, ".repeat(30);
    let args = ["request", ACTION, "--input", &input, "--reason", &long, "--key", "alice.key"];
    world.remit(&args).exits(0);

    let count = |more: &[&str]| {
        let runs = world.remit(&[&["runs", "--json"], more].concat()).exits(0).json();
        runs.as_array().unwrap().len()
    };
    let all = count(&[]);
    assert_eq!(count(&["--live"]), 2);
    assert_eq!(count(&["--state", "reverted"]), 1);
    assert_eq!(count(&["--state", "succeeded", "--state", "reverted"]), 2);
    assert_eq!(count(&["--action", "misbehave"]), 1);
    assert_eq!(count(&["--principal", "bot", "--live"]), 2);
    assert_eq!(count(&["--principal", "bob"]), 0);
    assert_eq!(count(&["--since", "1h"]), all);
    assert_eq!(count(&["--since", "2100-01-01T00:00:00Z"]), 0);
    world.remit(&["runs", "--since", "yesterday"]).exits(2).says("neither a time nor an age");
    world.remit(&["runs", "--state", "happy"]).exits(2);
    let asked = |more: &[&str]| {
        let found = world.remit(&[&["requests", "--json"], more].concat()).exits(0).json();
        found["requests"].as_array().unwrap().len()
    };
    assert_eq!(asked(&[]), 1);
    assert_eq!(asked(&["--all"]), 3);
    assert_eq!(asked(&["--state", "used"]), 2);
    assert_eq!(asked(&["--all", "--action", "misbehave"]), 1);
    assert_eq!(asked(&["--all", "--principal", "alice"]), 1);
    assert_eq!(asked(&["--all", "--since", "2100-01-01T00:00:00Z"]), 0);

    // Who, what on, why and how old, in no more than a screen; whatever it says is in the whole.
    for list in ["runs", "requests"] {
        let told = world.remit(&[list]).exits(0).out;
        assert!(told.lines().all(|line| line.chars().count() <= 160), "{told}");
        holds(&told, &["age", "target", "why", "a long story", "…"]);
        let wide = world.remit(&[list, "--wide"]).exits(0).out;
        holds(&wide, &[&long[..500]]);
    }
    holds(&world.remit(&["requests"]).exits(0).out, &["ends in", &format!("secret:{SECRET}")]);
}

#[test]
fn a_short_name_is_one_name() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    world.grant(ACTION, &input, "g");
    world.run("g").exits(0);
    let runs = world.remit(&["runs"]).exits(0).out;
    let names: Vec<&str> = runs.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(names.len() >= 3 && names.iter().all(|name| name.len() < 30), "{runs}");
    for name in &names {
        let shown = world.remit(&["show", name, "--json"]).exits(0).json();
        assert!(shown["run"].as_str().unwrap().starts_with(name), "{shown}");
    }
    let (last, _) = world.last_run();
    assert_eq!(world.remit(&["show", "last", "--json"]).exits(0).json()["run"], last);
    let requests = world.remit(&["requests", "--all"]).exits(0).out;
    let newest = world.remit(&["request", "show", "last", "--json"]).exits(0).json()["request"]["id"].clone();
    assert_eq!(newest, world.request("g"));
    let name = requests.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(status_of(&world, name), "used");
    // What is the beginning of several is none of them: all are listed.
    let ambiguous = world.remit(&["show", "run-0"]).exits(2).says("is the beginning of several runs");
    let all = world.remit(&["runs", "--json"]).exits(0).json();
    for run in all.as_array().unwrap() {
        holds(&ambiguous.err, &[run["run"].as_str().unwrap()]);
    }
    // The digest of an action, as tables show it.
    let digest = all[0]["action"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let revoke = |name: &str| world.remit(&["revoke", "action-digest", name, "--reason", "r"]);
    revoke(&digest[..7]).exits(2).says("is not the digest of one action");
    revoke("0123456789ab").exits(2).says("is not the digest of one action");
    revoke(&digest[..12]).exits(0);
    let again = ["request", ACTION, "--input", &input, "--reason", "r", "--key", "bot.key", "--json"];
    let again = world.remit(&again).exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
    world.remit(&["approve", &again, "--key", "alice.key"]).exits(3).says("was revoked");
}

#[test]
fn times_are_told_in_the_zone_of_whoever_asks_and_never_rounded_up() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    world.grant(ACTION, &input, "g");
    world.run("g").exits(0);
    let (run, records) = world.last_run();
    let mut command = world.command(&["show", &run, "--local"]);
    command.env("TZ", "Asia/Tokyo");
    let local = crate::common::finish(command, "").exits(0).out;
    let utc = world.remit(&["show", &run]).exits(0).out;
    assert!(local.contains("+09:00") && !local.contains("Z  started"), "{local}");
    let when = |told: &str| {
        let line = told.lines().find_map(|line| line.trim_start().strip_prefix("when")).unwrap();
        line.split(',').next().unwrap().trim().parse::<jiff::Timestamp>().unwrap()
    };
    assert_eq!(when(&local), when(&utc));
    let first: jiff::Timestamp = records[0]["at"].as_str().unwrap().parse().unwrap();
    assert!(when(&utc) <= first, "{} after {first}", when(&utc));
    for list in ["runs", "requests", "status"] {
        world.remit(&[list, "--local"]).exits(0);
    }
}

#[test]
fn whoever_watches_is_told_of_what_changes() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    let world = World::new();
    let mut watching = world.command(&["runs", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().unwrap(), "[]");
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    world.remit(&["plan", ACTION, "--input", &input]).exits(0);
    assert!(lines.any(|line| line.contains("rotate-secret")));
    // Once nobody reads it, it ends by itself.
    drop(lines);
    world.remit(&["plan", ACTION, "--input", &input]).exits(0);
    for _ in 0..100 {
        if watching.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    watching.kill().unwrap();
    panic!("it goes on telling nobody");
}

#[test]
fn who_may_not_is_told_who_may() {
    let world = shipped(&["rotate-secret"]);
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    let id = ask(&world, &[ACTION, "--input", &input, "--key", "alice.key"]);
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(3).says(&format!(
        "alice cannot approve {id}: alice asked for it: nobody approves their own request; bob may"
    ));
    world
        .remit(&["approve", &id, "--key", "bot.key"])
        .exits(3)
        .says("software never approves")
        .says("; bob may");
    let told = world.remit(&["request", "show", &id]).exits(0).out;
    holds(&told, &["may start  alice", "history    rotate-secret has never run here"]);
    assert!(!told.contains("started by"), "nobody started it: {told}");
    let mut keyless = world.command(&["approve", &id]);
    keyless.env_remove("REMIT_KEY");
    let refused = crate::common::finish(keyless, "").says("no key was given");
    assert!(!refused.err.contains("nobody who may act"), "{}", refused.err);
}

/// A night's work under one standing scope.
fn nightly(world: &World, more: &[&str]) -> (String, impl Fn() -> Ran) {
    let allow =
        |name| format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:**\"]\n");
    world.write("s.toml", format!("{}{}", allow("inspect"), allow("rotate")));
    let standing = [ACTION, "--standing", "--scope", "s.toml", "--for", "bot", "--key", "alice.key"];
    let id = ask(world, &[&standing[..], more].concat());
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    let under = id.clone();
    let args = move || {
        let under = ["--under", &under, "--reason", "night", "--key", "bot.key"];
        let path = format!("path={SECRET}");
        [&["run", ACTION, "--input", &path][..], &under]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    (id, move || world.remit(&args().iter().map(String::as_str).collect::<Vec<_>>()))
}

#[test]
fn what_was_taken_back_counts_against_no_budget() {
    let world = World::new();
    let (id, run) = nightly(&world, &["--changes-per-hour", "1"]);
    run().exits(0);
    run().exits(3).says(
        "its budget of 1 change(s) an hour would be exceeded: 1 used, the run would make 1; free again at 20",
    );
    let used = |world: &World| {
        let told = world.remit(&["status", "--json"]).exits(0).json();
        let standing =
            told["standing"].as_array().unwrap().iter().find(|open| open["request"] == id).unwrap();
        standing["budgets"]["changes"]["used"].clone()
    };
    assert_eq!(used(&world), 1);
    let live = world.remit(&["runs", "--live", "--json"]).exits(0).json();
    world.remit(&["revert", live[0]["run"].as_str().unwrap(), "--reason", "r"]).exits(0);
    assert_eq!(used(&world), 0);
    run().exits(0);
    world.audit_is_sound();
}

#[test]
fn what_replaces_a_run_over_budget_lives_as_long_as_the_policies_let_it() {
    let world = World::new();
    let ends = |world: &World| {
        let asked = world.remit(&["requests", "--state", "waiting", "--json"]).exits(0).json();
        let request = asked["requests"].as_array().unwrap().last().unwrap()["request"].clone();
        let time = |name: &str| request[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        time("not_after").duration_since(time("not_before")).as_hours()
    };
    let (_, run) = nightly(&world, &["--changes-per-hour", "1"]);
    run().exits(0);
    run().exits(3).says("once it is approved, `remit run req-");
    assert_eq!(ends(&world), 24);
    let most = "@id(\"ten-hours\") forbid (principal, action == Remit::Action::\"propose\", resource) when { resource.ttlSeconds > 36000 && !resource.standing };";
    world.policies(&format!("{POLICY}\n{most}"));
    let (_, run) = nightly(&world, &["--changes-per-hour", "1", "--ttl", "24h", "--runs-per-hour", "1"]);
    run().exits(0);
    run().exits(3);
    assert_eq!(ends(&world), 8, "the longest that is allowed of those it tries");
}

#[test]
fn budgets_are_judged_when_somebody_asks() {
    let world = World::new();
    let budget = "@id(\"two-an-hour\") @says(\"more than 2 changes an hour for one requester\") forbid (principal, action == Remit::Action::\"trigger\", resource) when { resource.spentByRequester + resource.changes > 2 };";
    world.policies(&format!("{POLICY}\n{budget}"));
    // More than a whole hour's budget never starts, and nobody need look at it.
    let many = json!({"do": "rotate-many", "paths": [SECRET, SECRET, SECRET]}).to_string();
    world.write("wide.toml", scope("[limits]\nchanges = 3", SECRET));
    let args = ["request", "misbehave.wasm", "--input", &many, "--scope", "wide.toml", "--reason", "r"];
    world
        .remit(&[&args[..], &["--key", "bot.key"]].concat())
        .exits(3)
        .says("more than 2 changes an hour for one requester")
        .says("more than a whole hour's budget");
    // What has no room now is asked for, and whoever looks is told when it has.
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    for name in ["a", "b"] {
        world.grant(ACTION, &input, name);
        world.run(name).exits(0);
    }
    let args = ["request", ACTION, "--input", &input, "--reason", "r", "--key", "bot.key", "--ttl"];
    world
        .remit(&[&args[..], &["30m"]].concat())
        .exits(3)
        .says("could not start it while it is valid")
        .says("free again at 20");
    let asked = world.remit(&[&args[..], &["2h"]].concat()).exits(0).out;
    holds(&asked, &["not now", "bot: forbidden: more than 2 changes an hour", "free again at 20"]);
    let id = asked.split_whitespace().next().unwrap();
    world.remit(&["approve", id, "--key", "alice.key"]).exits(0);
    world.remit(&["run", id, "--key", "bot.key"]).exits(3).says("(policy two-an-hour); free again at 20");
    holds(&world.remit(&["status"]).exits(0).out, &["not now: bot: forbidden: more than 2 changes an hour"]);
    holds(&world.remit(&["requests"]).exits(0).out, &["approved, waits for a budget"]);
    // Taken back, they count no more.
    let live = world.remit(&["runs", "--live", "--json"]).exits(0).json();
    world.remit(&["revert", live[1]["run"].as_str().unwrap(), "--reason", "r"]).exits(0);
    assert_eq!(world.remit(&["request", "show", id, "--json"]).exits(0).json()["waits_for_room"], json!([]));
}

#[test]
fn new_rules_are_not_signed_before_it_is_known_what_they_void() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    let sign = |more: &[&str]| world.remit(&[&["rules", "sign", "--key", "admin.key"], more].concat());
    let file = world.home().join("policies/default.cedar");
    let write = |n: u32| fs::write(&file, format!("{POLICY}\n// {n}")).unwrap();
    // Nothing is open: nothing is asked.
    write(1);
    sign(&[]).exits(0);
    let (standing, _) = nightly(&world, &[]);
    let open = ask(&world, &[ACTION, "--input", &input, "--key", "bot.key"]);
    let denied = ask(&world, &[ACTION, "--input", &input, "--key", "bot.key"]);
    world.remit(&["deny", &denied, "--reason", "no", "--key", "alice.key"]).exits(0);
    let revoked = ask(&world, &[ACTION, "--input", &input, "--key", "bot.key"]);
    world.remit(&["revoke", "request", &revoked, "--reason", "no", "--key", "alice.key"]).exits(0);
    world.grant(ACTION, &input, "used");
    world.run("used").exits(0);
    // The same rules again void nothing.
    sign(&[]).exits(0);
    write(2);
    let refused = sign(&[])
        .exits(2)
        .says("2 open request(s), 1 of them for standing scopes, would become void; nothing was signed")
        .says("--yes");
    holds(&refused.err, &[&format!("standing scope {standing}"), &format!("  request {open}")]);
    for gone in [&denied, &revoked, &world.request("used")] {
        assert!(!refused.err.contains(gone.as_str()), "{}", refused.err);
    }
    world.remit(&["rules", "check"]).exits(3).says("changed since");
    world.remit(&["rules", "sign", "--key", "bot.key", "--yes"]).exits(3).says("is no administrator's");
    sign(&["--yes"]).exits(0);
    world.remit(&["rules", "check"]).exits(0);
    assert_eq!(status_of(&world, &open), "closed");
    // And now nothing is open any more.
    write(3);
    sign(&[]).exits(0);
}

#[test]
fn a_run_that_goes_on_is_told_from_one_whose_host_is_gone() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    let head = "[limits]\nfuel = 1_000_000_000_000\nwall_time = \"5m\"\n";
    world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "endless");
    let request = world.request("endless");
    let mut host = world.command(&["run", &request, "--key", "bot.key"]);
    let mut host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(120);
    while world.current_version(SECRET) == 1 {
        assert!(Instant::now() < until, "the run does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = world.remit(&["status", "--json"]).exits(0).json();
    assert_eq!((&told["going_on"][0]["request"], &told["left_behind"]), (&json!(request), &json!([])));
    holds(&world.remit(&["doctor"]).exits(0).out, &["none waits; going on: run-"]);
    host.kill().unwrap();
    host.wait().unwrap();
    let told = world.remit(&["status", "--json"]).exits(0).json();
    assert_eq!((&told["left_behind"][0]["request"], &told["going_on"]), (&json!(request), &json!([])));
    holds(&world.remit(&["status"]).exits(0).out, &["left by a host that stopped", "remit recover"]);
    let doctor = world.remit(&["doctor"]).exits(1).out;
    holds(&doctor, &["without a state, and their host is gone", "`remit recover`"]);
    assert!(!doctor.contains("remit revert") && !doctor.contains("remit resolve"), "{doctor}");
    // A look brought it nowhere; the next command that acts does.
    world.remit(&["recover"]).exits(0);
    let told = world.remit(&["status", "--json"]).exits(0).json();
    assert_eq!((&told["left_behind"], &told["going_on"]), (&json!([]), &json!([])));
    world.audit_is_sound();
}
