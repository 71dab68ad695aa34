//! What must not get in, and what it is told.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;

use crate::common::{SECRET, World};
use serde_json::Value;

const ACTION: &str = "rotate-secret.wasm";

fn input() -> String {
    format!(r#"{{"path":"{SECRET}"}}"#)
}

/// Makes a component from text and signs it.
fn component(world: &World, name: &str, text: &str) {
    world.write(name, wat::parse_str(text).unwrap());
    let _ = fs::remove_file(world.path(&format!("{name}.sig")));
    world.remit(&["sign", name, "--key", "publisher.key"]).exits(0);
}

const EXPORTS: &str = r#"
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
    (instance $x (export "run" (func $run)) (export "verify" (func $verify)))
    (export "remit:action/remediation@0.1.0" (instance $x))"#;

#[test]
fn files_that_are_no_actions() {
    let world = World::new();
    let plan = |file: &str| world.remit(&["plan", file, "--input", "{}"]);
    // Whatever somebody else's tool signed, `remit sign` signs components only.
    let sign = |file: &str, words: &str| {
        world.remit(&["sign", file, "--key", "publisher.key"]).exits(2).says(words);
        assert!(!world.path(&format!("{file}.sig")).exists());
        world.sign_anything(file);
    };

    plan("absent.wasm").exits(2).says("absent.wasm");
    world.write("text.wasm", "hello");
    sign("text.wasm", "not a WebAssembly file");
    plan("text.wasm").exits(2).says("not a WebAssembly file");
    world.write("core.wasm", wat::parse_str("(module)").unwrap());
    sign("core.wasm", "core WebAssembly module");
    plan("core.wasm").exits(2).says("core WebAssembly module");
    let whole = fs::read(world.path(ACTION)).unwrap();
    world.write("cut.wasm", &whole[..whole.len() / 2]);
    sign("cut.wasm", "not a valid component");
    plan("cut.wasm").exits(2).says("not a valid component");
    component(&world, "other.wasm", "(component)");
    plan("other.wasm").exits(2).says("does not export");
    let many = "(core instance (instantiate $empty))".repeat(49);
    component(&world, "many.wasm", &format!("(component (core module $empty) {many} {EXPORTS})"));
    plan("many.wasm").exits(3).says("50 core instances (a component may have 48)");
    let huge = fs::File::create(world.path("huge.wasm")).unwrap();
    huge.set_len(1 << 30).unwrap();
    plan("huge.wasm").exits(2).says("larger than a component can be");
}

#[test]
fn publishers() {
    let world = World::new();
    let plan = || world.remit(&["plan", ACTION, "--input", &input()]);
    let signature = world.path(&format!("{ACTION}.sig"));
    let good = fs::read_to_string(&signature).unwrap();

    fs::remove_file(&signature).unwrap();
    plan().exits(3).says("the signature is empty");
    fs::write(&signature, "not base64!").unwrap();
    plan().exits(3).says("malformed");
    world.remit(&["keys", "new", "--out", "stranger"]).exits(0);
    world.remit(&["sign", ACTION, "--key", "stranger.key", "--force"]).exits(0);
    plan().exits(3).says("no trusted key");
    fs::write(&signature, good).unwrap();
    plan().exits(0);
    let mut bytes = fs::read(world.path(ACTION)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    world.write(ACTION, bytes);
    plan().exits(3).says("no trusted key");
}

#[test]
fn attack_what_is_known_of_a_file_holds_for_that_file_and_no_longer() {
    let world = World::new();
    let plan = || world.remit(&["plan", ACTION, "--input", &input()]);
    let notes = || {
        let files = fs::read_dir(world.home().join("cache")).unwrap().flatten();
        let notes = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "note"));
        notes.map(|file| file.path()).collect::<Vec<_>>()
    };
    // Changed a moment ago, it could be changed again unseen: only the copy that Remit keeps is noted.
    plan().exits(0);
    assert_eq!(notes().len(), 1);
    std::thread::sleep(std::time::Duration::from_secs(5));
    for _ in 0..2 {
        plan().exits(0);
        assert_eq!(notes().len(), 2);
    }

    let path = world.path(ACTION);
    let good = fs::read(&path).unwrap();
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&path, &bad).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    plan().exits(3).says("no trusted key");
    fs::write(&path, &good).unwrap();
    plan().exits(0);

    // The copy that is kept, which the next run would run.
    world.ask(&["request", ACTION, "--input", &input()], "known");
    let kept = fs::read_dir(world.home().join("components")).unwrap().flatten().map(|file| file.path());
    let kept =
        kept.filter(|file| file.extension().is_some_and(|ending| ending == "wasm")).collect::<Vec<_>>();
    fs::write(&kept[0], &bad).unwrap();
    world.run("known").exits(4);
    fs::write(&kept[0], &good).unwrap();

    // Who is trusted, and what the notes are, is looked at each time.
    for note in notes() {
        fs::write(note, "no note").unwrap();
    }
    plan().exits(0);
    let config = fs::read_to_string(world.home().join("remit.toml")).unwrap();
    let publisher = world.kept_key("publishers", "publisher");
    let nobody = config.replace(&publisher, &world.kept_key("principals", "alice"));
    assert_ne!(nobody, config);
    fs::write(world.home().join("remit.toml"), nobody).unwrap();
    plan().exits(3).says("no trusted key");
    world.run("known").exits(3).says("no trusted key");
    fs::write(world.home().join("remit.toml"), config).unwrap();
    world.run("known").exits(0);
}

