//! One more domain, added by the files and lines that `docs/adding-a-domain.md` names and by nothing else, goes through
//! all that the host does with a domain. Run: `cargo test --workspace --features remit/test-domain --test domain`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::World;
use serde_json::Value;

const ACTION: &str = "lamp.wasm";
const SCOPE: &str = "[[allow]]\ncapability = \"remit:lamps/read\"\nresources = [\"lamp:hall/*\"]\n\
                     [[allow]]\ncapability = \"remit:lamps/switch\"\nresources = [\"lamp:hall/*\"]\n";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn source(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A home with two lamps, and an action that switches one of them.
fn world() -> World {
    let world = World::with(&[]);
    world.write("home/lamps", "hall/door off\nhall/stairs on\n");
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, format!("{text}\n[[lamps]]\nfile = \"lamps\"\n")).unwrap();
    world.write(ACTION, wat::parse_str(source("tests/domain/action.wat")).unwrap());
    world.remit(&["sign", ACTION, "--key", "publisher.key"]).exits(0);
    world
}

fn lamps(world: &World) -> String {
    fs::read_to_string(world.home().join("lamps")).unwrap()
}

#[test]
fn it_is_planned_approved_run_proved_and_taken_back() {
    let world = world();
    let inspected = world.remit(&["inspect", ACTION]).exits(0).out;
    assert!(inspected.contains("switches a lamp on or off"), "{inspected}");
    let planned = world.remit(&["plan", ACTION, "--input", "{}", "--emit-scope", "least.toml"]).exits(0).out;
    assert!(
        planned.contains("switch.turn (on true)") && planned.contains("switch it off again"),
        "{planned}"
    );
    let least = fs::read_to_string(world.path("least.toml")).unwrap();
    assert!(least.contains("remit:lamps/switch") && least.contains("lamp:hall/door"), "{least}");
    assert_eq!(lamps(&world), "hall/door off\nhall/stairs on\n", "a rehearsal changes nothing");

    world.grant(ACTION, "{}", "first");
    assert_eq!(world.run("first").exits(0).json()["state"], "succeeded");
    assert_eq!(lamps(&world), "hall/door on\nhall/stairs on\n");
    let (run, records) = world.last_run();
    let change = records.iter().find(|r| r["event"]["intent"]["effect"] == "change").unwrap();
    assert_eq!(change["event"]["intent"]["resource"], "lamp:hall/door");
    assert_eq!(change["event"]["intent"]["before"], serde_json::json!({"lit": false}));
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    let ocsf = world.remit(&["audit", "export", "--format", "ocsf"]).exits(0).out;
    let event: Value = serde_json::from_str(ocsf.lines().last().unwrap()).unwrap();
    assert_eq!(event["activity_name"], "Harden");

    world.remit(&["revert", &run]).exits(0);
    assert_eq!(lamps(&world), "hall/door off\nhall/stairs on\n");
    world.audit_is_sound();
}

#[test]
fn what_the_plan_and_the_scope_do_not_have_is_refused() {
    let world = world();
    world.grant(ACTION, "{}", "planned");
    world.write("home/lamps", "hall/door on\n");
    world.run("planned").exits(3).says("lamp:hall/door is on already");
    world.write("home/lamps", "hall/door off\n");
    world.grant_scope(&SCOPE.replace("hall/*", "attic/*"), ACTION, "{}", "elsewhere");
    world.run("elsewhere").exits(3).says("outside the granted scope");
    // A rule that could never apply is a mistake: of another kind, or of no domain.
    for (wrong, why) in [("lamp:", "secret:"), ("remit:lamps/switch", "remit:lamps/dim")] {
        world.write("scope.toml", SCOPE.replace(wrong, why));
        let asked = ["request", ACTION, "--input", "{}", "--scope", "scope.toml", "--without-plan"];
        world
            .remit(&[&asked[..], &["--reason", "test", "--key", "bot.key"]].concat())
            .exits(2)
            .says("lamps/");
    }
    assert_eq!(lamps(&world), "hall/door off\n");
    // Policies know its kind.
    let forbid = "@id(\"dark\")\nforbid (principal, action == Remit::Action::\"propose\", resource in Remit::Path::\"lamp:hall\");\n";
    world.policies(&format!("{}{forbid}", common::POLICY));
    let asked = ["request", ACTION, "--input", "{}", "--reason", "test", "--key", "bot.key"];
    world.remit(&asked).exits(3).says("dark");
    world.audit_is_sound();
}

