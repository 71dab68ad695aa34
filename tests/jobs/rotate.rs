//! A password of a database is replaced while three programs use it: in the database, in the secret that one of them reads for each connection,
//! in the file that the other one does, and in the file of the third, which reads it when it is told to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::report;
use super::stage::{self, Costs};
use crate::common::bao::Bao;
use crate::common::pgbouncer::PgBouncer;
use crate::common::postgres::Postgres;
use crate::common::{World, contains};

const ACTION: &str = "rotate-database-credential.wasm";
pub const OLD: &str = "old-password-of-app";
const PLACES: [&str; 2] = ["prod/app/db", "prod/spare/db"];
/// As `PostgreSQL`'s clients read it, at each connection.
const PGPASS: &str = "*:*:*:app:{{password}}\n";
/// As `PgBouncer` reads it, when it is told to.
const DATABASES: &str = "[databases]\napp = host=127.0.0.1 port=PORT user=app password={{password}}\n";

pub struct Scene {
    pub bouncer: PgBouncer,
    pub postgres: Postgres,
    pub bao: Bao,
    pub world: World,
}

/// An approved request, in a home in front of the scene, for its plan or (with `more`) for whatever the scope allows.
pub fn asked_in(world: &World, more: &[&str]) -> String {
    let input = fs::read_to_string(world.path("input.json")).unwrap();
    let request = ["request", ACTION, "--input", &input, "--scope", "s.toml"];
    world.ask_because("its password was in a log", &[&request, more].concat(), "asked");
    world.request("asked")
}

