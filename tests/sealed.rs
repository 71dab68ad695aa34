//! Sealed inputs: an action uses a value that it never sees, and nothing but the secret's store has it in the end.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::common::server::{Server, problem, signed};
use crate::common::{Ran, SECRET, World, contains};
use remit_trust::Opening;
use serde_json::{Value, json};

const VALUE: &str = "tok-5b1c9f-never-to-be-seen";
const LOG: &str = "test.example/journal";

fn world() -> World {
    let world = World::with(&["put-value"]);
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    private(&world, "token", VALUE);
    let allow = |name| {
        format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:{SECRET}\"]\n")
    };
    world.write("s.toml", ["inspect", "put", "compare"].map(allow).concat());
    world
}

fn private(world: &World, name: &str, value: &str) {
    world.write(name, value);
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

fn input(more: &Value) -> String {
    let mut input = json!({"path": SECRET, "field": "api_key"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input.to_string()
}

/// What is asked of the action, with the value from `file`.
fn with<'a>(command: &'a str, input: &'a str, file: &'a str) -> Vec<&'a str> {
    let scope: &[&str] = if command == "request" { &["--scope", "s.toml"] } else { &[] };
    [&[command, "put-value.wasm", "--input", input, "--secret-input", file], scope].concat()
}

/// The files of the home that hold sealed values.
fn kept(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(world.home().join("sealed")).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Every file below a folder, but the file that the value was given in.
fn nothing_has_it(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            nothing_has_it(&path);
        } else if path.file_name().unwrap() != "token" {
            assert!(!contains(&fs::read(&path).unwrap(), VALUE), "{} has it", path.display());
        }
    }
}

fn silent(ran: Ran) -> Ran {
    assert!(!ran.out.contains(VALUE) && !ran.err.contains(VALUE), "{ran:?}");
    ran
}

/// Whether version `version` of the secret is the value, as a run of alice's finds.
fn is_it(world: &World, version: u64) -> bool {
    let input = input(&json!({"do": "compare", "version": version}));
    world.ask(&with("request", &input, "token=@token"), "compare");
    world.run("compare").exits(0).json()["output"]["matches"].as_bool().unwrap()
}

#[test]
fn a_value_reaches_its_secret_and_nothing_else() {
    let world = world();
    let put = input(&json!({}));
    let more = ["--reason", "the leaked key", "--key", "bot.key"];
    let asked = silent(world.remit(&[&with("request", &put, "token=@token")[..], &more].concat())).exits(0);
    assert!(asked.out.contains("sealed     token: committed to as hmac-sha256:"), "{}", asked.out);
    assert!(asked.out.contains("put the value of version 1 back"), "{}", asked.out);
    let id = asked.out.split_whitespace().next().unwrap();
    assert_eq!(kept(&world).len(), 1);
    let file = fs::metadata(&kept(&world)[0]).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    nothing_has_it(world.dir.path());

    silent(world.remit(&["approve", id, "--key", "alice.key"])).exits(0);
    silent(world.remit(&["run", id, "--key", "bot.key", "--json"])).exits(0);
    assert_eq!(world.current_version(SECRET), 2);
    let (run, records) = world.last_run();
    let asked = records.iter().find(|record| record.to_string().contains("secrets/put.put")).unwrap();
    assert!(asked.to_string().contains(r#""secret":"token""#), "{asked}");
    // Its request is used up, so that it is not kept any longer.
    assert_eq!(kept(&world), Vec::<PathBuf>::new());
    // Neither a replay nor a revert needs it.
    silent(world.remit(&["replay", &run])).exits(0);
    assert!(is_it(&world, 2) && !is_it(&world, 1));
    silent(world.remit(&["revert", &run])).exits(0);
    assert!(!is_it(&world, 3));
    for command in [
        &["show", &run, "--json"][..],
        &["show", &run],
        &["request", "show", id, "--json"],
        &["export", "ocsf"],
    ] {
        silent(world.remit(command));
    }
    nothing_has_it(world.dir.path());
    world.audit_is_sound();
}

#[test]
fn a_value_is_given_in_a_file_and_nowhere_else() {
    let world = world();
    let put = input(&json!({}));
    let plan = |file: &str| silent(world.remit(&with("plan", &put, file)));
    plan(&format!("token={VALUE}")).exits(2).says("is on the command line");
    plan(VALUE).exits(2).says("names no file");
    plan("to ken=@token").exits(2).says("1 to 64 letters");
    plan("token=@none").exits(2).says("none");
    plan("other=@token").exits(2).says("the action does not take it so");
    plan("path=@token").exits(2).says("`path` is given twice");
    private(&world, "large", &"x".repeat(64 * 1024 + 1));
    plan("token=@large").exits(2);
    private(&world, "empty", "");
    plan("token=@empty").exits(2).says("it is empty");
    let plain = input(&json!({"token": VALUE}));
    silent(world.remit(&["plan", "put-value.wasm", "--input", &plain])).exits(2).says("give it sealed");
    plan("token=@token").exits(0);
    world.write("open", format!("{VALUE}\n"));
    fs::set_permissions(world.path("open"), fs::Permissions::from_mode(0o644)).unwrap();
    plan("token=@open").exits(0).says("chmod 600 open").says("ends with a line break");
    fs::remove_file(world.path("open")).unwrap();
    silent(world.remit_with_stdin(&with("plan", &put, "token=@-"), VALUE)).exits(0);
    // No request has named them: one that is not new is removed.
    let waiting = kept(&world);
    let file = fs::File::options().write(true).open(&waiting[0]).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3 * 60 * 60)).unwrap();
    world.remit(&["recover"]).exits(0);
    assert_eq!(kept(&world), waiting[1..]);
    world.remit(&["inspect", "put-value.wasm"]).exits(0).out.find("secret, given sealed").unwrap();
    nothing_has_it(world.dir.path());
}

