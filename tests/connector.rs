//! Actions that reach a system through a connector: a component for an interface that the host does not have compiled in.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub mod house;
mod proofs;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::common::World;
use crate::common::server::Server;
use house::{House, Strike};
use serde_json::Value;

const ACTION: &str = "lamp.wasm";
const SCOPE: &str = "[[allow]]\ncapability = \"acme:lamps/read\"\nresources = [\"lamp:house/hall/*\"]\n\
                     [[allow]]\ncapability = \"acme:lamps/switch\"\nresources = [\"lamp:house/hall/*\"]\n";

/// A home with a connector to a house, and an action that switches one of its lamps on.
fn world(house: &House, config: &str) -> World {
    let world = World::with(&["lamps"]);
    world.write(ACTION, wat::parse_str(action()).unwrap());
    world.remit(&["sign", ACTION, "--key", "publisher.key"]).exits(0);
    fs::rename(world.path("lamps.wasm"), world.home().join("lamps.wasm")).unwrap();
    fs::rename(world.path("lamps.wasm.sig"), world.home().join("lamps.wasm.sig")).unwrap();
    entry(&world, house, config);
    world
}

/// The same action as that of a domain of the host: another package, and a path that begins with the connector's instance.
fn action() -> String {
    let text = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/domain/action.wat"));
    let text = fs::read_to_string(text).unwrap().replace("remit:lamps/", "acme:lamps/");
    text.replace("\"hall/door\"", "\"house/hall/door\"")
        .replace("(i32.const 16) (i32.const 9)", "(i32.const 16) (i32.const 15)")
}

/// Adds the connector to the configuration.
fn entry(world: &World, house: &House, config: &str) {
    let file = world.home().join("remit.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.split("\n[[connector]]").next().unwrap();
    let token = world.home().join("house.key");
    fs::write(&token, "the-token-of-the-house").unwrap();
    fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let entry = format!(
        "\n[[connector]]\nname = \"house\"\ncomponent = \"lamps.wasm\"\norigin = \"{}\"\n\
         allow_private = [\"127.0.0.1/32\"]\n{config}\n[connector.credential]\nbearer_file = \"house.key\"\n",
        house.address
    );
    fs::write(file, format!("{text}{entry}")).unwrap();
}

fn intent<'a>(records: &'a [Value], effect: &str) -> &'a Value {
    let mut intents = records.iter().map(|record| &record["event"]["intent"]);
    intents.find(|intent| intent["effect"] == effect).unwrap_or_else(|| panic!("{effect} in {records:#?}"))
}

