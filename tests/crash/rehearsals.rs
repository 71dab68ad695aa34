//! Rehearsals that are killed: what they only played did not happen, whatever others do to the live system before the
//! host looks again.

use super::*;

pub(super) const GUEST: &str = "hostile.wasm";
/// Changes of every kind: secrets, one of them for good, and files; and in `verify` a look. In the middle it works for
/// a while, so that the journal has written what came before: a rehearsal waits for no record of its own.
const SCRIPT: &str = r#"{
    "run": [
        {"rotate": ["prod/a", null]}, {"disable": ["prod/b", "1"]}, {"destroy": ["prod/c", "1"]},
        {"repeat": [50000, [{"put": ["a", "b"]}]]},
        {"write": ["/etc/app.conf", "login = no\n"]}, {"make-folder": "/etc/made"}, {"remove": "/etc/motd"}
    ],
    "verify": [{"inspect": "prod/a"}, {"stat": "/etc/app.conf"}]
}"#;

/// A home with secrets, and files beside it, before a command that rehearses.
pub(super) fn scenario(name: &'static str, command: &[&str]) -> Scenario<'static> {
    let mut scenario = Scenario::run(name, None);
    let world = &scenario.template;
    world.add("hostile");
    let secrets = ["inspect", "rotate", "disable", "destroy", "reveal"].map(|power| {
        let irrevocable = if power == "destroy" { "irrevocable = true" } else { "" };
        format!("[[allow]]\ncapability = \"remit:secrets/{power}\"\nresources = [\"secret:prod/*\"]\n{irrevocable}\n")
    });
    let files = ["read", "write"].map(|power| {
        format!(
            "[[allow]]\ncapability = \"remit:files/{power}\"\nresources = [\"file:etc\", \"file:etc/*\"]\n"
        )
    });
    world.write("wide.toml", format!("[limits]\nchanges = 9\n{}{}", secrets.concat(), files.concat()));
    fs::create_dir(world.path("etc")).unwrap();
    world.write("etc/app.conf", "login = yes\n");
    world.write("etc/motd", "hello\n");
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let etc = world.path("etc").display().to_string();
    fs::write(config, format!("{text}\n[[files]]\nname = \"etc\"\npath = \"{etc}\"\n")).unwrap();
    // Compiled once, for all copies.
    let rehearse = ["plan", GUEST, "--input", SCRIPT, "--scope", "wide.toml", "--key", "bot.key"];
    world.remit(&rehearse).exits(0);
    scenario.command = command.iter().map(|&word| word.to_owned()).collect();
    scenario
}

/// Everything live that the script names, as it lies there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Live {
    secrets: Vec<(String, i64, bool, Option<Vec<u8>>)>,
    files: Vec<(String, Option<Vec<u8>>)>,
}

impl Live {
    pub(super) fn of(world: &World) -> Self {
        let db = rusqlite::Connection::open(world.home().join("secrets.db")).unwrap();
        let mut rows =
            db.prepare("SELECT path, number, disabled, sealed FROM version ORDER BY path, number").unwrap();
        let secrets = rows
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let mut files: Vec<_> = fs::read_dir(world.path("etc"))
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let content = entry.path().is_file().then(|| fs::read(entry.path()).unwrap());
                (entry.file_name().into_string().unwrap(), content)
            })
            .collect();
        files.sort();
        Self { secrets, files }
    }

    /// By the hand of an administrator what the rehearsal played: whoever takes that back takes theirs back.
    fn really(world: &World) {
        let db = rusqlite::Connection::open(world.home().join("secrets.db")).unwrap();
        db.execute("UPDATE version SET disabled = 1 WHERE path = 'prod/b' AND number = 1", []).unwrap();
        db.execute("UPDATE version SET sealed = NULL WHERE path = 'prod/c' AND number = 1", []).unwrap();
        world.write("etc/app.conf", "login = no\n");
        fs::create_dir(world.path("etc/made")).unwrap();
        fs::remove_file(world.path("etc/motd")).unwrap();
    }
}