#[test]
fn imports() {
    let world = World::new();
    let unknown = format!(r#"(component (import "wasi:sockets/tcp@0.2.3" (instance)) {EXPORTS})"#);
    component(&world, "files.wasm", &unknown);
    world.remit(&["plan", "files.wasm", "--input", "{}"]).exits(3).says("wasi:sockets/tcp@0.2.3");
    let shown = world.remit(&["inspect", "files.wasm"]).exits(0);
    assert!(shown.out.contains("would be refused") && shown.out.contains("cannot run here"), "{}", shown.out);

    // As a program that opens connections imports them.
    let sockets = format!(
        r#"(component
        (import "wasi:sockets/network@0.2.12" (instance $n (export "network" (type (sub resource)))))
        (alias export $n "network" (type $network))
        (import "wasi:sockets/instance-network@0.2.12" (instance
            (export "network" (type $n (eq $network)))
            (export "instance-network" (func (result (own $n)))))) {EXPORTS})"#
    );
    component(&world, "sockets.wasm", &sockets);
    let plan = world.remit(&["plan", "sockets.wasm", "--input", "{}"]).exits(3);
    plan.says("wasi:sockets/instance-network@0.2.12").says("sockets and HTTP are never offered");

    let newer = format!(r#"(component (import "remit:secrets/rotate@0.2.0" (instance)) {EXPORTS})"#);
    component(&world, "newer.wasm", &newer);
    world.remit(&["plan", "newer.wasm", "--input", "{}"]).exits(3).says("remit:secrets/rotate@0.2.0");

    // A nested component gets its imports from the one around it, which must ask for them itself.
    let smuggled = format!(
        r#"(component (component $inner (import "remit:secrets/destroy@0.1.0" (instance)))
                      (import "remit:secrets/destroy@0.1.0" (instance $d))
                      (instance (instantiate $inner (with "remit:secrets/destroy@0.1.0" (instance $d)))) {EXPORTS})"#
    );
    component(&world, "smuggler.wasm", &smuggled);
    let ask = |action: &str, scope: &str| {
        world.write("scope.toml", scope);
        let how = ["--input", "{}", "--scope", "scope.toml", "--without-plan", "--reason", "r"];
        world.remit(&[&["request", action, "--key", "bot.key"][..], &how].concat())
    };
    let inspect = "[[allow]]\ncapability = \"remit:secrets/inspect\"\nresources = [\"secret:**\"]\n";
    ask("smuggler.wasm", inspect).exits(3).says("remit:secrets/destroy@0.1.0");

    // The scope lacks what the action imports: refused before any of its code runs, everything named.
    let refused = ask("misbehave.wasm", "").exits(3);
    for name in ["inspect", "rotate", "disable", "destroy", "reveal"] {
        assert!(refused.err.contains(&format!("remit:secrets/{name}@0.1.0")), "{}", refused.err);
    }
    let runs = world.remit(&["runs", "--json"]).exits(0).json();
    assert!(runs.as_array().unwrap().iter().all(|run| run["mode"] != "live"), "nothing was started");
}

