//! The same job where it does not go well: what the systems have is what the runs' states say.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::isolate::{Standing, Systems, home, replacing};
use super::kills::{Found, Killed};
use super::rotate::until;
use super::shim::Shim;
use super::stage;
use crate::common::bao::Bao;
use crate::common::{Ran, World};

const KEY: &str = "prod/payments/stripe";

#[derive(Clone, Copy)]
struct Case<'a> {
    world: &'a World,
    systems: &'a Systems,
    standing: &'a Standing,
    key: &'a str,
}

impl Case<'_> {
    /// OpenBao's API: its own client takes long to start, and [`super::isolate`] has it.
    fn bao(&self, method: &str, path: &str, body: &Value) -> Value {
        Bao::api(&self.systems.bao.address, method, path, body)["data"].clone()
    }

    /// A fresh key; its version.
    fn fresh(&self) -> u64 {
        let made =
            self.bao("POST", &format!("secret/data/{}", self.key), &json!({"data": {"api_key": "old"}}));
        made["version"].as_u64().unwrap()
    }

    fn isolation(&self, version: u64) -> Vec<String> {
        let input = json!({"path": self.key, "version": version});
        under(&self.standing.payments, "isolate-api-key.wasm", &input)
    }

    fn lift(&self, version: u64, standing: &str) -> Vec<String> {
        under(standing, "lift-isolation.wasm", &json!({"path": self.key, "version": version}))
    }

    fn ticket(&self, input: &Value) -> Vec<String> {
        under(&self.standing.tickets, "tell-ticket.wasm", input)
    }

    /// An approved request to replace it.
    fn replacement(&self, version: u64) -> Vec<String> {
        let input = json!({"path": self.key, "leaked": version}).to_string();
        self.world.write("replace.toml", replacing(self.key));
        let what = ["request", "replace-api-key.wasm", "--input", &input, "--scope", "replace.toml"];
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

    /// What who reads the key gets.
    fn value(&self) -> Option<String> {
        let found = self.bao("GET", &format!("secret/data/{}", self.key), &Value::Null);
        found["data"]["api_key"].as_str().map(ToOwned::to_owned)
    }

    /// Somebody disables a version, which may be disabled.
    fn disable(&self, version: u64) {
        self.bao("POST", &format!("secret/delete/{}", self.key), &json!({"versions": [version]}));
    }

    fn is_readable(&self, version: u64) -> bool {
        let found = self.bao("GET", &format!("secret/metadata/{}", self.key), &Value::Null);
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

#[test]
fn isolate_api_key_fails_well() {
    let folder = tempfile::tempdir().unwrap();
    let systems = Systems::start(folder.path());
    let bao = Gateway::before(&systems.bao.address);
    let world = home(&bao.address, &systems.tracker, &systems.tracker.address);
    let standing = Standing::of(&world);
    let case = Case { world: &world, systems: &systems, standing: &standing, key: KEY };
    for action in ["isolate-api-key", "lift-isolation", "replace-api-key", "tell-ticket"] {
        stage::plays_offline(&world, action);
    }
    killed(case, &world.copy());
    gone(case, &bao);
    others(&case, &bao, case.fresh());
    world.audit_is_sound();
}

/// Each of the actions is killed at each of its steps: several at a time, each about a thing of its own.
fn killed(case: Case<'_>, template: &World) {
    let shim = Shim::compile();
    let job = |name, begin: &dyn Fn(&World) -> Vec<String>, found: &dyn Fn() -> Found, held| {
        Killed { name, template, begin, found, held }.at_each_step(&shim);
    };
    let [isolated, lifted, replaced] =
        ["prod/payments/isolated", "prod/payments/lifted", "prod/payments/replaced"]
            .map(|key| Case { key, ..case });
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let version = isolated.fresh();
            let found = || if isolated.is_readable(version) { Found::Before } else { Found::After };
            job("isolate-api-key", &|_| isolated.isolation(version), &found, Found::After);
        });
        threads.spawn(|| {
            let version = lifted.fresh();
            let begin = |_: &World| {
                lifted.disable(version);
                lifted.lift(version, &case.standing.lift)
            };
            let found = || if lifted.is_readable(version) { Found::After } else { Found::Before };
            job("lift-isolation", &begin, &found, Found::After);
        });
        threads.spawn(|| {
            let leaked = Cell::new(0);
            let begin = |world: &World| {
                leaked.set(replaced.fresh());
                Case { world, ..replaced }.replacement(leaked.get())
            };
            let found = || {
                let is_new = replaced.value().is_some_and(|value| value != "old");
                Found::agreed(&[is_new, !replaced.is_readable(leaked.get())])
            };
            // Held, for a person to decide. Here the person takes it back.
            job("replace-api-key", &begin, &found, Found::Before);
        });
        threads.spawn(|| {
            let (open, before) =
                (json!({"place": "tracker", "title": "A key leaked", "text": "It was found."}), Cell::new(0));
            let begin = |_: &World| {
                before.set(case.systems.tickets());
                case.ticket(&open)
            };
            let found = || if case.systems.tickets() > before.get() { Found::After } else { Found::Before };
            // It is there, and nobody knows its number.
            job("tell-ticket", &begin, &found, Found::After);
        });
    });
}

/// The agent, or the host, goes away when the key can be read again for a moment: the value that leaked does not stay readable.
fn gone(case: Case<'_>, bao: &Gateway) {
    let version = case.fresh();
    let replacement = case.replacement(version);
    let briefly = Standing::to_lift(case.world, "1s");
    let lift = case.lift(version, &briefly);
    let is_isolated_again = || {
        until("it is isolated again", || {
            case.world.remit(&["recover"]);
            !case.is_readable(version)
        });
    };
    case.does(&case.isolation(version)).exits(0);
    let isolation = case.world.last_run().0;
    case.does(&lift).exits(0);
    assert!(case.is_readable(version));
    is_isolated_again();
    // Or a little later, when the isolation itself is over.
    case.does(&lift).exits(0);
    case.world.remit(&["revert", &isolation]).exits(0);
    assert!(case.is_readable(version));
    is_isolated_again();
    // Whoever comes next lifts it anew, and does the rest. The host then finds nothing that it would have to take back.
    case.does(&lift).exits(0);
    let lifted = case.world.last_run().0;
    case.does(&replacement).exits(0);
    until("its time is over", || {
        case.world.remit(&["recover"]);
        let story = case.world.remit(&["show", &lifted, "--json"]).exits(0).json()["story"].clone();
        story["state"] == "reverted"
    });
    assert!(!case.is_readable(version) && case.value().is_some_and(|value| value != "old"));

    // The host is killed when there is a new value, and the one that leaked can still be read.
    let version = case.fresh();
    let replacement = case.replacement(version);
    case.does(&case.isolation(version)).exits(0);
    let isolation = case.world.last_run().0;
    let lift = case.lift(version, &briefly);
    case.does(&lift).exits(0);
    case.world.remit(&["revert", &isolation]).exits(0);
    let puts = |line: &str| line.starts_with("POST") && line.contains("/secret/data/");
    bao.kills(case.world, &words(&replacement), puts);
    case.world.remit(&["recover"]).exits(5);
    assert_eq!(case.state(), "held");
    until("what leaked cannot be read", || {
        case.world.remit(&["recover"]);
        !case.is_readable(version)
    });
    assert!(case.value().is_some_and(|value| value != "old"));
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
    case.bao("PUT", &format!("secret/destroy/{}", case.key), &json!({"versions": [version]}));
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
