//! What an error advises is true for each of its causes, and is the next step.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::common::World;

/// Runs each command, and demands its exit code, words of the error, and words of the help.
#[track_caller]
fn advise(world: &World, causes: &[(&[&str], i32, &str, &str)]) {
    let mut wrong = String::new();
    for (args, code, error, help) in causes {
        let ran = world.remit(args);
        let (said, advised) = ran.err.split_once(" help: ").unwrap_or((&ran.err, ""));
        if ran.code != *code || !said.contains(error) || advised.is_empty() || !advised.contains(help) {
            let _ = writeln!(wrong, "{args:?}: no {code}, `{error}`, `{help}` in {}:\n{}", ran.code, ran.err);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// An action with these parts first.
fn action(parts: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {parts}
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
        (export "remit:action/remediation@0.1.0" (instance $r)))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn of_components() {
    let world = World::with(&["rotate-secret"]);
    let add = |name: &str, bytes: &[u8]| {
        world.write(name, bytes);
        world.sign_anything(name);
    };
    let import = |name: &str| action(&format!("(import \"{name}\" (instance))"));
    add("newer.wasm", &import("remit:secrets/rotate@0.2.0"));
    add("sockets.wasm", &import("wasi:sockets/tcp@0.2.3"));
    add("foreign.wasm", &import("acme:a/b@1.0.0"));
    add("component.wasm", &action("(component $c) (export \"c\" (component $c))"));
    add("shaped.wasm", &action("(import \"remit:secrets/rotate@0.1.0\" (instance (export \"x\" (func))))"));
    add("none.wasm", &wat::parse_str("(component)").unwrap());
    add("module.wasm", &wat::parse_str("(module)").unwrap());
    add("page.wasm", b"<html>404");
    let whole = fs::read(world.path("rotate-secret.wasm")).unwrap();
    add("cut.wasm", &whole[..whole.len() / 2]);
    world.write("changed.wasm", action(""));
    fs::copy(world.path("none.wasm.sig"), world.path("changed.wasm.sig")).unwrap();
    world.write("unsigned.wasm", action(""));
    world.write("empty.wasm", "");
    let install = |name: &'static str| ["install", name];
    advise(
        &world,
        &[
            (&install("newer.wasm"), 3, "(it offers 0.1.0)", "against the versions that this host offers"),
            (&install("sockets.wasm"), 3, "does not offer", "sockets and HTTP are never offered"),
            (&install("foreign.wasm"), 3, "does not offer", "build it without what this host does not have"),
            (
                &install("component.wasm"),
                3,
                "exports a component",
                "exports functions of its own and no component",
            ),
            (&install("shaped.wasm"), 3, "in a way this host does not offer", "rebuild it against the WIT"),
            (&install("none.wasm"), 2, "is not an action", "`remit inspect` shows what it exports"),
            (&install("module.wasm"), 2, "is a core WebAssembly module", "componentise it"),
            (&install("page.wasm"), 2, "is not a WebAssembly file", "the component your build made"),
            (&install("cut.wasm"), 2, "is not a valid component", "the file is damaged or cut off"),
            (
                &install("changed.wasm"),
                3,
                "no trusted key",
                "either it changed after it was signed, or its signer",
            ),
            (&install("unsigned.wasm"), 3, "not signed", "`remit sign FILE --key NAME.key`"),
            (&install("empty.wasm"), 2, "it is empty", "whatever wrote it came to its end"),
            (&install("nowhere.wasm"), 2, "No such file", "correct the path"),
        ],
    );
}

#[test]
fn of_what_is_damaged_or_is_something_else() {
    let world = World::new();
    world.write("note", "a note\n");
    world.write("nothing", "");
    rusqlite::Connection::open(world.path("other.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(Command::new("mkfifo").arg(world.path("pipe")).status().unwrap().success());
    world.remit(&["audit", "checkpoint"]).exits(0);
    let journal = |file: &'static str| ["audit", "verify", "--journal", file, "--key", "home/log.pub"];
    let key = |file: &'static str| {
        ["request", "rotate-secret.wasm", "--input", "{}", "--reason", "r", "--key", file]
    };
    let scope = |file: &'static str| ["plan", "rotate-secret.wasm", "--input", "{}", "--scope", file];
    advise(
        &world,
        &[
            (&journal("note"), 4, "is damaged", "check that this is the journal"),
            (&journal("other.db"), 4, "is damaged", "check that this is the journal"),
            (&journal("nothing"), 4, "is damaged", "check that this is the journal"),
            (&journal("nowhere"), 1, "No such file", "correct the path"),
            (&journal("pipe"), 1, "it is a pipe", "put a regular file in its place"),
            (&journal("home"), 1, "it is a folder", "name the file"),
            (&key("note"), 2, "note", "`remit keys new --out NAME` makes a pair"),
            (&scope("note"), 2, "is not a scope", "--emit-scope FILE"),
            (&["audit", "check-proof", "note", "--key", "home/log.pub"], 2, "note", "`remit audit prove`"),
            (
                &["audit", "verify", "--since", "note"],
                4,
                "signed note",
                "check that it is a checkpoint of this journal",
            ),
            (&["audit", "verify", "--key", "note"], 2, "public key of a log", "`log.pub` of the home"),
            (
                &["plan", "rotate-secret.wasm", "--input", "@note"],
                2,
                "note is not valid JSON",
                "correct the input",
            ),
            (
                &["plan", "rotate-secret.wasm", "--input", "[]"],
                2,
                "is not what",
                "`remit inspect` shows what it takes",
            ),
        ],
    );
    let home = |file: &str, text: &str, causes: &[(&[&str], i32, &str, &str)]| {
        let path = world.home().join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        advise(&world, causes);
        fs::write(&path, before).unwrap();
    };
    home(
        "remit.toml",
        "log = 1\n",
        &[(&["status"], 2, "is not a Remit configuration", "docs/configuration.md")],
    );
    home(
        "principals.toml",
        "x\n",
        &[(&["principals"], 2, "principals.toml", "docs/authority.md has the form")],
    );
    home(
        "policies/default.cedar",
        "permit\n",
        &[(&["policy", "check"], 2, "default.cedar", "docs/policy.md")],
    );
    home(
        "seal.key",
        "short",
        &[(
            &["plan", "rotate-secret.wasm", "--input", "path=x"],
            4,
            "seal.key is not the key",
            "from its backup",
        )],
    );
}

#[test]
fn of_paths_and_what_may_be_done_there() {
    let world = World::new();
    world.write("note", "a note\n");
    fs::create_dir(world.path("folder")).unwrap();
    symlink("loop", world.path("loop")).unwrap();
    symlink("nowhere", world.path("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(world.path("pipe")).status().unwrap().success());
    let long = "x".repeat(300);
    let scope = |file| ["plan", "rotate-secret.wasm", "--input", "path=x", "--scope", file];
    let out = |file| ["keys", "new", "--out", file];
    advise(
        &world,
        &[
            (
                &scope("nowhere"),
                2,
                "nowhere: No such file",
                "correct the path: there is no file of this name",
            ),
            (
                &scope("dangling"),
                2,
                "dangling: No such file",
                "correct the path: there is no file of this name",
            ),
            (&scope("note/scope"), 2, "note/scope: Not a directory", "something in it is no folder"),
            (&scope("folder"), 2, "it is a folder, not a scope", "name the file that is a scope"),
            (&scope("loop"), 2, "loop", "it is a link that leads to itself"),
            (&scope(&long), 2, "File name too long", "choose a shorter name"),
            (&scope("pipe"), 2, "nobody writes into it", "start what writes into it first"),
            (&scope("/dev/zero"), 2, "it is a device", "name a file"),
            (&out("nowhere/key"), 2, "nowhere/key", "make the folder first"),
            (&out("note/key"), 2, "note/key", "something in it is no folder"),
        ],
    );
    if is_root() {
        return;
    }
    fs::set_permissions(world.path("note"), std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    advise(&world, &[(&scope("note"), 2, "Permission denied", "look at its mode")]);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}