/// An action in text that imports WASI and does `$BODY` in `run`.
fn wasi_action(body: &str) -> String {
    format!(
        r#"(component
        (import "wasi:random/random@0.2.3" (instance $random (export "get-random-u64" (func (result u64)))))
        (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock (export "now" (func (result u64)))))
        (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit" (func (param "status" (result))))))
        (core func $random (canon lower (func $random "get-random-u64")))
        (core func $now (canon lower (func $clock "now")))
        (core func $exit (canon lower (func $exit "exit")))
        (core module $m
            (import "w" "random" (func $random (result i64)))
            (import "w" "now" (func $now (result i64)))
            (import "w" "exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "null")
            (data (i32.const 32) "\00\00\00\00\10\00\00\00\04\00\00\00")
            (func (export "run") (param i32 i32) (result i32) {body} i32.const 32)
            (func (export "verify") (param i32 i32 i32 i32) (result i32) i32.const 64)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
        (core instance $w (export "random" (func $random)) (export "now" (func $now)) (export "exit" (func $exit)))
        (core instance $i (instantiate $m (with "w" (instance $w))))
        (alias core export $i "memory" (core memory $mem))
        (alias core export $i "realloc" (core func $re))
        (func $run (param "input" string) (result (result string (error string)))
            (canon lift (core func $i "run") (memory $mem) (realloc $re)))
        (func $verify (param "input" string) (param "output" string) (result (result (error string)))
            (canon lift (core func $i "verify") (memory $mem) (realloc $re)))
        (component $c
            (import "r" (func $r (param "input" string) (result (result string (error string)))))
            (import "v" (func $v (param "input" string) (param "output" string) (result (result (error string)))))
            (export "run" (func $r))
            (export "verify" (func $v)))
        (instance $x (instantiate $c (with "r" (func $run)) (with "v" (func $verify))))
        (export "remit:action/remediation@0.1.0" (instance $x)))"#
    )
}

#[test]
fn the_harmless_part_of_wasi_runs_and_is_recorded() {
    let world = World::new();
    component(&world, "wasi.wasm", &wasi_action("call $random drop call $now drop"));
    world.grant_scope("", "wasi.wasm", "{}", "g");
    world.run("g").exits(0);
    let (_, records) = world.last_run();
    let clock =
        records.iter().any(|r| r["event"]["intent"]["operation"] == "wasi:clocks/monotonic-clock.now");
    assert!(clock, "a look at the clock is on record");

    component(&world, "exits.wasm", &wasi_action("i32.const 0 call $exit"));
    world.grant_scope("", "exits.wasm", "{}", "g");
    world.run("g").exits(1).says("exit(success)");
}

#[test]
fn an_ordinary_program_finds_nothing_of_its_host() {
    let world = World::with(&["plain-c"]);
    let inspected = world.remit(&["inspect", "plain-c.wasm"]).exits(0).out;
    assert!(inspected.contains("wasi:filesystem/types@0.2.12") && !inspected.contains("would be refused"));
    world.write("note.txt", "of the host's own folder");
    world.grant_scope("", "plain-c.wasm", "{}", "g");
    let output = world.run("g").exits(0).json()["output"].clone();
    for (name, value) in [
        ("variables", Value::from(0)),
        ("user", "unset".into()),
        ("read", false.into()),
        ("why-not-read", "No such file or directory".into()),
        ("write", false.into()),
        ("why-not-write", "No such file or directory".into()),
        ("list", false.into()),
        ("why-not-list", "No such file or directory".into()),
        ("input-ends", true.into()),
    ] {
        assert_eq!(output[name], value, "{name}");
    }
    let note = fs::read_to_string(world.path("note.txt")).unwrap();
    assert_eq!(note, "of the host's own folder");

    let (run, records) = world.last_run();
    let event = |name: &str| {
        let found = records.iter().map(|r| &r["event"]).filter(|event| event.get(name).is_some());
        found.map(|event| event[name].clone()).collect::<Vec<_>>()
    };
    let said: Vec<_> = event("intent").iter().map(|intent| intent["arguments"]["message"].clone()).collect();
    assert_eq!(said[..2], ["standard output", "standard error"]);
    // The time that it saw is the one on record.
    let clock = event("intent")
        .into_iter()
        .find(|intent| intent["operation"] == "wasi:clocks/wall-clock.now")
        .expect("it looked at the clock");
    let outcome = event("outcome").into_iter().find(|outcome| outcome["call"] == clock["call"]).unwrap();
    assert_eq!(outcome["result"]["ok"]["value"][0], output["time"]);
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
}

#[test]
fn a_table_bomb() {
    let world = World::new();
    let bomb = r#"(component
        (core module $m (table 10000000 funcref) (func (export "f")))
        (core instance $i (instantiate $m))
        (component $c
            (core module $n
                (memory (export "memory") 1)
                (func (export "run") (param i32 i32) (result i32) i32.const 0)
                (func (export "verify") (param i32 i32 i32 i32) (result i32) i32.const 0)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
            (core instance $j (instantiate $n))
            (alias core export $j "memory" (core memory $mem))
            (alias core export $j "realloc" (core func $re))
            (func (export "run") (param "input" string) (result (result string (error string)))
                (canon lift (core func $j "run") (memory $mem) (realloc $re)))
            (func (export "verify") (param "input" string) (param "output" string) (result (result (error string)))
                (canon lift (core func $j "verify") (memory $mem) (realloc $re))))
        (instance $x (instantiate $c))
        (export "remit:action/remediation@0.1.0" (instance $x)))"#;
    component(&world, "tables.wasm", bomb);
    world.grant_scope("", "tables.wasm", "{}", "g");
    world.run("g").exits(1).says("limit `table_elements` exceeded");
}

#[test]
fn a_one_use_grant_is_used_once_by_many_at_once() {
    let world = World::new();
    world.grant(ACTION, &input(), "g");
    let won = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| world.run("g").code)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).filter(|code| *code == 0).count()
    });
    assert_eq!(won, 1);
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();
}

