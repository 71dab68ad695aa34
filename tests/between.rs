//! Somebody else acts between the last rehearsal of a run and its change, or after it: what was approved is the state that was
//! there, and what others put in its place is theirs. Against a real OpenBao, and on files as root.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::common::bao::Bao;
use crate::common::{Ran, World, finish, proxy, scope};
use rustix::fs::XattrFlags;
use serde_json::{Value, json};

/// What the host asks the server for, and what somebody does right before one of these requests.
#[derive(Default)]
struct Seam {
    seen: Vec<String>,
    act: Option<Act>,
}

/// Before which request, counted from 0.
type Act = (usize, Box<dyn FnOnce() + Send>);

struct House {
    bao: Bao,
    world: World,
    seam: Arc<Mutex<Seam>>,
}

impl House {
    fn new(actions: &[&str]) -> Self {
        let (bao, world) = (Bao::start(), World::with(actions));
        let seam: Arc<Mutex<Seam>> = Arc::default();
        let between = proxy::before(&bao.address, {
            let seam = Arc::clone(&seam);
            move |line| {
                let due = {
                    let mut seam = seam.lock().unwrap();
                    let at = seam.seen.len();
                    seam.seen.push(line.to_owned());
                    seam.act.take_if(|(when, _)| *when == at)
                };
                if let Some((_, act)) = due {
                    act();
                }
            }
        });
        let config = world.home().join("remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        // A slow machine must not make the host ask twice: the requests are counted.
        let served = bao.config().replace(&bao.address, &between).replace("\"2s\"", "\"1m\"");
        fs::write(config, text + &served).unwrap();
        Self { bao, world, seam }
    }

    fn put(&self, path: &str, value: &str) {
        put(&self.bao.address, path, value);
    }

    fn api(&self, method: &str, path: &str) -> Value {
        Bao::api(&self.bao.address, method, path, &Value::Null)
    }

    /// The bot runs what was approved, while somebody acts; and what the host asked for meanwhile.
    fn run_while(&self, name: &str, act: Option<Act>) -> (Ran, Vec<String>) {
        *self.seam.lock().unwrap() = Seam { seen: Vec::new(), act };
        let ran = self.world.run(name);
        (ran, std::mem::take(&mut self.seam.lock().unwrap().seen))
    }
}

fn put(address: &str, path: &str, value: &str) {
    Bao::api(address, "POST", &format!("secret/data/{path}"), &json!({ "data": { "k": value } }));
}

fn remake(address: &str, path: &str) {
    Bao::api(address, "DELETE", &format!("secret/metadata/{path}"), &Value::Null);
    put(address, path, "theirs");
}

/// One server for all of it, which takes long to start.
#[test]
fn what_was_approved_is_the_state_that_was_there() {
    let house = House::new(&["hostile"]);
    somebody_else_is_first_at_each_request_to_the_server(&house);
    nobody_is_told_what_was_made_at_any_request_to_the_server(&house);
    what_somebody_did_to_a_file_since_the_last_rehearsal_stays(&house);
    a_part_of_a_plan_is_not_what_was_approved(&house);
    house.world.audit_is_sound();
}

/// Where in a run the host writes.
fn write_of(seen: &[String]) -> usize {
    let writes = |line: &String| {
        ["/v1/secret/data/", "/v1/secret/delete/"].iter().any(|to| line.starts_with(&format!("POST {to}")))
    };
    seen.iter().position(writes).unwrap()
}

/// Whichever request of a run comes right after somebody else rotated the secret, or deleted it and made one of the same path:
/// theirs stays, and is what the path has. Where the server itself cannot tell the two apart (between the last look and the
/// write), the run at least does not say that all is well.
fn somebody_else_is_first_at_each_request_to_the_server(house: &House) {
    let world = &house.world;
    for (step, remade) in [("rotate", false), ("rotate", true), ("disable", true)] {
        let approved = |path: &str| {
            house.put(path, "old");
            let last = if step == "rotate" { "null" } else { "\"1\"" };
            let script = format!(r#"{{"run":[{{"{step}":["{path}",{last}]}}]}}"#);
            world.write("s.toml", scope("", path));
            world.ask(&["request", "hostile.wasm", "--input", &script, "--scope", "s.toml"], "g");
        };
        approved(&format!("prod/{step}-{remade}"));
        let (ran, seen) = house.run_while("g", None);
        ran.exits(0);
        let write = write_of(&seen);
        // The last look before the write, and the first after it. (`tests/hostile.rs` tries every call, of the embedded store.)
        for at in write - 1..=write + 1 {
            let path = format!("prod/{step}-{remade}-{at}");
            approved(&path);
            let (address, theirs) = (house.bao.address.clone(), path.clone());
            let act =
                Box::new(
                    move || {
                        if remade { remake(&address, &theirs) } else { put(&address, &theirs, "theirs") }
                    },
                );
            let (ran, _) = house.run_while("g", Some((at, act)));
            let case = format!("{step}, remade: {remade}, at {at} of {write}: {ran:?}");
            assert!(house.seam.lock().unwrap().act.is_none(), "nobody came: {case}");
            assert_ne!(ran.code, 0, "{case}");
            if remade && at == write {
                assert_eq!(ran.code, 5, "{case}");
                assert!(ran.err.contains("is another secret now"), "{case}");
                continue;
            }
            let value = house.api("GET", &format!("secret/data/{path}"));
            assert_eq!(value["data"]["data"]["k"], "theirs", "{case}");
            let metadata = || house.api("GET", &format!("secret/metadata/{path}"))["data"].clone();
            let known = metadata();
            let versions = if remade { 1 } else { 2 + u64::from(at > write) };
            assert_eq!(known["current_version"], versions, "{case}");
            if at > write {
                // Nor does a person's revert write into it.
                let (run, _) = world.last_run();
                world.remit(&["revert", &run]).exits(5);
                assert_eq!(metadata(), known, "{case}");
            }
        }
    }
}

/// The same of a disclosure: what somebody made since is told to nobody.
fn nobody_is_told_what_was_made_at_any_request_to_the_server(house: &House) {
    let world = &house.world;
    let approved = |path: &str| {
        house.put(path, "old");
        let script = format!(r#"{{"run":[{{"reveal":["{path}","k","1"]}}]}}"#);
        world.write("s.toml", scope("", path).replace("reveal\"", "reveal\"\ndisclose = true"));
        world.ask(&["request", "hostile.wasm", "--input", &script, "--scope", "s.toml"], "g");
    };
    approved("prod/told");
    let (ran, seen) = house.run_while("g", None);
    ran.exits(0);
    let told =
        |path: &str| world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out.contains(path);
    assert!(told("saw old"));
    // Two looks with the reading between, in the run itself.
    for at in seen.len() - 3..seen.len() {
        let path = format!("prod/told-{at}");
        approved(&path);
        let (address, theirs) = (house.bao.address.clone(), path);
        house.run_while("g", Some((at, Box::new(move || remake(&address, &theirs)))));
        assert!(house.seam.lock().unwrap().act.is_none(), "nobody came at {at}: {seen:?}");
        assert!(!told("saw theirs"), "at {at}");
    }
}

/// Everything of one file or directory but its times: number, mode, owner, group, content, extended attributes.
type Seen = (u64, u32, u32, u32, Vec<u8>, BTreeMap<String, Vec<u8>>);

/// Everything of what lies in a directory.
fn tree(at: &Path) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let mut list = [0; 1024];
        let length = rustix::fs::llistxattr(&path, &mut list[..]).unwrap();
        let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let attributes = names.map(|name| {
            let mut value = [0; 1024];
            let length = rustix::fs::lgetxattr(&path, name, &mut value[..]).unwrap();
            (String::from_utf8(name.to_vec()).unwrap(), value[..length].to_vec())
        });
        let seen = (meta.ino(), meta.mode(), meta.uid(), meta.gid(), content, attributes.collect());
        all.insert(path.to_str().unwrap().to_owned(), seen);
        if meta.is_dir() {
            all.extend(tree(&path));
        }
    }
    all
}

/// What somebody does, by a name, and how it is brought back: given the file, a place aside, and a directory outside.
type Deed = (&'static str, fn(&Path, &Path, &Path), fn(&Path, &Path, &Path));

fn note(path: &Path, value: &[u8]) {
    rustix::fs::setxattr(path, "user.note", value, XattrFlags::empty()).unwrap();
}

/// A file is looked at a last time by a run that has begun, and then somebody else is faster than its change: in whatever they
/// changed, theirs stays.
fn what_somebody_did_to_a_file_since_the_last_rehearsal_stays(house: &House) {
    let world = &house.world;
    let (etc, out) = (world.path("etc"), world.path("out"));
    fs::create_dir_all(etc.join("d")).unwrap();
    fs::create_dir_all(out.join("d")).unwrap();
    let (file, aside) = (etc.join("d/x"), out.join("aside"));
    for path in [&file, &out.join("d/x")] {
        fs::write(path, "old\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let more = format!("\n[[files]]\nname = \"etc\"\npath = \"{}\"\n", etc.display());
    fs::write(config, text + &more).unwrap();
    house.put("prod/turn", "old");
    // The look at the secret is when somebody else acts.
    let script = r#"{"run":[{"inspect":"prod/turn"},{"write":["/etc/d/x","new\n"]}]}"#;
    let allow = |name: &str, what: &str| {
        format!("[[allow]]\ncapability = \"remit:{name}\"\nresources = [\"{what}\"]\n")
    };
    let rules = ["inspect", "rotate", "disable", "destroy", "reveal"]
        .map(|name| allow(&format!("secrets/{name}"), "secret:prod/turn"));
    world.write("s.toml", rules.concat() + &allow("files/write", "file:etc/d/*"));
    let ask = ["request", "hostile.wasm", "--input", script, "--scope", "s.toml", "--uses", "20"];
    world.ask(&ask, "g");

    let mut deeds: Vec<Deed> = vec![
        ("content", |x, _, _| fs::write(x, "theirs\n").unwrap(), |x, _, _| fs::write(x, "old\n").unwrap()),
        (
            "mode",
            |x, _, _| fs::set_permissions(x, fs::Permissions::from_mode(0o600)).unwrap(),
            |x, _, _| fs::set_permissions(x, fs::Permissions::from_mode(0o640)).unwrap(),
        ),
        (
            "an attribute",
            |x, _, _| note(x, b"theirs"),
            |x, _, _| rustix::fs::removexattr(x, "user.note").unwrap(),
        ),
        (
            "another file like it",
            |x, aside, _| {
                fs::rename(x, aside).unwrap();
                fs::write(x, "old\n").unwrap();
                fs::set_permissions(x, fs::Permissions::from_mode(0o640)).unwrap();
            },
            |x, aside, _| fs::rename(aside, x).unwrap(),
        ),
        (
            "a second name",
            |x, aside, _| fs::hard_link(x, aside).unwrap(),
            |_, aside, _| fs::remove_file(aside).unwrap(),
        ),
        (
            "a link out",
            |x, aside, out| {
                fs::rename(x, aside).unwrap();
                symlink(out.join("x"), x).unwrap();
            },
            |x, aside, _| fs::rename(aside, x).unwrap(),
        ),
        (
            "a directory that is a link out",
            |x, aside, out| {
                fs::rename(x.parent().unwrap(), aside).unwrap();
                symlink(out, x.parent().unwrap()).unwrap();
            },
            |x, aside, _| {
                fs::remove_file(x.parent().unwrap()).unwrap();
                fs::rename(aside, x.parent().unwrap()).unwrap();
            },
        ),
        (
            "another directory, with the very file",
            |x, aside, _| {
                fs::rename(x.parent().unwrap(), aside).unwrap();
                fs::create_dir(x.parent().unwrap()).unwrap();
                fs::rename(aside.join("x"), x).unwrap();
            },
            |x, aside, _| {
                fs::rename(x, aside.join("x")).unwrap();
                fs::remove_dir(x.parent().unwrap()).unwrap();
                fs::rename(aside, x.parent().unwrap()).unwrap();
            },
        ),
    ];
    if rustix::process::geteuid().is_root() {
        deeds.push((
            "owner",
            |x, _, _| chown(x, Some(1234), None).unwrap(),
            |x, _, _| chown(x, Some(0), None).unwrap(),
        ));
    }
    for (what, deed, back) in deeds {
        let (x, aside, out, etc) = (file.clone(), aside.clone(), out.join("d"), etc.clone());
        let seen: Arc<Mutex<Option<_>>> = Arc::default();
        let act = {
            let (x, aside, out, etc, seen) =
                (x.clone(), aside.clone(), out.clone(), etc.clone(), Arc::clone(&seen));
            Box::new(move || {
                deed(&x, &aside, &out);
                *seen.lock().unwrap() = Some((tree(&etc), tree(&out)));
            })
        };
        // Before the second look: the first was the rehearsal's.
        let (ran, _) = house.run_while("g", Some((1, act)));
        let theirs = seen.lock().unwrap().take().unwrap_or_else(|| panic!("nobody came: {what}: {ran:?}"));
        assert_ne!(ran.code, 0, "{what}: {ran:?}");
        assert_eq!((tree(&etc), tree(&out)), theirs, "{what}: {ran:?}");
        back(&x, &aside, &out);
    }
    house.run_while("g", None).0.exits(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "new\n");
}

/// What the host's token could not take back is told as such before anybody approves, needs a scope that accepts it, and is
/// held afterwards: nobody is told that it can be undone, or that nobody knows.
#[test]
fn an_undo_that_the_token_may_not_make_is_not_promised() {
    let bao = Bao::start();
    let world = World::with(&["hostile"]);
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text + &bao.config()).unwrap();
    let rule =
        |at: &str, can: &str| format!("path \"secret/{at}/prod/*\" {{ capabilities = [\"{can}\"] }}\n");
    let token = |name: &str, rules: &[(&str, &str)], more: &[&str]| {
        let rules: String = rules.iter().map(|(at, can)| rule(at, can)).collect();
        Bao::api(&bao.address, "PUT", &format!("sys/policies/acl/{name}"), &json!({ "policy": rules }));
        let body = json!({ "policies": [name], "no_default_policy": more.contains(&"no default") });
        let made = Bao::api(&bao.address, "POST", "auth/token/create", &body);
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let remit = |token: &str, args: &[&str]| {
        let mut command = world.command(args);
        command.env("TEST_TOKEN", token);
        finish(command, "")
    };
    let states = |path: &str| {
        let known = Bao::api(&bao.address, "GET", &format!("secret/metadata/{path}"), &Value::Null);
        known["data"]["versions"]["1"]["deletion_time"].as_str().unwrap().to_owned()
    };
    let all = [("metadata", "read"), ("delete", "update"), ("undelete", "update")];
    let cases = [
        ("no-undelete", token("no-undelete", &all[..2], &[])),
        // Without `read` of the values, which disabling does not need.
        ("no-asking", token("no-asking", &all, &["no default"])),
    ];
    for (name, token) in &cases {
        let path = format!("prod/{name}");
        put(&bao.address, &path, "old");
        let script = format!(r#"{{"run":[{{"disable":["{path}","1"]}},{{"fail":"as asked"}}]}}"#);
        let plain = scope("", &path);
        let accepting = plain.replace("disable\"", "disable\"\nirrevocable = true");
        for (scope, accepted) in [(plain, false), (accepting, true)] {
            // The rehearsal fails as the script does, so it is asked for without a plan.
            world.write("s.toml", scope);
            let args = ["request", "hostile.wasm", "--input", &script, "--scope", "s.toml", "--without-plan"];
            let asked = remit(token, &[&args[..], &["--reason", "r", "--key", "bot.key", "--json"]].concat());
            let id = asked.exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
            remit(token, &["approve", &id]).exits(0);
            let ran = remit(token, &["run", &id, "--key", "bot.key", "--json"]);
            if !accepted {
                ran.exits(3).says("could not be enabled again");
                assert_eq!(states(&path), "", "{name}: untouched");
                continue;
            }
            assert_eq!(ran.exits(5).json()["state"], "held", "{name}");
            let (run, _) = world.last_run();
            remit(token, &["revert", &run]).exits(5);
            let told = remit(token, &["show", &run, "--json"]).exits(0).json();
            assert_eq!(told["story"]["state"], "held", "{name}: {told}");
            assert_ne!(states(&path), "");
        }
        // Where there is a plan, it says so.
        let path = format!("prod/{name}-planned");
        put(&bao.address, &path, "old");
        let script = format!(r#"{{"run":[{{"disable":["{path}","1"]}}]}}"#);
        let planned = remit(token, &["plan", "hostile.wasm", "--input", &script, "--json"]).exits(0).json();
        let step = &planned["plan"]["steps"][0];
        assert_eq!(step["effect"], "irrevocable", "{name}: {planned}");
        assert!(step["irrevocable_because"].as_str().unwrap().contains("could not be enabled again"));
    }
    // What cannot even be looked at, or written, is no step of any plan.
    put(&bao.address, "prod/blind", "old");
    for (name, rules, step) in [
        ("no-metadata", &[("delete", "update"), ("undelete", "update"), ("data", "read")][..], "disable"),
        ("no-read", &[("metadata", "read"), ("data", "update")], "rotate"),
        ("no-write", &[("metadata", "read"), ("data", "read")], "rotate"),
    ] {
        let token = token(name, rules, &[]);
        let last = if step == "disable" { "\"1\"" } else { "null" };
        let script = format!(r#"{{"run":[{{"{step}":["prod/blind",{last}]}}]}}"#);
        let planned = remit(&token, &["plan", "hostile.wasm", "--input", &script, "--json"]).exits(0).json();
        assert_eq!(planned["plan"]["steps"], json!([]), "{name}: {planned}");
    }
    world.audit_is_sound();
}

/// An action that finds out that this is no rehearsal, and then does a part of its plan: nobody approved that part.
fn a_part_of_a_plan_is_not_what_was_approved(house: &House) {
    let world = &house.world;
    let value = |path: &str| house.api("GET", &format!("secret/data/{path}"))["data"]["data"]["k"].clone();
    for (on_failure, code, state) in [("revert", 1, "reverted"), ("hold", 5, "held")] {
        for path in ["prod/tell", "prod/a", "prod/b"] {
            remake(&house.bao.address, path);
        }
        let script = r#"{"run":[
            {"inspect":"prod/tell"},{"put":["seen","{current}"]},
            {"rotate":["prod/a",null]},
            {"if":[{"same":["{seen}","1"]},[{"rotate":["prod/b",null]}],[]]}
        ]}"#;
        world.write(
            "s.toml",
            scope(&format!("on_failure = \"{on_failure}\"\n[limits]\nchanges = 2"), "prod/*"),
        );
        world.ask(&["request", "hostile.wasm", "--input", script, "--scope", "s.toml"], "g");
        // What tells the action is its second look: the first was the rehearsal's.
        let looks = |seen: &[String]| {
            let mut looks = (0..seen.len()).filter(|at| seen[*at].contains("/metadata/prod/tell"));
            looks.nth(1).unwrap()
        };
        let address = house.bao.address.clone();
        // One rehearsal is: a look at it, three requests for each rotation.
        let act = Box::new(move || put(&address, "prod/tell", "told"));
        let (ran, seen) = house.run_while("g", Some((7, act)));
        assert_eq!(looks(&seen), 7, "{seen:?}");
        let ran =
            ran.exits(code).says("did not take its next step: remit:secrets/rotate.rotate on secret:prod/b");
        assert_eq!(ran.json()["state"], state);
        assert_eq!(value("prod/a") == "theirs", state == "reverted");
        assert_eq!(value("prod/b"), "theirs");
        let (run, _) = world.last_run();
        assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
        world.remit(&["revert", &run]).exits(0);
        assert_eq!(value("prod/a"), "theirs");
    }
}

/// What a run left behind is taken back where it is, and as it was: through no link that somebody put in the way since, not in a
/// file that has a second name by now, and with everything but its times.
#[test]
fn a_revert_follows_nothing_and_brings_all_of_it_back() {
    /// Read and write for user 7, besides the mode `rwxr-x---`.
    const ACL: [u8; 44] = [
        2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 6, 0, 7, 0, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
        16, 0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    let world = World::with(&["hostile"]);
    let (etc, out) = (world.path("etc"), world.path("out"));
    fs::create_dir_all(etc.join("d")).unwrap();
    fs::create_dir_all(etc.join("gone")).unwrap();
    fs::create_dir_all(out.join("d")).unwrap();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let more = format!("\n[[files]]\nname = \"etc\"\npath = \"{}\"\n", etc.display());
    fs::write(config, text + &more).unwrap();
    for (name, mode) in
        [("d/x", 0o4750), ("d/old", 0o640), ("d/y", 0o2750), ("d/rm", 0o6755), ("gone", 0o2750)]
    {
        let path = etc.join(name);
        if !path.is_dir() {
            fs::write(&path, name).unwrap();
        }
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(1234), Some(4321)).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        note(&path, name.as_bytes());
        if mode & 0o777 == 0o750 {
            rustix::fs::setxattr(&path, "system.posix_acl_access", &ACL, XattrFlags::empty()).unwrap();
        }
        if path.is_dir() {
            rustix::fs::setxattr(&path, "system.posix_acl_default", &ACL, XattrFlags::empty()).unwrap();
        }
    }
    let without_numbers = || {
        let all = tree(&etc).into_iter().map(|(name, (_, mode, user, group, content, attributes))| {
            (name, (mode, user, group, content, attributes))
        });
        all.collect::<BTreeMap<_, _>>()
    };
    let before = without_numbers();
    let script = r#"{"run":[
        {"write":["/etc/d/x","new"]},{"rename":["/etc/d/old","/etc/d/y"]},{"remove":"/etc/d/rm"},
        {"remove-folder":"/etc/gone"},{"make-folder":"/etc/made"}
    ]}"#;
    let allow = |name: &str, what: &str| {
        format!("[[allow]]\ncapability = \"remit:{name}\"\nresources = [\"{what}\"]\n")
    };
    let rules = ["secrets/inspect", "secrets/rotate", "secrets/disable", "secrets/destroy", "secrets/reveal"]
        .map(|name| allow(name, "secret:none"));
    let files = ["files/read", "files/write"].map(|name| allow(name, "file:etc/**"));
    world.write("s.toml", format!("[limits]\nchanges = 6\n{}{}", rules.concat(), files.concat()));
    world.ask(&["request", "hostile.wasm", "--input", script, "--scope", "s.toml"], "g");
    world.run("g").exits(0);
    let (run, _) = world.last_run();
    let left = without_numbers();
    assert_ne!(left, before);

    // A directory of somebody else's in the place of the run's, by a link; in it, all is as the run left it.
    for name in ["x", "y"] {
        fs::copy(etc.join("d").join(name), out.join("d").join(name)).unwrap();
    }
    fs::rename(etc.join("d"), out.join("aside")).unwrap();
    symlink(out.join("d"), etc.join("d")).unwrap();
    let theirs = tree(&out);
    world.remit(&["revert", &run, "--keep-going"]).exits(5);
    assert_eq!(tree(&out), theirs);
    fs::remove_file(etc.join("d")).unwrap();
    fs::rename(out.join("aside"), etc.join("d")).unwrap();
    // A second name for what the run wrote, and a link where it removed something.
    fs::hard_link(etc.join("d/y"), out.join("y")).unwrap();
    symlink(out.join("rm"), etc.join("d/rm")).unwrap();
    let theirs = tree(&out);
    world.remit(&["revert", &run, "--keep-going"]).exits(5);
    assert_eq!(tree(&out), theirs);
    fs::remove_file(out.join("y")).unwrap();
    fs::remove_file(etc.join("d/rm")).unwrap();
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(without_numbers(), before);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(without_numbers(), before);
    world.audit_is_sound();
}
