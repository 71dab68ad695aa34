//! From nothing to a signed, tested action; and every mistake an author makes on the way.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use crate::common::{Ran, World, finish, plugins};
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
        if language == "javascript" {
            // A call outside the world is told alike, whatever the language's tool says of it.
            let asked = ["--capability", "secrets/inspect,secrets/rotate"];
            remit(world.path(), &[&["new", "outside", "--lang", language][..], &asked].concat()).exits(0);
            let wit = world.path().join("outside/wit/world.wit");
            let text = std::fs::read_to_string(&wit).unwrap();
            std::fs::write(&wit, text.replace("  import remit:secrets/rotate@0.1.0;\n", "")).unwrap();
            remit(&world.path().join("outside"), &["build"])
                .exits(1)
                .says("it calls remit:secrets/rotate@0.1.0, which wit/world.wit does not import");
        }
        let told = program("sh", world.path(), &["-ec", &commands.join("\n")]).exits(0).out;
        // What `remit new` says to do next is what was just done.
        let next = told.lines().skip_while(|line| !line.starts_with("next ")).take(4);
        let next: Vec<_> = next.filter_map(|line| line.get(10..)).collect();
        assert_eq!(next, commands[1..5], "{language}");
        tried.push(language.to_owned());
    }
    // Whatever `remit new` offers has its page.
    let said = remit(Path::new("."), &["new", "x", "--lang", "none"]).exits(2).err;
    let offered = said.split("the languages are ").nth(1).unwrap().split(';').next().unwrap();
    assert_eq!(tried.join(", "), offered);
}

#[test]
fn from_nothing_to_a_connector_that_can_serve() {
    let world = World::new();
    let dir = world.dir.path();
    remit(dir, &["new", "users", "--lang", "rust", "--connector"]).exits(0);
    let project = dir.join("users");
    let built = remit(&project, &["build", "--json"]).exits(0).json();
    let imports: Vec<&str> =
        built["imports"].as_array().unwrap().iter().map(|i| i.as_str().unwrap()).collect();
    assert!(imports.iter().all(|import| import.starts_with("remit:")), "{imports:?}");
    // It comes with tests that pass; each difference is told, and a change that nothing takes back is no whole one.
    assert!(remit(&project, &["test"]).exits(0).out.contains("2 passed, 0 failed"));
    let fixture = project.join("tests/disable.toml");
    let text = std::fs::read_to_string(&fixture).unwrap();
    for (was, is, told) in [
        (
            "{ enabled = false }\nstatus",
            "{ enabled = 0 }\nstatus",
            "- {\"enabled\":0}\n            + {\"enabled\":false}",
        ),
        (
            "send   = \"PATCH /users/42\"",
            "send = \"PATCH /users/43\"",
            "and the fixture has `PATCH /users/43`",
        ),
        (
            "\"Alice\" }, describe",
            "\"Bob\" }, describe",
            "- {\"name\":\"Bob\"}\n            + {\"name\":\"Alice\"}",
        ),
        ("state = \"after\"", "state = \"before\"", "- state = before\n            + state = after"),
        (
            "run    = \"undo\"\nexpect = { done = true }",
            "run = \"undo\"\nexpect = { fails = \"denied\" }",
            "+ done",
        ),
        (
            "send   = \"GET /users/42\"\nstatus = 200",
            "send = \"GET /users/42\"\nstatus = 404",
            "+ fails = not-found: could not",
        ),
    ] {
        assert!(text.contains(was), "{was}");
        std::fs::write(&fixture, text.replacen(was, is, 1)).unwrap();
        let told_ = remit(&project, &["connector", "test", "users.wasm"]).exits(1).out;
        assert!(told_.contains(told), "no `{told}` in {told_}");
        assert!(told_.contains("remit:accounts/disable.disable"), "nothing undoes it then: {told_}");
    }
    for (was, is, why) in [
        ("function ", "funktion ", "unknown field `funktion`"),
        ("{ done = true }", "{ returns = 1 }\nexpected = 1", "unknown field `expected`"),
        ("{ state = \"after\" }", "{ done = true }", "what comes of `state` is one of: state, fails"),
        ("{ path = \"users/42\" }", "{ path = 42 }", "path: "),
        ("disable.disable", "disable.enable", "the connector has no `remit:accounts/disable.enable`"),
    ] {
        std::fs::write(&fixture, text.replacen(was, is, 1)).unwrap();
        remit(&project, &["test"]).exits(2).says(why);
    }
    std::fs::remove_file(&fixture).unwrap();
    remit(&project, &["test"]).exits(1);
    std::fs::write(&fixture, text).unwrap();
    remit(&project, &["sign", "users.wasm", "--key", "../publisher.key"]).exits(0);
    let shown = world.remit(&["inspect", "users/users.wasm"]).exits(0).out;
    for said in ["can serve here", "remit:accounts/disable.disable (change)", "PATCH /users/{id}"] {
        assert!(shown.contains(said), "no `{said}` in {shown}");
    }
    // A description that no home would take makes no component.
    let file = project.join("connector.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (was, is, why) in [
        (
            "PATCH /users/{id}\", json = { enabled = false",
            "PATCH /users/all\", json = { enabled = false",
            "needs {id}",
        ),
        ("disable@0.1.0", "disable@0.2.0", "there is no interface remit:accounts/disable@0.2.0"),
        ("summary ", "sumary ", "missing field `summary`"),
    ] {
        assert!(text.contains(was), "{was}");
        std::fs::write(&file, text.replace(was, is)).unwrap();
        remit(&project, &["build"]).exits(2).says(why);
    }
    let written = "connectors are written in rust, javascript, toml";
    remit(dir, &["new", "other", "--lang", "c", "--connector"]).exits(2).says(written);
    remit(dir, &["new", "other", "--lang", "toml"]).exits(2).says("no template for an action in TOML");
    assert!(!dir.join("other").exists());
}

