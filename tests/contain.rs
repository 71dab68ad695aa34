//! Changes that stand only for a while: `restore_after` and `page_after` of a scope.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::bao::Bao;
use crate::common::server::{Server, problem, signed};
use crate::common::{Ran, SECRET, World, finish, scope};
use serde_json::{Value, json};

/// The newest live run, with a state of its own.
struct Run<'w> {
    world: &'w World,
    id: String,
}

impl<'w> Run<'w> {
    /// A run that rotated the secret, under a scope with this at its head.
    fn of(world: &'w World, head: &str) -> Self {
        let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}"]}}"#);
        world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "g");
        let id = world.run("g").exits(0).json()["run"].as_str().unwrap().to_owned();
        Self { world, id }
    }

    fn summary(&self) -> Value {
        let runs = self.world.remit(&["runs", "--live", "--json"]).exits(0).json();
        runs.as_array().unwrap().iter().find(|run| run["run"] == *self.id).unwrap().clone()
    }

    /// Its kinds of records.
    fn kinds(&self) -> Vec<String> {
        let shown = self.world.remit(&["show", &self.id, "--json"]).exits(0).json();
        let records = shown["records"].as_array().unwrap();
        records.iter().map(|r| r["event"].as_object().unwrap().keys().next().unwrap().clone()).collect()
    }

    /// Waits until its time is up: what comes next is what a host does then.
    fn is_up(&self, at: &str) {
        let until: jiff::Timestamp = self.summary()[at].as_str().expect("it has a time").parse().unwrap();
        while jiff::Timestamp::now() <= until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn extend(&self, until: &str, key: &str) -> Ran {
        self.world.remit(&["extend", &self.id, "--until", until, "--reason", "looked at", "--key", key])
    }
}

#[test]
fn what_nobody_extends_is_undone_at_the_next_start() {
    let world = World::new();
    let run = Run::of(&world, "restore_after = \"1s\"");
    assert_eq!(world.current_version(SECRET), 2);
    let shown = world.remit(&["request", "show", &world.request("g")]).exits(0).out;
    assert!(shown.contains("its changes are undone 1s after its end, unless a person extends"), "{shown}");
    let status = world.remit(&["status"]).out;
    assert!(status.contains("stand for a while only") && status.contains("remit extend"), "{status}");
    let status = world.remit(&["status", "--json"]).json();
    assert_eq!(status["contained"][0]["run"], *run.id);
    run.is_up("restore_at");
    // Reading does nothing.
    assert_eq!(run.summary()["state"], "succeeded");
    let told = world.remit(&["recover"]).exits(0).out;
    assert!(told.contains("reverted because its `restore_after` was up"), "{told}");
    let summary = run.summary();
    assert_eq!((&summary["state"], &summary["restore_at"]), (&json!("reverted"), &Value::Null));
    // The old value is back.
    assert_eq!(world.current_version(SECRET), 3);
    let story = world.remit(&["show", &run.id, "--json"]).exits(0).json()["story"].clone();
    assert_eq!(story["states"][1]["by"], Value::Null);
    assert_eq!(story["states"][1]["why"], "its changes stood for longer than its `restore_after`");
    assert!(world.remit(&["recover"]).exits(0).out.contains("nothing to recover"));
    world.audit_is_sound();
    // The proof of it holds, and the run can be replayed.
    world.remit(&["audit", "prove", &run.id, "--out", "run.proof"]).exits(0);
    world.remit(&["audit", "check-proof", "run.proof", "--key", "home/log.pub"]).exits(0);
    world.remit(&["replay", &run.id]).exits(0);
}

#[test]
fn who_approves_is_told_that_it_stands_for_longer_than_last_time() {
    let world = World::new();
    Run::of(&world, "restore_after = \"1h\"");
    let shown = |head: &str| {
        let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}"]}}"#);
        world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "next");
        world.remit(&["request", "show", &world.request("next")]).exits(0).out
    };
    assert!(shown("restore_after = \"1h\"").contains("the same as at"));
    let longer = shown("on_failure = \"hold\"");
    assert!(longer.contains("not now: then, its changes are undone 1h after its end"), "{longer}");
    assert!(longer.contains("new: if it fails, its changes stay, and a person decides"), "{longer}");
}

