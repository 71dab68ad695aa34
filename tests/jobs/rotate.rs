//! A password of a database is replaced while a program uses it: in the database, and in the two places that it is read from.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::bao::Bao;
use crate::common::postgres::Postgres;
use crate::common::{Ran, World, contains, proxy};
use crate::stage::{self, Costs};

const ACTION: &str = "rotate-database-credential.wasm";
const OLD: &str = "old-password-of-app";
const PLACES: [&str; 2] = ["prod/app/db", "prod/report/db"];
const INPUT: &str = r#"{"role":"main/app","database":"app","places":[{"path":"prod/app/db","field":"password"},{"path":"prod/report/db","field":"password"}]}"#;

struct Scene {
    postgres: Postgres,
    bao: Bao,
    world: World,
}

impl Scene {
    /// `between` stands between the host and the store of secrets.
    fn set(between: impl FnOnce(&str) -> String) -> Self {
        let (postgres, bao) = (Postgres::start(), Bao::start());
        postgres.grant();
        postgres.ask(&format!("CREATE ROLE app LOGIN PASSWORD '{OLD}'"));
        postgres.ask("CREATE DATABASE app");
        for place in PLACES {
            bao.client(&["kv", "put", "-mount=secret", place, "user=app", &format!("password={OLD}")]);
        }
        let world = World::with(&["rotate-database-credential"]);
        world.private("home/db.password", "remits-own");
        world.configure(&bao.config().replace(&bao.address, &between(&bao.address)));
        world.configure(&postgres.config("main", "address = \"127.0.0.1\""));
        let allow = |power: &str, resource: &str| {
            format!("[[allow]]\ncapability = \"remit:{power}\"\nresources = [\"{resource}\"]\n")
        };
        let secrets =
            ["secrets/inspect", "secrets/put"].map(|power| allow(power, "secret:prod/*/db")).concat();
        let role = ["password", "check-login", "end-sessions"]
            .map(|power| allow(&format!("databases/{power}"), "database-role:main/app"))
            .concat();
        world.write("s.toml", format!("{secrets}{role}irrevocable = true\n[limits]\nchanges = 4\n"));
        Self { postgres, bao, world }
    }

    fn asked(&self) -> String {
        self.world.ask(&["request", ACTION, "--input", INPUT, "--scope", "s.toml"], "asked");
        self.world.request("asked")
    }

    /// What the store has now, as its own API tells.
    fn password(&self, place: &str) -> String {
        let path = format!("secret/data/{place}");
        let found = Bao::api(&self.bao.address, "GET", &path, &Value::Null);
        found["data"]["data"]["password"].as_str().unwrap().to_owned()
    }

    fn verifier(&self) -> String {
        self.postgres.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
    }

    /// All is as it was before the run.
    #[track_caller]
    fn is_as_before(&self) {
        for place in PLACES {
            assert_eq!(self.password(place), OLD);
        }
        assert!(self.postgres.lets_in("app", OLD, "app"));
    }

    /// Starts the run, and kills the host as soon as `now` says so.
    fn killed_when(&self, request: &str, now: impl Fn() -> bool) {
        let mut host = self.world.command(&["run", request, "--key", "bot.key"]);
        let mut host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the host is where it is killed", now);
        host.kill().unwrap();
        host.wait().unwrap();
    }

    fn recovers(&self) -> Ran {
        self.world.remit(&["recover"])
    }
}