#[test]
fn its_section_is_read_and_its_systems_are_checked() {
    let world = world();
    assert!(world.remit(&["doctor"]).exits(0).out.contains("2 lamps"));
    world.write("home/lamps", "hall/door dim\n");
    assert!(world.remit(&["doctor"]).exits(1).out.contains("has a line that is no lamp"));
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("file = \"lamps\"", "flie = \"lamps\"")).unwrap();
    world
        .remit(&["runs"])
        .exits(2)
        .says("flie = \"lamps\"\n")
        .says("a file of [[lamps]] has no key `flie`; it has `file`");
    fs::write(&config, format!("{text}\n[[lampz]]\n")).unwrap();
    world
        .remit(&["runs"])
        .exits(2)
        .says("remit.toml has no key `lampz`; it has `secrets`, `files`, `databases`, `evidence`, `network`, `lamps`");
}

#[test]
fn it_is_made_up_for_offline_tests() {
    let world = world();
    world.write("example.toml", source("tests/domain/example.toml"));
    let test = ["test", ACTION, "example.toml"];
    world.remit(&test).exits(1);
    world.remit(&[&test[..], &["--record"]].concat()).exits(0);
    world.remit(&test).exits(0);
    let recorded = fs::read_to_string(world.path("example.toml")).unwrap();
    for line in [
        "  'remit:lamps/switch.turn lamp:hall/door {\"on\":true}',\n  \"verify: remit:lamps/read.lit lamp:hall/door\",\n",
        "lamp = [\n  { path = \"hall/door\", lit = true },\n]",
        "lamp = [\n  { path = \"hall/door\", lit = false },\n]",
    ] {
        assert!(recorded.contains(line), "{line} in {recorded}");
    }
    world.write("example.toml", recorded.replacen("lit = true }", "lit = false }", 1));
    assert!(world.remit(&test).exits(1).out.contains("lamp hall/door\n"), "the difference is shown");
    world.write("example.toml", recorded.replacen("path = \"hall/door\"", "path = \"/hall\"", 1));
    world.remit(&test).exits(2).says("lamp.path: `/hall` is not a canonical resource");
}

/// The manual's steps are what was done: it names every file of this domain and every line of others that it needed, and
/// what it shows of them is there.
#[test]
fn the_manual_says_what_was_done() {
    let manual = source("docs/adding-a-domain.md");
    let named = |line: &str| line.split('`').nth(1).map(ToOwned::to_owned);
    let mut shown = Vec::new();
    let mut lines = manual.lines().peekable();
    let mut last = String::new();
    while let Some(line) = lines.next() {
        if !line.starts_with("```") {
            if !line.trim().is_empty() {
                line.clone_into(&mut last);
            }
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        if line == "```console" {
            continue;
        }
        let file = named(&last).unwrap_or_else(|| panic!("no file is named before {block:?}"));
        for part in block.join("\n").split("\n…\n") {
            assert!(source(&file).contains(part.trim_matches('\n')), "{file} does not have:\n{part}");
        }
        shown.push(file);
    }
    let mut of_the_domain: Vec<String> =
        shown.iter().filter(|file| file.starts_with("tests/domain/")).cloned().collect();
    of_the_domain.sort();
    of_the_domain.dedup();
    let mut there = Vec::new();
    for folder in ["tests/domain", "tests/domain/wit"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        there.extend(files.map(|path| path.strip_prefix(root()).unwrap().display().to_string()));
    }
    there.sort();
    assert_eq!(of_the_domain, there);
    // Whatever else in the sources of the host knows of it is shown too.
    let mut knows = Vec::new();
    let mut folders = vec![root().join("host")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                if text.contains("lamps") && path.components().any(|part| part.as_os_str() == "src") {
                    knows.push(path.strip_prefix(root()).unwrap().display().to_string());
                }
            }
        }
    }
    for file in &knows {
        assert!(shown.contains(file), "{file} knows of the domain, and the manual does not show it");
    }
    assert_eq!(knows.len(), 3, "{knows:?}: two `mod` lines, and the line of the registry");
}
