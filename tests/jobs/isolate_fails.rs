//! The same job where it does not go well: what the systems have is what the runs' states say.

use std::time::Duration;

use serde_json::{Value, json};

use super::gateway::{Gateway, When};
use super::isolate::{Standing, Systems, home};
use super::stage;
use crate::common::bao::Bao;
use crate::common::{Ran, World};

const KEY: &str = "prod/payments/stripe";

struct Case<'a> {
    world: &'a World,
    systems: &'a Systems,
    standing: &'a Standing,
}

impl Case<'_> {
    /// OpenBao's API: its own client takes long to start, and [`super::isolate`] has it.
    fn bao(&self, method: &str, path: &str, body: &Value) -> Value {
        Bao::api(&self.systems.bao.address, method, path, body)["data"].clone()
    }

    /// A fresh key; its version.
    fn fresh(&self) -> u64 {
        let made = self.bao("POST", &format!("secret/data/{KEY}"), &json!({"data": {"api_key": "old"}}));
        made["version"].as_u64().unwrap()
    }

    fn isolation(&self, version: u64) -> Vec<String> {
        let input = json!({"path": KEY, "version": version});
        under(&self.standing.payments, "isolate-api-key.wasm", &input)
    }

    fn ticket(&self, input: &Value) -> Vec<String> {
        under(&self.standing.tickets, "tell-ticket.wasm", input)
    }

    /// An approved request to replace it.
    fn replacement(&self, version: u64) -> Vec<String> {
        let input = json!({"path": KEY, "leaked": version}).to_string();
        let what = ["request", "replace-api-key.wasm", "--input", &input];
        self.world.ask(&what, "replacement");
        let request = self.world.request("replacement");
        ["run", &request, "--key", "bot.key", "--json"].map(ToOwned::to_owned).to_vec()
    }

    fn does(&self, args: &[String]) -> Ran {
        self.world.remit(&words(args))
    }

    /// What became of the newest run.
    fn state(&self) -> String {
        let runs = self.world.remit(&["runs", "--live", "--json"]).exits(0).json();
        runs.as_array()
            .unwrap()
            .last()
            .map_or("none", |run| run["state"].as_str().unwrap_or("none"))
            .to_owned()
    }

    /// Kills a command at a request, and recovers; the state that its run came to.
    fn struck(&self, gateway: &Gateway, args: &[String], at: usize, when: When) -> String {
        gateway.kills(self.world, &words(args), at, when);
        let told = self.world.remit(&["recover"]);
        let state = self.state();
        assert_eq!(told.code == 5, state == "held", "{at} {when:?}: {told:?}");
        state
    }

    /// The same where nothing of it is left.
    fn strikes(&self, gateway: &Gateway, args: &[String], at: usize, when: When) {
        let state = self.struck(gateway, args, at, when);
        assert!(matches!(&*state, "reverted" | "failed" | "succeeded"), "{at} {when:?}: {state}");
    }

    fn is_readable(&self, version: u64) -> bool {
        let found = self.bao("GET", &format!("secret/metadata/{KEY}"), &Value::Null);
        let version = &found["versions"][version.to_string()];
        version["deletion_time"] == "" && version["destroyed"] == false
    }
}

