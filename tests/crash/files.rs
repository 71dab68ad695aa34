//! A run that changes files, killed: all of its changes are there or none, and nothing else. The shim does not see the
//! changes themselves, which pass by the C library; it sees the journal before and after each. What fails inside a change is
//! for the tests of its backend. Whoever is told of a file has read what is in it, wherever the host was killed.

use std::os::unix::fs::PermissionsExt as _;

use super::rehearsals::{GUEST, Live, scenario};
use super::*;

/// A change of every kind, and of one file twice.
const SCRIPT: &str = r#"{
    "run": [
        {"write": ["/etc/app.conf", "login = no\n"]}, {"make-folder": "/etc/made"}, {"write": ["/etc/new", "new\n"]},
        {"remove": "/etc/motd"}, {"write": ["/etc/app.conf", "login = never\n"]}
    ],
    "verify": [{"stat": "/etc/app.conf"}]
}"#;

/// A home in which a file is followed by a program, which `script` tells of it, and an approved request to change it: `files`.
fn followed(name: &'static str, script: &str) -> Scenario<'static> {
    let mut scenario = scenario(name, &[]);
    let world = &scenario.template;
    world.write("tell", format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n"));
    fs::set_permissions(world.path("tell"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(world.path("etc/app.conf"), world.path("loaded")).unwrap();
    let tell = world.path("tell").display().to_string();
    world.configure(&format!("[[files.reload]]\nfile = \"app.conf\"\ncommand = [\"{tell}\"]\n"));
    let ask = ["request", GUEST, "--input", SCRIPT, "--scope", "wide.toml", "--without-plan"];
    world.ask(&ask, "files");
    scenario.command = run_of(world, "files");
    scenario
}

/// What is in the file, and what its reader has.
fn read(world: &World) -> [String; 2] {
    ["etc/app.conf", "loaded"].map(|name| fs::read_to_string(world.path(name)).unwrap())
}

/// The state of the only live run.
fn state(case: &Case<'_>) -> Option<String> {
    let runs = case.live_runs();
    assert!(runs.len() <= 1, "{runs:?}");
    runs.into_iter().next().map(|(_, state)| state.expect("a state"))
}

#[test]
fn crash_in_a_run_on_files() {
    let scenario = followed("files", "cp etc/app.conf loaded");
    let clean = scenario.fresh("clean");
    finish(clean.command(&scenario.command), "").exits(0);
    let after = Live::of(&clean.world);
    let (done, taken_back) = (AtomicUsize::new(0), AtomicUsize::new(0));
    scenario.each_kill(|case, kill| {
        let before = Live::of(&case.world);
        kill();
        case.recover();
        let now = Live::of(&case.world);
        let [file, loaded] = read(&case.world);
        assert_eq!(file, loaded, "its reader has what is in it");
        match state(case).as_deref() {
            Some("succeeded") => {
                done.fetch_add(1, Ordering::Relaxed);
                assert_eq!(now, after, "all of it");
            }
            Some("failed" | "reverted") | None => {
                taken_back.fetch_add(1, Ordering::Relaxed);
                assert_eq!(now, before, "nothing of it");
            }
            Some(other) => panic!("nobody interfered, and the run is {other}"),
        }
        assert_eq!(case.recover(), Value::Array(Vec::new()), "a second recovery finds nothing");
        assert_eq!(Live::of(&case.world), now);
        case.world.audit_is_sound();
    });
    assert!(done.into_inner() > 0 && taken_back.into_inner() > 5, "it was killed before its end, and after");
}

/// Between a change and the telling of it, and between its undo and that: the program that tells is what kills the host.
#[test]
fn crash_before_the_reader_of_a_file_is_told() {
    let kills =
        "if test -e armed; then rm armed; kill -9 $PPID; sleep 60; fi; cp etc/app.conf loaded; cat loaded";
    let scenario = followed("untold", kills);
    let case = scenario.fresh("one");
    let (world, arm) = (&case.world, || case.world.write("armed", ""));
    let before = Live::of(world);
    let [old, _] = read(world);
    let killed = |args: &[String]| {
        arm();
        assert_eq!(wait(case.command(args)).signal, Some(9));
        read(world)
    };
    let [file, loaded] = killed(&scenario.command);
    assert!(file != old && loaded == old, "changed, and not told");
    // It is taken back, and the host is killed again before anybody is told of that.
    world.write("loaded", &file);
    let [file, loaded] = killed(&recover());
    assert!(file == old && loaded != old, "taken back, and not told");
    // Nothing is left to take back but that.
    let recovered = case.recover();
    assert_eq!(recovered[0]["state"], "reverted", "{recovered}");
    assert_eq!(read(world), [old.clone(), old.clone()]);
    assert_eq!(Live::of(world), before);

    // In a revert by a person.
    world.ask(&["request", GUEST, "--input", SCRIPT, "--scope", "wide.toml", "--without-plan"], "again");
    finish(case.command(&run_of(world, "again")), "").exits(0);
    let run = case.live_runs().pop().unwrap().0;
    let [file, loaded] = killed(&["revert".to_owned(), run]);
    assert!(file != old && loaded != old, "the last of two changes is taken back");
    case.recover();
    assert_eq!(read(world), [old.clone(), old]);
    assert_eq!(Live::of(world), before);
    world.audit_is_sound();
}

/// The plan and the journal say what is run, and nothing is run in a rehearsal; what the program says is nowhere.
#[test]
fn who_is_told_of_a_file_is_in_the_plan_and_in_the_journal() {
    let scenario = followed("told", "cp etc/app.conf loaded; echo said-$((6 * 7)); echo x >> times");
    let case = scenario.fresh("one");
    let world = &case.world;
    let tell = world.path("tell").display().to_string();
    let plan = ["plan", GUEST, "--input", SCRIPT, "--scope", "wide.toml", "--key", "bot.key"];
    let shown = world.remit(&plan).exits(0).out;
    let caution = format!("2: after it, and after its undo, the host runs: {tell}");
    assert!(shown.contains(&caution) && !world.path("times").exists(), "{shown}");
    let checked = world.remit(&["doctor"]);
    assert!(checked.out.contains("files.reload etc/app.conf"), "{checked:?}");
    world.ask(&["request", GUEST, "--input", SCRIPT, "--scope", "wide.toml"], "planned");
    let ran = finish(case.command(&run_of(world, "planned")), "").exits(0);
    let times = || fs::read_to_string(world.path("times")).unwrap().lines().count();
    assert_eq!(times(), 2, "of five changes, two are of that file");
    let (run, _) = world.last_run();
    let story = world.remit(&["show", &run]).exits(0).out;
    assert!(story.contains(&format!("then runs: {tell}")), "{story}");
    let journal = fs::read(world.home().join("journal.db")).unwrap();
    let said = [ran.out.as_bytes(), ran.err.as_bytes(), journal.as_slice()].concat();
    assert!(!crate::common::contains(&said, "said-42"));
    // Another program than the approved one does not run.
    let config = world.home().join("remit.toml");
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(times(), 4);
    world.ask(&["request", GUEST, "--input", SCRIPT, "--scope", "wide.toml"], "other");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&format!("[\"{tell}\"]"), &format!("[\"{tell}\", \"x\"]"))).unwrap();
    let refused = finish(case.command(&run_of(world, "other")), "");
    assert_ne!(refused.code, 0, "{refused:?}");
    // Nor is anything changed that nobody could be told of.
    fs::write(&config, text.replace(&tell, "/no/such/program")).unwrap();
    world.ask(&["request", GUEST, "--input", SCRIPT, "--scope", "wide.toml", "--without-plan"], "gone");
    let untouched = read(world);
    // The guest goes on when it is told so.
    finish(case.command(&run_of(world, "gone")), "").exits(0);
    assert_eq!(read(world), untouched);
    let (_, records) = world.last_run();
    assert!(serde_json::to_string(&records).unwrap().contains("its reload /no/such/program cannot be run"));
    assert_eq!(times(), 4);
    let [file, loaded] = read(world);
    assert_eq!(file, loaded);
}

/// What tells nobody goes on no longer than its run may, and what was changed is taken back all the same.
#[test]
fn a_program_that_hangs_ends_with_its_run() {
    let scenario = followed("hangs", "grep -q yes etc/app.conf || exec sleep 60; cp etc/app.conf loaded");
    let case = scenario.fresh("one");
    let world = &case.world;
    let wide = fs::read_to_string(world.path("wide.toml")).unwrap();
    world.write("short.toml", wide.replace("[limits]\n", "[limits]\nwall_time = \"2s\"\n"));
    world.ask(&["request", GUEST, "--input", SCRIPT, "--scope", "short.toml", "--without-plan"], "short");
    let (before, since) = (read(world), Instant::now());
    let ran = finish(case.command(&run_of(world, "short")), "");
    // The time-out of the program alone is ten seconds.
    assert!(ran.code != 0 && since.elapsed() < Duration::from_secs(8), "{ran:?}");
    assert_eq!(read(world), before);
    assert!(matches!(state(&case).as_deref(), Some("failed" | "reverted")), "{ran:?}");
    assert!(case.live_runs().len() == 1 && case.recover() == Value::Array(Vec::new()));
    world.audit_is_sound();
}