#[test]
fn any_command_that_acts_undoes_it_and_says_so() {
    let world = World::new();
    let run = Run::of(&world, "restore_after = \"1s\"");
    run.is_up("restore_at");
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    let plan = world.remit(&["plan", "rotate-secret.wasm", "--input", &input]).exits(0);
    plan.says("was up (`restore_after`); it is reverted now");
    assert_eq!(run.summary()["state"], "reverted");
}

#[test]
fn a_person_extends_in_time_and_within_bounds() {
    let world = World::new();
    let run = Run::of(&world, "restore_after = \"1h\"");
    let first = run.summary()["restore_at"].as_str().unwrap().to_owned();
    run.extend("3h", "bot.key").exits(3).says("it is software");
    run.extend("30m", "alice.key").exits(2).says("is not later");
    run.extend("31d", "alice.key").exits(2).says("30 days after its end");
    run.extend("soon", "alice.key").exits(2).says("neither a time nor a duration");
    let prepared = ["extend", &run.id, "--until", "3h", "--reason", "looked at", "--prepare", "order"];
    world.remit(&prepared).exits(0);
    let later = run.extend("2h", "alice.key").exits(0).out;
    assert!(later.contains("until"), "{later}");
    let second = run.summary()["restore_at"].as_str().unwrap().to_owned();
    assert!(second > first, "{first} {second}");
    // What was signed elsewhere counts as well, once.
    let mut sign = Command::new("openssl");
    sign.args(["dgst", "-sha256", "-sign", "alice.key", "-out", "order.sig", "order"]);
    assert!(sign.current_dir(world.dir.path()).status().unwrap().success());
    let submit = || world.remit(&["extend", &run.id, "--signed", "order"]);
    submit().exits(0);
    submit().exits(2).says("is not later");
    let shown = world.remit(&["show", &run.id]).exits(0).out;
    assert!(shown.contains("extended") && shown.contains("by alice: looked at"), "{shown}");
    let story = world.remit(&["show", &run.id, "--json"]).exits(0).json()["story"].clone();
    assert_eq!(story["extended"].as_array().unwrap().len(), 2);
    assert_eq!(story["state"], "succeeded");
    // It waits: its undo data is kept, whatever its age.
    let expired = world.remit(&["journal", "expire-undo", "--older-than", "0s", "--json"]).exits(0).json();
    assert!(!expired.to_string().contains(&run.id), "{expired}");
    world.remit(&["revert", &run.id]).exits(0);
    run.extend("5h", "alice.key").exits(2).says("has done so already");
    world.audit_is_sound();
}

#[test]
fn what_is_up_is_extended_no_more() {
    let world = World::new();
    let run = Run::of(&world, "restore_after = \"1s\"");
    run.is_up("restore_at");
    // The command undoes them first, as any does.
    run.extend("2h", "alice.key").exits(2).says("has done so already");
    assert_eq!(run.summary()["state"], "reverted");
    let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}"]}}"#);
    world.grant_scope(&scope("", SECRET), "misbehave.wasm", &input, "plain");
    let plain = world.run("plain").exits(0).json()["run"].as_str().unwrap().to_owned();
    let refused = world.remit(&["extend", &plain, "--until", "2h", "--reason", "r"]);
    refused.exits(2).says("does not undo its changes by itself");
}

#[test]
fn what_somebody_else_changed_is_held_told_once_and_left_alone() {
    let world = World::new();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n[[notify]]\nname = \"f\"\nfile = \"events.jsonl\"\n").unwrap();
    world.remit(&["notify"]).exits(0);
    let run = Run::of(&world, "restore_after = \"1s\"");
    world.remit_with_stdin(&["secret", "put", SECRET, "api_key"], "theirs").exits(0);
    run.is_up("restore_at");
    world.remit(&["recover"]).exits(5).says("is held");
    let kinds = run.kinds();
    for _ in 0..3 {
        world.remit(&["recover"]).exits(0);
    }
    assert_eq!(run.kinds(), kinds);
    assert_eq!(run.summary()["restore_at"], Value::Null);
    assert_eq!(world.current_version(SECRET), 3);
    world.remit(&["notify"]).exits(0);
    let events = fs::read_to_string(world.home().join("events.jsonl")).unwrap();
    assert_eq!(events.matches("\"run-held\"").count(), 1, "{events}");
    world.audit_is_sound();
}