#[test]
fn a_handle_counts_for_its_owner_and_as_it_was_approved() {
    let world = world();
    let put = input(&json!({}));
    let ask = |name| {
        world.ask(&with("request", &put, "token=@token"), name);
        let shown = world.remit(&["request", "show", &world.request(name), "--json"]).exits(0).json();
        shown["request"]["asks"]["run"]["input"]["token"].as_str().unwrap().to_owned()
    };
    let (one, two) = (ask("one"), ask("two"));
    assert_ne!(one, two, "the same value is committed to anew each time");
    // Nobody else can use it, and it has no other name.
    let stolen = input(&json!({"token": one}));
    let plan =
        |input: &str, key: &str| world.remit(&["plan", "put-value.wasm", "--input", input, "--key", key]);
    plan(&stolen, "alice.key").exits(3).says("is not kept here for alice");
    plan(&stolen, "bot.key").exits(0);
    let renamed = input(&json!({"token": one.replace(":token:", ":other:")}));
    plan(&renamed, "bot.key").exits(3).says("committed to with its name");
    let zeros = format!("sealed:token:{}", "0".repeat(64));
    plan(&input(&json!({"token": zeros})), "bot.key").exits(3).says("is not kept here");
    // An action has no others than its own.
    for (instead, failure) in
        [(&two, "has no sealed input"), (&zeros, "has no sealed input"), (&"x".to_owned(), "not the handle")]
    {
        for deed in ["put", "compare"] {
            let instead = instead.rsplit(':').next();
            let input = input(&json!({"do": deed, "token": one, "instead": instead}));
            plan(&input, "bot.key").exits(1).says(failure);
        }
    }

    // What is kept is opened only as it was sealed.
    let digits = |handle: &str| handle.rsplit(':').next().unwrap().to_owned();
    let file = |handle: &str| {
        kept(&world).into_iter().find(|file| file.to_str().unwrap().ends_with(&digits(handle))).unwrap()
    };
    let (first, second) = (file(&one), file(&two));
    let bytes = fs::read(&first).unwrap();
    fs::copy(&second, &first).unwrap();
    world.run("one").exits(3).says("was changed where it is kept");
    fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
    world.run("one").exits(3).says("was changed where it is kept");
    fs::remove_file(&first).unwrap();
    world.run("one").exits(3).says("is not kept here");
    assert_eq!(world.current_version(SECRET), 1);
    fs::write(&first, &bytes).unwrap();
    // Another key of the host changes nothing.
    world.remit(&["journal", "rekey"]).exits(0);
    world.run("one").exits(0);
    // A request that is withdrawn needs no value any more.
    world
        .remit(&["revoke", "request", &world.request("two"), "--reason", "r", "--key", "alice.key"])
        .exits(0);
    world.remit(&["recover"]).exits(0);
    assert_eq!(kept(&world), Vec::<PathBuf>::new());
    world.audit_is_sound();
}

