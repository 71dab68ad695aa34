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

/// Kills the command wherever that makes a difference. `whole` is what the files are after it, `before` what they are if
/// it is as if it had never been.
fn all_or_nothing(scenario: &Scenario<'_>, whole: impl Fn(&Case<'_>, &Live) -> bool + Sync) {
    let began = Instant::now();
    let points = scenario.points();
    let durable = points.iter().filter(|point| point.class == "fsync" && point.file == "journal.db-wal");
    assert!(durable.count() > 5, "each change waits for its intent: {points:?}");
    let strikes: Vec<(Point, How)> = points
        .iter()
        .enumerate()
        .flat_map(|(index, point)| {
            let hows = KILLS.into_iter().filter(|how| matters(&points, index, *how));
            hows.map(|how| (point.clone(), how)).collect::<Vec<_>>()
        })
        .collect();
    let queue = Mutex::new(strikes.iter().collect::<VecDeque<_>>());
    let struck = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let (queue, struck, whole) = (&queue, &struck, &whole);
            scope.spawn(move || {
                while let Some((point, how)) = { queue.lock().unwrap().pop_front() } {
                    let case = scenario.fresh(&worker.to_string());
                    let before = Live::of(&case.world);
                    let (ended, reached) = scenario.strike(&case, point.number, *how);
                    // Seen if what follows fails.
                    println!("{}: {how} {point}: exit {}", scenario.name, ended.ran.code);
                    struck.fetch_add(usize::from(reached.is_some()), Ordering::Relaxed);
                    case.recover();
                    let now = Live::of(&case.world);
                    if !whole(&case, &now) {
                        assert_eq!(now, before, "neither all of it nor nothing");
                    }
                    assert_eq!(case.recover(), Value::Array(Vec::new()), "a second recovery finds nothing");
                    assert_eq!(Live::of(&case.world), now);
                    case.world.audit_is_sound();
                }
            });
        }
    });
    println!("{}: {} cases, {:.0} s", scenario.name, strikes.len(), began.elapsed().as_secs_f64());
    assert!(struck.into_inner() * 2 > strikes.len(), "most came to their point");
}

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
    let case = scenario.fresh("clean");
    finish(case.command(&scenario.command), "").exits(0);
    let after = Live::of(&case.world);
    all_or_nothing(&scenario, |case, now| match state(case).as_deref() {
        Some("succeeded") => {
            assert_eq!(*now, after);
            true
        }
        Some("failed" | "reverted") | None => false,
        Some(other) => panic!("nobody interfered, and the run is {other}"),
    });
}
