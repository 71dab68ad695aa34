//! A workload talks with somebody who gives it orders. Evidence is kept, and it is cut off; a person who has looked lets it out again, or the
//! time does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::kills::{Found, Killed};
use super::report;
use super::shim::Shim;
use super::stage::{self, Costs};
use crate::common::netns::{Wire, nft};
use crate::common::{POLICY, World};

const ACTION: &str = "contain-workload.wasm";

struct Scene {
    wire: Wire,
    evidence: TempDir,
    world: World,
}

impl Scene {
    /// `terms` are those of the scope.
    fn set(terms: &str) -> Self {
        let (wire, evidence) = (Wire::new(), TempDir::new().unwrap());
        let world = World::with(&["contain-workload"]);
        world.configure(&format!(
            "
[[network]]
name = \"main\"
workloads = [\"netns/{}\"]
allow = [\"10.77.0.2:9000/tcp\"]
nft = \"{}\"
timeout = \"30s\"

[[evidence]]
name = \"main\"
directory = \"{}\"
",
            wire.inside,
            world.path("nft").display(),
            evidence.path().display(),
        ));
        // Software may contain; who lets out again is a person.
        world.policies(&format!(
            "{POLICY}\n@id(\"people-let-out\")\nforbid (principal, action == Remit::Action::\"revert\", resource) unless {{ principal.kind == \"human\" }};\n"
        ));
        let scene = Self { wire, evidence, world };
        scene.nft_does("");
        let allow = |power: &str, resource: &str| {
            format!("[[allow]]\ncapability = \"remit:{power}\"\nresources = [\"{resource}:main/netns/*\"]\n")
        };
        let powers = [
            allow("network/inspect", "workload"),
            allow("network/cut", "workload"),
            allow("evidence/capture", "evidence"),
        ];
        let demands =
            "[[require]]\ncapability = \"remit:evidence/capture\"\nbefore = \"remit:network/cut\"\n";
        scene.world.write("s.toml", format!("{terms}\n{demands}{}[limits]\nchanges = 2\n", powers.concat()));
        scene
    }

    /// Has `nft` do something else first: a line of `sh`.
    fn nft_does(&self, script: &str) {
        let file = self.world.path("nft");
        fs::write(&file, format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", nft())).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn asked(&self) -> String {
        self.asked_in(&self.world, &[])
    }

    /// The same in a copy of the home, for its plan or (with `more`) for whatever the scope allows.
    fn asked_in(&self, world: &World, more: &[&str]) -> String {
        let input = format!("{{\"workload\":\"main/netns/{}\"}}", self.wire.inside);
        let request = ["request", ACTION, "--input", &input, "--scope", "s.toml"];
        let reason = "it talks with somebody who gives it orders";
        world.ask_because(reason, &[&request, more].concat(), "asked");
        world.request("asked")
    }

    fn state(&self) -> String {
        let run = self.world.last_run().0;
        let story = self.world.remit(&["show", &run, "--json"]).exits(0).json()["story"].clone();
        story["state"].as_str().unwrap().to_owned()
    }

    fn is_cut(&self) -> bool {
        !self.wire.nft(&["list", "ruleset"]).is_empty()
    }

    /// How many archives there are.
    fn archives(&self) -> usize {
        let files = fs::read_dir(self.evidence.path()).unwrap().flatten();
        files.filter(|file| file.path().extension().is_some_and(|end| end == "tar")).count()
    }

    /// Starts a run whose `nft` waits at the cut: before it, or after it. It goes on when somebody writes into the pipe.
    fn waits(&self, request: &str, after: bool) -> Child {
        let (reached, pipe) = (self.world.path("reached"), self.world.path("pipe"));
        let _ = fs::remove_file(&reached);
        let _ = fs::remove_file(&pipe);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let waits = format!(": > {}; read x < {}", reached.display(), pipe.display());
        let (first, then) =
            if after { (format!("{} \"$@\" || exit 1", nft()), "exit 0") } else { (":".to_owned(), ":") };
        self.nft_does(&format!("case \"$1\" in create*) {first}; {waits}; {then};; esac"));
        let mut host = self.world.command(&["run", request, "--key", "bot.key", "--json"]);
        let host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("nft is where it waits", || reached.exists());
        host
    }

    fn goes_on(&self) {
        fs::write(self.world.path("pipe"), "\n").unwrap();
        self.nft_does("");
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

#[test]
fn the_job_that_contains_a_workload() {
    let scene = Scene::set("restore_after = \"8h\"");
    let (world, wire) = (&scene.world, &scene.wire);
    stage::plays_offline(world, "contain-workload");

    stage::scene("contain-workload: a workload has a session with somebody who gives it orders");
    let _orders = wire.listens(&["4444", "9000"]);
    let session = wire.session("4444");
    let request = scene.asked();
    stage::types_at_home(world, &["request", "show", &request], 0);
    let started = Instant::now();
    stage::types_at_home(world, &["run", &request, "--key", "bot.key"], 0);
    let took = started.elapsed();
    let (run, _) = world.last_run();
    stage::finds("the program that had the session", &session.ends());
    assert!(!wire.reaches(&[], 4444) && wire.reaches(&[], 9000));
    stage::finds("$ nft list ruleset", &wire.nft(&["list", "ruleset"]));
    Costs { world, job: "contain-workload" }.tell("from the start of the run to its end", took, &[&run]);

    stage::scene("It is let out again by a person who has looked at the evidence, and by nobody else");
    world.remit(&["revert", &run, "--reason", "it looks fine to me", "--key", "bot.key"]).exits(3);
    assert!(scene.is_cut());
    let story = world.remit(&["show", &run, "--json"]).exits(0).json();
    let archive = story["story"]["output"]["evidence"].as_str().unwrap().to_owned();
    let tar = Command::new("tar")
        .arg("-xOf")
        .arg(scene.evidence.path().join(&archive))
        .arg("processes.json")
        .output();
    let processes: serde_json::Value = serde_json::from_slice(&tar.unwrap().stdout).unwrap();
    let program = (&processes[0]["command"], &processes[0]["program_sha256"]);
    stage::finds("$ tar -xOf EVIDENCE processes.json", &format!("{} {}", program.0, program.1));
    stage::types_at_home(world, &["revert", &run, "--reason", "the program is gone, its key is replaced"], 0);
    assert!(!scene.is_cut() && wire.reaches(&[], 4444));
    assert_eq!(scene.archives(), 1, "the evidence stays");
    let kept = scene.evidence.path().display().to_string();
    let as_shown = [(&*wire.inside, "shop"), (&*kept, "/var/lib/remit-evidence")];
    report::tell(world, &run, "contain-workload", &as_shown);
    world.audit_is_sound();
}

#[test]
fn it_is_contained_whole_or_not_at_all_and_never_without_evidence() {
    let scene = Scene::set("");
    let world = &scene.world;

    killed(&scene, &world.copy());

    // Everything is frozen, or what allowed it is revoked, while it cuts.
    for stop in ["freeze", "revoke"] {
        let request = scene.asked();
        let mut host = scene.waits(&request, false);
        let args = match stop {
            "freeze" => vec!["freeze", "--reason", "INC-9"],
            _ => vec!["revoke", "request", &request, "--reason", "INC-9"],
        };
        let mut stops = world.command(&args).stdout(Stdio::null()).spawn().unwrap();
        // It is on record before the cut goes on.
        until("it is on record", || {
            let status = world.remit(&["audit", "export", "--format", "jsonl"]).out;
            status.contains(if stop == "freeze" { "frozen" } else { "revoked" })
        });
        scene.goes_on();
        assert_eq!((host.wait().unwrap().code(), stops.wait().unwrap().code()), (Some(3), Some(0)), "{stop}");
        assert!(!scene.is_cut() && scene.state() == "reverted", "{stop}");
        if stop == "freeze" {
            world.remit(&["unfreeze", "--reason", "looked", "--key", "bob.key"]).exits(0);
        }
    }

    // `nft` fails, says that it made the rules and did not, or takes longer than it may.
    let config = fs::read_to_string(world.home().join("remit.toml")).unwrap();
    fs::write(world.home().join("remit.toml"), config.replace("timeout = \"30s\"", "timeout = \"4s\""))
        .unwrap();
    for does in ["exit 1", "exit 0", "exec sleep 60"] {
        let request = scene.asked();
        scene.nft_does(&format!("case \"$1\" in create*) {does};; esac"));
        assert_ne!(world.remit(&["run", &request, "--key", "bot.key"]).code, 0, "{does}");
        scene.nft_does("");
        assert!(!scene.is_cut() && scene.state() == "reverted", "{does}: {}", scene.state());
    }
    fs::write(world.home().join("remit.toml"), config).unwrap();

    // Two at once: one of them cuts, and the other one takes back nothing of it.
    let both = [scene.asked(), scene.asked()].map(|request| {
        let mut host = world.command(&["run", &request, "--key", "bot.key"]);
        host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    let ended = both.map(|mut host| host.wait().unwrap().success());
    assert!(ended.iter().filter(|cut| **cut).count() == 1 && scene.is_cut(), "{ended:?}");
    let runs = world.remit(&["runs", "--live", "--state", "succeeded", "--json"]).exits(0).json();
    let run = runs.as_array().unwrap().last().unwrap()["run"].as_str().unwrap().to_owned();
    world.remit(&["revert", &run]).exits(0);
    assert!(!scene.is_cut());

    // No evidence, no cut: there is nowhere to keep it.
    let request = scene.asked();
    let elsewhere = scene.evidence.path().with_extension("elsewhere");
    fs::rename(scene.evidence.path(), &elsewhere).unwrap();
    assert_ne!(world.remit(&["run", &request, "--key", "bot.key"]).code, 0);
    assert!(!scene.is_cut());
    fs::rename(&elsewhere, scene.evidence.path()).unwrap();
    world.audit_is_sound();
}

/// The host is killed at each step: what is cut is let out, and the evidence stays.
fn killed(scene: &Scene, template: &World) {
    let request = scene.asked_in(template, &["--without-plan", "--ttl", "24h"]);
    let begin = |_: &World| ["run", &request, "--key", "bot.key"].map(ToOwned::to_owned).to_vec();
    let found = || if scene.is_cut() { Found::After } else { Found::Before };
    let name = "contain-workload";
    let kept = scene.archives();
    Killed { name, template, begin: &begin, found: &found, held: Found::Before }
        .at_each_step(&Shim::compile());
    // Undisturbed, when it was kept and not on record, and at each moment of the cut and of the end.
    assert_eq!(scene.archives() - kept, 5);
}

#[test]
fn what_nobody_looks_at_is_let_out_when_its_time_is_over() {
    let scene = Scene::set("restore_after = \"1s\"");
    let (world, kept) = (&scene.world, scene.archives());
    world.remit(&["run", &scene.asked(), "--key", "bot.key"]).exits(0);
    assert!(scene.is_cut());
    until("its time is over", || {
        world.remit(&["recover"]);
        !scene.is_cut()
    });
    let run = world.remit(&["show", &world.last_run().0, "--json"]).exits(0).json()["story"].clone();
    let why = "its changes stood for longer than its `restore_after`";
    assert_eq!((run["state"].as_str(), run["states"][1]["why"].as_str()), (Some("reverted"), Some(why)));
    assert_eq!(scene.archives(), kept + 1);
    world.audit_is_sound();
}
