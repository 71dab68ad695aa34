//! A domain of Active Directory.

use std::fs;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::between::between;
use super::{ACTION, approved, done, input, refused, run, world};
use crate::common::samba::{PEOPLE, Samba};
use crate::common::{World, contains};

const CONTROL: &str = "userAccountControl";
const BY_TLS: &str = "ca_file = \"ca.pem\"\ntimeout = \"20s\"";

fn dn(name: &str) -> String {
    format!("CN={name},{PEOPLE}")
}

fn control(server: &Samba, name: &str) -> String {
    server.value(&dn(name), CONTROL)
}

fn set(server: &Samba, name: &str, value: &str) {
    server.change(&format!("dn: {}\nchangetype: modify\nreplace: {CONTROL}\n{CONTROL}: {value}\n", dn(name)));
}

/// A home with these entries, which knows the host's password and the CA of the domain.
fn home(server: &Samba, config: &str) -> World {
    let world = world(config);
    world.private("home/ldap.key", "Password-of-remit-1\n");
    fs::copy(server.path("ca.pem"), world.home().join("ca.pem")).unwrap();
    world
}

fn revert_last(world: &World, code: i32) -> String {
    world.remit(&["revert", &world.last_run().0]).exits(code).out
}

/// One domain for all of it: it takes longest to make.
#[test]
fn an_account_of_active_directory_is_disabled_and_put_back_unless_somebody_else_did_something() {
    let mut server = Samba::start();
    let by_tls = format!("ldaps://localhost:{}", server.tls_port);
    let whole = Samba::config("whole", &by_tls, "DC=example,DC=org", BY_TLS);
    let world = home(&server, &(Samba::config("ad", &by_tls, PEOPLE, BY_TLS) + &whole));
    let doctor = world.remit(&["doctor"]).out;
    assert!(doctor.contains(&format!("5 accounts below {PEOPLE} at {by_tls} with TLS")), "{doctor}");
    // More than Active Directory gives in one answer; with the domain's own four.
    assert!(doctor.contains("1109 accounts below DC=example,DC=org"), "{doctor}");
    comes_back_as_it_was(&server, &world);
    is_somebody_elses(&server, &world);
    has_one_path(&server, &world);
    is_reached_in_safety(&server);
    // From here on somebody can be between: without TLS, which a domain has to be told to allow.
    server.stop();
    server.configure("ldap server require strong auth = no");
    server.up();
    survives_the_last_moment(&mut server);
    world.audit_is_sound();
    for secret in ["Password-of-remit-1", "Password-of-alice-1"] {
        assert!(!contains(&world.all_bytes(), secret));
    }
}

