//! `remit:databases` against a real `PostgreSQL`, checked by its own client.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::postgres::Postgres;
use crate::common::{Ran, World, contains};
use serde_json::{Value, json};

const ACTION: &str = "database-steps.wasm";
const OLD: &str = "old-password-of-app";
const NEW: &str = "new-password-never-to-be-seen";

fn server() -> Postgres {
    let server = Postgres::start();
    server.grant();
    for sql in [
        "CREATE ROLE staff",
        "CREATE ROLE app LOGIN PASSWORD 'old-password-of-app' IN ROLE staff",
        "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'x'",
        "CREATE ROLE \"odd name\" LOGIN",
        "CREATE DATABASE app",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        "CREATE SCHEMA audit",
        "CREATE TABLE audit.last_login (role name, at timestamptz)",
        "INSERT INTO audit.last_login VALUES ('app', to_timestamp(1700000000))",
        "GRANT USAGE ON SCHEMA audit TO remit",
        "GRANT SELECT ON audit.last_login TO remit",
    ] {
        server.ask(sql);
    }
    server
}

/// A home with the server by two names: by one over TLS, by the other one with more settings.
fn world(server: &Postgres, more: &str) -> World {
    let world = World::with(&["database-steps"]);
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::copy(server.path("ca.pem"), world.home().join("ca.pem")).unwrap();
    let tls = server.config("main", "address = \"localhost\"\nca_file = \"ca.pem\"");
    let plain = server.config("plain", &format!("address = \"127.0.0.1\"\n{more}"));
    fs::write(config, format!("{text}{tls}{plain}")).unwrap();
    private(&world, "home/db.password", "remits-own\n");
    private(&world, "new", NEW);
    private(&world, "old", OLD);
    world
}

fn private(world: &World, name: &str, value: &str) {
    world.write(name, value);
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

fn input(role: &str, deeds: &[&str]) -> String {
    json!({"do": deeds, "path": role, "database": "app"}).to_string()
}

/// Asks for this, with a value for the password, and has it approved; the request.
fn approved(world: &World, role: &str, deeds: &[&str], value: &str) -> String {
    let allow = |name: &str| {
        let more = if name == "end-sessions" { "irrevocable = true\n" } else { "" };
        format!(
            "[[allow]]\ncapability = \"remit:databases/{name}\"\nresources = [\"database-role:**\"]\n{more}"
        )
    };
    let powers = ["inspect", "password", "disable-login", "sessions", "end-sessions", "check-login"];
    world.write("s.toml", format!("{}[limits]\nchanges = 9\n", powers.map(allow).concat()));
    let value = format!("secret=@{value}");
    let input = input(role, deeds);
    world
        .ask(&["request", ACTION, "--input", &input, "--secret-input", &value, "--scope", "s.toml"], "asked");
    world.request("asked")
}

fn run(world: &World, request: &str) -> Ran {
    world.remit(&["run", request, "--key", "bot.key", "--json"])
}

/// Does this under a request of its own; the answers of the action.
#[track_caller]
fn done(world: &World, role: &str, deeds: &[&str], value: &str) -> Vec<Value> {
    let request = approved(world, role, deeds, value);
    run(world, &request).exits(0).json()["output"].as_array().unwrap().clone()
}

/// Why a rehearsal of this fails.
fn refused(world: &World, role: &str, deeds: &[&str]) -> String {
    let input = input(role, deeds);
    let planned = world.remit(&["plan", ACTION, "--input", &input, "--secret-input", "secret=@new"]);
    assert_ne!(planned.code, 0, "{planned:?}");
    planned.err
}

/// A session of `app` that lasts.
fn session(server: &Postgres, password: &str) -> Child {
    let before = server.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'");
    let mut client = server.client(("app", password), "app");
    let client = client.args(["-c", "SELECT pg_sleep(600)"]).stdout(Stdio::null()).stderr(Stdio::null());
    let client = client.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while server.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") == before {
        assert!(Instant::now() < until, "no session began");
    }
    client
}

