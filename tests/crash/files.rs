//! A run that changes files, killed: all of its changes are there or none, and nothing else. The shim does not see the
//! changes themselves, which pass by the C library; it sees the journal before and after each. What fails inside a change is
//! for the tests of its backend.

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

/// The state of the only live run.
fn state(case: &Case<'_>) -> Option<String> {
    let runs = case.live_runs();
    assert!(runs.len() <= 1, "{runs:?}");
    runs.into_iter().next().map(|(_, state)| state.expect("a state"))
}

#[test]
fn crash_in_a_run_on_files() {
    let mut scenario = scenario("files", &[]);
    let ask = ["request", GUEST, "--input", SCRIPT, "--scope", "wide.toml", "--without-plan"];
    scenario.template.ask(&ask, "files");
    scenario.command = run_of(&scenario.template, "files");
    let clean = scenario.fresh("clean");
    finish(clean.command(&scenario.command), "").exits(0);
    let after = Live::of(&clean.world);
    let (done, taken_back) = (AtomicUsize::new(0), AtomicUsize::new(0));
    scenario.each_kill(|case, kill| {
        let before = Live::of(&case.world);
        kill();
        case.recover();
        let now = Live::of(&case.world);
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
