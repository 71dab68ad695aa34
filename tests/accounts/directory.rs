//! Directories.

use std::fs;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::between::{between, garbled, success};
use super::{ACTION, approved, directory, done, input, refused, run, world};
use crate::common::openldap::OpenLdap;
use crate::common::{POLICY, World, contains};

const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
const BOB: &str = "uid=bob,ou=people,dc=example,dc=org";
const ODD: &str = "cn=odd \\28one\\29 *\\2C \\5C,ou=people,dc=example,dc=org";
const LOCKED: &str = "pwdAccountLockedTime";
const FOR_EVER: &str = "000001010000Z";

fn alice_gets_in(server: &OpenLdap) -> bool {
    server.lets_in(ALICE, "the-password-of-alice")
}

fn set(server: &OpenLdap, dn: &str, value: Option<&str>) {
    let value = value.map(|value| format!("{LOCKED}: {value}\n")).unwrap_or_default();
    server.change(&format!("dn: {dn}\nchangetype: modify\nreplace: {LOCKED}\n{value}"));
}

fn state_of_last(world: &World) -> Value {
    let (_, records) = world.last_run();
    records.iter().rev().find_map(|record| record["event"]["ended"].get("state").cloned()).unwrap_or_default()
}

#[test]
fn an_account_is_disabled_and_put_back_unless_somebody_else_did_something() {
    let (server, world) = directory();
    let doctor = world.remit(&["doctor"]).out;
    assert!(doctor.contains("5 accounts below ou=people") && doctor.contains("with TLS"), "{doctor}");

    let planned = world.remit(&["plan", ACTION, "--input", &input("directory/alice", &["disable", "get"])]);
    let planned = planned.exits(0).out;
    assert!(planned.contains(&format!("let {ALICE} sign in again")), "{planned}");
    assert!(alice_gets_in(&server), "a rehearsal changes nothing");
    // The rehearsal sees what it did, and a run does it.
    let answers = done(&world, "directory/alice", &["get", "disable", "get"]);
    assert_eq!((&answers[0]["enabled"], &answers[2]["enabled"]), (&json!(true), &json!(false)));
    assert!(answers[0]["last-used"].as_u64().unwrap() > 1_700_000_000_000, "she just signed in: {answers:?}");
    assert!(!alice_gets_in(&server));
    assert_eq!(server.values(ALICE, LOCKED), [FOR_EVER]);
    let (first, records) = world.last_run();
    let change = records.iter().map(|record| &record["event"]["intent"]);
    let change = change.clone().find(|intent| intent["effect"] == "change").unwrap();
    assert_eq!(
        (&change["resource"], &change["before"]["dn"]),
        (&json!("account:directory/alice"), &json!(ALICE))
    );
    assert!(refused(&world, "directory/alice", &["disable"]).contains("is disabled already"));

    assert!(world.remit(&["replay", &first]).exits(0).out.contains("identical"));
    world.remit(&["revert", &first]).exits(0);
    assert!(alice_gets_in(&server));
    assert_eq!(server.values(ALICE, LOCKED), <[&str; 0]>::default());
    world.remit(&["revert", &first]).exits(0);
    assert!(refused(&world, "directory/alice", &["disable", "disable"]).contains("is disabled already"));
    let events = world.ocsf_events();
    assert!(events.iter().any(|event| event["activity_name"] == "Isolate"), "{events:?}");

    // A lock that ends by itself comes back as it was.
    set(&server, BOB, Some("20260101120000Z"));
    done(&world, "directory/bob", &["disable"]);
    assert_eq!(server.values(BOB, LOCKED), [FOR_EVER]);
    world.remit(&["revert", &world.last_run().0]).exits(0);
    assert_eq!(server.values(BOB, LOCKED), ["20260101120000Z"]);

    // Somebody else was there: between approval and run, and between run and revert.
    let asked = approved(&world, "directory/alice", &["disable"]);
    set(&server, ALICE, Some("20260202120000Z"));
    assert_ne!(run(&world, &asked).code, 0);
    assert_eq!(server.values(ALICE, LOCKED), ["20260202120000Z"]);
    done(&world, "directory/alice", &["disable"]);
    set(&server, ALICE, None);
    set(&server, ALICE, Some("20260303120000Z"));
    let reverted = world.remit(&["revert", &world.last_run().0]).exits(5).out;
    assert!(reverted.contains("somebody else changed"), "{reverted}");
    assert_eq!(server.values(ALICE, LOCKED), ["20260303120000Z"]);

    // An account of the same name that is not the one that was.
    set(&server, ALICE, None);
    let anew = format!(
        "dn: {ALICE}\nchangetype: delete\n\ndn: {ALICE}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: alice\ncn: A\nsn: A\n\
         userPassword: the-password-of-alice\n"
    );
    let asked = approved(&world, "directory/alice", &["disable"]);
    server.change(&anew);
    assert_ne!(run(&world, &asked).code, 0);
    assert!(alice_gets_in(&server));
    done(&world, "directory/alice", &["disable"]);
    server.change(&anew);
    set(&server, ALICE, Some(FOR_EVER));
    let reverted = world.remit(&["revert", &world.last_run().0]).exits(5).out;
    assert!(reverted.contains("is gone"), "{reverted}");
    assert_eq!(server.values(ALICE, LOCKED), [FOR_EVER]);
    assert!(!contains(&world.all_bytes(), "remits-own"));
    world.audit_is_sound();
}

