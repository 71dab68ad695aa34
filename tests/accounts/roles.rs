//! Roles of `PostgreSQL` as accounts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{approved, done, refused, run, world};
use crate::common::postgres::Postgres;

#[test]
fn a_role_is_an_account_that_is_disabled_and_loses_its_sessions() {
    let server = Postgres::start();
    server.grant();
    for sql in [
        "CREATE ROLE staff",
        "CREATE ROLE app LOGIN PASSWORD 'old' IN ROLE staff",
        "CREATE ROLE idle LOGIN PASSWORD 'old'",
        "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'x'",
        "CREATE ROLE \"odd name\" LOGIN",
    ] {
        server.ask(sql);
    }
    let accounts = "\n[[accounts]]\nname = \"roles\"\nbackend = \"databases\"\nserver = \"main\"\n";
    let world = world(&(server.config("main", "address = \"127.0.0.1\"") + accounts));
    world.private("home/db.password", "remits-own\n");
    let doctor = world.remit(&["doctor"]).out;
    assert!(doctor.contains("accounts roles"), "{doctor}");

    let mut client = server.client(("app", "old"), "postgres");
    let mut session = client
        .args(["-c", "SELECT pg_sleep(600)"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while server.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") == "0" {
        assert!(Instant::now() < until, "no session began");
    }
    let answers = done(&world, "roles/app", &["list"]);
    let all = answers[0].as_array().unwrap();
    let named = |name: &str| all.iter().find(|account| account["name"] == name).unwrap();
    assert_eq!((&named("app")["groups"], &named("app")["enabled"]), (&json!(["staff"]), &json!(true)));
    // A session is use; of a role without one nothing is known.
    assert!(named("app")["last-used"].as_u64().unwrap() > 1_700_000_000_000, "{all:?}");
    assert!(named("idle")["last-used"].is_null(), "{all:?}");
    assert!(named("odd name")["path"].as_str().unwrap().starts_with("roles/oid:"), "{all:?}");

    let answers = done(&world, "roles/app", &["disable", "end", "get"]);
    assert_eq!((&answers[1], &answers[2]["enabled"]), (&json!(1), &json!(false)));
    assert!(!session.wait().unwrap().success(), "the session was ended");
    assert!(!server.lets_in("app", "old", "postgres"));
    // What was irrevocable stays; the rest comes back.
    world.remit(&["revert", &world.last_run().0, "--keep-going"]);
    assert!(server.lets_in("app", "old", "postgres"));

    for (path, why) in [
        ("roles/remit", "the host itself signs in as `remit`"),
        ("roles/boss", "`boss` may do everything on this server"),
        ("roles/nobody", "has no role `nobody`"),
        ("roles/app/x", "named by one segment"),
    ] {
        let found = refused(&world, path, &["disable"]);
        assert!(found.contains(why), "{path}: {found}");
    }
    let asked = approved(&world, "roles/idle", &["disable"]);
    server.ask("DROP ROLE idle");
    server.ask("CREATE ROLE idle LOGIN PASSWORD 'anew'");
    assert_ne!(run(&world, &asked).code, 0, "it is another role");
    assert!(server.lets_in("idle", "anew", "postgres"));
    world.audit_is_sound();
}