#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < limit, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody who uses the role, as a program does that reads its password for each connection; the longest time without a way in.
fn uses_it(scene: &Scene, ends: &AtomicBool) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while !ends.load(Ordering::Relaxed) {
        if scene.postgres.lets_in("app", &scene.password(PLACES[0]), "app") {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    longest.max(last.elapsed())
}

fn session(scene: &Scene) -> Command {
    let mut client = scene.postgres.client(("app", OLD), "app");
    client.args(["-c", "SELECT pg_sleep(600)"]).stdout(Stdio::null()).stderr(Stdio::null());
    client
}

#[test]
fn the_job_that_rotates_a_database_credential() {
    let scene = Scene::set(ToOwned::to_owned);
    let (world, postgres) = (&scene.world, &scene.postgres);
    stage::plays_offline(world, "rotate-database-credential");
    let before = scene.verifier();

    stage::scene("A password of a database is to be replaced, while a program uses it");
    let request = scene.asked();
    stage::types_at_home(world, &["request", "show", &request], 0);
    let mut old = session(&scene).spawn().unwrap();
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%pg_sleep%'";
    until("a session began", || postgres.ask(busy) == "1");

    let ends = AtomicBool::new(false);
    let (ran, took, longest) = std::thread::scope(|threads| {
        let user = threads.spawn(|| uses_it(&scene, &ends));
        std::thread::sleep(Duration::from_millis(300));
        let started = Instant::now();
        let ran = world.remit(&["run", &request, "--key", "bot.key"]);
        let took = started.elapsed();
        ends.store(true, Ordering::Relaxed);
        (ran, took, user.join().unwrap())
    });
    println!("\nhome$ remit run {request} --key bot.key\n{}", ran.exits(0).out);
    let (run, _) = world.last_run();
    stage::finds(
        "the program that uses the role",
        &format!("was never shut out for longer than {longest:.1?}"),
    );
    assert!(longest < took, "{longest:?} of {took:?}");
    assert!(!old.wait().unwrap().success(), "the old session was ended");
    let fresh = scene.password(PLACES[0]);
    assert!(fresh != OLD && fresh == scene.password(PLACES[1]));
    assert!(postgres.lets_in("app", &fresh, "app") && !postgres.lets_in("app", OLD, "app"));
    stage::finds(
        "$ PGPASSWORD=<the new one> psql -U app app",
        "it is let in, and with the old one it is not",
    );
    // What the server logged of the old one is how it was made.
    for secret in [&fresh, &scene.verifier(), &before] {
        assert!(!contains(&world.all_bytes(), secret) && !postgres.log().contains(secret));
    }
    Costs { world, job: "rotate-database-credential" }.tell(
        "from the start of the run to its end",
        took,
        &[&run],
    );

    stage::scene("It was a mistake after all");
    // The sessions stay ended, which is why somebody has to say that the rest is to be taken back.
    stage::types_at_home(world, &["revert", &run, "--keep-going"], 5);
    scene.is_as_before();
    assert_eq!(scene.verifier(), before);
    world.audit_is_sound();
}

#[test]
fn a_place_that_fails_and_a_host_that_is_killed_leave_all_as_it_was() {
    // The second place takes the password, and its answer is lost once.
    let scene = Scene::set(|bao| proxy::swallowing_once(bao, "POST /v1/secret/data/prod/report"));
    let (world, postgres) = (&scene.world, &scene.postgres);
    let before = scene.verifier();
    let request = scene.asked();
    let ran = world.remit(&["run", &request, "--key", "bot.key", "--json"]);
    assert_eq!(ran.json()["state"], "reverted", "{ran:?}");
    scene.is_as_before();

    // The host is killed while its change waits for somebody else's, and the server makes the change all the same.
    let request = scene.asked();
    let mut other = postgres.client(Postgres::ROOT, "postgres");
    other.args(["-c", "BEGIN", "-c", "ALTER ROLE app CONNECTION LIMIT 50", "-c", "SELECT pg_sleep(600)"]);
    let mut other = other.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("somebody else holds the role", || {
        postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'") == "1"
    });
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'remit' AND wait_event_type = 'Lock'";
    scene.killed_when(&request, || postgres.ask(waits) == "1");
    postgres
        .ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'");
    until("the server has made the change", || scene.verifier() != before);
    other.wait().unwrap();
    scene.recovers();
    assert_eq!(scene.verifier(), before);
    scene.is_as_before();

    // The host is killed when the first place has the password.
    let request = scene.asked();
    scene.killed_when(&request, || scene.password(PLACES[0]) != OLD);
    scene.recovers();
    assert_eq!(scene.verifier(), before);
    scene.is_as_before();
    world.audit_is_sound();
}
