//! The same job where it does not go well: all of it is as it was, or all of it is new.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::gateway::Gateway;
use super::kills::{Found, Killed};
use super::rotate::{OLD, Scene, asked_in, until};
use super::shim::Shim;
use crate::common::World;
use crate::common::postgres::Postgres;

/// What a run of an approved request comes to.
#[track_caller]
fn comes_to(scene: &Scene, request: &str, state: &str) {
    let ran = scene.world.remit(&["run", request, "--key", "bot.key", "--json"]);
    assert!(ran.out.contains(&format!("\"state\": \"{state}\"")), "{ran:?}");
}

/// Role, secrets and file have one password, and it is a new one.
#[track_caller]
fn is_new(scene: &Scene) {
    let fresh = scene.password("prod/app/db");
    assert!(fresh != OLD && fresh == scene.password("prod/spare/db"));
    assert!(scene.files_have(&fresh) && scene.postgres.lets_in("app", &fresh, "app"));
    assert!(scene.shop_gets_in_anew());
}

#[test]
fn rotate_database_credential_fails_well() {
    let mut gateway = None;
    let scene = Scene::set(|bao| {
        let made = Gateway::before(bao);
        let address = made.address.clone();
        gateway = Some(made);
        address
    });
    let gateway = gateway.unwrap();
    let before = scene.verifier();
    let as_before = || {
        assert_eq!(scene.verifier(), before);
        scene.is_as_before();
    };
    killed(&scene, &scene.world.copy());
    others(&scene, &gateway, &as_before);
    untold(&scene, &gateway, &as_before);
    killed_in_the_database(&scene, &as_before);
    two_at_once(&scene, &gateway);
    scene.world.audit_is_sound();
}

fn is_last_put(line: &str) -> bool {
    line.starts_with("POST /v1/secret/data/prod/spare")
}