/// The same in JavaScript, and without code.
#[test]
fn a_connector_in_another_language_can_serve() {
    let world = World::new();
    let dir = world.dir.path();
    for language in ["javascript", "toml"] {
        let (name, project) = (format!("in-{language}"), dir.join(format!("in-{language}")));
        let told = remit(dir, &["new", &name, "--lang", language, "--connector"]).exits(0).out;
        // A tool that is not there is what it says to install.
        assert!(!told.contains("install") && told.contains("remit build"), "{told}");
        let file = format!("{name}.wasm");
        remit(&project, &["build"]).exits(0);
        assert!(remit(&project, &["test"]).exits(0).out.contains(" passed, 0 failed"), "{language}");
        remit(&project, &["sign", &file, "--key", "../publisher.key"]).exits(0);
        let shown = world.remit(&["inspect", &format!("{name}/{file}")]).exits(0).out;
        for said in ["can serve here", "remit:accounts/disable.disable (change)", "PATCH /users/{id}"] {
            assert!(shown.contains(said), "{language}: no `{said}` in {shown}");
        }
        assert!(!project.join("sdk").exists(), "it uses none");
    }
    // The same description gives the same digest; without code to look at, what is wrong is told by the build.
    let project = dir.join("in-toml");
    let build = || remit(&project, &["build", "--json"]);
    assert_eq!(build().exits(0).json()["digest"], build().exits(0).json()["digest"]);
    let file = project.join("connector.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (was, is, why) in [
        ("\"/enabled\" ", "\"enabled\" ", "`enabled` is not a place in an answer"),
        ("after    =", "later    =", "unknown field `later`"),
        ("enable {undo.login} again", "{*}", "in the JSON of a change"),
        ("{/created_at:time}", "{/created_at?yes}", "is to be like {/active?enabled:disabled}"),
        ("reads  = [\"GET /users/{id}\"]", "reads  = [\"GET /users/*\"]", "without `*` in its path"),
    ] {
        assert!(text.contains(was), "{was}");
        std::fs::write(&file, text.replace(was, is)).unwrap();
        build().exits(2).says(why);
    }
}

