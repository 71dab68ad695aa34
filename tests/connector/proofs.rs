//! What holds while a run is going on, and between homes.

use std::fs;
use std::process::Stdio;

use jiff::SignedDuration;
use remit_journal::RunState;
use remit_lifecycle::{Decision, Home, Input, KeyHolder, RequestOptions};
use remit_sandbox::Candidate;
use remit_trust::Signer;

use super::house::{House, Strike};
use super::{ACTION, SCOPE, world};
use crate::common::World;

/// An action that looks at the lamp before it switches it on.
fn look_first(world: &World) -> &'static str {
    let text = super::action();
    let look = "(call $lit (i32.const 16) (i32.const 15) (i32.const 256))\n";
    world.write(
        "look.wasm",
        wat::parse_str(text.replace("(call $turn", &format!("{look}(call $turn"))).unwrap(),
    );
    world.remit(&["sign", "look.wasm", "--key", "publisher.key"]).exits(0);
    "look.wasm"
}

/// The connector's publisher is another one than the action's, so that one can go and the other stay.
fn by_another_publisher(world: &World) {
    world.remit(&["keys", "new", "--out", "house"]).exits(0);
    fs::copy(world.path("house.pub"), world.home().join("keys/publishers/house.pub")).unwrap();
    let file = world.home().join("remit.toml");
    let text = fs::read_to_string(&file).unwrap();
    let own = world.kept_key("publishers", "publisher");
    let both = format!("\"{own}\", \"keys/publishers/house.pub\"");
    assert!(text.contains(&format!("\"{own}\"")), "{text}");
    fs::write(&file, text.replace(&format!("\"{own}\""), &both)).unwrap();
    let component = world.home().join("lamps.wasm");
    world.remit(&["sign", component.to_str().unwrap(), "--key", "house.key", "--force"]).exits(0);
}

#[test]
fn a_connector_that_is_revoked_stops_a_run_at_its_next_call() {
    for basis in ["connector-digest", "key"] {
        let house = House::new();
        let world = world(&house, "");
        by_another_publisher(&world);
        let action = look_first(&world);
        // Whose digest and whose key, an earlier run tells.
        world.grant_scope(SCOPE, action, "{}", "first");
        world.run("first").exits(0);
        let (_, records) = world.last_run();
        let of = &records[0]["event"]["started"]["connectors"][0];
        let what = if basis == "key" { &of["publisher"] } else { &of["component"]["digest"] };
        let what = what.as_str().unwrap().to_owned();
        house.set(false);
        let writes = house.writes();

        world.grant_scope(SCOPE, action, "{}", "next");
        house.hold();
        let mut run = world.command(&["run", &world.request("next"), "--key", "bot.key"]);
        let run = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        house.await_request();
        world.remit(&["revoke", basis, &what, "--reason", "it lies", "--key", "alice.key"]).exits(0);
        house.release();
        let ended = run.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(3), "{basis}: {told}");
        assert!(told.contains("revoked"), "{basis}: {told}");
        assert!(!house.is_lit() && house.writes() == writes, "{basis}: nothing was sent after it");
        let (_, records) = world.last_run();
        let changes = records.iter().filter(|record| record["event"]["intent"]["effect"] == "change").count();
        assert_eq!(changes, 0, "{basis}");
        world.audit_is_sound();
    }
}

const CODE: &str = "the-code-of-the-lock-7f3a";

/// An action that locks the lamp with the sealed input `code`: its input is an object with that member alone.
fn locking(world: &World) -> &'static str {
    let text = super::action()
        .replace("acme:lamps/switch@0.1.0", "acme:lamps/lock@0.1.0")
        .replace(
            "(export \"turn\" (func (param \"path\" string) (param \"on\" bool) (result (result bool (error $own)))))",
            "(export \"set\" (func (param \"path\" string) (param \"code\" string) (result (result (error $own)))))",
        )
        .replace("(func $switch \"turn\")", "(func $switch \"set\")")
        .replace("(func $turn (param i32 i32 i32 i32))", "(func $turn (param i32 i32 i32 i32 i32))")
        .replace(
            "(call $turn (i32.const 16) (i32.const 15) (i32.const 1) (i32.const 256))",
            "(call $turn (i32.const 16) (i32.const 15) (i32.add (local.get 0) (i32.const 9)) \
             (i32.sub (local.get 1) (i32.const 11)) (i32.const 256))",
        );
    world.write("lock.wasm", wat::parse_str(text).unwrap());
    world.remit(&["sign", "lock.wasm", "--key", "publisher.key"]).exits(0);
    "lock.wasm"
}

/// What was set with a sealed argument is compared with its value, taken back, and found after a crash.
#[test]
fn a_change_with_a_sealed_argument_is_taken_back_and_recovered() {
    let house = House::new();
    house.set(true);
    let world = world(&house, "");
    let action = locking(&world);
    let ask = |name: &str| {
        world.write("code", CODE);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(world.path("code"), private).unwrap();
        world.ask(&["request", action, "--input", "{}", "--secret-input", "code=@code"], name);
        fs::remove_file(world.path("code")).unwrap();
    };
    ask("first");
    world.run("first").exits(0);
    assert_eq!(house.code().as_deref(), Some(CODE));
    let (run, _) = world.last_run();
    world.remit(&["revert", &run, "--dry-run"]).exits(0);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(house.code(), None);
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));

    // Killed at each request of a run: what is there is what the run's state says.
    let mut at = 0;
    let mut struck = true;
    while struck {
        struck = false;
        for after in [false, true] {
            ask("next");
            let mut run = world.command(&["run", &world.request("next"), "--key", "bot.key"]);
            let child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            struck |= house.strike(Strike { at, after }, child);
            world.remit(&["recover"]);
            let (run, records) = world.last_run();
            let state = records.iter().rev().find_map(|record| record["event"]["ended"]["state"].as_str());
            let locked = matches!(state, Some("succeeded" | "held"));
            assert_eq!(house.code().is_some(), locked, "struck at {at}, after {after}: {state:?}");
            if locked {
                world.remit(&["revert", &run]).exits(0);
            }
            assert_eq!(house.code(), None);
        }
        at += 1;
    }
    assert!(at > 4, "it makes a few requests");
    for secret in [CODE, "the-token-of-the-house"] {
        assert!(!crate::common::contains(&world.all_bytes(), secret), "{secret} is in the home");
    }
    world.audit_is_sound();
}

