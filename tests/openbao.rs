//! The main job against a real OpenBao, checked by OpenBao's own client.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;

use crate::common::bao::Bao;
use crate::common::{Ran, SECRET, World, finish};

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
        assert!(!crate::common::contains(&everything, secret), "no file of the home holds a secret in clear");
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

/// The same path, the same version, the same value even: and not the secret that was approved.
#[test]
fn a_secret_that_was_made_anew_is_not_the_one_that_was_approved() {
    let bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=a"]);
    let made_anew = |versions: u64| {
        bao.client(&["kv", "metadata", "delete", "-mount=secret", SECRET]);
        for _ in 0..versions {
            bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=a"]);
        }
    };
    let world = world(&bao);
    let id = approved(&world);
    made_anew(1);
    let refused = remit(&world, &["run", &id, "--key", "bot.key"]);
    assert!(refused.code != 0, "{}{}", refused.out, refused.err);
    assert_eq!(bao.metadata(SECRET)["data"]["current_version"], 1, "nothing was touched");

    let id = approved(&world);
    remit(&world, &["run", &id, "--key", "bot.key"]).exits(0);
    let (run, _) = world.last_run();
    made_anew(2);
    let reverted = remit(&world, &["revert", &run]).exits(5);
    assert!(reverted.out.contains("another secret"), "{}", reverted.out);
    assert_eq!(bao.metadata(SECRET)["data"]["current_version"], 2, "nothing was touched");
    world.audit_is_sound();
}

/// What cannot be done to what is there now is void, and says why; a system that does not answer voids nothing.
#[test]
fn a_secret_that_is_disabled_while_its_request_waits() {
    let mut bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=a"]);
    let world = world(&bao);
    let id = approved(&world);
    bao.client(&["kv", "delete", "-mount=secret", SECRET]);
    let planned = remit(&world, &["plan", ACTION, "--input", INPUT]).exits(1);
    assert!(
        planned.err.contains("the current version 1 of secret:prod/payments/stripe is disabled"),
        "{}",
        planned.err
    );
    assert!(planned.err.contains("help: one of its calls failed with \"conflict: "), "{}", planned.err);
    remit(&world, &["run", &id, "--key", "bot.key"]).exits(3).says("is void: rehearsed again");
    let shown = remit(&world, &["request", "show", &id]).exits(0);
    assert!(shown.out.contains("voided") && shown.out.contains("is disabled"), "{}", shown.out);

    bao.client(&["kv", "undelete", "-mount=secret", "-versions=1", SECRET]);
    let id = approved(&world);
    with_token(&world, "wrong", &["run", &id, "--key", "bot.key"]).exits(1);
    bao.client(&["operator", "seal"]);
    remit(&world, &["run", &id, "--key", "bot.key"]).exits(1);
    bao.stop();
    remit(&world, &["run", &id, "--key", "bot.key"]).exits(1);
    let shown = remit(&world, &["request", "show", &id]).exits(0);
    assert!(!shown.out.contains("voided"), "{}", shown.out);
}

/// A server that is too busy may have done what it was asked for, or not: the host looks, and says what it does not know.
#[test]
fn a_busy_server_is_asked_once_to_write_and_looked_at_after() {
    const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 29\r\n\r\n{\"errors\":[\"over the quota\"]}";
    let bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=old-value"]);
    let world = world(&bao);
    let config = world.home().join("remit.toml");
    let direct = fs::read_to_string(&config).unwrap();
    let proxy = crate::common::proxy::answering(&bao.address, "POST /v1/secret/data/", BUSY);
    fs::write(&config, direct.replace(&bao.address, &proxy)).unwrap();
    let id = approved(&world);
    // The undo is a write too, and so nobody knows what there is.
    let ran = remit(&world, &["run", &id, "--key", "bot.key"]).exits(5);
    assert!(ran.err.contains("status 429 (it is busy): \"over the quota\""), "{}", ran.err);
    assert!(
        ran.err.contains("it is not known what the run changed") && !ran.err.contains("changes stand"),
        "{}",
        ran.err
    );
    // Each write once: the rotation, and its undo.
    assert_eq!(bao.metadata(SECRET)["data"]["current_version"], 3);
    fs::write(&config, direct).unwrap();
    let (run, _) = world.last_run();
    remit(&world, &["revert", &run]).exits(0);
    assert_eq!(bao.value(SECRET, 3)["data"]["data"]["api_key"], "old-value");
    world.audit_is_sound();
}

/// The policy in the documentation is enough for a rotation, its revert and the doctor, and `doctor` says what is
/// missing from less.
#[test]
fn the_documented_policy_is_enough() {
    let text = fs::read_to_string("../../docs/configuration.md").unwrap();
    let policy = text.split_once("```hcl\n").unwrap().1.split_once("```").unwrap().0;
    let policy = policy.replace("MOUNT", "secret").replace("PREFIX", "prod");
    let bao = Bao::start();
    bao.client(&["kv", "put", "-mount=secret", SECRET, "api_key=old-value"]);
    let world = world(&bao);
    let token = |name: &str, policy: &str| {
        world.write("policy.hcl", policy);
        bao.client(&["policy", "write", name, world.path("policy.hcl").to_str().unwrap()]);
        let policy = format!("-policy={name}");
        let made = ["token", "create", &policy, "-ttl=1h", "-field=token"];
        bao.client(&made).trim().to_owned()
    };
    let whole = token("whole", &policy);
    let asked = |args: &[&str]| with_token(&world, &whole, args);
    asked(&["doctor"]).exits(0);
    let ask = ["request", ACTION, "--input", INPUT, "--reason", "t", "--key", "bot.key", "--json"];
    let id = asked(&ask).exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
    asked(&["approve", &id]).exits(0);
    asked(&["run", &id, "--key", "bot.key"]).exits(0);
    let (run, _) = world.last_run();
    asked(&["revert", &run]).exits(0);
    assert_eq!(bao.value(SECRET, 3)["data"]["data"]["api_key"], "old-value");

    // Nor is the server's own `default` policy needed, nor the right to ask what one may do.
    let least: String = policy.lines().take(2).collect::<Vec<_>>().join("\n");
    let _ = token("least", &least);
    let made = ["token", "create", "-policy=least", "-no-default-policy", "-field=token"];
    let least = bao.client(&made).trim().to_owned();
    let told = with_token(&world, &least, &["doctor"]).exits(0);
    assert!(told.out.contains("cannot be looked up"), "{}", told.out);
    with_token(&world, &least, &["plan", ACTION, "--input", INPUT]).exits(0);
    let gone = with_token(&world, "s.nonsense", &["doctor"]).exits(1);
    assert!(gone.out.contains("it expired or was revoked"), "{}", gone.out);

    let less: String =
        policy.lines().filter(|line| !line.contains("undelete")).collect::<Vec<_>>().join("\n");
    let told = with_token(&world, &token("less", &less), &["doctor"]).exits(1);
    assert!(told.out.contains(r#"[update] on "secret/undelete/prod/*""#), "{}", told.out);
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
