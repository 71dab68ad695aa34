//! From nothing to a signed, tested action; and every mistake an author makes on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Ran, World, finish, plugins};
use tempfile::TempDir;

/// A program in `dir`, with no home, and with what the guests' tools need on this machine.
fn program(program: &str, dir: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).env_remove("REMIT_HOME").env("HOME", dir).env("NO_COLOR", "1");
    // Cargo's and rustup's own folders stay where they are, whatever HOME is.
    let home = std::env::var("HOME").unwrap_or_default();
    for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        if std::env::var_os(variable).is_none() {
            command.env(variable, Path::new(&home).join(folder));
        }
    }
    let remit = Path::new(env!("CARGO_BIN_EXE_remit")).parent().unwrap();
    let mut path = format!("{}:{}", remit.display(), std::env::var("PATH").unwrap_or_default());
    for line in std::env::var("REMIT_GUEST_ENV").unwrap_or_default().lines() {
        match line.split_once('=') {
            Some(("PATH", value)) => path = format!("{}:{value}", remit.display()),
            Some((name, value)) => drop(command.env(name, value)),
            None => {}
        }
    }
    command.env("PATH", path);
    finish(command, "")
}

fn remit(dir: &Path, args: &[&str]) -> Ran {
    program(env!("CARGO_BIN_EXE_remit"), dir, args)
}

/// Every block of the manual that names its language, as it stands.
#[test]
fn the_manual_does_what_it_says() {
    let manual = include_str!("../docs/authoring.md");
    let mut tried = Vec::new();
    for block in manual.split("```console ").skip(1) {
        let (language, rest) = block.split_once('\n').unwrap();
        let lines = rest.split("```").next().unwrap().lines();
        let commands: Vec<_> = lines.filter_map(|line| line.strip_prefix("$ ")).collect();
        let world = TempDir::new().unwrap();
        program("sh", world.path(), &["-ec", &commands.join("\n")]).exits(0);
        tried.push(language.to_owned());
    }
    // Whatever `remit new` offers has its page.
    let said = remit(Path::new("."), &["new", "x", "--lang", "none"]).exits(2).err;
    let offered = said.split("the languages are ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(tried.join(", "), offered);
}

#[test]
fn from_nothing_to_a_signed_tested_action() {
    let world = World::new();
    let dir = world.dir.path();
    let asked = ["--capability", "secrets/inspect,secrets/rotate"];
    remit(dir, &[&["new", "fix-key", "--lang", "rust"][..], &asked].concat()).exits(0);
    let project = dir.join("fix-key");
    remit(&project, &["test"]).exits(2).says("not built");
    let first = remit(&project, &["build", "--json"]).exits(0).json();
    assert_eq!(first["unused"].as_array().unwrap().len(), 0);
    // The same sources somewhere else, built from nothing: the same digest.
    remit(
        dir,
        &["new", "elsewhere/fix-key", "--lang", "rust", "--capability", "secrets/rotate,secrets/inspect"],
    )
    .exits(0);
    let second = remit(&dir.join("elsewhere/fix-key"), &["build", "--json"]).exits(0).json();
    assert_eq!(first["digest"], second["digest"]);

    remit(&project, &["test"]).exits(1);
    remit(&project, &["test", "--record"]).exits(0);
    remit(&project, &["test"]).exits(0);
    let recorded = std::fs::read_to_string(project.join("tests/example.toml")).unwrap();
    assert!(recorded.contains("\"remit:secrets/rotate.rotate secret:app/db\""), "{recorded}");

    // The same bytes in a real home.
    world.remit(&["sign", "fix-key/fix-key.wasm", "--key", "publisher.key"]).exits(0);
    world.remit(&["install", "fix-key/fix-key.wasm"]).exits(0);
    world.grant("fix-key/fix-key.wasm", r#"{"path":"prod/payments/stripe"}"#, "g");
    world.run("g").exits(0);
}

#[test]
fn a_project_is_made_whole_or_not_at_all() {
    let world = World::empty();
    let dir = world.dir.path();
    let before = std::fs::read_dir(dir).unwrap().count();
    remit(dir, &["new", "Fix Key", "--lang", "rust"]).exits(2).says("cannot name an action");
    remit(dir, &["new", "fix", "--lang", "rust", "--capability", "secret/rotate"])
        .exits(2)
        .says("did you mean `remit:secrets/rotate`");
    remit(dir, &["new", "fix", "--lang", "cobol"]).exits(2).says("the languages are rust");
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), before);
    remit(dir, &["new", "fix", "--lang", "rust"]).exits(0);
    std::fs::write(dir.join("fix/action.toml"), "mine").unwrap();
    remit(dir, &["new", "fix", "--lang", "rust"]).exits(2).says("exists already");
    assert_eq!(std::fs::read_to_string(dir.join("fix/action.toml")).unwrap(), "mine");
}

#[test]
fn a_build_that_is_not_right_leaves_the_last_one() {
    let world = World::empty();
    let dir = world.dir.path();
    remit(dir, &["new", "fix", "--lang", "rust", "--capability", "secrets/inspect"]).exits(0);
    let project = dir.join("fix");
    remit(&project, &["build"]).exits(0);
    let good = std::fs::read(project.join("fix.wasm")).unwrap();
    let refused = |file: &str, from: &str, to: &str, words: &str| {
        let path = project.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let ran = remit(&project, &["build"]);
        assert!(ran.code == 1 || ran.code == 2, "{}", ran.err);
        ran.says(words);
        std::fs::write(&path, text).unwrap();
        assert_eq!(std::fs::read(project.join("fix.wasm")).unwrap(), good, "{file}");
    };
    // Power that the world does not give; that nobody explains; a typo; a compiler's message.
    refused("wit/world.wit", "import remit:secrets/inspect@0.1.0;", "", "not in its world");
    refused("action.toml", "\"remit:secrets/inspect\"", "\"remit:secrets/rotate\"", "does not say why");
    refused("action.toml", "summary ", "sumary ", "sumary");
    refused("src/lib.rs", "-> Result<Output, Error>", "-> Result<Outpt, Error>", "cannot find type `Outpt`");
    refused("wit/world.wit", "world action", "wrld action", "wrld");
}