#[test]
fn one_account_has_one_path_whatever_it_is_called() {
    let (server, world) = directory();
    // The server itself keeps `memberOf`.
    for (group, member) in [("staff", BOB), ("exempt", ODD)] {
        server.change(&format!(
            "dn: cn={group},dc=example,dc=org\nchangetype: add\nobjectClass: groupOfNames\nmember: {member}\n"
        ));
    }
    let answers = done(&world, "directory/bob", &["get", "list"]);
    assert_eq!(answers[0]["groups"], json!(["cn=staff,dc=example,dc=org"]));
    let all = answers[1].as_array().unwrap();
    let odd = all.iter().find(|account| account["name"] == "mallory)(uid=*").unwrap();
    assert_eq!((all.len(), &odd["groups"]), (5, &json!(["cn=exempt,dc=example,dc=org"])));
    let path = odd["path"].as_str().unwrap().to_owned();
    assert!(path.starts_with("directory/by-id/"), "{path}");
    // A name that is a filter, at an entry that is one too.
    done(&world, &path, &["disable"]);
    assert_eq!(server.values(ODD, LOCKED), [FOR_EVER]);
    assert!(alice_gets_in(&server) && server.lets_in(BOB, "the-password-of-bob"));
    world.remit(&["revert", &world.last_run().0]).exits(0);
    assert_eq!(server.values(ODD, LOCKED), <[&str; 0]>::default());

    // Groups that are searched for: of one account, and of all.
    let searched = "[[accounts]]\nname = \"searched\"\ngroups = { base = \"dc=example,dc=org\" }";
    world.configure(
        &OpenLdap::people("searched", &server.address())
            .replace("[[accounts]]\nname = \"searched\"", searched),
    );
    for account in done(&world, "searched/bob", &["list"])[0].as_array().unwrap() {
        let path = account["path"].as_str().unwrap();
        assert_eq!(done(&world, path, &["get"])[0]["groups"], account["groups"], "{path}");
        let exempt = account["groups"].to_string().contains("cn=exempt");
        assert_eq!(exempt, account["name"] == "mallory)(uid=*", "{account}");
    }

    let bobs = server.values(BOB, "entryUUID").remove(0);
    for (path, why) in [
        ("directory/ALICE".to_owned(), "is `alice`"),
        (format!("directory/by-id/{bobs}"), "is `bob`"),
        ("directory/by-id/~".to_owned(), "is no `entryUUID`"),
        ("directory/by-id/00".to_owned(), "has no account `by-id/00`"),
        ("directory/nobody".to_owned(), "has no account `nobody`"),
        ("directory/alice/x".to_owned(), "named by one segment"),
        ("directory".to_owned(), "directory/alice"),
        ("directory/*".to_owned(), "which is not allowed"),
        ("directory/alice)(uid=bob".to_owned(), "which is not allowed"),
        ("elsewhere/alice".to_owned(), "no connector `elsewhere`"),
        ("directory/remit".to_owned(), "the host itself signs in as"),
        ("directory/loose".to_owned(), "a lock would keep nobody out"),
    ] {
        let found = refused(&world, &path, &["disable"]);
        assert!(found.contains(why), "{path}: {found}");
    }
    assert!(refused(&world, "directory/bob", &["end"]).contains("no connector `directory` serves this"));

    // Policies know the kind, and which directory it is.
    let here = format!("ldaps://localhost:{}", server.tls_port);
    world.policies(&format!(
        "{POLICY}\n@id(\"not-bob\")\nforbid (principal, action == Remit::Action::\"propose\", resource) when {{\n  \
         resource.mayChange.contains(Remit::Path::\"account:directory/bob\") && resource.connectorOrigins.contains(\"{here}\")\n}};\n"
    ));
    let bob = input("directory/bob", &["disable"]);
    let ask =
        ["request", ACTION, "--input", &bob, "--scope", "s.toml", "--reason", "test", "--key", "bot.key"];
    let denied = world.remit(&ask).exits(3);
    assert!(denied.err.contains("not-bob"), "{denied:?}");
    world.audit_is_sound();
}

/// What becomes of a modification.
#[derive(Clone, Copy)]
enum Then {
    /// It is made, and nobody is told.
    Lost,
    /// It is not made, and the answer says that it was.
    Lied,
    /// It is not made, and there is no answer in time.
    Silent,
    /// It is not made, and the answer is no LDAP.
    Garbled,
}

/// What becomes of one modification after the other; of the others, what is asked.
fn through(server: &OpenLdap, then: &Arc<Mutex<Vec<Then>>>) -> World {
    let then = Arc::clone(then);
    let address = between(server.port, move |line, ask| {
        let then = if line.starts_with("modify") { then.lock().unwrap().pop() } else { None };
        match then {
            None => Some(ask()),
            Some(Then::Lost) => {
                ask();
                None
            }
            Some(Then::Lied) => Some(success(line)),
            Some(Then::Garbled) => Some(garbled(line)),
            Some(Then::Silent) => {
                std::thread::sleep(Duration::from_secs(4));
                None
            }
        }
    });
    world(&OpenLdap::people("directory", &address))
}