/// A home in this process, with the bot and alice.
struct Opened {
    host: remit_lifecycle::Host,
    bot: KeyHolder,
    alice: KeyHolder,
    action: Candidate,
}

impl Opened {
    fn of(world: &World) -> Self {
        let key = |name: &str| KeyHolder::from(Signer::load(&world.path(name)).unwrap());
        let action = Candidate::read(&world.path(ACTION)).unwrap();
        Self {
            host: Home::at(&world.home()).open().unwrap(),
            bot: key("bot.key"),
            alice: key("alice.key"),
            action,
        }
    }

    async fn run(&self) -> RunState {
        let input = Input::of(&serde_json::json!({})).unwrap();
        let options = RequestOptions {
            reason: "test".to_owned(),
            incident: None,
            ttl: SignedDuration::from_mins(15),
            uses: Some(1),
            triggers: Vec::new(),
            break_glass: false,
        };
        let asked =
            self.bot.request_run(&self.host, &self.action, &input, (None, false), options).await.unwrap();
        let decision = Decision { approve: true, reason: String::new(), expect: None };
        self.alice.decide(&self.host, asked.request.id, &decision).await.unwrap();
        self.bot.execute(&self.host, asked.request.id, Some((&self.action, &input))).await.unwrap().state
    }
}

/// Each home has its own connectors, also where both call them the same and one process has both.
#[test]
fn two_homes_in_one_process_have_each_their_own_connector() {
    let houses = [House::new(), House::new()];
    let worlds = [world(&houses[0], ""), world(&houses[1], "")];
    let without = World::with(&[]);
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    threads.block_on(async {
        let homes = [Opened::of(&worlds[0]), Opened::of(&worlds[1])];
        let none = Home::at(&without.home()).open().unwrap();
        assert!(none.setup().unwrap().registry.named("acme:lamps/read").is_none());
        assert_eq!(homes[0].run().await, RunState::Succeeded);
        assert!(houses[0].is_lit() && !houses[1].is_lit() && houses[1].log().is_empty());
        houses[0].set(false);
        let (one, other) = tokio::join!(homes[0].run(), homes[1].run());
        assert_eq!((one, other), (RunState::Succeeded, RunState::Succeeded));
        assert_eq!((houses[0].writes(), houses[1].writes()), (2, 1));
        for opened in &homes {
            opened.host.finish().await.unwrap();
        }
    });
}

/// With the policies that Remit ships: who chooses the value of a sealed input can test guesses, so a rehearsal that asks a system about
/// it reads content, and software may not do that.
#[test]
fn software_cannot_test_guesses_in_rehearsals() {
    let house = House::new();
    let world = World::with(&["revoke-leaked-token", "openbao-tokens"]);
    for file in ["openbao-tokens.wasm", "openbao-tokens.wasm.sig"] {
        fs::rename(world.path(file), world.home().join(file)).unwrap();
    }
    let file = world.home().join("remit.toml");
    let text = fs::read_to_string(&file).unwrap();
    let entry = format!(
        "\n[[connector]]\nname = \"bao\"\ncomponent = \"openbao-tokens.wasm\"\norigin = \"{}\"\n\
         allow_private = [\"127.0.0.1/32\"]\npost_reads = true\n",
        house.address
    );
    fs::write(&file, text + &entry).unwrap();
    world.policies(include_str!("../../host/policy/default/default.cedar"));
    world.write("guess", "hvs.a-guess");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(world.path("guess"), private).unwrap();
    let plan = [
        "plan",
        "revoke-leaked-token.wasm",
        "--input",
        "{\"place\":\"bao\"}",
        "--secret-input",
        "token=@guess",
    ];
    let asked = house.log().len();
    world.remit(&[&plan[..], &["--key", "bot.key"]].concat()).exits(3).says("rehearse");
    let narrow = "[[allow]]\ncapability = \"remit:tokens/check\"\nresources = [\"token:bao\"]\n";
    world.write("narrow.toml", narrow);
    world.remit(&[&plan[..], &["--scope", "narrow.toml", "--key", "bot.key"]].concat()).exits(3);
    let request = [
        "request",
        "revoke-leaked-token.wasm",
        "--input",
        "{\"place\":\"bao\"}",
        "--secret-input",
        "token=@guess",
        "--reason",
        "r",
    ];
    world.remit(&[&request[..], &["--key", "bot.key"]].concat()).exits(3);
    assert_eq!(house.log().len(), asked, "no guess left this machine");
    // A person may: the system is asked, and this one knows no tokens.
    world.remit(&[&plan[..], &["--key", "alice.key"]].concat()).exits(1);
    assert!(house.log().len() > asked);
}