/// Kills the command wherever that makes a difference; then others do for real what it played.
fn nothing_happened(scenario: &Scenario<'_>, more: impl Fn(&Case<'_>, &Struck) + Sync) {
    let rehearsing = AtomicUsize::new(0);
    scenario.each_kill(|case, kill| {
        let before = Live::of(&case.world);
        let struck = kill();
        assert_eq!(Live::of(&case.world), before, "a rehearsal changes nothing");
        Live::really(&case.world);
        let theirs = Live::of(&case.world);
        let recovered = case.recover();
        for run in recovered.as_array().unwrap() {
            assert_eq!(run["reverted"]["steps"], Value::Array(Vec::new()), "{run}");
            rehearsing.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(Live::of(&case.world), theirs, "a recovery takes back what somebody else did");
        case.world.audit_is_sound();
        let runs = case.world.remit(&["runs", "--json"]).exits(0).json();
        for run in runs.as_array().unwrap() {
            let state = run["state"].as_str().unwrap_or_else(|| panic!("no state: {run}"));
            assert_eq!(run["mode"], "rehearse", "{run}");
            assert!(matches!(state, "rehearsed" | "failed"), "{run}");
            let name = run["run"].as_str().unwrap();
            assert_ne!(case.world.remit(&["revert", name]).code, 0, "there is nothing to revert");
        }
        assert_eq!(case.recover(), Value::Array(Vec::new()), "a second recovery finds nothing");
        assert_eq!(Live::of(&case.world), theirs);
        more(case, &struck);
    });
    assert!(rehearsing.into_inner() > 0, "some were killed in the middle of it");
}

#[test]
fn crash_in_a_rehearsal() {
    let plan = ["plan", GUEST, "--input", SCRIPT, "--scope", "wide.toml", "--key", "bot.key"];
    nothing_happened(&scenario("rehearsal", &plan), |_, _| {});
}

/// It rehearses, and then it is on record or it is not.
#[test]
fn crash_in_a_request_that_rehearses() {
    let ask = ["request", GUEST, "--input", SCRIPT, "--scope", "wide.toml"];
    let ask = [&ask[..], &["--reason", "r", "--key", "bot.key"]].concat();
    let scenario = scenario("request", &ask);
    let requests = |world: &World| {
        let all = world.remit(&["requests", "--all", "--json"]).exits(0).json();
        all["requests"].as_array().unwrap().len()
    };
    let before = requests(&scenario.template);
    nothing_happened(&scenario, |case, struck| {
        let now = requests(&case.world);
        assert!(now == before + 1 || now == before && struck.signal.is_some(), "it said that it was done");
    });
}

/// What was approved is rehearsed again before it runs. Killed in that, nothing ran, and it can still be used.
#[test]
fn crash_in_the_rehearsal_before_a_run() {
    let mut scenario = scenario("rehearsed-again", &[]);
    // Without files: those of a copied home are others than the approved ones.
    let script = r#"{"run": [{"rotate": ["prod/a", null]}, {"disable": ["prod/b", "1"]}]}"#;
    scenario.template.ask(&["request", GUEST, "--input", script, "--scope", "wide.toml"], "planned");
    scenario.command = run_of(&scenario.template, "planned");
    let points = scenario.points();
    // The run itself begins where the store is first written to; the matrix has the rest.
    let first = points.iter().position(|point| point.file.starts_with("secrets.db")).expect("it runs");
    let mut judged = 0;
    for (index, point) in points[..first].iter().enumerate() {
        if !matters(&points, index, How::After) {
            continue;
        }
        let case = scenario.fresh("one");
        let before = Live::of(&case.world);
        let (struck, reached) = scenario.strike(&case, point.number, How::After);
        println!("after {point}: exit {}", struck.ran.code);
        if reached.is_none() || Live::of(&case.world) != before {
            continue;
        }
        judged += 1;
        let recovered = case.recover();
        assert_eq!(Live::of(&case.world), before, "{recovered}");
        case.world.audit_is_sound();
        for (run, state) in case.live_runs() {
            // Taken back: its first change was about to happen.
            assert!(matches!(state.as_deref(), Some("failed" | "reverted")), "{run} is {state:?}");
        }
        // A use is counted when a run begins.
        if case.live_runs().is_empty() {
            finish(case.command(&scenario.command), "").exits(0);
            assert_ne!(Live::of(&case.world), before);
        }
        case.world.audit_is_sound();
    }
    assert!(judged > 3, "{judged} of {points:?}");
}
