//! Files of a granted directory, edited by an ordinary Python program, through the command line.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::common::World;
use serde_json::{Value, json};

const ACTION: &str = "edit-file.wasm";
const BEFORE: &str = "# not for guests\nremote_root_login = yes\n";
const AFTER: &str = "# not for guests\nremote_root_login = no\n";

/// Python takes long to compile: once, for all of these tests.
fn compiled() -> &'static World {
    static COMPILED: OnceLock<World> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let world = World::with(&["edit-file"]);
        world.remit(&["plan", ACTION, "--input", &steps(json!([]))]).exits(0);
        world
    })
}

fn world() -> World {
    let world = World::with(&["edit-file"]);
    let cache = compiled().home();
    fs::copy(cache.join("cache.key"), world.home().join("cache.key")).unwrap();
    fs::create_dir_all(world.home().join("cache")).unwrap();
    for entry in fs::read_dir(cache.join("cache")).unwrap().flatten() {
        fs::copy(entry.path(), world.home().join("cache").join(entry.file_name())).unwrap();
    }
    fs::create_dir(world.path("etc")).unwrap();
    fs::write(world.path("etc/app.conf"), BEFORE).unwrap();
    fs::set_permissions(world.path("etc/app.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let path = world.path("etc");
    fs::write(config, format!("{text}\n[[files]]\nname = \"etc\"\npath = \"{}\"\n", path.display())).unwrap();
    world
}

fn steps(steps: Value) -> String {
    json!({ "steps": steps }).to_string()
}

fn harden() -> String {
    steps(json!([["replace", "/etc/app.conf", "login = yes", "login = no"], ["stat", "/etc/app.conf"]]))
}

fn conf(world: &World) -> String {
    fs::read_to_string(world.path("etc/app.conf")).unwrap()
}

#[test]
fn a_configuration_is_edited_and_taken_back() {
    let world = world();
    world.remit(&["doctor"]).exits(0);
    let shown = world.remit(&["plan", ACTION, "--input", &harden(), "--emit-scope", "least.toml"]).exits(0);
    assert!(shown.out.contains("write.put") && shown.out.contains("file:etc/app.conf"), "{}", shown.out);
    assert!(!shown.out.contains("login"), "{}", shown.out);
    let least = fs::read_to_string(world.path("least.toml")).unwrap();
    assert!(least.contains("remit:files/write") && !least.contains('*'), "{least}");
    assert_eq!(conf(&world), BEFORE, "a rehearsal changes nothing");

    world.grant(ACTION, &harden(), "g");
    // Whoever starts it is not told what an action says that has read content; who asks at this machine is.
    assert_eq!(world.run("g").exits(0).json()["output"], json!(null));
    assert_eq!(conf(&world), AFTER);
    let (run, records) = world.last_run();
    let own = world.remit(&["show", &run, "--own-words", "--json"]).exits(0).json();
    assert_eq!(own["output"]["seen"], json!([null, AFTER.len()]));
    let changes = records.iter().filter(|r| r["event"]["intent"]["effect"] == "change").count();
    assert_eq!(changes, 1, "however many pieces it was written in");
    world.remit(&["show", &run]).exits(0);
    let bytes = world.all_bytes();
    assert!(!crate::common::contains(&bytes, "not for guests"), "content is nowhere in clear");

    let replay = world.remit(&["replay", &run]).exits(0);
    assert!(replay.out.contains("identical"), "{}", replay.out);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(conf(&world), BEFORE);
    let mode = fs::metadata(world.path("etc/app.conf")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(conf(&world), BEFORE);
    world.audit_is_sound();
}

#[test]
fn what_a_run_did_before_it_went_astray_is_taken_back() {
    let world = world();
    fs::create_dir(world.path("etc/old")).unwrap();
    let astray = steps(json!([
        ["write", "/etc/tmp", "login = no\n"],
        ["rename", "/etc/tmp", "/etc/app.conf"],
        ["mkdir", "/etc/made"],
        ["append", "/etc/made/log", "one\n"],
        ["append", "/etc/made/log", "two\n"],
        ["rmdir", "/etc/old"],
        ["list", "/etc"],
        ["fail"],
    ]));
    let scope = r#"
        [limits]
        changes = 20
        fuel = 100_000_000_000
        [[allow]]
        capability = "remit:files/read"
        resources = ["file:etc", "file:etc/**"]
        [[allow]]
        capability = "remit:files/write"
        resources = ["file:etc/**"]
    "#;
    world.grant_scope(scope, ACTION, &astray, "g");
    let ran = world.run("g").exits(1);
    assert_eq!(ran.json()["state"], "reverted", "{}", ran.err);
    assert_eq!(conf(&world), BEFORE);
    let mut left: Vec<_> = fs::read_dir(world.path("etc"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["app.conf", "old"]);
    let (run, records) = world.last_run();
    let changes = records.iter().filter(|r| r["event"]["intent"]["effect"] == "change").count();
    assert_eq!(changes, 7, "tmp, app.conf, tmp gone, made, log twice, old gone");
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    world.audit_is_sound();
}

#[test]
fn without_a_grant_there_are_no_files() {
    let world = world();
    let read = steps(json!([["read", "/etc/app.conf"]]));
    world.grant_scope("[limits]\nfuel = 100_000_000_000\n", ACTION, &read, "none");
    let ran = world.run("none").exits(0).json();
    assert_eq!(ran["output"]["seen"], json!(["FileNotFoundError"]));

    let scope = "[limits]\nfuel = 100_000_000_000\n[[allow]]\ncapability = \"remit:files/read\"\nresources = [\"file:etc/app.conf\"]\n";
    world.grant_scope(scope, ACTION, &harden(), "read");
    world.run("read").exits(3).says("a call was outside the granted scope");
    let (run, _) = world.last_run();
    let own = world.remit(&["show", &run, "--own-words"]).exits(0).out;
    assert!(own.contains("remit:files/write.look on file:etc/app.conf"), "{own}");
    assert_eq!(conf(&world), BEFORE);
}

#[test]
fn someone_elses_change_is_not_taken_back() {
    let world = world();
    world.grant(ACTION, &harden(), "g");
    world.run("g").exits(0);
    fs::write(world.path("etc/app.conf"), "theirs\n").unwrap();
    let (run, _) = world.last_run();
    let reverted = world.remit(&["revert", &run]);
    assert_ne!(reverted.code, 0, "{}", reverted.out);
    assert_eq!(conf(&world), "theirs\n");
}

#[test]
fn a_file_that_changed_since_the_plan_is_not_written() {
    let world = world();
    world.grant(ACTION, &harden(), "g");
    fs::write(world.path("etc/app.conf"), "# new\nremote_root_login = yes\n").unwrap();
    world.run("g").exits(3).says("it would do something else");
    assert_eq!(conf(&world), "# new\nremote_root_login = yes\n");
}

#[test]
fn a_killed_host_puts_the_file_back() {
    let world = world();
    let long = steps(json!([["write", "/etc/app.conf", AFTER], ["wait"]]));
    let scope = r#"
        [limits]
        wall_time = "60s"
        fuel = 1_000_000_000_000_000
        [[allow]]
        capability = "remit:files/write"
        resources = ["file:etc/app.conf"]
    "#;
    world.grant_scope(scope, ACTION, &long, "g");
    let mut child = world.command(&["run", &world.request("g"), "--key", "bot.key"]).spawn().unwrap();
    let started = Instant::now();
    while conf(&world) != AFTER {
        assert!(started.elapsed() < Duration::from_secs(120), "it never wrote");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    world.remit(&["recover"]);
    assert_eq!(conf(&world), BEFORE);
    world.audit_is_sound();
}

#[test]
fn an_offline_test_has_files_of_its_own() {
    let world = world();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/edit-file/tests/edit.toml");
    let text = fs::read_to_string(fixture).unwrap();
    world.write("right.toml", &text);
    world.write("wrong.toml", text.replace("login = no", "login = never"));
    let ran = world.remit(&["test", ACTION, "right.toml", "wrong.toml"]);
    assert_ne!(ran.code, 0);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("1 passed, 1 failed") && said.contains("file etc/app.conf"), "{said}");
    assert_eq!(conf(&world), BEFORE);
}
