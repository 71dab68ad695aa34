//! People are reminded of runs that went without the usual policy, until somebody reviews them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::receiver::receiver;
use common::server::Server;
use common::{SECRET, World};
use serde_json::Value;

#[test]
fn a_server_reminds_of_a_review_once_each_time() {
    let world = World::new();
    let write = |name: &str, text: &str| {
        fs::write(world.home().join(name), text).unwrap();
        fs::set_permissions(world.home().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let principals = fs::read_to_string(world.home().join("principals.toml")).unwrap();
    let on_call = principals.replace("groups = []", "groups = [\"on-call\"]");
    write("principals.toml", &format!("{on_call}\n[break-glass]\nquorum = 1\ngroup = \"on-call\"\n"));
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    let (address, events) = receiver();
    write("pager.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let config = fs::read_to_string(world.home().join("remit.toml")).unwrap();
    let kinds = "on = [\"review-due\", \"review-overdue\", \"frozen\"]";
    let notify = format!(
        "[[notify]]\nname = \"pager\"\nwebhook = \"{address}/hook\"\nsecret_file = \"pager.secret\"\n{kinds}\n"
    );
    write("remit.toml", &format!("{config}\n{notify}"));
    world.remit(&["notify"]).exits(0);

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
        common::finish(command, "").exits(0);
    }
    assert_eq!(next()["kind"], "frozen");
    world.audit_is_sound();
}