/// The files that have the password, and what is in them.
fn templates(postgres: &Postgres) -> [(&'static str, String); 2] {
    let databases = DATABASES.replace("PORT", &postgres.port.to_string());
    [("report.pgpass", PGPASS.to_owned()), ("databases.ini", databases)]
}

impl Scene {
    /// `between` stands between the host and the store of secrets.
    pub fn set(between: impl FnOnce(&str) -> String) -> Self {
        let (postgres, bao) = (Postgres::start(), Bao::start());
        postgres.grant();
        postgres.ask(&format!("CREATE ROLE app LOGIN PASSWORD '{OLD}'"));
        postgres.ask("CREATE DATABASE app");
        for place in PLACES {
            bao.client(&["kv", "put", "-mount=secret", place, "user=app", &format!("password={OLD}")]);
        }
        let etc = postgres.path("etc");
        fs::create_dir(&etc).unwrap();
        let owner = fs::metadata(postgres.path("data")).unwrap();
        chown(&etc, Some(owner.uid()), Some(owner.gid())).unwrap();
        let templates = templates(&postgres);
        for (name, template) in &templates {
            fs::write(etc.join(name), template.replace("{{password}}", OLD)).unwrap();
            fs::set_permissions(etc.join(name), Permissions::from_mode(0o600)).unwrap();
            chown(etc.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let bouncer = PgBouncer::start(&postgres, &etc.join("databases.ini"));
        let world = World::with(&["rotate-database-credential"]);
        let places = PLACES.map(|path| json!({ "path": path, "field": "password" }));
        let files =
            templates.map(|(name, template)| json!({ "path": format!("etc/{name}"), "template": template }));
        let input = json!({ "role": "main/app", "database": "app", "places": places, "files": files });
        world.write("input.json", input.to_string());
        world.configure(&format!(
            "[[files]]\nname = \"etc\"\npath = \"{}\"\n[[files.reload]]\nfile = \"databases.ini\"\ncommand = [\"{}\"]\n",
            etc.display(),
            bouncer.reload.display()
        ));
        world.private("home/db.password", "remits-own");
        world.configure(&bao.config().replace(&bao.address, &between(&bao.address)));
        // Here no server of databases is slow; a machine with much to do is.
        let database = postgres.config("main", "address = \"127.0.0.1\"");
        world.configure(&database.replace("timeout = \"3s\"", "timeout = \"30s\""));
        let allow = |power: &str, resource: &str| {
            format!("[[allow]]\ncapability = \"remit:{power}\"\nresources = [\"{resource}\"]\n")
        };
        let secrets =
            ["secrets/inspect", "secrets/put"].map(|power| allow(power, "secret:prod/*/db")).concat();
        let role = ["password", "check-login", "end-sessions"]
            .map(|power| allow(&format!("databases/{power}"), "database-role:main/app"))
            .concat();
        let file = allow("files/render", "file:etc/*");
        world.write("s.toml", format!("{secrets}{file}{role}irrevocable = true\n[limits]\nchanges = 6\n"));
        Self { bouncer, postgres, bao, world }
    }

    pub fn asked(&self) -> String {
        asked_in(&self.world, &[])
    }

    /// What the store has now, as its own API tells.
    pub fn password(&self, place: &str) -> String {
        let path = format!("secret/data/{place}");
        let found = Bao::api(&self.bao.address, "GET", &path, &Value::Null);
        found["data"]["data"]["password"].as_str().unwrap().to_owned()
    }

    pub fn verifier(&self) -> String {
        self.postgres.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
    }

    /// All is as it was before the run.
    #[track_caller]
    pub fn is_as_before(&self) {
        for place in PLACES {
            assert_eq!(self.password(place), OLD);
        }
        assert!(self.files_have(OLD));
        assert!(self.postgres.lets_in("app", OLD, "app"));
        assert!(self.shop_gets_in_anew());
    }

    /// Whether this is the password of each file.
    pub fn files_have(&self, password: &str) -> bool {
        templates(&self.postgres).iter().all(|(name, template)| {
            let found = fs::read_to_string(self.postgres.path("etc").join(name)).unwrap();
            found == template.replace("{{password}}", password)
        })
    }

    pub fn file(&self) -> PathBuf {
        self.postgres.path("etc/report.pgpass")
    }

    /// Whether a program gets in that reads the secret, over HTTP.
    fn app_gets_in(&self) -> bool {
        self.postgres.lets_in("app", &self.password(PLACES[0]), "app")
    }

    /// Whether a program gets in that reads the file.
    fn report_gets_in(&self) -> bool {
        let mut client = self.postgres.client(("app", ""), "app");
        client.env_remove("PGPASSWORD").env("PGPASSFILE", self.file()).args(["-w", "-c", "SELECT 1"]);
        client.output().unwrap().status.success()
    }

    /// Whether a program gets in that asks `PgBouncer`.
    pub fn shop_gets_in(&self) -> bool {
        self.bouncer.serves(&self.postgres, "app")
    }

    /// The same if `PgBouncer` has to sign in anew for it, with the password that it has read.
    pub fn shop_gets_in_anew(&self) -> bool {
        self.bouncer.serves_anew(&self.postgres, "app", "app")
    }

    /// Starts the run, and kills the host as soon as `now` says so.
    pub fn killed_when(&self, request: &str, now: impl Fn() -> bool) {
        let mut host = self.world.command(&["run", request, "--key", "bot.key"]);
        let mut host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the host is where it is killed", now);
        host.kill().unwrap();
        host.wait().unwrap();
    }
}

#[track_caller]
pub fn until(what: &str, so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < limit, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that signs in again and again; the longest time without a way in.
fn uses_it(gets_in: impl Fn() -> bool, ends: &AtomicBool) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while !ends.load(Ordering::Relaxed) {
        if gets_in() {
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

    stage::scene(
        "rotate-database-credential: a password of a database was in a log; it is replaced while three programs use it",
    );
    let request = scene.asked();
    stage::types_at_home(world, &["request", "show", &request], 0);
    let mut old = session(&scene).spawn().unwrap();
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%pg_sleep%'";
    until("a session began", || postgres.ask(busy) == "1");

    let ends = AtomicBool::new(false);
    let (ran, took, longest) = std::thread::scope(|threads| {
        let app = threads.spawn(|| uses_it(|| scene.app_gets_in(), &ends));
        let report = threads.spawn(|| uses_it(|| scene.report_gets_in(), &ends));
        let shop = threads.spawn(|| uses_it(|| scene.shop_gets_in(), &ends));
        std::thread::sleep(Duration::from_millis(300));
        let started = Instant::now();
        let ran = world.remit(&["run", &request, "--key", "bot.key"]);
        let took = started.elapsed();
        ends.store(true, Ordering::Relaxed);
        (ran, took, [app, report, shop].map(|program| program.join().unwrap()))
    });
    println!("\nhome$ remit run {request} --key bot.key\n{}", ran.exits(0).out);
    let (run, _) = world.last_run();
    let programs = ["app, which reads the secret", "report, which reads the file", "shop, by PgBouncer"];
    for (program, longest) in programs.into_iter().zip(longest) {
        stage::finds(program, &format!("was never shut out for longer than {longest:.1?}"));
        assert!(longest < took, "{program}: {longest:?} of {took:?}");
    }
    assert!(!old.wait().unwrap().success(), "the old session was ended");
    let fresh = scene.password(PLACES[0]);
    assert!(fresh != OLD && fresh == scene.password(PLACES[1]));
    assert!(scene.files_have(&fresh));
    assert!(scene.app_gets_in() && scene.report_gets_in() && scene.shop_gets_in_anew());
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

    let reload = scene.bouncer.reload.display().to_string();
    let port = format!("port={}", postgres.port);
    let as_shown = [(&*reload, "/usr/local/bin/reload-pgbouncer"), (&*port, "port=5432")];
    report::tell(world, &run, "rotate-database-credential", &as_shown);

    stage::scene("It was a mistake after all");
    // The sessions stay ended, which is why somebody has to say that the rest is to be taken back.
    stage::types_at_home(world, &["revert", &run, "--keep-going"], 5);
    scene.is_as_before();
    assert_eq!(scene.verifier(), before);
    world.audit_is_sound();
}