/// At the first request that gives the last place the password, this happens.
fn once(
    event: impl Fn(&dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> impl Fn(usize, &str, &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static {
    let first = AtomicBool::new(true);
    move |_, line, ask| {
        if is_last_put(line) && first.swap(false, Ordering::SeqCst) { event(ask) } else { Some(ask()) }
    }
}

/// A place that is down, slow, loses its answer or lies; somebody else who writes the file; frozen and revoked in the middle.
fn others(scene: &Scene, gateway: &Gateway, as_before: &dyn Fn()) {
    let world = &scene.world;
    let run = |state: &str| {
        comes_to(scene, &scene.asked(), state);
        gateway.passes();
        as_before();
    };
    // The last place is down when it is its turn.
    gateway.does(|_, line, ask| (!is_last_put(line)).then(ask));
    run("reverted");
    // Its answers are lost from then on: nobody knows whether it has the password, until it is heard again.
    gateway.does(|_, line, ask| Some(ask()).filter(|_| !is_last_put(line)));
    comes_to(scene, &scene.asked(), "in-doubt");
    gateway.passes();
    world.remit(&["revert", &world.last_run().0]).exits(0);
    as_before();
    // It takes the password, and the answer is lost, or comes too late; it says that it took it, and did not.
    let lie = b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{\"data\":{\"version\":2}}";
    gateway.does(once(|ask| {
        ask();
        None
    }));
    run("reverted");
    gateway.does(once(|ask| {
        let answer = ask();
        std::thread::sleep(Duration::from_secs(3));
        Some(answer)
    }));
    run("reverted");
    gateway.does(once(|_| Some(lie.to_vec())));
    run("reverted");

    // Somebody else writes the file while the places get the password: theirs stays, and the rest is taken back.
    let (file, theirs) = (scene.file(), format!("*:*:*:app:{OLD}\n*:*:*:other:theirs\n"));
    let own = fs::read(&file).unwrap();
    let request = scene.asked();
    let (writes, to) = (theirs.clone(), file.clone());
    gateway.does(move |_, line, ask| {
        if is_last_put(line) {
            fs::write(&to, &writes).unwrap();
        }
        Some(ask())
    });
    comes_to(scene, &request, "reverted");
    gateway.passes();
    assert_eq!(fs::read_to_string(&file).unwrap(), theirs);
    fs::write(&file, own).unwrap();
    as_before();

    // Everything is frozen, or the approval is revoked, while a place gets the password.
    for what in ["freeze", "revoke"] {
        let request = scene.asked();
        let stop = match what {
            "freeze" => vec!["freeze", "--reason", "INC-9"],
            _ => vec!["revoke", "request", &request, "--reason", "INC-9"],
        };
        gateway.lets_type(world, &stop, is_last_put);
        comes_to(scene, &request, "reverted");
        gateway.passes();
        as_before();
        world.remit(&["run", &request, "--key", "bot.key"]).exits(3);
        if what == "freeze" {
            world.remit(&["unfreeze", "--reason", "looked", "--key", "bob.key"]).exits(0);
        }
    }
}

/// `PgBouncer`, which has to be told of its file, does not take it, or cannot be told.
fn untold(scene: &Scene, gateway: &Gateway, as_before: &dyn Fn()) {
    let (world, bouncer) = (&scene.world, &scene.bouncer);
    gateway.passes();
    // Without being told it would go on with the old password.
    let before = scene.verifier();
    scene.postgres.ask("ALTER ROLE app PASSWORD 'another'");
    scene.postgres.ask("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'");
    assert!(!scene.shop_gets_in());
    scene.postgres.ask(&format!("ALTER ROLE app PASSWORD '{before}'"));

    bouncer.reloads_by(&format!("cat etc/databases.ini; grep -q {OLD} etc/databases.ini && exec $RELOAD"));
    comes_to(scene, &scene.asked(), "reverted");
    as_before();
    let (run, _) = world.last_run();
    let told = world.remit(&["show", &run]).exits(0).out;
    assert!(told.contains("exit status: 1") && told.contains("back as it was, which was reloaded"), "{told}");

    bouncer.reloads_by("exit 7");
    comes_to(scene, &scene.asked(), "in-doubt");
    let (run, _) = world.last_run();
    let told = world.remit(&["show", &run]).exits(0).out;
    assert!(told.contains("exit status: 7") && told.contains("may still use the other content"), "{told}");
    let told = world.remit(&["revert", &run]).exits(5).out;
    assert!(told.contains("exit status: 7") && told.contains("may still use the other content"), "{told}");
    bouncer.reloads_by("exec $RELOAD");
    world.remit(&["revert", &run]).exits(0);
    as_before();
}

/// The host is killed while its change waits for somebody else's, and the server makes the change all the same.
fn killed_in_the_database(scene: &Scene, as_before: &dyn Fn()) {
    let postgres = &scene.postgres;
    let before = scene.verifier();
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
    scene.world.remit(&["recover"]);
    as_before();
}

/// The host is killed at each step.
fn killed(scene: &Scene, template: &World) {
    let old = scene.verifier();
    // A plan would be for the role as it is now, and not as it is when it was put back.
    let request = asked_in(template, &["--without-plan", "--ttl", "24h"]);
    let begin = |_: &World| ["run", &request, "--key", "bot.key"].map(ToOwned::to_owned).to_vec();
    let found = || {
        // Whatever became of it, who was told of it has the password.
        assert!(scene.shop_gets_in_anew());
        Found::agreed(&[
            scene.verifier() != old,
            scene.password("prod/app/db") != OLD,
            scene.password("prod/spare/db") != OLD,
            !scene.files_have(OLD),
        ])
    };
    let name = "rotate-database-credential";
    Killed { name, template, begin: &begin, found: &found, held: Found::Before }
        .at_each_step(&Shim::compile());
}

/// Two runs at once: none of them leaves a place with the password of the other.
fn two_at_once(scene: &Scene, gateway: &Gateway) {
    gateway.passes();
    let requests = [scene.asked(), scene.asked()];
    let both = requests.each_ref().map(|request| {
        let mut host = scene.world.command(&["run", request, "--key", "bot.key"]);
        host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    let ended = both.map(|mut host| host.wait().unwrap().success());
    assert_eq!(ended.iter().filter(|succeeded| **succeeded).count(), 1, "{ended:?}");
    is_new(scene);
}