#[test]
fn from_nothing_to_a_signed_tested_action() {
    let world = World::new();
    let dir = world.dir.path();
    let asked = ["--capability", "secrets/inspect,secrets/rotate"];
    remit(dir, &[&["new", "fix-key", "--lang", "rust"][..], &asked].concat()).exits(0);
    let project = dir.join("fix-key");
    remit(&project, &["test", "--no-build"]).exits(2).says("not built");
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

    // Nobody tests what is not what the sources say.
    assert!(!remit(&project, &["test"]).exits(0).err.contains("building"));
    let source = std::fs::read_to_string(project.join("src/lib.rs")).unwrap();
    let other = source.replace("{path} is at version", "{path} has version") + "\n// Edited.\n";
    std::fs::write(project.join("src/lib.rs"), &other).unwrap();
    let old = "warning: src/lib.rs was changed after fix-key.wasm was built";
    remit(&project, &["test", "--no-build"]).exits(0).says(old);
    remit(dir, &["test", "fix-key/fix-key.wasm"]).exits(0).says("fix-key/src/lib.rs was changed after");
    remit(&project, &["test"]).exits(0).says("note: building first: src/lib.rs was changed");
    assert!(!remit(&project, &["test"]).exits(0).err.contains("building"));
    std::fs::write(project.join("src/lib.rs"), "no Rust").unwrap();
    remit(&project, &["test"]).exits(1).says("no Rust");
    std::fs::write(project.join("src/lib.rs"), &source).unwrap();
    remit(&project, &["test"]).exits(0);
    assert_eq!(remit(&project, &["build", "--json"]).exits(0).json()["digest"], first["digest"]);

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

/// A name becomes a package in WIT and in the language: what those have already would never build.
#[test]
fn a_name_that_would_not_build_is_refused() {
    let world = World::empty();
    let dir = world.dir.path();
    let before = std::fs::read_dir(dir).unwrap().count();
    let new = |name: &str, language: &str| remit(dir, &["new", name, "--lang", language]);
    let languages = ["rust", "c", "python", "typescript", "javascript", "go"];
    for name in
        ["list", "record", "resource", "stream", "type", "result", "string", "world", "use", "func", "u8"]
    {
        for language in languages {
            new(name, language)
                .exits(2)
                .says("it is a word of WIT")
                .says(&format!("help: say what it repairs too: fix-{name}"));
        }
    }
    for name in ["action", "secrets", "host"] {
        new(name, "c").exits(2).says(&format!("the host has a package `remit:{name}` already"));
    }
    for (name, language) in [
        ("remit-sdk", "rust"),
        ("fn", "rust"),
        ("errors", "go"),
        ("cmd", "go"),
        ("esbuild", "javascript"),
        ("componentize-qjs", "typescript"),
        ("componentize-py", "python"),
    ] {
        new(name, language).exits(2).says("cannot name an action in");
    }
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), before);
    for (name, language) in
        [("errors", "c"), ("remit-sdk", "c"), ("fn", "go"), ("paths", "c"), ("remit", "go"), ("core", "rust")]
    {
        new(name, language).exits(0);
        std::fs::remove_dir_all(dir.join(name)).unwrap();
    }
}