fn comes_back_as_it_was(server: &Samba, world: &World) {
    let alice = &done(world, "ad/alice", &["get"])[0];
    assert!(alice["created"].as_u64() > Some(1_700_000_000_000), "{alice}");
    assert_eq!((&alice["last-used"], &alice["groups"]), (&Value::Null, &json!([])));
    assert!(server.lets_in("alice"));
    let alice = &done(world, "ad/alice", &["get"])[0];
    assert!(alice["last-used"].as_u64() > alice["created"].as_u64(), "she just signed in: {alice}");

    let planned = world.remit(&["plan", ACTION, "--input", &input("ad/alice", &["disable", "get"])]);
    let planned = planned.exits(0).out;
    assert!(
        planned.contains(&format!("set it back to 512, which lets {} sign in again", dn("alice"))),
        "{planned}"
    );
    assert!(server.lets_in("alice"), "a rehearsal changes nothing");
    let answers = done(world, "ad/alice", &["get", "disable", "get"]);
    let (first, _) = world.last_run();
    assert_eq!((&answers[0]["enabled"], &answers[2]["enabled"]), (&json!(true), &json!(false)));
    assert!(!server.lets_in("alice"));
    // By Samba's own tool, which reads the database and not by LDAP.
    let shown = server.tool(&["user", "show", "alice", "--attributes", CONTROL]);
    assert!(shown.contains("userAccountControl: 514\n"), "{shown}");
    assert!(refused(world, "ad/alice", &["disable"]).contains("is disabled already"));
    assert!(world.remit(&["replay", &first]).exits(0).out.contains("identical"));
    for _ in 0..2 {
        world.remit(&["revert", &first]).exits(0);
        assert_eq!(control(server, "alice"), "512");
        assert!(server.lets_in("alice"));
    }

    // All other bits stay, and so does the lock of wrong passwords. Of nested groups she is no direct member.
    set(server, "bob", "66048");
    for _ in 0..3 {
        assert!(!server.lets_in_with("bob", "wrong"));
    }
    let locked = server.value(&dn("bob"), "lockoutTime");
    assert!(locked.len() > 1 && !server.lets_in("bob"), "{locked}");
    let answers = done(world, "ad/bob", &["get", "disable"]);
    assert_eq!((&answers[0]["enabled"], &answers[0]["groups"]), (&json!(true), &json!([dn("staff")])));
    assert_eq!(control(server, "bob"), "66050");
    revert_last(world, 0);
    assert_eq!(control(server, "bob"), "66048");
    assert_eq!(server.value(&dn("bob"), "lockoutTime"), locked);
    server.change(&format!("dn: {}\nchangetype: modify\nreplace: lockoutTime\nlockoutTime: 0\n", dn("bob")));
    assert!(server.lets_in("bob"));
}

fn is_somebody_elses(server: &Samba, world: &World) {
    // Between approval and run, and between run and revert.
    let asked = approved(world, "ad/alice", &["disable"]);
    set(server, "alice", "66048");
    assert_ne!(run(world, &asked).code, 0);
    assert_eq!(control(server, "alice"), "66048");
    done(world, "ad/alice", &["disable"]);
    set(server, "alice", "514");
    assert!(revert_last(world, 5).contains("somebody else changed"));
    assert_eq!(control(server, "alice"), "514");

    // It is the same account under another name, and another one under the same name.
    set(server, "alice", "512");
    done(world, "ad/alice", &["disable"]);
    let rename = |from: &str, to: &str| {
        server.change(&format!("dn: {}\nchangetype: modrdn\nnewrdn: CN={to}\ndeleteoldrdn: 1\n", dn(from)));
    };
    rename("alice", "Alice Married");
    revert_last(world, 0);
    assert_eq!(control(server, "Alice Married"), "512");
    rename("Alice Married", "alice");
    let again = || {
        server.tool(&["user", "delete", "alice"]);
        server.tool(&["user", "create", "alice", "Password-of-alice-1", "--userou", "OU=people"]);
    };
    let asked = approved(world, "ad/alice", &["disable"]);
    again();
    assert_ne!(run(world, &asked).code, 0);
    assert!(server.lets_in("alice"));
    done(world, "ad/alice", &["disable"]);
    again();
    set(server, "alice", "514");
    assert!(revert_last(world, 5).contains("is gone"));
    assert_eq!(control(server, "alice"), "514");
    set(server, "alice", "512");
}