#[test]
fn a_password_is_set_and_taken_back_unless_somebody_else_did_something() {
    let mut server = server();
    let world = world(&server, "last_used = \"audit.last_login\"");
    let doctor = world.remit(&["doctor"]).exits(0).out;
    for line in ["with TLS, where `remit` may set passwords", "without TLS, where `remit` may set passwords"]
    {
        assert!(doctor.contains(line), "{doctor}");
    }
    let verifier = || server.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'");
    let before = verifier();

    // A rehearsal sees its own change and changes nothing.
    let planned = world.remit(&[
        "plan",
        ACTION,
        "--input",
        &input("main/app", &["set", "check"]),
        "--secret-input",
        "secret=@new",
    ]);
    let planned = planned.exits(0).out;
    assert!(planned.contains("put the verifier of the previous password back"), "{planned}");
    assert_eq!(verifier(), before);
    let answers = done(&world, "main/app", &["check", "set", "check"], "new");
    assert_eq!(answers, [json!(false), Value::Null, json!(true)]);
    let (first, _) = world.last_run();
    assert!(server.lets_in("app", NEW, "app") && !server.lets_in("app", OLD, "app"));
    assert!(done(&world, "plain/app", &["check"], "new")[0] == true);

    // Nobody but the two sides has the value, and not even a verifier is in the server's log, which has each change of a role.
    let after = verifier();
    assert!(after.starts_with("SCRAM-SHA-256$4096:"), "{after}");
    let log = server.log();
    assert!(log.contains("CREATE ROLE app"), "{log}");
    for secret in [NEW, &after, &before] {
        assert!(!log.contains(secret) && !contains(&world.all_bytes(), secret));
    }

    assert!(world.remit(&["replay", &first]).exits(0).out.contains("identical"));
    world.remit(&["revert", &first]).exits(0);
    assert_eq!(verifier(), before, "it is as if nothing had been");
    assert!(server.lets_in("app", OLD, "app") && !server.lets_in("app", NEW, "app"));
    let ocsf = world.remit(&["audit", "export", "--format", "ocsf"]).exits(0).out;
    assert!(ocsf.contains("\"Harden\"") && ocsf.contains("database-role:main/app"), "{ocsf}");

    // Somebody else sets it meanwhile: between approval and run, and between run and revert.
    let asked = approved(&world, "main/app", &["set"], "new");
    server.ask("ALTER ROLE app PASSWORD 'theirs'");
    let refused = run(&world, &asked);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(server.lets_in("app", "theirs", "app"), "nothing was touched");
    done(&world, "main/app", &["set"], "new");
    server.ask("ALTER ROLE app PASSWORD 'theirs again'");
    let reverted = world.remit(&["revert", &world.last_run().0]).exits(5).out;
    assert!(reverted.contains("somebody else set the password"), "{reverted}");
    assert!(server.lets_in("app", "theirs again", "app"), "nothing was touched");

    // A role of the same name that is not the one that was.
    let asked = approved(&world, "main/app", &["set"], "new");
    let anew = "CREATE ROLE app LOGIN PASSWORD 'anew'";
    server.ask("DROP ROLE app");
    server.ask(anew);
    assert_ne!(run(&world, &asked).code, 0);
    done(&world, "main/app", &["set"], "new");
    server.ask("DROP ROLE app");
    server.ask(anew);
    let reverted = world.remit(&["revert", &world.last_run().0]).exits(5).out;
    assert!(reverted.contains("another role"), "{reverted}");
    assert!(server.lets_in("app", "anew", "app"));

    // A server that is down voids nothing.
    let asked = approved(&world, "main/app", &["set"], "new");
    server.stop();
    run(&world, &asked).exits(1).says("cannot be reached");
    assert!(world.remit(&["doctor"]).exits(1).out.contains("cannot be reached"));
    assert!(server.up());
    run(&world, &asked).exits(0);
    assert!(server.lets_in("app", NEW, "app"));
    world.audit_is_sound();
}

