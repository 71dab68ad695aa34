//! Making a home: whose key is whose is decided by what was asked for, never by what a file is called.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use crate::common::{POLICY, Ran, World, finish};
use tempfile::TempDir;

/// A folder of keys, and no home yet.
fn keys(names: &[&str]) -> World {
    let world = World { dir: TempDir::new().unwrap() };
    for name in names {
        fs::create_dir_all(world.path(name).parent().unwrap()).unwrap();
        world.remit(&["keys", "new", "--out", name]).exits(0);
    }
    world
}

fn init(world: &World, args: &[&str]) -> Ran {
    world.remit(&[&["init", "--log", "test.example/journal"], args].concat())
}

/// Every file below a folder, with what it holds.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
    all.sort();
    all
}

fn id(world: &World, name: &str) -> String {
    let mut command = std::process::Command::new("openssl");
    let spki = ["pkey", "-pubin", "-in", name, "-outform", "DER", "-out", "spki.der"];
    command.args(spki).current_dir(world.dir.path());
    finish(command, "").exits(0);
    remit_trust::Digest::of(&fs::read(world.path("spki.der")).unwrap())
        .to_string()
        .split(':')
        .nth(1)
        .unwrap()
        .to_owned()
}

#[test]
fn attack_a_file_of_the_same_name_elsewhere_is_another_key() {
    // A vendor's keys are called as ours are.
    let world = keys(&["vendor/alice", "vendor/admin", "admin", "alice", "bot"]);
    let trust =
        ["--publisher", "vendor/alice.pub", "--publisher", "vendor/admin.pub", "--admin", "admin.key"];
    let principals = ["--human", "alice.pub", "--agent", "bot.pub"];
    init(&world, &[&trust[..], &principals].concat()).exits(0);
    world.policies(POLICY);
    let shown = world.remit(&["principals", "--json"]).exits(0).out;
    assert!(shown.contains(&id(&world, "alice.pub")), "{shown}");
    assert!(!shown.contains(&id(&world, "vendor/alice.pub")), "{shown}");
    // Who is who shows in what each can do.
    world.remit(&["rules", "sign", "--key", "vendor/admin.key"]).exits(3).says("is no administrator's");
    world
        .remit(&["freeze", "--reason", "r", "--key", "vendor/alice.key"])
        .exits(3)
        .says("belongs to no principal");
    world.remit(&["freeze", "--reason", "r", "--key", "alice.key"]).exits(0);
    for (role, count) in [("publishers", 2), ("admins", 1), ("principals", 2)] {
        assert_eq!(files(&world.home().join("keys").join(role)).len(), count, "{role}");
    }
}

#[test]
fn attack_one_key_for_two() {
    let world = keys(&["publisher", "admin", "alice", "other/alice"]);
    fs::copy(world.path("alice.pub"), world.path("twin.pub")).unwrap();
    let refused = |args: &[&str], says: [&str; 2]| {
        init(&world, args).exits(2).says(says[0]).says(says[1]);
        assert!(!world.home().exists(), "{args:?}");
    };
    refused(&["--human", "alice.pub", "--human", "twin.pub"], ["twin.pub", "alice.pub"]);
    refused(&["--human", "alice.pub", "--agent", "bot=alice.pub"], ["principal bot", "principal alice"]);
    refused(&["--human", "alice.pub", "--human", "other/alice.pub"], ["by alice.pub", "by other/alice.pub"]);
    refused(
        &["--human", "alice.pub", "--service", "alice.pub"],
        ["two principals are called alice", "alice.pub"],
    );
    refused(
        &["--publisher", "publisher.pub", "--human", "carol=publisher.pub"],
        ["publisher.pub", "principal carol"],
    );
    refused(
        &["--publisher", "publisher.pub", "--admin", "publisher.key"],
        ["publisher.pub", "publisher.key"],
    );
    refused(&["--human", "No Name=alice.pub"], ["no name for a principal", "No Name"]);
    refused(&["--human", "../../alice=alice.pub"], ["no name for a principal", "alice"]);
    // The administrator may be a person who acts here; and a publisher given twice is one.
    let both = ["--publisher", "publisher.pub", "--publisher", "publisher.pub"];
    init(&world, &[&both[..], &["--admin", "alice.key", "--human", "alice.pub"]].concat()).exits(0);
    assert_eq!(files(&world.home().join("keys/publishers")).len(), 1);
    // Nor later, by hand.
    let file = world.home().join("principals.toml");
    let text = fs::read_to_string(&file).unwrap();
    let key = world.kept_key("publishers", "publisher");
    let more =
        format!("\n[[principal]]\nname = \"dora\"\nkind = \"human\"\n[[principal.key]]\nfile = \"{key}\"\n");
    fs::write(&file, text + &more).unwrap();
    world.remit(&["rules", "sign", "--key", "alice.key"]).exits(3).says("dora").says("also a publisher's");
}

#[test]
fn attack_nothing_that_is_there_is_overwritten() {
    let world = keys(&["admin", "alice", "mallory"]);
    let args = ["--admin", "admin.key", "--human", "alice.pub"];
    init(&world, &args).exits(0);
    let whole = files(&world.home());
    let config = world.home().join("remit.toml");
    let kept = world.kept_key("principals", "alice");
    // As an interrupted `init` leaves it, with one file that somebody put there.
    for file in [kept.as_str(), "principals.toml", "policies/default.cedar"] {
        let there = fs::read(world.home().join(file)).unwrap();
        let text = fs::read(&config).unwrap();
        fs::remove_file(&config).unwrap();
        fs::copy(world.path("mallory.pub"), world.home().join(file)).unwrap();
        let before = files(&world.home());
        init(&world, &args).exits(2).says(file).says("with other content");
        assert_eq!(files(&world.home()), before);
        fs::write(world.home().join(file), there).unwrap();
        fs::write(&config, text).unwrap();
    }
    assert_eq!(files(&world.home()), whole);
    // Without it, it is ended.
    fs::remove_file(&config).unwrap();
    init(&world, &args).exits(0);
    world.remit(&["principals"]).exits(0);
}
