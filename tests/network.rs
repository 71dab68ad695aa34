//! `remit:network` against the kernel's own filter, in network namespaces of the test's, checked by `nft` and by connecting.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::netns::{Wire, ip, nft};
use crate::common::{Ran, World};
use serde_json::{Value, json};

const ACTION: &str = "network-steps.wasm";

/// A home that may cut the workload's namespace, and users, control groups and addresses in it.
fn world(wire: &Wire, nft: &str) -> World {
    let world = World::with(&["network-steps"]);
    let inside = &wire.inside;
    world.configure(&format!(
        "
[[network]]
name = \"main\"
workloads = [\"netns/{inside}\", \"netns/gone\", \"uid/0\", \"pid/*\", \"cgroup/**\", \"address/*\"]
allow = [\"10.77.0.2:9000/tcp\", \"[fd77::2]:9000/tcp\"]
nft = \"{nft}\"
timeout = \"30s\"

[[network]]
name = \"box\"
netns = \"{inside}\"
workloads = [\"uid/*\", \"cgroup/**\", \"address/*\"]
nft = \"{nft}\"
"
    ));
    world
}

fn input(path: &str, deeds: &[&str]) -> String {
    json!({"do": deeds, "path": path}).to_string()
}

/// Asks for this, and has it approved; the request.
fn approved(world: &World, path: &str, deeds: &[&str]) -> String {
    let allow = |(name, kind): (&str, &str)| {
        format!("[[allow]]\ncapability = \"remit:{name}\"\nresources = [\"{kind}:**\"]\n")
    };
    let powers = [
        ("network/inspect", "workload"),
        ("network/cut", "workload"),
        ("evidence/capture", "evidence"),
        ("evidence/check", "evidence"),
    ];
    world.write("s.toml", format!("{}[limits]\nchanges = 9\n", powers.map(allow).concat()));
    world.ask(&["request", ACTION, "--input", &input(path, deeds), "--scope", "s.toml"], "asked");
    world.request("asked")
}

fn run(world: &World, request: &str) -> Ran {
    world.remit(&["run", request, "--key", "bot.key", "--json"])
}

/// Does this under a request of its own; the answers of the action.
#[track_caller]
fn done(world: &World, path: &str, deeds: &[&str]) -> Vec<Value> {
    let request = approved(world, path, deeds);
    run(world, &request).exits(0).json()["output"].as_array().unwrap().clone()
}

fn planned(world: &World, path: &str, deeds: &[&str]) -> Ran {
    world.remit(&["plan", ACTION, "--input", &input(path, deeds)])
}

/// Whether there is a process that was started with this program or argument.
fn runs(what: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    commands.any(|command| command.split(|byte| *byte == 0).any(|word| word == what.as_bytes()))
}

#[test]
fn a_workload_is_cut_off_with_its_session_and_let_out_again() {
    let wire = Wire::new();
    let world = world(&wire, &nft());
    let _there = wire.listens(&["4444", "9000"]);
    let _there_6 = wire.listens_at(Wire::THERE_6, &["4444", "9000"]);
    wire.nft(&["add table inet theirs"]);
    wire.nft(&["add chain inet theirs x { type filter hook output priority 0; policy accept; }"]);
    let before = wire.nft(&["list", "ruleset"]);
    let path = format!("main/netns/{}", wire.inside);
    let doctor = world.remit(&["doctor"]).exits(0).out;
    assert!(doctor.contains("nftables v") && doctor.contains("may be cut: main/netns/"), "{doctor}");
    let mut session = wire.session("4444");
    let session_6 = wire.session_at(Wire::THERE_6, "4444");

    // A rehearsal sees its own cut and makes none.
    let plan = planned(&world, &path, &["cut", "get"]).exits(0).out;
    assert!(
        plan.contains("delete the table remit-") && plan.contains("connections that it has are reset"),
        "{plan}"
    );
    assert_eq!(wire.nft(&["list", "ruleset"]), before);
    assert!(session.lives() && wire.reaches(&[], 4444));

    let answers = done(&world, &path, &["get", "connections", "cut", "get"]);
    let (first, _) = world.last_run();
    assert_eq!(answers[0], json!({"path": path, "cut": false, "by-run": null, "refused": 0}));
    let peers = answers[1].as_array().unwrap().iter().map(|connection| connection[1].as_str().unwrap());
    let mut peers: Vec<&str> = peers.collect();
    peers.sort_unstable();
    assert_eq!(peers, ["10.77.0.2:4444", "[fd77::2]:4444"], "{answers:?}");
    assert_eq!((&answers[3]["cut"], &answers[3]["by-run"]), (&json!(true), &json!(first)));
    assert!(session.ends().contains("reset"), "a session that there was is over");
    assert!(!wire.reaches(&[], 4444) && wire.reaches(&[], 9000), "but for what the operator listed");
    // The same by IPv6, where the other end has to be found first.
    assert!(session_6.ends().contains("reset"));
    let found = |port| {
        ip(&["-n", &wire.inside, "neighbour", "flush", "dev", "eth0"]);
        wire.reaches_at(Wire::THERE_6, &[], port)
    };
    assert!(!found(4444) && found(9000));
    assert!(
        wire.nft(&["list", "ruleset"]).contains(&format!("remit {first}")),
        "the rules say whose they are"
    );
    let answers = done(&world, &path, &["get", "connections"]);
    assert!(answers[0]["refused"].as_u64() > Some(0) && answers[1] == json!([]), "{answers:?}");
    let twice = planned(&world, &path, &["cut"]);
    assert!(twice.code != 0 && twice.err.contains(&format!("cut already, by the run {first}")), "{twice:?}");

    assert!(world.remit(&["replay", &first]).exits(0).out.contains("identical"));
    world.remit(&["revert", &first]).exits(0);
    assert_eq!(
        wire.nft(&["list", "ruleset"]),
        before,
        "it is as if nothing had been, and what is others' is untouched"
    );
    assert!(wire.reaches(&[], 4444) && wire.reaches_at(Wire::THERE_6, &[], 4444));
    let events = world.ocsf_events();
    assert!(events.iter().any(|event| event["activity_name"] == "Isolate"), "{events:?}");

    // Two at once: one of them cuts.
    let asked = [approved(&world, &path, &["cut"]), approved(&world, &path, &["cut"])];
    let ran = asked.map(|request| {
        let mut command = world.command(&["run", &request, "--key", "bot.key", "--json"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    let codes = ran.map(|mut child| child.wait().unwrap().code().unwrap());
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    world.audit_is_sound();
}

#[test]
fn users_control_groups_and_addresses_are_cut_and_nobody_else() {
    let wire = Wire::new();
    let world = world(&wire, &nft());
    let _there = wire.listens(&["4444"]);
    let user = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"];
    let cut = |path: &str| {
        done(&world, path, &["cut"]);
        world.last_run().0
    };
    let back = |run: &str| drop(world.remit(&["revert", run]).exits(0));

    let run = cut("box/uid/4242");
    assert!(!wire.reaches(&user, 4444) && wire.reaches(&[], 4444));
    back(&run);
    assert!(wire.reaches(&user, 4444));

    // A control group of the test's own, wherever this machine has them.
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(std::path::PathBuf::from);
    let root = root.into_iter().find(|root| root.join("cgroup.controllers").exists());
    let root = root.expect("control groups of version 2");
    let name = format!("remit-{}", std::process::id());
    let group = root.join(&name);
    fs::create_dir(&group).unwrap();
    let join = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.display());
    let member = ["sh", "-c", &join, "sh"];
    assert!(wire.reaches(&member, 4444));
    let run = cut(&format!("box/cgroup/{name}"));
    assert!(!wire.reaches(&member, 4444) && wire.reaches(&[], 4444));
    // The group is gone, and its number another one's: the rules are still known.
    fs::remove_dir(&group).unwrap();
    back(&run);
    assert_eq!(wire.nft(&["list", "ruleset"]), "");

    let _there_6 = wire.listens_at(Wire::THERE_6, &["4444"]);
    let reaches = || (wire.reaches(&[], 4444), wire.reaches_at(Wire::THERE_6, &[], 4444));
    for (address, left) in [("10.77.0.2", (false, true)), ("fd77--2", (true, false))] {
        let run = cut(&format!("box/address/{address}"));
        assert_eq!(reaches(), left, "{address}");
        back(&run);
        assert_eq!(reaches(), (true, true), "{address}");
    }

    let own = format!("main/pid/{}", std::process::id());
    for (path, why) in [
        ("main/uid/0", "this host runs as that user"),
        (&*own, "the network namespace of this host, or of the whole machine"),
        ("main/address/127.0.0.1", "no address of one machine"),
        ("main/uid/7", "`workloads` of [[network]] main does not list it"),
        ("main/netns/gone", "there is no network namespace /run/netns/gone"),
        ("main/cgroup/no/such", "there is no control group no/such"),
        ("main/uid/01", "a workload is PLACE/uid/NUMBER"),
        ("main/uid", "a workload is PLACE/uid/NUMBER"),
        ("other/uid/7", "no configured store serves workload:other/uid/7"),
    ] {
        let found = planned(&world, path, &["cut"]);
        assert!(found.code != 0 && found.err.contains(why), "{path}: {found:?}");
    }
    world.audit_is_sound();
}

#[test]
fn rules_that_somebody_changed_are_left_and_ones_that_are_gone_are_gone() {
    let wire = Wire::new();
    // A program in the place of `nft`, which can fail, be gone, and wait.
    let world = world(&wire, &nft());
    let between = world.path("nft");
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace(&format!("nft = \"{}\"", nft()), &format!("nft = \"{}\"", between.display())),
    )
    .unwrap();
    let becomes = |script: &str| {
        fs::write(&between, format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", nft())).unwrap();
        fs::set_permissions(&between, fs::Permissions::from_mode(0o755)).unwrap();
    };
    becomes("");
    let path = format!("main/netns/{}", wire.inside);

    done(&world, &path, &["cut"]);
    let (run_id, _) = world.last_run();
    let listed = wire.nft(&["list", "tables"]);
    let table = listed.split_whitespace().last().unwrap();
    wire.nft(&["add", "rule", "inet", table, "outbound", "accept"]);
    let reverted = world.remit(&["revert", &run_id]).exits(5).out;
    assert!(reverted.contains("somebody changed the rules of the table remit-"), "{reverted}");
    assert!(wire.nft(&["list", "ruleset"]).contains(table), "nothing was touched");
    wire.nft(&["flush", "ruleset"]);
    world.remit(&["revert", &run_id]).exits(0);

    // Rules of the same name that are not this run's.
    done(&world, &path, &["cut"]);
    let (run_id, _) = world.last_run();
    wire.nft(&["flush", "ruleset"]);
    wire.nft(&["add", "table", "inet", table]);
    assert!(world.remit(&["revert", &run_id]).exits(5).out.contains("is not this run's"));
    wire.nft(&["flush", "ruleset"]);
    world.remit(&["revert", &run_id]).exits(0);

    // What fails changes nothing, and a program that is not there voids nothing.
    let asked = approved(&world, &path, &["cut"]);
    fs::remove_file(&between).unwrap();
    run(&world, &asked).exits(1).says("cannot be run");
    assert!(world.remit(&["doctor"]).exits(1).out.contains("install nftables"));
    becomes(
        "case \"$1\" in create*) echo 'Error: Could not process rule: Cannot allocate memory' >&2; exit 1;; esac",
    );
    assert_ne!(run(&world, &asked).code, 0);
    assert_eq!(wire.nft(&["list", "ruleset"]), "");

    // The host is killed while `nft` has not begun yet, and after it was done.
    let wait = format!("read x < {}", world.path("fifo").display());
    assert!(Command::new("mkfifo").arg(world.path("fifo")).status().unwrap().success());
    let reached = world.path("reached");
    let killed = |script: &str| {
        becomes("");
        let asked = approved(&world, &path, &["cut"]);
        becomes(&format!("case \"$1\" in create*) {script}; : > {}; {wait};; esac", reached.display()));
        let mut host = world.command(&["run", &asked, "--key", "bot.key"]);
        let mut host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while !reached.exists() {
            assert!(Instant::now() < until, "nft was not run within 30 s");
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::remove_file(&reached).unwrap();
        host.kill().unwrap();
        host.wait().unwrap();
        becomes("");
    };
    killed(":");
    // What waited goes with the host: it would make the cut now.
    let until = Instant::now() + Duration::from_secs(10);
    while runs(&between.display().to_string()) {
        assert!(Instant::now() < until, "what the host began goes on without it");
        std::thread::sleep(Duration::from_millis(10));
    }
    world.remit(&["recover"]);
    assert_eq!(wire.nft(&["list", "ruleset"]), "");
    killed(&format!("{} \"$@\"", nft()));
    assert!(wire.nft(&["list", "ruleset"]).contains("remit-"));
    world.remit(&["recover"]);
    assert_eq!(wire.nft(&["list", "ruleset"]), "", "it was taken back");
    world.audit_is_sound();
}