#[test]
fn tests_tell_what_differs() {
    const BEFORE: &str = "[input]\npath = \"app/db\"\n[[secret]]\npath = \"app/db\"\n";
    let world = World::empty();
    let action = plugins().join("rotate-secret.wasm");
    let test = |text: &str| {
        world.write("t.toml", text);
        remit(world.dir.path(), &["test", action.to_str().unwrap(), "t.toml"])
    };
    let all = "outcome = \"succeeded\"\noperations = [\"remit:secrets/inspect.metadata secret:app/db\", \"remit:secrets/rotate.rotate secret:app/db\", \"verify: remit:secrets/inspect.metadata secret:app/db\"]\noutput = {path = \"app/db\", previous = 1, current = 2}\nsecret = [{path = \"app/db\", current = 2}]\n";
    test(&format!("{BEFORE}[expect]\n{all}")).exits(0);
    for (from, to, differs) in [
        ("succeeded", "reverted", "+ succeeded"),
        (
            "rotate.rotate secret:app/db",
            "rotate.rotate secret:app/dc",
            "- remit:secrets/rotate.rotate secret:app/dc",
        ),
        ("previous = 1", "previous = 7", "\"previous\":7"),
        ("current = 2}]", "current = 9}]", "- version 9"),
    ] {
        let ran = test(&format!("{BEFORE}[expect]\n{}", all.replace(from, to))).exits(1);
        assert!(ran.out.contains(differs), "{}", ran.out);
    }
    // A scope that allows less, a store that fails, an answer that is lost: what stands is told.
    test(&format!("{BEFORE}[scope]\non_failure = \"revert\"\nallow = []\n[expect]\noutcome = \"refused\"\n"))
        .exits(0);
    let fault = "[[fault]]\nat = 2\nfailure = \"unavailable\"\nanswer-lost = true\n[fault.expect]\noutcome = \"reverted\"\nsecret = [{path = \"app/db\", current = 3}]\n";
    test(&format!("{BEFORE}[expect]\noutcome = \"succeeded\"\n{fault}")).exits(0);
    // A typo is shown at its line, before anything is tried.
    let ran = test(&format!("{BEFORE}[expect]\noutcom = \"succeeded\"\n")).exits(2);
    assert!(ran.err.contains("line 6") && ran.err.contains("outcom"), "{}", ran.err);
    test(&format!("{BEFORE}[expect]\noutcome = \"suceeded\"\n")).exits(2).says("suceeded");

    let junit = [action.to_str().unwrap(), "t.toml", "--format", "junit"];
    world.write("t.toml", format!("{BEFORE}[expect]\noutcome = \"held\"\n"));
    let ran = remit(world.dir.path(), &[&["test"][..], &junit].concat()).exits(1);
    assert!(ran.out.contains("failures=\"1\"") && ran.out.contains("- held"), "{}", ran.out);
}

#[test]
fn inputs_are_held_to_the_schema_before_anything_starts() {
    let world = World::new();
    let plan = |input: &[&str]| world.remit(&[&["plan", "rotate-secret.wasm"][..], input].concat());
    for (input, words) in [
        (&["--input", r#"{"path":7}"#][..], "/path"),
        (&["--input", r#"{"path":"a","paht":"b"}"#], "paht"),
        (&["--input", "{}"], "path"),
        (&["--input", "[]"], "the input"),
        (&["--input", "path=a", "--input", "path=b"], "twice"),
        (&["--input", "path=a", "--input", "{}"], "several times"),
    ] {
        plan(input).exits(2).says(words);
    }
    assert_eq!(world.remit(&["runs", "--json"]).exits(0).json().as_array().unwrap().len(), 0);
    plan(&["--input", "path=prod/payments/stripe"]).exits(0);
    // A value that looks like a number stays text where the schema says text.
    plan(&["--input", "path=7"]).exits(1).says("there is no secret 7");
    let shown = world.remit(&["inspect", "rotate-secret.wasm"]).exits(0).out;
    assert!(
        shown.contains("takes, and the host holds its input to it") && shown.contains("in its own words")
    );
}

#[test]
fn what_is_too_large_or_of_another_version_is_refused_by_name() {
    let world = World::empty();
    std::fs::File::create(world.path("huge.wasm")).unwrap().set_len(500 << 20).unwrap();
    world.remit(&["install", "huge.wasm"]).exits(2).says("524288000 bytes");
    let text = r#"(component
        (import "remit:secrets/rotate@0.2.0" (instance))
        (core module $m
            (memory (export "memory") 1)
            (func (export "run") (param i32 i32) (result i32) unreachable)
            (func (export "verify") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
        (core instance $i (instantiate $m))
        (func $run (param "input" string) (result (result string (error string)))
            (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (func $verify (param "input" string) (param "output" string) (result (result (error string)))
            (canon lift (core func $i "verify") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (instance $r (export "run" (func $run)) (export "verify" (func $verify)))
        (export "remit:action/remediation@0.1.0" (instance $r)))"#;
    world.write("newer.wasm", wat::parse_str(text).unwrap());
    world.remit(&["sign", "newer.wasm", "--key", "publisher.key"]).exits(0);
    world.remit(&["install", "newer.wasm"]).exits(3).says("remit:secrets/rotate@0.2.0 (it offers 0.1.0)");
}
