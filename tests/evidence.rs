//! `remit:evidence` of a workload in a network namespace of the test's, in a directory and in a bucket that moto plays; and the scope that
//! demands it before a workload is cut off. What is kept is looked at by `tar`, and by AWS's own client.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::common::cloud::Cloud;
use crate::common::netns::{Wire, nft};
use crate::common::{Ran, World, contains};
use remit_trust::Digest;
use serde_json::{Value, json};

const ACTION: &str = "network-steps.wasm";
const POWERS: [(&str, &str); 4] = [
    ("network/inspect", "workload"),
    ("network/cut", "workload"),
    ("evidence/capture", "evidence"),
    ("evidence/check", "evidence"),
];
const DEMANDS: &str =
    "[[require]]\ncapability = \"remit:evidence/capture\"\nbefore = \"remit:network/cut\"\n";
/// What is in a file that is kept, and nowhere else.
const MARK: &str = "what-the-workload-wrote";

fn scope(head: &str) -> String {
    let allow = |(name, kind): (&str, &str)| {
        format!("[[allow]]\ncapability = \"remit:{name}\"\nresources = [\"{kind}:**\"]\n")
    };
    format!("{head}{}[limits]\nchanges = 9\n", POWERS.map(allow).concat())
}

/// A home that keeps evidence of the workload's namespace in `store`.
fn world(wire: &Wire, store: &str) -> World {
    let world = World::with(&["network-steps"]);
    world.write("log", format!("{}{MARK}", "x".repeat(3_000)));
    world.write("conf", MARK);
    world.configure(&format!(
        "
[[network]]
name = \"main\"
workloads = [\"netns/{inside}\"]
nft = \"{}\"

[[evidence]]
name = \"main\"
files = [\"{folder}/conf\", \"/no/such/file\"]
logs = [\"{folder}/lo*\"]
log_kib = 1
{store}
",
        nft(),
        inside = wire.inside,
        folder = world.dir.path().display(),
    ));
    world
}

/// A directory for evidence, in the world.
fn folder(world: &str) -> String {
    format!("directory = \"{world}\"\n")
}

fn input(wire: &Wire, deeds: &[&str]) -> String {
    let (path, other) = (format!("main/netns/{}", wire.inside), format!("main/netns/{}", wire.outside));
    json!({"do": deeds, "path": path, "other": other}).to_string()
}

/// Asks for this under a scope, and has it approved; the request.
fn approved(world: &World, wire: &Wire, deeds: &[&str], head: &str, more: &[&str]) -> String {
    world.write("s.toml", scope(head));
    let input = input(wire, deeds);
    world.ask(&[&["request", ACTION, "--input", &input, "--scope", "s.toml"], more].concat(), "asked");
    world.request("asked")
}

fn run(world: &World, request: &str) -> Ran {
    world.remit(&["run", request, "--key", "bot.key", "--json"])
}

#[track_caller]
fn done(world: &World, wire: &Wire, deeds: &[&str], head: &str) -> Vec<Value> {
    let request = approved(world, wire, deeds, head, &[]);
    run(world, &request).exits(0).json()["output"].as_array().unwrap().clone()
}

fn digest(path: &PathBuf) -> String {
    Digest::of(&fs::read(path).unwrap()).to_string()
}

#[test]
fn evidence_is_kept_once_outlives_undo_and_is_nowhere_else() {
    let wire = Wire::new();
    let store = tempfile::tempdir().unwrap();
    let world = world(&wire, &folder(&store.path().display().to_string()));
    let _there = wire.listens(&["4444"]);
    let _session = wire.session("4444");
    let doctor = world.remit(&["doctor"]).exits(0).out;
    assert!(doctor.contains("written once"), "{doctor}");

    // A rehearsal keeps nothing, and cannot be told from a run.
    let planned =
        world.remit(&["plan", ACTION, "--input", &input(&wire, &["capture", "holds"])]).exits(0).out;
    assert!(planned.contains("leave the evidence in the directory"), "{planned}");
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);

    // In the run that keeps it, it can be asked for where no plan is approved: in a plan it has another name each time.
    let request = approved(&world, &wire, &["capture", "holds"], "", &[]);
    run(&world, &request).exits(3).says("rehearsed again, it would do something else");
    let request = approved(&world, &wire, &["capture", "holds"], "", &["--without-plan"]);
    assert_eq!(run(&world, &request).exits(0).json()["output"][1], true);
    fs::remove_dir_all(store.path()).unwrap();
    fs::create_dir(store.path()).unwrap();
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();

    let answers = done(&world, &wire, &["capture"], "");
    let (run_id, records) = world.last_run();
    let archive = store.path().join(answers[0]["name"].as_str().unwrap());
    assert!(archive.display().to_string().contains(&run_id));
    assert_eq!(digest(&archive), answers[0]["sha256"].as_str().unwrap());
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o7777, 0o400);
    let missing = answers[0]["missing"].to_string();
    assert!(missing.contains("/no/such/file") && !missing.contains("conf"), "{missing}");

    // What is in it: the process and its program, its session, the end of the log.
    let out = tempfile::tempdir().unwrap();
    let tar = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(out.path()).status().unwrap();
    assert!(tar.success());
    let processes: Value =
        serde_json::from_slice(&fs::read(out.path().join("processes.json")).unwrap()).unwrap();
    let process = &processes[0];
    assert!(process["command"].to_string().contains("peer.py"), "{processes:#}");
    let program = PathBuf::from(process["program"].as_str().unwrap());
    assert_eq!(process["program_sha256"], digest(&program));
    assert!(process["open"].to_string().contains("socket:["), "{process}");
    // Port 4444 in hexadecimal.
    assert!(fs::read_to_string(out.path().join("network/tcp")).unwrap().contains(":115C"));
    let log = out.path().join(format!("logs{}/log", world.dir.path().display()));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.len() == 1024 && log.ends_with(MARK), "{log}");
    assert!(answers[0]["cut-off"].to_string().contains("/log"), "{answers:?}");
    assert!(!contains(&fs::read(&archive).unwrap(), "REMIT_NFT"), "no environment is kept");

    // Its digests are in the journal and in the manifest, its content in neither.
    let outcome = records
        .iter()
        .find_map(|record| record["event"]["outcome"]["result"]["ok"]["value"]["parts"].as_array());
    let manifest = fs::read(archive.with_extension("json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        (&manifest["run"], &manifest["parts"]),
        (&json!(run_id), &json!(outcome.expect("an outcome")))
    );
    assert_eq!(manifest["archive"]["sha256"], answers[0]["sha256"]);
    assert!(!contains(&world.all_bytes(), MARK) && !manifest.to_string().contains(MARK));

    // Undo leaves it, and the journal is sound. Once in a run, and no name twice.
    world.remit(&["revert", &run_id]).exits(0);
    assert_eq!(digest(&archive), answers[0]["sha256"].as_str().unwrap());
    assert!(world.ocsf_events().iter().any(|event| event["activity_name"] == "Detect"));
    let twice = world.remit(&["plan", ACTION, "--input", &input(&wire, &["capture", "capture"])]);
    assert!(twice.code != 0 && twice.err.contains("this run has kept evidence:"), "{twice:?}");

    // Whoever changes it afterwards is found, and a run whose evidence is gone at its end has not succeeded.
    let request = approved(&world, &wire, &["capture"], "", &[]);
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(world.remit(&["doctor"]).exits(1).out.contains("evidence main"));
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_dir_all(store.path()).unwrap();
    assert_ne!(run(&world, &request).code, 0, "there is nowhere to keep it");
    world.audit_is_sound();
}

#[test]
fn a_scope_demands_evidence_of_the_same_workload_in_the_same_run() {
    let wire = Wire::new();
    let store = tempfile::tempdir().unwrap();
    let world = world(&wire, &folder(&store.path().display().to_string()));
    let loose = ["--without-plan"];
    let is_refused = |deeds: &[&str]| {
        let request = approved(&world, &wire, deeds, DEMANDS, &loose);
        let ran = run(&world, &request);
        assert_eq!((ran.code, wire.nft(&["list", "ruleset"]).as_str()), (3, ""), "{deeds:?} {ran:?}");
        let (run_id, records) = world.last_run();
        let denied = records.iter().any(|record| {
            let reason = record["event"]["denied"]["reason"].as_str().unwrap_or_default();
            reason.contains("the scope demands remit:evidence/capture of main/netns/")
        });
        assert!(denied, "{records:#?}");
        run_id
    };
    is_refused(&["cut"]);
    is_refused(&["get", "connections", "cut"]);
    // Of another workload, and one that failed: the action goes on as if nothing had been.
    is_refused(&["capture-other", "cut"]);
    let moved = store.path().with_extension("moved");
    fs::rename(store.path(), &moved).unwrap();
    is_refused(&["try-capture", "cut"]);
    fs::rename(&moved, store.path()).unwrap();
    // In another run, and in a rehearsal.
    done(&world, &wire, &["capture"], DEMANDS);
    is_refused(&["cut"]);
    world.write("s.toml", scope(DEMANDS));
    let plan =
        |deeds: &[&str]| world.remit(&["plan", ACTION, "--input", &input(&wire, deeds), "--scope", "s.toml"]);
    plan(&["capture", "cut"]).exits(0);
    is_refused(&["cut"]);
    let asked = [
        "request",
        ACTION,
        "--input",
        &input(&wire, &["cut"]),
        "--scope",
        "s.toml",
        "--reason",
        "x",
        "--key",
        "bot.key",
    ];
    world.remit(&asked).exits(3).says("the scope demands remit:evidence/capture");

    let request = approved(&world, &wire, &["capture", "cut"], DEMANDS, &[]);
    let shown = world.remit(&["request", "show", &request]).exits(0).out;
    assert!(
        shown.contains("demands")
            && shown.contains("remit:evidence/capture of the same path before remit:network/cut"),
        "{shown}"
    );
    run(&world, &request).exits(0);
    assert!(wire.nft(&["list", "ruleset"]).contains("remit-"));
    let (run_id, _) = world.last_run();
    assert!(world.remit(&["replay", &run_id]).exits(0).out.contains("identical"));
    world.remit(&["revert", &run_id]).exits(0);
    assert_eq!(wire.nft(&["list", "ruleset"]), "");
    // What could never be done is a mistake of who wrote it.
    for (head, why) in [
        (
            DEMANDS.replace("remit:evidence/capture", "remit:secrets/rotate"),
            "no [[allow]] has remit:secrets/rotate",
        ),
        (DEMANDS.replace("remit:evidence/capture", "remit:network/cut"), "before itself"),
    ] {
        world.write("s.toml", scope(&head));
        plan(&["get"]).exits(2).says(why);
    }
    // Evidence of another namespace would be that of another workload, under the same path.
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let apart = text.replace("[[evidence]]", &format!("[[evidence]]\nnetns = \"{}\"", wire.outside));
    fs::write(&config, apart).unwrap();
    world.write("s.toml", scope(""));
    plan(&["get"]).exits(2).says("have not the same `netns`");
    fs::write(&config, text).unwrap();
    world.audit_is_sound();
}

#[test]
fn a_bucket_with_object_lock_keeps_it_and_one_without_is_refused() {
    let wire = Wire::new();
    let cloud = Cloud::start();
    let aws = |service: &str, call: &str, with: Value| cloud.aws(service, call, with);
    aws("s3", "create_bucket", json!({"Bucket": "evidence", "ObjectLockEnabledForBucket": true}));
    aws("s3", "create_bucket", json!({"Bucket": "loose"}));
    aws("iam", "create_user", json!({"UserName": "remit"}));
    let manual = fs::read_to_string("../../docs/configuration.md").unwrap();
    let policy = manual.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    let policy = policy.replace("BUCKET/PREFIX", "*");
    cloud.allow("remit", "own", &serde_json::from_str(&policy).unwrap());
    let (id, secret) = cloud.new_key("remit");
    let bucket = |name: &str| {
        format!(
            "[evidence.bucket]\norigin = \"{}\"\nname = \"{name}\"\nprefix = \"remit/\"\nregion = \"us-east-1\"\n\
             access_key_id = \"{id}\"\nsecret_key_file = \"s3.key\"\nretention = \"1d\"\n",
            cloud.address
        )
    };
    let world = world(&wire, &bucket("evidence"));
    world.private("home/s3.key", &secret);
    let doctor = world.remit(&["doctor"]).exits(0).out;
    assert!(doctor.contains("locked in the mode COMPLIANCE for 24h"), "{doctor}");

    let answers = done(&world, &wire, &["capture"], "");
    let kept = world.last_run().0;
    world.write("s.toml", scope(""));
    let of = |sha256: &Value| {
        let mut input: Value = serde_json::from_str(&input(&wire, &["holds"])).unwrap();
        (input["archive"], input["sha256"]) = (answers[0]["name"].clone(), sha256.clone());
        world.ask(&["request", ACTION, "--input", &input.to_string(), "--scope", "s.toml"], "of");
        run(&world, &world.request("of")).exits(0).json()["output"][0].as_bool().unwrap()
    };
    assert!(of(&answers[0]["sha256"]) && !of(&json!(Digest::of(b"another").to_string())));
    let name = format!("remit/{}", answers[0]["name"].as_str().unwrap());
    let head = aws("s3", "head_object", json!({"Bucket": "evidence", "Key": name}));
    assert_eq!(
        (&head["ContentLength"], &head["ObjectLockMode"]),
        (&answers[0]["size"], &json!("COMPLIANCE"))
    );
    let version = &head["VersionId"];
    let deleted =
        aws("s3", "delete_object", json!({"Bucket": "evidence", "Key": name, "VersionId": version}));
    assert_eq!(deleted["error"], "AccessDenied");
    world.remit(&["revert", &kept]).exits(0);
    assert!(!contains(&world.all_bytes(), &secret));

    // What a bucket takes without a lock is no evidence.
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap().replace("name = \"evidence\"", "name = \"loose\"");
    fs::write(config, text).unwrap();
    let request = approved(&world, &wire, &["capture"], "", &[]);
    assert_ne!(run(&world, &request).code, 0);
    world.audit_is_sound();
}