fn has_one_path(server: &Samba, world: &World) {
    let all = &done(world, "ad/alice", &["list"])[0];
    let all = all.as_array().unwrap();
    let names: Vec<_> = all.iter().map(|account| account["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "bob", "odd )(x\u{fc}", "gone", "remit"]);
    // A name that is a filter, of an entry whose name is one, and a list.
    let path = all[2]["path"].as_str().unwrap();
    assert!(path.starts_with("ad/by-id/"), "{path}");
    assert!(server.lets_in("odd"));
    done(world, path, &["get", "disable"]);
    assert!(!server.lets_in("odd") && server.lets_in("alice") && server.lets_in("bob"));
    revert_last(world, 0);
    assert!(server.lets_in("odd"));
    for (path, why) in [
        ("ad/ALICE", "the path of CN=alice,OU=people,DC=example,DC=org is `alice`"),
        ("ad/gone", "is disabled already"),
        ("ad/by-id/00ff", "has no account `by-id/00ff`"),
        ("ad/by-id/0", "is no `objectGUID`"),
        // A computer.
        ("ad/box", "has no account `box`"),
        ("ad/m0001", "has no account `m0001`"),
        ("ad/remit", "the host itself signs in as"),
        // Nobody gave the host's account that.
        ("whole/Administrator", "may not write `userAccountControl` of CN=Administrator,"),
        ("whole/krbtgt", "is disabled already"),
    ] {
        let found = refused(world, path, &["disable"]);
        assert!(found.contains(why), "{path}: {found}");
    }
}

fn is_reached_in_safety(server: &Samba) {
    let plain = format!("ldap://localhost:{}", server.port);
    let by_tls = format!("ldaps://localhost:{}", server.tls_port);
    let entry = |name, address, more| Samba::config(name, address, PEOPLE, more);
    let world = home(server, &entry("starttls", &plain, BY_TLS));
    assert!(world.remit(&["doctor"]).out.contains("5 accounts below"));
    world.private("home/ldap.key", "wrong");
    let doctor = world.remit(&["doctor"]).exits(1).out;
    assert!(doctor.contains("does not let the host's account") && doctor.contains("data 52e"), "{doctor}");
    world.private("home/ldap.key", "Password-of-remit-1");
    // By a CA that nobody trusts, by either way to TLS, and without TLS.
    world.configure(&entry("ldaps", &by_tls, ""));
    world.configure(&entry("untrusted", &plain, "tls = true"));
    world.configure(&entry("plain", &plain, "tls = false"));
    let doctor = world.remit(&["doctor"]).exits(1).out;
    assert_eq!(doctor.matches("invalid peer certificate").count(), 2, "{doctor}");
    assert!(doctor.contains("lets nobody in by a connection like this one"), "{doctor}");
}

/// What happens at a modification.
enum Then {
    /// Somebody else was there first.
    Changed,
    /// It is made, and nobody is told.
    Lost,
}

fn survives_the_last_moment(server: &mut Samba) {
    let next = Arc::new(Mutex::new(None));
    let events = Arc::clone(&next);
    let (says, hears) = channel::<Sender<()>>();
    let address = between(server.port, move |line, ask| {
        match if line.starts_with("modify") { events.lock().unwrap().take() } else { None } {
            None => Some(ask()),
            Some(Then::Lost) => {
                ask();
                None
            }
            Some(Then::Changed) => {
                let (changed, is_changed) = channel();
                says.send(changed).unwrap();
                is_changed.recv().unwrap();
                Some(ask())
            }
        }
    });
    let world = home(server, &Samba::config("ad", &address, PEOPLE, "tls = false\ntimeout = \"20s\""));

    *next.lock().unwrap() = Some(Then::Lost);
    let asked = approved(&world, "ad/alice", &["disable"]);
    assert_ne!(run(&world, &asked).code, 0);
    assert!(server.lets_in("alice"), "what nobody was told of was taken back");

    *next.lock().unwrap() = Some(Then::Changed);
    let asked = approved(&world, "ad/alice", &["disable"]);
    std::thread::scope(|threads| {
        let ran = threads.spawn(|| run(&world, &asked));
        let changed = hears.recv().unwrap();
        set(server, "alice", "66048");
        changed.send(()).unwrap();
        assert_ne!(ran.join().unwrap().code, 0);
    });
    assert_eq!(control(server, "alice"), "66048");
    let shown = world.remit(&["show", &world.last_run().0]).out;
    assert!(shown.contains("somebody else changed it"), "{shown}");

    // A server that is down voids nothing.
    let asked = approved(&world, "ad/alice", &["disable"]);
    server.stop();
    assert_eq!(run(&world, &asked).code, 1);
    server.up();
    run(&world, &asked).exits(0);
    assert!(!server.lets_in("alice"));
    revert_last(&world, 0);
    assert!(server.lets_in("alice"));
    world.audit_is_sound();
}