/// One fresh value goes to two secrets, and nobody has seen it: not the action, not the journal.
#[test]
fn a_value_that_the_host_makes_goes_to_several_places() {
    let world = world();
    world.remit(&["secret", "put", "prod/other", "api_key", "--generate"]).exits(0);
    let asked = |more: Value| {
        let mut all = json!({"do": "generate", "also": "prod/other"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input(&all)
    };
    let scope = fs::read_to_string(world.path("s.toml")).unwrap();
    let both = scope
        .replace(&format!("\"secret:{SECRET}\""), &format!("\"secret:{SECRET}\", \"secret:prod/other\""));
    world.write("both.toml", both + "\n[limits]\nchanges = 2\n");
    let generate = asked(json!({}));
    let planned =
        world.remit(&["plan", "put-value.wasm", "--input", &generate, "--key", "bot.key"]).exits(0).out;
    assert!(planned.contains("generated:1"), "{planned}");
    // The same handle stands for another value in a rehearsal and in each run.
    for current in [2, 3] {
        world.ask(&["request", "put-value.wasm", "--input", &generate, "--scope", "both.toml"], "g");
        let output = &world.run("g").exits(0).json()["output"];
        assert_eq!(
            *output,
            json!({"handle": "generated:1", "has": [true, true], "has other": [false, false]})
        );
        assert_eq!(world.current_version(SECRET), current);
        assert_eq!(world.current_version("prod/other"), current);
    }
    let (run, records) = world.last_run();
    let put = records.iter().find(|record| record.to_string().contains("secrets/put.put")).unwrap();
    assert!(put.to_string().contains(r#""secret":"generated:1""#), "{put}");
    world.remit(&["replay", &run]).exits(0);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!((world.current_version(SECRET), world.current_version("prod/other")), (4, 4));

    // There are no others than those that this run made.
    for (instead, failure) in [
        ("generated:2", "has no sealed input or generated value"),
        ("generated:0", "has no sealed input or generated value"),
        ("generated:01", "not the handle"),
        ("generated:", "not the handle"),
    ] {
        let plan =
            ["plan", "put-value.wasm", "--input", &asked(json!({"instead": instead})), "--key", "bot.key"];
        world.remit(&plan).exits(1).says(failure);
    }
    // Nor is one an input.
    let given = input(&json!({"token": "generated:1"}));
    world
        .remit(&["plan", "put-value.wasm", "--input", &given, "--key", "bot.key"])
        .exits(2)
        .says("give it sealed");
    world.audit_is_sound();
}

/// Whoever chooses the value can test a guess of a secret in a rehearsal, which nobody approves.
#[test]
fn only_people_may_guess() {
    let world = world();
    world.policies(include_str!("../host/policy/default/default.cedar"));
    let guess = input(&json!({"do": "compare"}));
    let plan = |key| world.remit(&[&with("plan", &guess, "token=@token")[..], &["--key", key]].concat());
    plan("bot.key").exits(3).says("bot may not rehearse this");
    let told = plan("alice.key").exits(0).out;
    assert!(told.contains("reads content"), "{told}");
    // Neither does a plan that it did not see help software.
    let request =
        [&with("request", &guess, "token=@token")[..], &["--reason", "r", "--key", "bot.key"]].concat();
    world.remit(&request).exits(3).says("bot may not rehearse this");
}

#[test]
fn a_standing_scope_takes_a_value_with_each_start() {
    let world = world();
    world.ask(&["request", "put-value.wasm", "--standing", "--scope", "s.toml", "--for", "bot"], "s");
    let (put, id) = (input(&json!({})), world.request("s"));
    let more = ["--under", &id, "--reason", "leaked", "--key", "bot.key", "--json"];
    silent(world.remit(&[&with("run", &put, "token=@token")[..], &more].concat())).exits(0);
    assert_eq!(kept(&world), Vec::<PathBuf>::new(), "a trigger starts one run");
    assert!(is_it(&world, 2));
    nothing_has_it(world.dir.path());
}

#[test]
fn a_server_keeps_a_value_for_who_gave_it() {
    let world = world();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let opening = Opening::new(VALUE.to_owned().into()).unwrap();
    let handle = opening.handle(LOG, "token");
    // It is not the value of another handle, journal or name.
    for wrong in [
        Opening::new("x".to_owned().into()).unwrap().handle(LOG, "token"),
        opening.handle("other/log", "token"),
    ] {
        let (status, code, words) = problem(bot.seal(&wrong, &opening));
        assert_eq!((status, &*code), (403, "refused::sealed_input"), "{words}");
        assert!(!words.contains(VALUE));
    }
    let large = Opening::new("x".repeat(Opening::MAX + 1).into()).unwrap();
    assert_eq!(problem(bot.seal(&large.handle(LOG, "token"), &large)).0, 413);
    bot.seal(&handle, &opening).unwrap();
    world.remit(&["install", "put-value.wasm"]).exits(0);
    let digest = format!("sha256:{}", sha256(&fs::read(world.path("put-value.wasm")).unwrap()));
    let body = json!({
        "action": digest, "input": {"path": SECRET, "field": "api_key", "token": handle.to_string()},
        "reason": "leaked", "scope": {"allow": [
            {"capability": "remit:secrets/inspect", "resources": [format!("secret:{SECRET}")]},
            {"capability": "remit:secrets/put", "resources": [format!("secret:{SECRET}")]},
            {"capability": "remit:secrets/compare", "resources": [format!("secret:{SECRET}")]},
        ]},
    });
    let prepare = "/api/v1/requests/prepare";
    let (status, code, _) = problem(signed(&alice, prepare, &body, "/api/v1/requests"));
    assert_eq!((status, &*code), (403, "refused::sealed_input"));
    let asked = signed(&bot, prepare, &body, "/api/v1/requests").unwrap();
    let id = asked["request"]["id"].as_str().unwrap();
    world.remit(&["approve", id, "--key", "alice.key"]).exits(0);
    silent(world.remit(&["run", id, "--key", "bot.key"])).exits(0);
    assert_eq!(world.current_version(SECRET), 2);
    drop(server);
    nothing_has_it(world.dir.path());
}

fn sha256(bytes: &[u8]) -> String {
    remit_trust::Digest::of(bytes).to_string().trim_start_matches("sha256:").to_owned()
}