#[test]
fn text_that_does_not_parse_is_pointed_at() {
    let world = World::new();
    world.remit(&["plan", ACTION, "--input", "{\"path\": }"]).exits(2).says("^");
    world.write("bad.toml", "[limits]\nfuel = \"much\"\n");
    world
        .remit(&["plan", ACTION, "--input", "{}", "--scope", "bad.toml"])
        .exits(2)
        .says("fuel = \"much\"")
        .says("^");
    world.write("odd.toml", "[limits]\nfeul = 3\n");
    world.remit(&["plan", ACTION, "--input", "{}", "--scope", "odd.toml"]).exits(2).says("feul");
    world.write(
        "star.toml",
        "[[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = [\"secret:prod/a*\"]\n",
    );
    world.remit(&["plan", ACTION, "--input", "{}", "--scope", "star.toml"]).exits(2).says("prod/a*");
    world.write("home/remit.toml", "log = 3\n");
    world.remit(&["runs"]).exits(2).says("log = 3");
}

#[test]
fn a_journal_that_was_touched_is_told() {
    let world = World::new();
    world.grant(ACTION, &input(), "g");
    world.run("g").exits(0);
    let journal = world.home().join("journal.db");
    let whole = fs::read(&journal).unwrap();
    // Pages that SQLite gave up may hold stale copies: flip the bit in every one.
    let mut flipped = whole.clone();
    let places: Vec<usize> = whole
        .windows(11)
        .enumerate()
        .filter(|(_, window)| *window == b"incipal\":\"b")
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the principal is in a record");
    for at in places {
        flipped[at] ^= 1;
    }
    fs::write(&journal, &flipped).unwrap();
    world.remit(&["audit", "verify"]).exits(4).says("record");
    fs::write(&journal, &whole[..whole.len() / 2]).unwrap();
    let cut = world.remit(&["audit", "verify"]);
    assert_eq!(cut.code, 4, "{cut:?}");
    fs::write(&journal, "").unwrap();
    world.remit(&["audit", "verify"]).exits(4);
    world.run("g").exits(4);
    assert_eq!(fs::read(&journal).unwrap(), b"", "an emptied journal is not begun anew");
}

#[test]
fn signatures_are_what_openssl_makes_and_takes() {
    let world = World::new();
    let openssl = |args: &[&str]| {
        let output =
            std::process::Command::new("openssl").args(args).current_dir(world.dir.path()).output().unwrap();
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let signature = format!("{ACTION}.sig");
    openssl(&["base64", "-d", "-A", "-in", &signature, "-out", "ours.der"]);
    openssl(&["dgst", "-sha256", "-verify", "publisher.pub", "-signature", "ours.der", ACTION]);
    openssl(&["dgst", "-sha256", "-sign", "publisher.key", "-out", "theirs.der", ACTION]);
    openssl(&["base64", "-A", "-in", "theirs.der", "-out", &signature]);
    world.remit(&["plan", ACTION, "--input", &input()]).exits(0);
}

/// One field of several is set: the others stay, unless somebody says that they are to go.
#[test]
fn a_field_is_put_beside_the_others() {
    let world = World::empty();
    let put = |field: &str, more: &[&str]| {
        world.remit_with_stdin(&[&["secret", "put", "app/db", field], more].concat(), "value")
    };
    put("password", &[]).exits(0);
    let second = put("user", &[]).exits(0);
    assert_eq!(second.out, "app/db  version 2\nkept      password\n");
    let plan = |field: &str| {
        let input = format!(r#"{{"path":"app/db","field":"{field}"}}"#);
        world.remit(&["plan", "rotate-secret.wasm", "--input", &input, "--key", "bot.key"])
    };
    for field in ["password", "user"] {
        plan(field).exits(0);
    }
    put("user", &["--replace"]).exits(0);
    plan("user").exits(0);
    plan("password").exits(1);
    world
        .remit(&["secret", "show", "app/none"])
        .exits(1)
        .says("help: check the path; [[secrets]] in remit.toml");
}
