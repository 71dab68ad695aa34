//! What a server tells people by itself: they are reminded of runs that went without the usual policy, until somebody reviews
//! them, and a receiver that does not take what it is told is told later.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::common::receiver::{failing, receiver};
use crate::common::server::{Server, signed};
use crate::common::{SECRET, World};
use serde_json::{Value, json};

/// Writes a file of the home that nobody else reads.
fn write(world: &World, name: &str, text: &str) {
    fs::write(world.home().join(name), text).unwrap();
    fs::set_permissions(world.home().join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Events of these kinds go to a webhook from now on.
fn pager(world: &World, address: &str, kinds: &str) {
    write(world, "pager.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let config = fs::read_to_string(world.home().join("remit.toml")).unwrap();
    let notify = format!(
        "[[notify]]\nname = \"pager\"\nwebhook = \"{address}/hook\"\nsecret_file = \"pager.secret\"\non = [{kinds}]\n"
    );
    write(world, "remit.toml", &format!("{config}\n{notify}"));
    world.remit(&["notify"]).exits(0);
}

#[test]
fn a_server_reminds_of_a_review_once_each_time() {
    let world = World::new();
    let write = |name: &str, text: &str| write(&world, name, text);
    let principals = fs::read_to_string(world.home().join("principals.toml")).unwrap();
    let on_call = principals.replace("groups = []", "groups = [\"on-call\"]");
    write("principals.toml", &format!("{on_call}\n[break-glass]\nquorum = 1\ngroup = \"on-call\"\n"));
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    let (address, events) = receiver();
    pager(&world, &address, "\"review-due\", \"review-overdue\", \"frozen\"");

    let input = format!("path={SECRET}");
    let ask = ["request", "rotate-secret.wasm", "--input", &input, "--break-glass", "--reason", "fire"];
    let asked = world.remit(&[&ask[..], &["--key", "bot.key", "--json"]].concat()).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap();
    world.remit(&["approve", id, "--key", "alice.key"]).exits(0);
    let run = world.remit(&["run", id, "--key", "bot.key", "--json"]).exits(0).json();
    let run = run["run"].as_str().unwrap();

    let clock = world.clock();
    let environment: Vec<_> = clock.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
    let next = || events.recv_timeout(Duration::from_secs(90)).expect("somebody is reminded");
    let is_about_it = |event: &Value| event["summary"].as_str().unwrap().contains(run);
    let server = Server::with(&world, &environment);
    fs::write(world.path("clock"), "90000").unwrap();
    let first = next();
    assert_eq!(first["kind"], "review-due", "{first}");
    assert!(is_about_it(&first), "{first}");
    // What is on record is not put there again by the next process; and what was missed meanwhile is one reminder.
    server.kill();
    fs::write(world.path("clock"), "700000").unwrap();
    let server = Server::with(&world, &environment);
    // A delivery that the kill cut off may be made again: the same event, by its id.
    let second = std::iter::repeat_with(next).find(|event| event["id"] != first["id"]).unwrap();
    assert_eq!(second["kind"], "review-overdue", "{second}");
    assert!(is_about_it(&second), "{second}");
    assert!(server.stop());
    // Another month later, nothing is left to be told: the next event is one of another kind.
    fs::write(world.path("clock"), "3000000").unwrap();
    for args in [&["notify"][..], &["freeze", "--reason", "over"], &["notify"]] {
        let mut command = world.command(args);
        command.envs(environment.iter().copied());
        crate::common::finish(command, "").exits(0);
    }
    assert_eq!(next()["kind"], "frozen");
    world.audit_is_sound();
}

/// How much longer each time, and how different, is a matter of `host/server/src/work.rs`, which has tests of its own.
#[test]
fn a_server_tells_a_receiver_that_fails_again_and_waits_longer_each_time() {
    let world = World::new();
    let (address, events) = failing(2);
    pager(&world, &address, "\"frozen\"");
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let order = json!({"reason": "fire", "order": "freeze"});
    signed(&alice, "/api/v1/orders/prepare", &order, "/api/v1/orders").unwrap();
    let next = || {
        let event = events.recv_timeout(Duration::from_secs(90)).expect("it is told");
        (Instant::now(), event)
    };
    let tries = [next(), next(), next()];
    for (_, event) in &tries {
        assert_eq!(event["kind"], "frozen", "{event}");
        // Receivers tell by it that they had it before.
        assert_eq!(event["id"], tries[0].1["id"]);
    }
    // One or two rounds of five seconds are left out, and then two to four.
    let waited = [tries[1].0 - tries[0].0, tries[2].0 - tries[1].0];
    let seconds = |from, to| Duration::from_secs(from)..Duration::from_secs(to);
    assert!(seconds(7, 45).contains(&waited[0]) && seconds(12, 75).contains(&waited[1]), "{waited:?}");
    // It took the third, and is told no more of it.
    assert!(server.stop());
    world.remit(&["notify"]).exits(0);
    assert!(events.try_recv().is_err());
    world.audit_is_sound();
}