#[test]
fn it_is_planned_approved_run_replayed_and_taken_back() {
    let house = House::new();
    let world = world(&house, "");
    let planned = world.remit(&["plan", ACTION, "--input", "{}", "--emit-scope", "least.toml"]).exits(0).out;
    assert!(planned.contains("switch.turn") && planned.contains("switch it off again"), "{planned}");
    // The lamps compare nothing as they are switched: who approves is told, and so is a program.
    assert!(planned.contains("the system compares nothing as it writes"), "{planned}");
    let steps = world.remit(&["plan", ACTION, "--input", "{}", "--json"]).exits(0).json();
    let steps = steps.pointer("/plan/steps").or(steps.get("steps")).unwrap().as_array().unwrap().clone();
    let cautious =
        |step: &&Value| step["caution"].as_str().is_some_and(|words| words.contains("overwritten"));
    assert_eq!(steps.iter().filter(cautious).count(), 1, "{steps:?}");
    let least = fs::read_to_string(world.path("least.toml")).unwrap();
    assert!(least.contains("acme:lamps/switch") && least.contains("lamp:house/hall/door"), "{least}");
    assert!(!house.is_lit() && house.writes() == 0, "a rehearsal changes nothing");

    // Whoever inspects the action is told that it runs here, through what, and how strong that is.
    let shown = world.remit(&["inspect", ACTION]).exits(0).out;
    assert!(shown.contains("runs here") && shown.contains("through the connector `house`"), "{shown}");

    let checked = world.remit(&["doctor"]).exits(0).out;
    assert!(checked.contains("acme:lamps/read@0.1.0, acme:lamps/switch@0.1.0"), "{checked}");

    world.grant(ACTION, "{}", "first");
    assert_eq!(world.run("first").exits(0).json()["state"], "succeeded");
    assert!(house.is_lit() && house.writes() == 1);
    assert!(
        house.log().iter().all(|line| line.contains("Bearer the-token-of-the-house")),
        "{:?}",
        house.log()
    );
    let (run, records) = world.last_run();
    let change = intent(&records, "change");
    assert_eq!(change["operation"], "acme:lamps/switch.turn");
    assert_eq!(change["resource"], "lamp:house/hall/door");
    assert_eq!(change["arguments"], serde_json::json!({"path": "house/hall/door", "on": true}));
    assert_eq!(change["before"], serde_json::json!({"lit": false}));
    assert_eq!(records[0]["event"]["started"]["connectors"][0]["instance"], "house");
    // On record is what was sent, by its template, and not what is secret of it.
    let sent = records.iter().find_map(|record| {
        let outcome = &record["event"]["outcome"];
        (outcome["call"] == change["call"]).then(|| outcome["sent"].as_array().unwrap().clone())
    });
    let sent = sent.unwrap();
    let lines: Vec<_> = sent
        .iter()
        .map(|one| {
            (
                one["method"].as_str().unwrap(),
                one["status"].as_u64().unwrap(),
                one["change"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(lines, [("GET", 200, false), ("GET", 200, false), ("PUT", 200, true)]);
    assert!(sent[2]["template"].as_str().unwrap().starts_with("PUT /lamps/{room}/{lamp}"), "{sent:?}");
    assert!(sent[2]["request"].as_str().unwrap().starts_with("sha256:"), "{sent:?}");
    let shown = world.remit(&["show", &run]).exits(0).out;
    assert!(shown.contains("sent PUT /lamps/{room}/{lamp}") && shown.contains(": 200"), "{shown}");

    // A replay asks nobody: neither the house nor the connector is there.
    let asked = house.log().len();
    let component = world.home().join("lamps.wasm");
    fs::rename(&component, world.path("away")).unwrap();
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    fs::rename(world.path("away"), &component).unwrap();
    assert_eq!(house.log().len(), asked);

    // The kind of the countermeasure is what the description says.
    let event = world.ocsf_events().pop().unwrap();
    assert!(!event.to_string().contains("the-token-of-the-house"));
    assert_eq!((&event["activity_name"], &event["activity_id"]), (&"Harden".into(), &4.into()), "{event}");
    // Whoever approves at a server reads there what the connector can send: the run's request has it kept.
    let server = Server::of(&world);
    let away = |args: &[&str]| {
        let mut command = world.command(args);
        command.env_remove("REMIT_HOME").env("XDG_CONFIG_HOME", world.path("away"));
        crate::common::finish(command, "").exits(0)
    };
    away(&["context", "add", "prod", &server.url, "--key", "bot.key"]);
    let here = world.remit(&["inspect", "home/lamps.wasm", "--json"]).exits(0).json();
    let digest = here["digest"].as_str().unwrap();
    for asked in
        [&["inspect", digest][..], &["inspect", digest, "--json"], &["inspect", "--diff", digest, digest]]
    {
        let there = away(&[asked, &["--context", "prod"]].concat()).out;
        crate::common::schema::hold(asked, &there);
        assert_eq!(there, world.remit(asked).exits(0).out, "{asked:?}");
    }
    drop(server);

    world.remit(&["revert", &run]).exits(0);
    assert!(!house.is_lit() && house.writes() == 2);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(house.writes(), 2, "undone once");
    assert!(!crate::common::contains(&world.all_bytes(), "the-token-of-the-house"));
    world.audit_is_sound();
}

#[test]
fn what_the_plan_and_the_scope_do_not_have_is_refused() {
    let house = House::new();
    let world = world(&house, "");
    world.grant(ACTION, "{}", "planned");
    house.set(true);
    world.run("planned").exits(3).says("is so already");
    house.set(false);
    world.grant_scope(&SCOPE.replace("hall/*", "attic/*"), ACTION, "{}", "elsewhere");
    world.run("elsewhere").exits(3).says("outside the granted scope");
    world.grant_scope(&SCOPE.replace("lamp:house", "lamp:other"), ACTION, "{}", "other");
    world.run("other").exits(3).says("outside the granted scope");
    // A rule that could never apply is a mistake: of another kind, or of no interface of this home.
    for (wrong, why) in [("lamp:", "secret:"), ("acme:lamps/switch", "acme:lamps/dim")] {
        world.write("scope.toml", SCOPE.replace(wrong, why));
        let asked = ["request", ACTION, "--input", "{}", "--scope", "scope.toml", "--without-plan"];
        world
            .remit(&[&asked[..], &["--reason", "test", "--key", "bot.key"]].concat())
            .exits(2)
            .says("lamps/");
    }
    assert_eq!(house.writes(), 0);
    // Another home in the same place has no such connector.
    let config = fs::read_to_string(world.home().join("remit.toml")).unwrap();
    fs::write(world.home().join("remit.toml"), config.split("\n[[connector]]").next().unwrap()).unwrap();
    world.remit(&["plan", ACTION, "--input", "{}"]).exits(3).says("imports what this host does not offer");
    world.audit_is_sound();
}

/// Whatever a connector does, and whatever it says of it.
#[test]
fn a_connector_that_misbehaves_changes_nothing_else_and_hides_nothing() {
    let house = House::new();
    let world = world(&house, "");
    let evil = |which: &str| entry(&world, &house, &format!("config = {{ evil = \"{which}\" }}"));
    evil("write-in-prepare");
    world.remit(&["plan", ACTION, "--input", "{}"]).exits(1).says("which it may not");
    evil("another-type");
    world.remit(&["plan", ACTION, "--input", "{}"]).exits(1).says("a bool is wanted");
    assert_eq!(house.writes(), 0);

    // Nothing is sent for another lamp than was approved.
    evil("another-lamp");
    world.grant(ACTION, "{}", "another");
    world.run("another").exits(1).says("which it may not");
    assert_eq!((house.writes(), house.is_lit()), (0, false));

    // After the one write, what happened is decided by the state: it is taken back.
    for which in ["twice", "deny", "crash"] {
        evil(which);
        let writes = house.writes();
        world.grant(ACTION, "{}", which);
        let ran = world.run(which);
        assert_ne!(ran.code, 0, "{which}");
        assert!(!house.is_lit(), "{which}: {}", ran.err);
        assert_eq!(house.writes(), writes + 2, "{which}: once, and once back");
    }
    world.audit_is_sound();
}

#[test]
fn what_the_origin_answers_after_the_write_does_not_decide() {
    let house = House::new();
    let world = world(&house, "");
    world.grant(ACTION, "{}", "error");
    house.answer_writes_with(500);
    assert_ne!(world.run("error").code, 0);
    house.answer_writes_with(204);
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]);
    assert!(!house.is_lit());
    world.grant(ACTION, "{}", "refused");
    house.refuse_writes();
    assert_ne!(world.run("refused").code, 0);
    assert!(!house.is_lit());
    world.audit_is_sound();
}

/// Killed at each request, before the house does what it is asked and after: what is left can be brought to a state in which
/// the lamp is as that state says.
#[test]
fn killed_at_any_request_it_comes_to_a_state() {
    let house = House::new();
    let world = world(&house, "");
    world.write("scope.toml", SCOPE);
    let asked =
        ["request", ACTION, "--input", "{}", "--scope", "scope.toml", "--without-plan", "--uses", "50"];
    world.ask(&asked, "next");
    let mut at = 0;
    loop {
        let mut struck = false;
        for after in [false, true] {
            house.set(false);
            let mut command = world.command(&["run", &world.request("next"), "--key", "bot.key", "--json"]);
            let child =
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let ended = house.strike(Strike { at, after }, child);
            struck |= ended;
            world.remit(&["recover"]);
            let (run, records) = world.last_run();
            let state = records.iter().rev().find_map(|record| record["event"]["ended"]["state"].as_str());
            let lit = matches!(state, Some("succeeded" | "held"));
            assert_eq!(
                house.is_lit(),
                lit,
                "run {run} struck at {at}, after {after}: {state:?}\n{records:#?}"
            );
            assert_ne!(state, None);
        }
        at += 1;
        if !struck {
            break;
        }
    }
    assert!(at > 4, "it makes a few requests");
    world.audit_is_sound();
}

#[test]
fn the_recorded_connector_takes_back_and_one_that_is_gone_is_named() {
    let house = House::new();
    let world = world(&house, "");
    world.grant(ACTION, "{}", "first");
    world.run("first").exits(0);
    let (run, _) = world.last_run();
    // Another component is configured since; the store has the one of then.
    let component = world.home().join("lamps.wasm");
    let mut other = fs::read(&component).unwrap();
    let section = wasm_encoder::CustomSection { name: "note".into(), data: b"another"[..].into() };
    wasm_encoder::ComponentSection::append_to_component(&section, &mut other);
    world.write("lamps.wasm", &other);
    world.remit(&["sign", "lamps.wasm", "--key", "publisher.key"]).exits(0);
    for file in ["lamps.wasm", "lamps.wasm.sig"] {
        fs::rename(world.path(file), world.home().join(file)).unwrap();
    }
    world.remit(&["revert", &run, "--dry-run"]).exits(0);
    let kept: Vec<_> = fs::read_dir(world.home().join("components")).unwrap().flatten().collect();
    assert!(kept.len() >= 2);

    entry(&world, &house, "config = { tenant = \"another\" }");
    assert_ne!(world.remit(&["revert", &run]).code, 0);
    assert!(house.is_lit(), "nothing is sent for another tenant");
    entry(&world, &house, "");

    let file = world.home().join("remit.toml");
    let with = fs::read_to_string(&file).unwrap();
    fs::write(&file, with.split("\n[[connector]]").next().unwrap()).unwrap();
    let gone = world.remit(&["revert", &run]);
    assert_ne!(gone.code, 0);
    assert!(gone.out.contains("`house`") || gone.err.contains("`house`"), "{}{}", gone.out, gone.err);
    assert!(house.is_lit());
    fs::write(&file, with).unwrap();
    world.remit(&["revert", &run]).exits(0);
    assert!(!house.is_lit());
    world.audit_is_sound();
}

#[test]
fn it_is_inspected_before_it_is_trusted() {
    let world = World::with(&["lamps"]);
    let shown = world.remit(&["inspect", "lamps.wasm"]).exits(0).out;
    for line in [
        "acme:lamps/read@0.1.0, acme:lamps/switch@0.1.0",
        "can serve here",
        "acme:lamps/switch.turn (change) on lamp:NAME/{room}/{lamp}",
        "GET /lamps/{room}/{lamp}",
        "PUT /lamps/{room}/{lamp}",
        "{undo.lit}",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    // Held to its description, as whatever is printed in JSON.
    let told = world.remit(&["inspect", "lamps.wasm", "--json"]).exits(0).json();
    let turn = told["functions"].as_array().unwrap().iter().find(|of| of["name"] == "acme:lamps/switch.turn");
    assert_eq!(turn.unwrap()["compares"], "none", "{told}");
    assert_eq!(turn.unwrap()["requests"][1][0], "changes by");
    world.remit(&["inspect", "--diff", "lamps.wasm", "lamps.wasm", "--json"]).exits(0);
    assert_eq!(
        world.remit(&["inspect", "--diff", "lamps.wasm", "lamps.wasm"]).exits(0).out,
        "the same power\n"
    );
    // An action is none, and a connector no action.
    world.add("rotate-secret");
    world.remit(&["plan", "lamps.wasm", "--input", "{}"]).exits(2).says("is not an action");
}

/// Who approves sees through what, policies decide on it, and another connector is another request.
#[test]
fn a_request_names_its_connector_and_is_void_with_another() {
    let house = House::new();
    let world = world(&house, "");
    world.grant(ACTION, "{}", "first");
    let shown = world.remit(&["request", "show", &world.request("first")]).exits(0).out;
    assert!(shown.contains("house: lamps 0.1.0") && shown.contains(&house.address), "{shown}");
    assert!(!shown.contains("NOT USED BY THE PLAN"), "{shown}");
    // The same component at another place.
    let other = House::new();
    entry(&world, &other, "");
    world.run("first").exits(3).says("the connector `house`").says(&other.address);
    entry(&world, &house, "");
    world.run("first").exits(3).says("voided");
    assert_eq!((house.writes(), other.writes()), (0, 0));

    // The same component at the same place, told something else: requests can be made of it.
    world.grant(ACTION, "{}", "told");
    entry(&world, &house, "config = { tenant = \"another\" }");
    world.run("told").exits(3).says("another `config`");
    entry(&world, &house, "");
    assert_eq!(house.writes(), 0);

    // Policies see where requests go, and know its kind of resources.
    let allowed = "@id(\"elsewhere\")\nforbid (principal, action == Remit::Action::\"propose\", resource)\n\
                   unless { [\"https://lamps.example\"].containsAll(resource.connectorOrigins) };\n\
                   @id(\"dark\")\nforbid (principal, action == Remit::Action::\"trigger\", resource in Remit::Path::\"lamp:house/hall\");\n";
    world.policies(&format!("{}{allowed}", crate::common::POLICY));
    let asked = ["request", ACTION, "--input", "{}", "--reason", "test", "--key", "bot.key"];
    world.remit(&asked).exits(3).says("elsewhere");
    world.audit_is_sound();
}

#[test]
fn a_connector_that_is_revoked_ends_what_depends_on_it() {
    let house = House::new();
    let world = world(&house, "");
    world.grant(ACTION, "{}", "done");
    world.run("done").exits(0);
    let (run, records) = world.last_run();
    let of = &records[0]["event"]["started"]["connectors"][0];
    house.set(false);
    world.grant(ACTION, "{}", "next");
    world.grant(ACTION, "{}", "last");
    let digest = of["component"]["digest"].as_str().unwrap();
    let because = ["--reason", "it lies", "--key", "alice.key"];
    world.remit(&[&["revoke", "connector-digest", digest], &because[..]].concat()).exits(0);
    world.run("next").exits(3).says("revoked");
    house.set(true);
    // The right to undo outlives the right to do.
    world.remit(&["revert", &run]).exits(0);
    assert!(!house.is_lit());

    // So does the trust in who signed it: without it nothing is opened, and nothing new starts.
    let file = world.home().join("remit.toml");
    let text = fs::read_to_string(&file).unwrap();
    let key = world.kept_key("publishers", "publisher");
    fs::write(&file, text.replace(&format!("\"{key}\""), "")).unwrap();
    assert_ne!(world.run("last").code, 0);
    assert!(!house.is_lit());
    world.remit(&["doctor"]).exits(1).out.find("connector house").unwrap();
    house.set(true);
    world.remit(&["revert", &run]).exits(0);
    world.audit_is_sound();
}

/// What the connectors' authors recorded of the real systems is played again, without any.
#[test]
fn the_shipped_connectors_pass_their_tests_offline() {
    let world = World::empty();
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/connectors"));
    let mut tested = 0;
    let examples = folder.join("declarative/examples");
    for connector in
        [folder, &examples].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten())
    {
        let tests = connector.path().join("tests");
        if !tests.exists() {
            continue;
        }
        let component = crate::common::plugins().join(connector.file_name()).with_extension("wasm");
        let files = fs::read_dir(&tests).unwrap().map(|file| file.unwrap().path().display().to_string());
        let files: Vec<String> = files.collect();
        let mut asked = vec!["test", component.to_str().unwrap()];
        asked.extend(files.iter().map(String::as_str));
        world.remit(&asked).exits(0).out.find(&format!("{} passed, 0 failed", files.len())).unwrap();
        tested += files.len();
    }
    assert!(tested > 10, "{tested}");

    // An action that uses connectors is tested without any.
    let action = crate::common::plugins().join("revoke-leaked-token.wasm");
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/revoke-leaked-token/tests"));
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path().display().to_string());
    let files: Vec<String> = files.collect();
    let mut asked = vec!["test", action.to_str().unwrap()];
    asked.extend(files.iter().map(String::as_str));
    world.remit(&asked).exits(0).out.find("3 passed, 0 failed").unwrap();
    let text = fs::read_to_string(folder.join("revoked.toml")).unwrap();
    for (was, is, code, told) in [
        (
            "resource  = \"token:npm/42\"",
            "resource = \"token:npm/43\"",
            1,
            "no [[call]] answers remit:tokens/revoke.revoke on token:npm/42",
        ),
        ("returns   = false", "returns = true", 1, "still works"),
        ("returns   = false", "returns = \"no\"", 2, "a bool is wanted"),
        ("check.works", "check.work", 2, "the action does not import it"),
    ] {
        assert!(text.contains(was), "{was}");
        world.write("other.toml", text.replace(was, is));
        let ran = world.remit(&["test", action.to_str().unwrap(), "other.toml"]).exits(code);
        assert!(ran.out.contains(told) || ran.err.contains(told), "no `{told}` in {}{}", ran.out, ran.err);
    }
}

#[test]
fn a_test_is_recorded_from_the_real_system_and_played_without_it() {
    let house = House::new();
    let world = world(&house, "config = { note = \"of the entry\" }");
    let lamps = world.home().join("lamps.wasm");
    let lamps = lamps.to_str().unwrap();
    let entry = world.home().join("remit.toml");
    let record = ["test", lamps, "turn.toml", "--record", "--entry", entry.to_str().unwrap()];
    let call = "# Kept.\nfunction = \"acme:lamps/switch.turn\"\narguments = { path = \"house/hall/door\", on = true }\n";
    world.write("turn.toml", call);
    world.remit(&record).exits(0).says("Nobody approves it, and no journal has it");
    assert!(!house.is_lit() && house.writes() == 2, "it was switched on, and off again");
    let recorded = fs::read_to_string(world.path("turn.toml")).unwrap();
    for line in [
        "# Kept.",
        "config = { note = \"of the entry\" }",
        "run = \"prepare\"\nexpect = { undo = { lit = false }, describe = \"switch it off again\", would_return = false }",
        "send = \"PUT /lamps/hall/door\"",
        "expect = { state = \"after\" }",
    ] {
        assert!(recorded.contains(line), "{line} in {recorded}");
    }
    assert!(!recorded.contains("the-token-of-the-house"), "{recorded}");

    let asked = house.log().len();
    world.remit(&["test", lamps, "turn.toml", "--filter", "turn"]).exits(0);
    assert_eq!(house.log().len(), asked, "nobody is asked");
    // What it may not send is not sent to a fixture either.
    world.write("twice.toml", recorded.replace("note = \"of the entry\"", "evil = \"twice\""));
    world.remit(&["test", lamps, "twice.toml"]).exits(1).out.find("a second change in one call").unwrap();
    world.write("other.toml", call.replace("house/", "villa/"));
    world
        .remit(&["test", lamps, "other.toml", "--record", "--entry", entry.to_str().unwrap()])
        .exits(2)
        .says("give them one name");
    world.add("rotate-secret");
    world.write("action.toml", "[input]\n");
    let asked = ["test", "rotate-secret.wasm", "action.toml", "--record", "--entry", "home/remit.toml"];
    world.remit(&asked).exits(2).says("is an action");
}
