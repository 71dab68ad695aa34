//! What comes after a run: reverts by hand, killed hosts, calls in doubt, and keys that change and expire.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../host/journal/tests/support/mod.rs"]
mod journal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::bao::Doubt;
use crate::common::{SECRET, World, contains, finish, scope};

const ACTION: &str = "rotate-secret.wasm";
const ENDLESS: &str = "[limits]\nfuel = 1_000_000_000_000\nwall_time = \"5m\"\n";

fn input() -> String {
    format!(r#"{{"path":"{SECRET}"}}"#)
}

fn rotated(world: &World, name: &str) -> String {
    world.grant(ACTION, &input(), name);
    world.run(name).exits(0).json()["run"].as_str().unwrap().to_owned()
}

/// A run that has rotated the secret and then does not end.
fn endless(world: &World, head: &str) -> Child {
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "endless");
    let request = world.request("endless");
    let args = ["run", &request, "--key", "bot.key"];
    let before = world.current_version(SECRET);
    let host = world.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while world.current_version(SECRET) == before {
        assert!(Instant::now() < until, "the run does not begin");
        std::thread::sleep(Duration::from_millis(30));
    }
    host
}

fn kill(mut host: Child) {
    host.kill().unwrap();
    host.wait().unwrap();
}

/// The states of all runs, oldest first.
fn states(world: &World) -> Vec<Option<String>> {
    let runs = world.remit(&["runs", "--json"]).exits(0).json();
    let state = |run: &serde_json::Value| run["state"].as_str().map(str::to_owned);
    runs.as_array().unwrap().iter().map(state).collect()
}

#[test]
fn a_dry_run_tells_and_touches_nothing() {
    let world = World::new();
    let run = rotated(&world, "g");
    let dry = || world.remit(&["revert", &run, "--dry-run"]);
    let before = world.remit(&["show", &run, "--json"]).out;
    assert!(dry().exits(0).out.contains("would be reverted"));
    assert_eq!(world.remit(&["show", &run, "--json"]).out, before);
    assert_eq!(world.current_version(SECRET), 2);
    // Someone else rotates by hand: the dry run says so, as the revert would.
    world.remit_with_stdin(&["secret", "put", SECRET, "api_key"], "theirs").exits(0);
    let told = dry().exits(5);
    assert!(told.out.contains("version 3") && !told.out.contains("theirs"), "{told:?}");
}

#[test]
fn a_conflict_stops_a_revert_unless_told_to_keep_going() {
    let world = World::new();
    let second = "prod/payments/other";
    world.remit(&["secret", "put", second, "k", "--generate"]).exits(0);
    let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}","{second}"]}}"#);
    world.grant_scope(&scope("[limits]\nchanges = 5\n", "prod/payments/*"), "misbehave.wasm", &input, "g");
    let ran = world.run("g").exits(0).json();
    let run = ran["run"].as_str().unwrap();
    world.remit_with_stdin(&["secret", "put", second, "k"], "theirs").exits(0);

    let told = world.remit(&["revert", run]).exits(5);
    assert!(told.out.contains("held") && told.out.contains("not tried"), "{told:?}");
    assert_eq!((world.current_version(SECRET), world.current_version(second)), (2, 3));
    let told = world.remit(&["revert", run, "--keep-going", "--reason", "the other is theirs now"]).exits(5);
    assert!(told.out.contains("undone"), "{told:?}");
    assert_eq!((world.current_version(SECRET), world.current_version(second)), (3, 3));
    let shown = world.remit(&["show", run, "--json"]).exits(0).out;
    assert!(shown.contains("the other is theirs now"), "{shown}");
    world.audit_is_sound();
}