#[test]
fn roles_are_seen_shut_out_and_thrown_out_and_some_are_left_alone() {
    let server = server();
    let world = world(&server, "last_used = \"audit.last_login\"");
    let mut old = session(&server, OLD);

    let answers = done(&world, "plain/app", &["get", "sessions", "list"], "old");
    assert_eq!(answers[0]["groups"], json!(["staff"]));
    assert_eq!(
        (&answers[0]["sessions"], &answers[0]["last-used"]),
        (&json!(1), &json!(1_700_000_000_000_u64))
    );
    assert_eq!(answers[1].as_array().unwrap().len(), 1, "{answers:?}");
    let names: Vec<_> =
        answers[2].as_array().unwrap().iter().map(|role| (&role["name"], &role["path"])).collect();
    assert!(names.contains(&(&json!("odd name"), &Value::Null)), "{names:?}");
    assert!(names.iter().all(|(name, _)| !name.as_str().unwrap().starts_with("pg_")), "{names:?}");

    let answers = done(&world, "main/app", &["disable", "end", "sessions", "get", "check"], "old");
    assert_eq!((&answers[1], &answers[2], &answers[4]), (&json!(1), &json!([]), &json!(false)));
    assert!(!old.wait().unwrap().success(), "the session was ended");
    assert!(!server.lets_in("app", OLD, "app"));
    // What was irrevocable stays; the rest comes back.
    let (run, records) = world.last_run();
    let effects: Vec<_> =
        records.iter().filter_map(|record| record["event"]["intent"]["effect"].as_str()).collect();
    assert!(effects.contains(&"irrevocable") && effects.contains(&"change"), "{effects:?}");
    let reverted = world.remit(&["revert", &run, "--keep-going"]);
    assert!(server.lets_in("app", OLD, "app"), "{reverted:?}");
    assert_eq!(done(&world, "main/app", &["check"], "old"), [json!(true)]);

    for (role, deeds, why) in [
        ("main/remit", &["set"][..], "the host itself signs in as `remit`"),
        ("main/remit", &["end"], "the host itself signs in as `remit`"),
        ("main/boss", &["set"], "`boss` may do everything on this server"),
        ("main/nobody", &["set"], "has no role `nobody`"),
        ("main/app/x", &["set"], "a role is SERVER/ROLE"),
        ("main/app", &["set", "set"], "this run has set the password of database-role:main/app already"),
        ("other/app", &["get"], "no configured store serves database-role:other/app"),
    ] {
        let found = refused(&world, role, deeds);
        assert!(found.contains(why), "{role} {deeds:?}: {found}");
    }
    // A database that is not there or closed says nothing of the password.
    for (database, why) in
        [("nowhere", "has no database `nowhere`"), ("closed", "may not connect to the database")]
    {
        let input = json!({"do": ["check"], "path": "main/app", "database": database}).to_string();
        let planned = world.remit(&["plan", ACTION, "--input", &input, "--secret-input", "secret=@old"]);
        assert!(planned.code != 0 && planned.err.contains(why), "{planned:?}");
    }
    // Nor does a server that asks for no password.
    let rules = fs::read_to_string(server.path("data/pg_hba.conf")).unwrap();
    fs::write(server.path("data/pg_hba.conf"), format!("host all app all trust\n{rules}")).unwrap();
    server.ask("SELECT pg_reload_conf()");
    let until = Instant::now() + Duration::from_secs(20);
    while !server.lets_in("app", "any at all", "app") {
        assert!(Instant::now() < until, "the server still asks for a password");
        std::thread::sleep(Duration::from_millis(20));
    }
    let found = refused(&world, "main/app", &["check"]);
    assert!(found.contains("lets `app` in without a password"), "{found}");

    // What the host could not take back is not begun, and the doctor says so before.
    server.ask("REVOKE SELECT ON pg_authid FROM remit");
    assert!(refused(&world, "main/app", &["set"]).contains("may not read pg_authid"));
    server.ask("ALTER ROLE remit NOCREATEROLE");
    assert!(refused(&world, "main/app", &["disable"]).contains("lacks CREATEROLE"));
    server.ask("REVOKE pg_signal_backend FROM remit");
    assert!(refused(&world, "main/app", &["end"]).contains("grant it pg_signal_backend"));
    // The run that was partly taken back waits for a person.
    let doctor = world.remit(&["doctor"]).exits(1).out;
    assert!(doctor.contains("lacks CREATEROLE") && doctor.contains("SELECT on pg_authid"), "{doctor}");
    private(&world, "home/db.password", "wrong");
    let doctor = world.remit(&["doctor"]).exits(1).out;
    assert!(doctor.contains("does not let the host's role `remit` in"), "{doctor}");
    world.audit_is_sound();
}