#[test]
fn a_build_that_is_not_right_leaves_the_last_one() {
    let world = World::empty();
    let dir = world.dir.path();
    remit(dir, &["new", "fix", "--lang", "rust", "--capability", "secrets/inspect"]).exits(0);
    let project = dir.join("fix");
    // Also where a link leads to it, whatever the language's tool calls the place.
    std::os::unix::fs::symlink("fix", dir.join("link")).unwrap();
    std::os::unix::fs::symlink(".", dir.join("up")).unwrap();
    for by in ["link", "up/fix", "./fix"] {
        remit(dir, &["build", by]).exits(0);
    }
    remit(&dir.join("link"), &["build"]).exits(0);
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
    refused(
        "wit/world.wit",
        "import remit:secrets/inspect@0.1.0;",
        "",
        "which wit/world.wit does not import",
    );
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
    let fault = fault.replace("at = 2", "at = 9");
    let ran = test(&format!("{BEFORE}[expect]\noutcome = \"succeeded\"\n{fault}")).exits(1);
    assert!(
        ran.out.contains("FAILED  t.toml, call 9 fails: unavailable, answer lost (line 7)"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("call 9 was never made: the run made 3"), "{}", ran.out);
    // What cannot be is told by line and key, all of it at once and before anything is tried.
    let ran = test(&format!("{BEFORE}disabled = [2]\n{}", fault.replace("at = 9", "at = 0"))).exits(2);
    for words in ["line 5, secret.disabled: there is no version 2", "line 7, fault.at: calls count from 1"] {
        assert!(ran.err.contains(words), "{}", ran.err);
    }
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
    assert!(shown.contains("takes as input, which the host checks") && shown.contains("in its own words"));
}

#[test]
fn what_is_too_large_or_of_another_version_is_refused_by_name() {
    let world = World::empty();
    std::fs::File::create(world.path("huge.wasm")).unwrap().set_len(500 << 20).unwrap();
    world.remit(&["install", "huge.wasm"]).exits(2).says("larger than a component can be (128 MiB)");
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
    for files in [["misbehave.wasm", "newer.wasm"], ["newer.wasm", "misbehave.wasm"]] {
        let told = world.remit(&["inspect", "--diff", files[0], files[1]]).exits(0).out;
        let line = told.lines().find(|line| line.contains("rotate@0.2.0")).unwrap();
        assert!(line.contains("remit:secrets/rotate@0.2.0 (it offers 0.1.0)"), "{line}");
    }
}

/// The rows of the table below a heading of the manual, each as its cells.
fn manual_table(heading: &str) -> Vec<Vec<&'static str>> {
    let manual = include_str!("../docs/authoring.md");
    let part =
        manual.split(heading).nth(1).unwrap().split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// The WIT has the codes; the manual's table, fixtures and each SDK spell them alike.
#[test]
fn every_language_spells_the_codes_alike() {
    let wit = include_str!("../wit/types/types.wit");
    let variant = wit.split("variant failure {").nth(1).unwrap().split('}').next().unwrap();
    let codes: Vec<_> = variant.lines().filter_map(|line| line.trim().strip_suffix("(string),")).collect();
    assert_eq!(codes.len(), 5);
    let table = manual_table("### What the host would not do");
    assert_eq!(table.len(), codes.len());
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let has =
        |name: &str, text: &str, line: &str| assert!(plain(text).contains(line), "{name} has no `{line}`");
    for (code, row) in codes.iter().zip(table) {
        let words = code.replace('-', " ");
        let upper = code.replace('-', "_").to_uppercase();
        let camel: String = code.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        assert_eq!(row[0], format!("`{code}`"));
        assert_eq!(
            row[2..],
            [format!("`Failure::{camel}`"), format!("`REMIT_{upper}`"), format!("`remit.{camel}`")]
        );
        has(
            "Rust",
            include_str!("../sdk/rust/src/error.rs"),
            &format!("Failure::{camel}(detail) => (\"{code}\", detail)"),
        );
        has("C", include_str!("../sdk/c/src/remit.h"), &format!("REMIT_{upper},"));
        let kind = format!("[WIT_REMIT_TYPES_ERRORS_FAILURE_{upper}] = {{ REMIT_{upper}, \"{words}\" }}");
        has("C", include_str!("../sdk/c/src/remit.c"), &kind);
        let python = include_str!("../sdk/python/remit/_errors.py");
        // Python's and JavaScript's codes are those of the WIT: the tools' bindings have them.
        has("Python", python.split("self.code = code").nth(1).unwrap(), &format!("\"{code}\""));
        has(
            "Go",
            include_str!("../sdk/go/internal/refusal/refusal.go"),
            &format!("{camel} Code = \"{code}\""),
        );
        has("Go", include_str!("../sdk/go/errors.go"), &format!("{camel} = refusal.{camel}"));
        has("JavaScript", include_str!("../sdk/js/src/refusal.ts"), "type RefusalCode = Failure[\"tag\"]");
        let kind: remit_offline::FailureKind = serde_json::from_value((*code).into()).unwrap();
        assert_eq!(kind.code(), *code);
    }
}

/// The manual shows each operation as plans and fixtures write it: exactly these, and with the arguments they have.
#[test]
fn the_manual_shows_every_operation_with_its_arguments() {
    use remit_capability::{BUILT_IN, databases, evidence, files, network, secrets};
    use serde_json::{Value, json};

    fn arguments<O: remit_gate::Operation + serde::de::DeserializeOwned>(written: &Value) -> Value {
        let operation: O =
            serde_json::from_value(written.clone()).unwrap_or_else(|e| panic!("{}: {e}", O::NAME));
        serde_json::to_value(operation).unwrap()
    }
    let mut shown = Vec::new();
    for row in manual_table("### How operations are written") {
        let mut words = row[0].trim_matches('`').splitn(3, ' ');
        let (name, resource, rest) = (words.next().unwrap(), words.next().unwrap(), words.next());
        let mut written: Value = rest.map_or_else(|| json!({}), |rest| serde_json::from_str(rest).unwrap());
        written["resource"] = json!(resource);
        let read = match name {
            "remit:secrets/inspect.metadata" => arguments::<secrets::Metadata>(&written),
            "remit:secrets/rotate.rotate" => arguments::<secrets::Rotate>(&written),
            "remit:secrets/put.put" => arguments::<secrets::Put>(&written),
            "remit:secrets/compare.matches" => arguments::<secrets::Matches>(&written),
            "remit:secrets/disable.disable" => arguments::<secrets::Disable>(&written),
            "remit:secrets/enable.enable" => arguments::<secrets::Enable>(&written),
            "remit:secrets/destroy.destroy" => arguments::<secrets::Destroy>(&written),
            "remit:secrets/reveal.reveal" => arguments::<secrets::Reveal>(&written),
            "remit:databases/inspect.get" => arguments::<databases::Get>(&written),
            "remit:databases/inspect.list" => arguments::<databases::List>(&written),
            "remit:databases/password.set-password" => arguments::<databases::SetPassword>(&written),
            "remit:databases/disable-login.disable-login" => arguments::<databases::DisableLogin>(&written),
            "remit:databases/sessions.sessions" => arguments::<databases::Sessions>(&written),
            "remit:databases/end-sessions.end-sessions" => arguments::<databases::EndSessions>(&written),
            "remit:databases/check-login.check-login" => arguments::<databases::CheckLogin>(&written),
            "remit:evidence/capture.capture" => arguments::<evidence::Capture>(&written),
            "remit:evidence/check.holds" => arguments::<evidence::Holds>(&written),
            "remit:network/inspect.get" => arguments::<network::Get>(&written),
            "remit:network/inspect.connections" => arguments::<network::Connections>(&written),
            "remit:network/cut.cut" => arguments::<network::CutTraffic>(&written),
            "remit:files/read.look" => arguments::<files::Look>(&written),
            "remit:files/read.read" => arguments::<files::Read>(&written),
            "remit:files/read.list" => arguments::<files::List>(&written),
            "remit:files/write.look" => arguments::<files::Find>(&written),
            "remit:files/write.put" => arguments::<files::Edit<files::Put>>(&written),
            "remit:files/write.remove" => arguments::<files::Edit<files::Remove>>(&written),
            "remit:files/write.make-directory" => arguments::<files::Edit<files::MakeDirectory>>(&written),
            "remit:files/write.remove-directory" => {
                arguments::<files::Edit<files::RemoveDirectory>>(&written)
            }
            "remit:files/render.render" => arguments::<files::Edit<files::Render>>(&written),
            other => panic!("{other} is new: show it here too"),
        };
        // All that it has, and nothing that it has not; sorted, and without spaces.
        assert_eq!(read, written, "{name}");
        written.as_object_mut().unwrap().remove("resource");
        written.sort_all_objects();
        assert_eq!(rest.unwrap_or("{}"), written.to_string(), "{name}");
        shown.push(name);
    }
    let granted = BUILT_IN.interfaces().chain(BUILT_IN.powers("wasi:filesystem/types"));
    let granted = granted.filter(|interface| interface.granted_by_scope());
    let mut operations: Vec<_> =
        granted.flat_map(|interface| &*interface.operations).map(|operation| &*operation.name).collect();
    operations.sort_unstable();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown, operations);
}