#[test]
fn a_server_that_is_down_slow_or_lying_leaves_nothing_half_done() {
    let mut server = OpenLdap::start();
    let then = Arc::new(Mutex::new(Vec::new()));
    let next = |what| then.lock().unwrap().push(what);
    let world = through(&server, &then);

    // It did what it was asked, and nobody was told: the host finds out, and takes it back.
    next(Then::Lost);
    let asked = approved(&world, "directory/alice", &["disable"]);
    assert_ne!(run(&world, &asked).code, 0);
    assert_eq!(state_of_last(&world), "reverted");
    assert!(alice_gets_in(&server));

    // It says that it did it, and did not: nobody believes it.
    next(Then::Lied);
    let asked = approved(&world, "directory/alice", &["disable"]);
    let ran = run(&world, &asked);
    assert!(ran.code != 0 && state_of_last(&world) != "succeeded", "{ran:?}");
    assert!(alice_gets_in(&server));

    for what in [Then::Silent, Then::Garbled] {
        next(what);
        let asked = approved(&world, "directory/alice", &["disable"]);
        let ran = run(&world, &asked);
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(alice_gets_in(&server));
    }

    // A server that is down voids nothing.
    let asked = approved(&world, "directory/alice", &["disable"]);
    let direct = server.address();
    server.stop();
    let ran = run(&world, &asked);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(server.up());
    run(&world, &asked).exits(0);
    assert!(!alice_gets_in(&server));
    // The address of then is where it is taken back; elsewhere is another system.
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (through, _) = text.split_once("address = \"").unwrap().1.split_once('"').unwrap();
    fs::write(&config, text.replace(through, &direct)).unwrap();
    let reverted = world.remit(&["revert", &world.last_run().0]);
    assert!(reverted.code != 0 && !alice_gets_in(&server), "{reverted:?}");
    fs::write(&config, &text).unwrap();
    world.remit(&["revert", &world.last_run().0]).exits(0);
    assert!(alice_gets_in(&server));

    // Who the host is, is read anew each time.
    for (password, why) in [("wrong", "does not let the host's account"), ("", "is empty")] {
        world.private("home/ldap.key", password);
        let doctor = world.remit(&["doctor"]).exits(1).out;
        assert!(doctor.contains(why), "{doctor}");
    }
    world.audit_is_sound();
}

#[test]
fn a_change_in_the_last_moment_is_not_overwritten() {
    let server = Arc::new(OpenLdap::start());
    // Not kept by the proxy, which ends with the process: the server ends with the test.
    let seen = Arc::downgrade(&server);
    // After the host's last look, and before its change.
    let address = between(server.port, move |line, ask| {
        if let Some(server) = seen.upgrade().filter(|_| line.starts_with("modify")) {
            set(&server, ALICE, Some("20260404120000Z"));
        }
        Some(ask())
    });
    let world = world(&OpenLdap::people("directory", &address));
    let asked = approved(&world, "directory/alice", &["disable"]);
    assert_ne!(run(&world, &asked).code, 0);
    assert_eq!(server.values(ALICE, LOCKED), ["20260404120000Z"]);
    let (shown, _) = world.last_run();
    let shown = world.remit(&["show", &shown]).out;
    assert!(shown.contains("somebody else changed it"), "{shown}");
    world.audit_is_sound();
}

/// The host is killed while the directory has its change, and the directory makes it all the same.
#[test]
fn a_killed_host_takes_back_what_arrived_without_it() {
    let server = OpenLdap::start();
    let ((arrived, has_arrived), (go, may_go)): ((Sender<()>, Receiver<()>), (Sender<()>, Receiver<()>)) =
        (channel(), channel());
    let gate = Mutex::new((arrived, may_go));
    let address = between(server.port, move |line, ask| {
        if line.starts_with("modify") {
            let gate = gate.lock().unwrap();
            // The undo of the recovery goes through too: nobody listens any more, and nobody holds it up.
            if gate.0.send(()).is_ok() {
                let _ = gate.1.recv();
            }
        }
        Some(ask())
    });
    let world = world(&OpenLdap::people("directory", &address));
    let request = approved(&world, "directory/alice", &["disable"]);
    let mut host = world.command(&["run", &request, "--key", "bot.key"]);
    let mut host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    has_arrived.recv().unwrap();
    host.kill().unwrap();
    host.wait().unwrap();
    drop(has_arrived);
    assert!(alice_gets_in(&server));
    go.send(()).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while alice_gets_in(&server) {
        assert!(Instant::now() < until, "the change never arrived");
        std::thread::sleep(Duration::from_millis(20));
    }
    world.remit(&["recover"]);
    assert!(alice_gets_in(&server));
    assert_eq!(server.values(ALICE, LOCKED), <[&str; 0]>::default());
    world.audit_is_sound();
}