/// How the bot starts an action under a standing scope.
fn under(standing: &str, action: &str, input: &Value) -> Vec<String> {
    let input = input.to_string();
    let what = ["run", action, "--input", &input, "--under", standing];
    [&what[..], &["--reason", "INC-7", "--key", "bot.key", "--json"]]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// OpenBao is asked by POST, too, whether something could be taken back.
fn is_change(line: &str) -> bool {
    !line.starts_with("GET") && !line.contains("capabilities")
}

/// The requests that change something, by their numbers.
fn changes(gateway: &Gateway) -> Vec<usize> {
    (1..).zip(&gateway.lines()).filter(|(_, line)| is_change(line)).map(|(number, _)| number).collect()
}

#[test]
fn isolate_api_key_fails_well() {
    let folder = tempfile::tempdir().unwrap();
    let systems = Systems::start(folder.path());
    let (bao, tracker) = (Gateway::before(&systems.bao.address), Gateway::before(&systems.tracker.address));
    let world = home(&bao.address, &systems.tracker, &tracker.address);
    let standing = Standing::of(&world);
    let case = Case { world: &world, systems: &systems, standing: &standing };
    for action in ["isolate-api-key", "replace-api-key", "tell-ticket"] {
        stage::plays_offline(&world, action);
    }
    let version = case.fresh();
    killed_isolations(&case, &bao, version);
    others(&case, &bao, version);
    killed_replacements(&case, &bao);
    killed_tickets(&case, &tracker);
    world.audit_is_sound();
}

/// Killed before each request that it sends, and after each that changes something.
fn killed_isolations(case: &Case<'_>, bao: &Gateway, version: u64) {
    bao.passes();
    case.does(&case.isolation(version)).exits(0);
    let (all, changes) = (bao.lines(), changes(bao));
    assert_eq!(changes.len(), 1, "{all:?}");
    assert!(!case.is_readable(version));
    let run = case.world.last_run().0;
    case.world.remit(&["revert", &run]).exits(0);
    assert!(case.is_readable(version));
    let before = (1..=all.len()).map(|at| (at, When::Before));
    for (at, when) in before.chain(changes.iter().map(|at| (*at, When::After))) {
        case.strikes(bao, &case.isolation(version), at, when);
        assert_eq!(case.is_readable(version), case.state() != "succeeded", "{at} {when:?} of {all:?}");
        if case.state() == "succeeded" {
            case.world.remit(&["revert", &case.world.last_run().0]).exits(0);
        }
    }
    println!("isolate-api-key: killed at {} requests: {all:?}", all.len());
}

fn others(case: &Case<'_>, bao: &Gateway, version: u64) {
    let isolation = case.isolation(version);
    let disables = |line: &str| line.contains("/delete/");

    // The system is down, slow, or lies: it says that it did it, and did nothing.
    bao.does(|_, _, _| None);
    case.does(&isolation).exits(1);
    bao.does(move |_, line, ask| {
        let answer = ask();
        if disables(line) {
            std::thread::sleep(Duration::from_secs(3));
        }
        Some(answer)
    });
    case.does(&isolation).exits(1);
    assert_eq!(case.state(), "reverted");
    bao.does(
        move |_, line, ask| {
            if disables(line) { Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()) } else { Some(ask()) }
        },
    );
    case.does(&isolation).exits(1);
    assert_eq!(case.state(), "reverted");
    assert!(case.is_readable(version));

    // Everything is frozen before it begins, and while it changes something; what allowed it is revoked then.
    bao.passes();
    let unfreeze = || case.world.remit(&["unfreeze", "--reason", "looked", "--key", "bob.key"]).exits(0);
    case.world.remit(&["freeze", "--reason", "INC-9"]).exits(0);
    case.does(&isolation).exits(3).says("frozen");
    unfreeze();
    let again = Standing::to_isolate(case.world, "", "payments");
    let stopped = under(&again, "isolate-api-key.wasm", &json!({"path": KEY, "version": version}));
    for stop in [&["freeze", "--reason", "INC-9"][..], &["revoke", "request", &again, "--reason", "INC-9"]] {
        bao.lets_type(case.world, stop, |line| line.contains("/delete/"));
        case.does(&stopped).exits(3);
        assert_eq!(case.state(), "reverted", "{stop:?}");
        assert!(case.is_readable(version), "{stop:?}");
        if stop[0] == "freeze" {
            unfreeze();
        }
    }
    bao.passes();
    case.does(&stopped).exits(3);

    // Two at once: what one of them finds done by the other, it does not undo. OpenBao compares nothing as it disables a version, so
    // that both may have done it.
    let both = [(), ()].map(|()| {
        let mut host = case.world.command(&words(&isolation));
        host.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    });
    let ended = both.map(|mut host| host.wait().unwrap().success());
    assert!(ended.contains(&true), "{ended:?}");
    assert!(!case.is_readable(version));
    // Somebody else destroys it: what cannot be taken back is told, and left alone.
    let runs = case.world.remit(&["runs", "--live", "--state", "succeeded", "--json"]).exits(0).json();
    let run = runs.as_array().unwrap().last().unwrap()["run"].as_str().unwrap().to_owned();
    case.bao("PUT", &format!("secret/destroy/{KEY}"), &json!({"versions": [version]}));
    let told = case.world.remit(&["revert", &run]).exits(5).out;
    assert!(told.contains("is destroyed"), "{told}");
    assert_eq!(case.world.remit(&["show", &run, "--json"]).exits(0).json()["story"]["state"], "held");

    // Somebody else replaced it after the approval: what was approved is not what would happen.
    let version = case.fresh();
    let replacement = case.replacement(version);
    let theirs = case.fresh();
    case.does(&replacement).exits(1).says("is current, and not");
    assert!(case.is_readable(version) && case.is_readable(theirs));
    // Who forgets to lift the isolation first is told why nothing happens.
    let replacement = case.replacement(theirs);
    case.does(&case.isolation(theirs)).exits(0);
    case.does(&replacement).exits(3).says("is disabled");
}

/// Killed before and after each of its changes.
fn killed_replacements(case: &Case<'_>, bao: &Gateway) {
    let version = case.fresh();
    let replacement = case.replacement(version);
    bao.passes();
    case.does(&replacement).exits(0);
    let changes = changes(bao);
    assert_eq!(changes.len(), 2, "{:?}", bao.lines());
    for (at, when) in changes.iter().flat_map(|at| [(*at, When::Before), (*at, When::After)]) {
        let version = case.fresh();
        let replacement = case.replacement(version);
        case.strikes(bao, &replacement, at, when);
        let read = case.bao("GET", &format!("secret/data/{KEY}"), &Value::Null);
        assert_eq!(read["data"]["api_key"], "old", "{at} {when:?}");
        assert!(case.is_readable(version), "{at} {when:?}");
    }
}

fn killed_tickets(case: &Case<'_>, tracker: &Gateway) {
    let open = json!({"place": "tracker", "title": "A key leaked", "text": "It was found."});
    tracker.passes();
    case.does(&case.ticket(&open)).exits(0);
    let changes_of_open = changes(tracker);
    let ticket = "tracker/1";
    let done = json!({"ticket": ticket, "text": "It was replaced.", "resolve": true});
    let is_open = || case.systems.ticket(ticket).0 == "unread" && case.systems.ticket(ticket).1.len() == 1;
    case.strikes(tracker, &case.ticket(&open), changes_of_open[0], When::Before);
    assert_eq!(case.systems.tickets(), 1);
    // It is there, and nobody knows its number: a person is told.
    assert_eq!(case.struck(tracker, &case.ticket(&open), changes_of_open[0], When::After), "held");
    assert_eq!(case.systems.tickets(), 2);
    tracker.passes();
    case.does(&case.ticket(&done)).exits(0);
    let changes_of_done = changes(tracker);
    assert_eq!((changes_of_open.len(), changes_of_done.len()), (1, 2), "{:?}", tracker.lines());
    case.world.remit(&["revert", &case.world.last_run().0]).exits(0);
    assert!(is_open());
    for at in &changes_of_done {
        case.strikes(tracker, &case.ticket(&done), *at, When::After);
        assert!(is_open(), "{at}");
    }
}