#[test]
fn a_system_that_fails_is_tried_again_later_and_not_at_once() {
    let mut bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=old"]);
    let world = World::empty();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + &bao.config()).unwrap();
    let run = Run::of(&world, "restore_after = \"1s\"");
    run.is_up("restore_at");
    bao.stop();
    world.remit(&["recover"]).exits(5).says("is in-doubt");
    let summary = run.summary();
    assert_eq!(summary["state"], "in-doubt");
    let again: jiff::Timestamp = summary["restore_at"].as_str().unwrap().parse().unwrap();
    let pause = again.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((30..=61).contains(&pause), "{pause}");
    let kinds = run.kinds();
    world.remit(&["recover"]).exits(0);
    assert_eq!(run.kinds(), kinds, "nothing more before its pause is over");
    world.audit_is_sound();
}

#[test]
fn people_are_called_once_when_the_time_for_that_is_up() {
    let world = World::new();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let notify =
        "\n[[notify]]\nname = \"f\"\nfile = \"events.jsonl\"\non = [\"run-due\", \"run-extended\"]\n";
    fs::write(&config, text + notify).unwrap();
    world.remit(&["notify"]).exits(0);
    let run = Run::of(&world, "page_after = \"1s\"\nrestore_after = \"2h\"");
    run.extend("3h", "alice.key").exits(0);
    run.is_up("page_at");
    for _ in 0..3 {
        world.remit(&["recover"]).exits(0);
    }
    world.remit(&["notify"]).exits(0);
    let events = fs::read_to_string(world.home().join("events.jsonl")).unwrap();
    let kinds: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["run-extended", "run-due"], "{events}");
    let summary = run.summary();
    assert_eq!((&summary["state"], &summary["page_at"]), (&json!("succeeded"), &Value::Null));
    assert!(summary["restore_at"].is_string(), "it is still undone later: {summary}");
    world.audit_is_sound();
}