/// What a revert took back is settled: if someone makes the same change again, that is theirs.
#[test]
fn a_second_revert_does_not_take_back_someone_elses_change() {
    let world = World::new();
    let input = format!(r#"{{"do":"disable","path":"{SECRET}","version":1}}"#);
    let disable = |name: &str| {
        world.grant_scope(&scope("", SECRET), "misbehave.wasm", &input, name);
        world.run(name).exits(0).json()["run"].as_str().unwrap().to_owned()
    };
    let first = disable("g");
    world.remit(&["revert", &first]).exits(0);
    disable("h");
    world.remit(&["revert", &first]).exits(0);
    let shown = world.remit(&["secret", "show", SECRET, "--json"]).exits(0).json();
    assert_eq!(shown["versions"][0]["state"], "disabled", "the second run's change stands");
}

#[test]
fn a_run_that_goes_on_is_left_alone() {
    let world = World::new();
    let host = endless(&world, ENDLESS);
    let (run, _) = world.last_run();
    assert_eq!(world.remit(&["recover", "--json"]).exits(0).json(), serde_json::json!([]));
    world.remit(&["revert", &run]).exits(2).says("going on in another process");
    // Neither may the keys be changed under it.
    world.remit(&["journal", "rekey"]).exits(1).says("in use by another");
    world.remit(&["journal", "expire-undo", "--older-than", "0s"]).exits(1).says("in use by another");
    assert_eq!(world.current_version(SECRET), 2);
    kill(host);
    // The next command that acts recovers it first.
    let other = world.remit(&["plan", ACTION, "--input", &input()]).exits(0);
    assert!(other.err.contains(&run) && other.err.contains("reverted"), "{}", other.err);
    assert_eq!(world.current_version(SECRET), 3);
    world.audit_is_sound();
}

/// A run stops, and comes to its end, as soon as the order is on record: also before whoever gave it is told which runs stop.
#[test]
fn an_order_names_the_run_that_it_stopped_also_if_that_has_ended_by_then() {
    let world = World::new();
    let host = endless(&world, ENDLESS);
    let (run, _) = world.last_run();
    let mut freeze = world.command(&["freeze", "--reason", "now", "--key", "alice.key", "--json"]);
    freeze.envs(world.clock()).env("REMIT_TEST_SLEEP", "2000");
    let told = finish(freeze, "").exits(0).json();
    assert_eq!(told["stopping"], serde_json::json!([run]));
    assert_eq!(host.wait_with_output().unwrap().status.code(), Some(3));
    assert_eq!(states(&world), [Some("reverted".to_owned())]);
    world.audit_is_sound();
}

#[test]
fn a_killed_run_is_held_where_the_scope_says_so() {
    let world = World::new();
    let head = format!("on_failure = \"hold\"\n{ENDLESS}");
    kill(endless(&world, &head));
    let told = world.remit(&["recover"]).exits(5);
    assert!(told.out.contains("held"), "{told:?}");
    assert_eq!(world.current_version(SECRET), 2);
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(world.current_version(SECRET), 3);
    world.audit_is_sound();
}

#[test]
fn two_runs_on_one_secret() {
    let world = World::new();
    for name in ["one", "two"] {
        let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}","{SECRET}","{SECRET}"]}}"#);
        world.grant_scope(&scope("[limits]\nchanges = 5\n", SECRET), "misbehave.wasm", &input, name);
    }
    let hosts: Vec<Child> = ["one", "two"]
        .iter()
        .map(|name| {
            let request = world.request(name);
            let args = ["run", &request, "--key", "bot.key"];
            world.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut host in hosts {
        host.wait().unwrap();
    }
    // Whatever their order, each ended in a named state, and no one's rotation was lost unseen.
    for state in states(&world) {
        assert!(["succeeded", "reverted", "held", "failed"].contains(&state.unwrap().as_str()));
    }
    assert_eq!(world.remit(&["recover", "--json"]).exits(0).json(), serde_json::json!([]));
    world.audit_is_sound();
}

fn state(doubt: &Doubt) -> String {
    states(&doubt.world).pop().unwrap().unwrap()
}

#[test]
fn an_irrevocable_call_in_doubt_waits_for_a_person() {
    let doubt = Doubt::about_a_destroy("");
    let run = doubt.run.as_str();
    // Nothing but a person's word ends the doubt, whatever the system looks like.
    doubt.does(&["revert", run]).exits(5);
    assert_eq!(state(&doubt), "in-doubt");
    doubt.does(&["revert", run, "--dry-run"]).exits(5);
    assert_eq!(doubt.does(&["recover", "--json"]).exits(0).json(), serde_json::json!([]));
    doubt.does(&["resolve", run, "--reason", "x"]).exits(2);
    doubt.does(&["resolve", run, "--happened", "--did-not-happen", "--reason", "x"]).exits(2);
    doubt.does(&["resolve", run, "--happened", "--reason", " "]).exits(2).says("no reason");
    doubt.does(&["resolve", run, "--happened", "--reason", "x", "--call", "9"]).exits(2).says("not in doubt");
    assert_eq!(state(&doubt), "in-doubt");

    let told =
        doubt.does(&["resolve", run, "--happened", "--reason", "the vault's own log says so"]).exits(5);
    assert!(told.out.contains("held"), "{told:?}");
    assert_eq!(state(&doubt), "held");
    let shown = doubt.does(&["show", run]).exits(0).out;
    assert!(shown.contains("the vault's own log says so"), "{shown}");
    doubt.does(&["resolve", run, "--happened", "--reason", "x"]).exits(2).says("not in doubt");
    doubt.does(&["audit", "verify"]).exits(0);
    assert_eq!(doubt.bao.metadata(SECRET)["data"]["versions"]["1"]["destroyed"], true);
}

#[test]
fn what_did_not_happen_leaves_nothing_to_take_back() {
    for head in ["", "on_failure = \"hold\"\n"] {
        let doubt = Doubt::about_a_destroy(head);
        let told =
            doubt.does(&["resolve", &doubt.run, "--did-not-happen", "--reason", "a test says so"]).exits(0);
        assert!(told.out.contains("failed"), "{told:?}");
        assert_eq!(state(&doubt), "failed");
        doubt.does(&["revert", &doubt.run]).exits(2).says("it changed nothing");
        doubt.does(&["audit", "verify"]).exits(0);
    }
}

#[test]
fn the_seal_key_changes_and_every_run_can_still_be_reverted() {
    let world = World::new();
    let run = rotated(&world, "g");
    let key = world.home().join("seal.key");
    let old = fs::read(&key).unwrap();
    world.remit(&["journal", "rekey"]).exits(0);
    assert_ne!(fs::read(&key).unwrap(), old);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    world.audit_is_sound();

    // The old key opens nothing any more, and is not mistaken for the new one; neither is a fresh one.
    let new = fs::read(&key).unwrap();
    for wrong in [&old, &vec![7; 32]] {
        fs::write(&key, wrong).unwrap();
        world.remit(&["revert", &run]).exits(4).says("not the key");
    }
    fs::remove_file(&key).unwrap();
    world.remit(&["revert", &run]).exits(4).says("is missing");
    assert!(!key.exists(), "no key is made up in its place");
    // A change of keys that was cut short right before its last step.
    fs::write(world.home().join("seal.key.new"), &new).unwrap();
    fs::set_permissions(world.home().join("seal.key.new"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, &old).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(world.current_version(SECRET), 3);
    assert_eq!(fs::read(&key).unwrap(), new);
    world.audit_is_sound();
}

#[test]
fn undo_data_expires_for_good() {
    let world = World::new();
    let run = rotated(&world, "g");
    let held = {
        let input = format!(r#"{{"do":"rotate-then-fail","path":"{SECRET}"}}"#);
        world.grant_scope(&scope("on_failure = \"hold\"\n", SECRET), "misbehave.wasm", &input, "h");
        world.run("h").exits(5).json()["run"].as_str().unwrap().to_owned()
    };
    world.remit(&["journal", "expire-undo", "--older-than", "1h"]).exits(0);
    world.remit(&["revert", &run, "--dry-run"]);
    for wrong in ["soon", "-3d", "99999999999d"] {
        assert_eq!(world.remit(&["journal", "expire-undo", "--older-than", wrong]).code, 2, "{wrong}");
    }
    let key: Vec<u8> = rusqlite::Connection::open(world.home().join("journal.db"))
        .unwrap()
        .query_row("SELECT sealed FROM run_key WHERE run = ?1", [&run], |row| row.get(0))
        .unwrap();
    let told = world.remit(&["journal", "expire-undo", "--older-than", "0s"]).exits(0);
    assert!(told.out.contains(&run) && !told.out.contains(&held), "a held run is kept: {}", told.out);
    world.remit(&["revert", &run]).exits(1).says("can no longer be reverted");
    world.remit(&["revert", &held]).exits(0);
    world.audit_is_sound();
    assert!(world.remit(&["show", &run]).exits(0).out.contains("undo expired"));
    let bytes = world.all_bytes();
    assert!(!bytes.windows(key.len()).any(|window| window == key), "the key is nowhere any more");
    assert!(!contains(&bytes, "old-value"));
}

/// A run that only another version could take back does not keep this one from its work.
#[test]
fn a_run_that_cannot_be_recovered_is_told_of_and_left_alone() {
    let world = World::new();
    rotated(&world, "g");
    let (_, records) = world.last_run();
    let stranger = remit_journal::RunId::new();
    let record = |of: &serde_json::Value, change: &dyn Fn(&mut serde_json::Value)| {
        let mut record = of.clone();
        record.as_object_mut().unwrap().remove("seq");
        record["run"] = stranger.to_string().into();
        change(&mut record);
        serde_json::from_str::<remit_journal::Record>(&record.to_string()).unwrap()
    };
    let change = records.iter().find(|record| record["event"]["intent"]["effect"] == "change").unwrap();
    let seed = fs::read(world.home().join("log.key")).unwrap().try_into().unwrap();
    let signer = remit_tlog::NoteSigner::from_seed("test.example/journal", &seed).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let journal = remit_journal::Journal::open(&world.home().join("journal.db"), signer).unwrap();
        let start = record(&records[0], &|record| record["event"]["started"]["grant"]["uses"] = 9.into());
        journal.start(start, remit_trust::Sealed::from_bytes(Vec::new())).await.unwrap();
        let unknown = |record: &mut serde_json::Value| {
            record["event"]["intent"]["operation"] = "remit:tickets/close.close".into();
            record["event"]["intent"]["call"] = 1.into();
        };
        journal.commit(record(change, &unknown)).await.unwrap();
    });
    let before = world.remit(&["show", &stranger.to_string(), "--json"]).out;
    world.remit(&["recover"]).exits(4).says(&stranger.to_string()).says("does not know it");
    let next = rotated(&world, "h");
    world.remit(&["revert", &next]).exits(0).says("could not be recovered");
    assert_eq!(
        world.remit(&["show", &stranger.to_string(), "--json"]).out,
        before,
        "nothing of it was touched"
    );
    world.audit_is_sound();
}

#[test]
fn two_recoveries_at_once_recover_a_run_once() {
    let world = World::new();
    kill(endless(&world, ENDLESS));
    let (run, _) = world.last_run();
    let spawn = || {
        let mut command = world.command(&["recover", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both: Vec<Child> = (0..4).map(|_| spawn()).collect();
    let mut recovered = 0;
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let runs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        recovered += runs.as_array().unwrap().len();
    }
    assert_eq!(recovered, 1);
    let shown = world.remit(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["story"]["states"].as_array().unwrap().len(), 1);
    assert_eq!(world.current_version(SECRET), 3);
    world.audit_is_sound();
}
