//! The main job against a real OpenBao, checked by OpenBao's own client.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::fs;

use common::bao::Bao;
use common::{Ran, SECRET, World, finish};

const ACTION: &str = "rotate-secret.wasm";

fn world(bao: &Bao) -> World {
    let world = World::empty();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text + &bao.config()).unwrap();
    world
}

fn with_token(world: &World, token: &str, args: &[&str]) -> Ran {
    let mut command = world.command(args);
    command.env("TEST_TOKEN", token);
    finish(command, "")
}

fn remit(world: &World, args: &[&str]) -> Ran {
    with_token(world, Bao::TOKEN, args)
}

const INPUT: &str = r#"{"path":"prod/payments/stripe","field":"api_key"}"#;

/// The bot asks, alice approves; the request's name.
fn approved(world: &World) -> String {
    let ask = ["request", ACTION, "--input", INPUT, "--reason", "t", "--key", "bot.key", "--json"];
    let asked = remit(world, &ask).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap().to_owned();
    remit(world, &["approve", &id]).exits(0);
    id
}

#[test]
fn rotate_and_revert() {
    let bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=old-value", "owner=payments"]);
    let world = world(&bao);
    remit(&world, &["doctor"]).exits(0);
    let id = approved(&world);
    assert_eq!(bao.metadata(SECRET)["data"]["current_version"], 1, "a rehearsal changes nothing");

    remit(&world, &["run", &id, "--key", "bot.key"]).exits(0);
    assert_eq!(bao.metadata(SECRET)["data"]["current_version"], 2);
    let now = &bao.value(SECRET, 2)["data"]["data"];
    assert_eq!(now["owner"], "payments", "other fields are kept");
    let value = now["api_key"].as_str().unwrap().to_owned();
    assert!(value != "old-value" && value.len() >= 20);

    let everything = world.all_bytes();
    for secret in ["old-value", value.as_str(), Bao::TOKEN] {
        assert!(!common::contains(&everything, secret), "no file of the home holds a secret in clear");
    }
    let (run, _) = world.last_run();
    remit(&world, &["revert", &run]).exits(0);
    assert_eq!(bao.value(SECRET, 3)["data"]["data"]["api_key"], "old-value");
    world.audit_is_sound();
}

#[test]
fn someone_else_was_faster() {
    let bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=a"]);
    let world = world(&bao);
    let id = approved(&world);
    remit(&world, &["run", &id, "--key", "bot.key"]).exits(0);
    let (run, _) = world.last_run();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=theirs"]);
    remit(&world, &["revert", &run]).exits(5);
    assert_eq!(bao.metadata(SECRET)["data"]["current_version"], 3, "nothing was touched");
}

#[test]
fn a_server_that_does_not_do_what_it_should() {
    let mut bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=a"]);
    let world = world(&bao);
    let id = approved(&world);
    let run = |token: &str| with_token(&world, token, &["run", &id, "--key", "bot.key"]);

    with_token(&world, "wrong", &["plan", ACTION, "--input", INPUT]).exits(1).says("denied");
    let refused = remit(&world, &["plan", ACTION, "--input", r#"{"path":"prod/absent"}"#]).exits(1);
    assert!(refused.err.contains("not found"), "{}", refused.err);
    bao.client(&["operator", "seal"]);
    run(Bao::TOKEN).exits(1).says("sealed");
    bao.stop();
    plan_fails(&world);
    let shown = remit(&world, &["doctor"]).exits(1);
    assert!(shown.out.contains("FIX"), "{}", shown.out);
    world.audit_is_sound();
}

fn plan_fails(world: &World) {
    remit(world, &["plan", ACTION, "--input", INPUT]).exits(1).says("unavailable");
}