#[test]
fn several_processes_undo_it_once() {
    let world = World::new();
    let run = Run::of(&world, "restore_after = \"1s\"");
    run.is_up("restore_at");
    let hosts: Vec<_> = (0..4)
        .map(|_| world.command(&["recover"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for mut host in hosts {
        assert!(host.wait().unwrap().success());
    }
    let undone = run.kinds().iter().filter(|kind| *kind == "undo-intent").count();
    assert_eq!((undone, world.current_version(SECRET)), (1, 3));
    world.audit_is_sound();
}

#[test]
fn a_held_run_is_undone_too_and_a_run_without_changes_never() {
    let world = World::new();
    let head = "on_failure = \"hold\"\nrestore_after = \"1s\"";
    let input = format!(r#"{{"do":"rotate-then-fail","path":"{SECRET}"}}"#);
    world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "held");
    world.run("held").exits(5);
    let (held, _) = world.last_run();
    let held = Run { world: &world, id: held };
    held.is_up("restore_at");
    world.remit(&["recover"]).exits(0);
    assert_eq!(held.summary()["state"], "reverted");
    let input = format!(r#"{{"do":"fail","path":"{SECRET}"}}"#);
    world.grant_scope(&scope("restore_after = \"1s\"", SECRET), "misbehave.wasm", &input, "idle");
    world.run("idle").exits(1);
    let (idle, _) = world.last_run();
    assert_eq!(Run { world: &world, id: idle }.summary()["restore_at"], Value::Null);
}

#[test]
fn a_server_does_it_by_itself_and_takes_an_extension() {
    let world = World::new();
    let first = Run::of(&world, "restore_after = \"1h\"");
    let server = Server::of(&world);
    let (alice, bot) = (server.client(&world, "alice"), server.client(&world, "bot"));
    let until = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2)).to_string();
    let body = json!({"reason": "looked at", "order": {"extend": {"run": first.id, "until": until}}});
    let order = |client| signed(client, "/api/v1/orders/prepare", &body, "/api/v1/orders");
    let (status, _, detail) = problem(order(&bot));
    assert_eq!(status, 403, "{detail}");
    let done = order(&alice).unwrap();
    assert_eq!(done["result"]["run"], *first.id);
    let second = Run::of(&world, "restore_after = \"1s\"");
    let limit = Instant::now() + Duration::from_secs(60);
    while second.summary()["state"] != "reverted" {
        assert!(Instant::now() < limit, "{}", second.summary());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(first.summary()["state"], "succeeded");
    assert!(server.stop());
    world.audit_is_sound();
}

#[test]
fn policies_may_ask_for_it_and_a_freeze_does_not_stop_it() {
    let world = World::new();
    let only = "@id(\"for-a-while\")\nforbid (principal, action == Remit::Action::\"propose\", resource)\n\
        unless { resource has restoreAfterSeconds && resource.restoreAfterSeconds <= 7200 };\n";
    world.policies(&format!("{}{only}", crate::common::POLICY));
    let input = format!(r#"{{"do":"rotate-many","paths":["{SECRET}"]}}"#);
    let ask = |head: &str| {
        world.write("scope.toml", scope(head, SECRET));
        let what = ["request", "misbehave.wasm", "--input", &input, "--scope", "scope.toml"];
        world.remit(&[&what[..], &["--without-plan", "--reason", "r", "--key", "bot.key"]].concat())
    };
    ask("").exits(3).says("for-a-while");
    ask("restore_after = \"3h\"").exits(3);
    let run = Run::of(&world, "restore_after = \"1s\"");
    world.remit(&["freeze", "--reason", "INC-9"]).exits(0);
    run.is_up("restore_at");
    world.remit(&["recover"]).exits(0);
    assert_eq!(run.summary()["state"], "reverted");
}

#[test]
fn the_time_of_a_killed_run_begins_when_it_is_recovered() {
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    let head = "on_failure = \"hold\"\nrestore_after = \"1s\"\n\
        [limits]\nfuel = 1_000_000_000_000\nwall_time = \"5m\"\n";
    world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "endless");
    let args = ["run", &world.request("endless"), "--key", "bot.key"];
    let mut host = world.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while world.current_version(SECRET) == 1 {
        assert!(Instant::now() < limit, "the run does not begin");
        std::thread::sleep(Duration::from_millis(30));
    }
    host.kill().unwrap();
    host.wait().unwrap();
    world.remit(&["recover"]).exits(5).says("is held");
    let (id, _) = world.last_run();
    let run = Run { world: &world, id };
    run.is_up("restore_at");
    world.remit(&["recover"]).exits(0);
    assert_eq!(run.summary()["state"], "reverted");
    world.audit_is_sound();
}

#[test]
fn it_holds_under_a_standing_scope_and_for_what_is_asked_for_instead() {
    let world = World::new();
    world.remit(&["secret", "put", "prod/other", "k", "--generate"]).exits(0);
    let allow = |name| {
        format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:{SECRET}\"]\n")
    };
    world.write("s.toml", format!("restore_after = \"1h\"\n{}{}", allow("inspect"), allow("rotate")));
    let standing = ["request", "rotate-secret.wasm", "--standing", "--scope", "s.toml", "--for", "bot"];
    let asked = world.remit(&[&standing[..], &["--reason", "r", "--key", "bot.key", "--json"]].concat());
    let id = asked.exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    let run = |path: &str| {
        let input = format!("path={path}");
        let what = ["run", "rotate-secret.wasm", "--input", &input, "--under", &id];
        world.remit(&[&what[..], &["--reason", "stale", "--key", "bot.key", "--json"]].concat())
    };
    let id = run(SECRET).exits(0).json()["run"].as_str().unwrap().to_owned();
    assert!(Run { world: &world, id }.summary()["restore_at"].is_string());
    let instead = run("prod/other").exits(3).json();
    assert_eq!(instead["request"]["scope"]["restore_after"], "1h");
}

#[test]
fn a_clock_that_is_set_back_does_not_postpone_it() {
    let world = World::new();
    let clock = world.clock();
    let environment: Vec<_> = clock.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
    let server = Server::with(&world, &environment);
    let run = Run::of(&world, "restore_after = \"3s\"");
    // Five hours back, for the server alone.
    fs::write(world.path("clock"), "-18000").unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while run.summary()["state"] != "reverted" {
        assert!(Instant::now() < limit, "{}", run.summary());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(server.stop());
    world.audit_is_sound();
}

#[test]
fn hours_later_it_is_undone_before_its_undo_data_is_old() {
    let world = World::new();
    let clock = world.clock();
    let run = Run::of(&world, "restore_after = \"20h\"");
    let later = |seconds: &str| {
        fs::write(world.path("clock"), seconds).unwrap();
        let mut command = world.command(&["recover", "--json"]);
        command.envs(clock.iter().map(|(name, value)| (*name, value)));
        finish(command, "").exits(0).json()
    };
    assert_eq!(later("71000"), json!([]));
    let recovered = later("72100");
    assert_eq!((&recovered[0]["run"], &recovered[0]["state"]), (&json!(run.id), &json!("reverted")));
    world.audit_is_sound();
}
