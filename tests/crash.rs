//! The crash matrix: wherever a host is killed, loses its power or its disk, what it left can be brought to
//! a named state in which its secrets are exactly what that state says.
//!
//! Nothing here lists steps by hand. Each scenario runs once under `crash/shim.c`, which writes down every
//! call through which something becomes durable or leaves the process; then it runs again for each of them,
//! on a copy of the same home, and something happens there. A new step joins by itself.
//!
//! `CRASH_ONLY=run/embedded/17/after` runs one case alone; the name is in its failure. `CRASH_SERVED=all` strikes a server everywhere.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod acts;
mod files;
mod rehearsals;
mod served;
pub mod shim;
mod store;
mod through;

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::bao::Bao;
use crate::common::{Ran, World, finish};
use crate::connector::house;
use serde_json::Value;
use shim::{How, Point, Shim};
use store::{FIELD, Store};

const ACTION: &str = "misbehave.wasm";
const SECRETS: [&str; 3] = ["prod/a", "prod/b", "prod/c"];
const INPUT: &str = r#"{"do":"rotate-many","paths":["prod/a","prod/b","prod/c"]}"#;
/// Long after any command here: what runs that long hangs.
const HANGS: Duration = Duration::from_secs(60);

const KILLS: [How; 3] = [How::Before, How::After, How::Power];
const ERRORS: [How; 3] = [How::Eio, How::Full, How::Dead];

#[test]
fn crash_in_a_run_on_the_embedded_store() {
    Scenario::run("run/embedded", None).sweep(&KILLS);
}

#[test]
fn crash_in_a_revert_on_the_embedded_store() {
    Scenario::revert("revert/embedded", None).sweep(&KILLS);
}

#[test]
fn crash_in_a_recovery_on_the_embedded_store() {
    Scenario::recovery("recovery/embedded", None).sweep(&KILLS);
}

#[test]
fn crash_when_the_time_of_changes_is_up() {
    Scenario::restore("restore/embedded").sweep(&KILLS);
}

#[test]
fn crash_in_a_run_on_openbao() {
    Scenario::run("run/openbao", Some(&Bao::start())).sweep(&KILLS);
}

#[test]
fn crash_in_a_revert_on_openbao() {
    Scenario::revert("revert/openbao", Some(&Bao::start())).sweep(&KILLS);
}

#[test]
fn crash_in_a_recovery_on_openbao() {
    Scenario::recovery("recovery/openbao", Some(&Bao::start())).sweep(&KILLS);
}

#[test]
fn disk_errors_in_a_run() {
    Scenario::run("errors-in-run", None).sweep(&ERRORS);
}

#[test]
fn disk_errors_in_a_revert() {
    Scenario::revert("errors-in-revert", None).sweep(&ERRORS);
}

#[test]
fn disk_errors_in_a_recovery() {
    Scenario::recovery("errors-in-recovery", None).sweep(&ERRORS);
}

/// What the struck command was asked to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Run,
    Revert,
    Recover,
}

struct Scenario<'a> {
    name: &'static str,
    shim: Shim,
    server: Option<&'a Bao>,
    /// What is mounted there for workers.
    mounted: Mutex<BTreeSet<String>>,
    asked: Asked,
    /// Whether a server is to do it.
    served: bool,
    /// The command to strike.
    command: Vec<String>,
    /// The home before it, and each secret's values.
    template: World,
    values: Vec<Vec<String>>,
}

/// One copy of the template.
struct Case<'a> {
    world: World,
    store: Store<'a>,
}

impl<'a> Scenario<'a> {
    /// A home with three secrets and two approved requests for a run that rotates them all: `g` and `next`.
    fn run(name: &'static str, server: Option<&'a Bao>) -> Self {
        Self::run_with(name, server, "")
    }

    /// The same with `more` in the scope.
    fn run_with(name: &'static str, server: Option<&'a Bao>, more: &str) -> Self {
        let template = World::empty();
        let old = SECRETS.map(|secret| format!("the old value of {secret}"));
        match server {
            None => {
                for (secret, old) in SECRETS.iter().zip(&old) {
                    template.remit_with_stdin(&["secret", "put", secret, FIELD], old).exits(0);
                }
            }
            Some(server) => {
                let config = template.home().join("remit.toml");
                let text = fs::read_to_string(&config).unwrap();
                // Each case makes its secrets anew.
                let through = crate::common::proxy::ageless(&server.address);
                fs::write(config, text + &server.config().replace(&server.address, &through)).unwrap();
            }
        }
        let head = format!("on_failure = \"revert\"\n{more}\n[limits]\nchanges = 3");
        template.write("scope.toml", crate::common::scope(&head, "prod/*"));
        for name in ["g", "next"] {
            let what = ["request", ACTION, "--input", INPUT, "--scope", "scope.toml", "--without-plan"];
            template.ask(&[&what[..], &["--ttl", "24h"]].concat(), name);
        }
        let command = run_of(&template, "g");
        let values = old.map(|old| vec![old]).to_vec();
        let (shim, mounted) = (Shim::compile(), Mutex::default());
        Self { name, shim, server, mounted, asked: Asked::Run, served: false, command, template, values }
    }

    /// The same after the run.
    fn revert(name: &'static str, server: Option<&'a Bao>) -> Self {
        let before = Self::run(name, server);
        let case = before.fresh("template");
        finish(case.command(&before.command), "").exits(0);
        let command = vec!["revert".to_owned(), case.live_runs()[0].0.clone()];
        before.after(case, Asked::Revert, command)
    }

    /// The same after a run whose changes stand for a second, when that is over.
    fn restore(name: &'static str) -> Self {
        let before = Self::run_with(name, None, "restore_after = \"1s\"");
        let case = before.fresh("template");
        finish(case.command(&before.command), "").exits(0);
        let runs = case.world.remit(&["runs", "--live", "--json"]).exits(0).json();
        let until: jiff::Timestamp = runs[0]["restore_at"].as_str().unwrap().parse().unwrap();
        while jiff::Timestamp::now() <= until {
            std::thread::sleep(Duration::from_millis(50));
        }
        before.after(case, Asked::Recover, recover())
    }

    /// The same after a host was killed in the run: at the last point at which not every secret was rotated.
    fn recovery(name: &'static str, server: Option<&'a Bao>) -> Self {
        let before = Self::run(name, server);
        let killed = |at| {
            let case = before.fresh("template");
            before.strike(&case, at, How::Before);
            case
        };
        let mut begun = 1;
        let mut done = before.clean().len();
        while done - begun > 1 {
            let middle = usize::midpoint(begun, done);
            let all = killed(middle).values().iter().all(|values| values.len() > 1);
            if all { done = middle } else { begun = middle }
        }
        // The journal also writes by the clock: a point more or less lies between two runs.
        let rotated = |case: &Case<'_>| case.values().iter().filter(|values| values.len() > 1).count();
        let mut cases = (1..begun + 3).rev().map(killed);
        let case = cases.find(|case| rotated(case) == SECRETS.len() - 1).expect("killed in the middle");
        before.after(case, Asked::Recover, recover())
    }

    fn after(self, case: Case<'_>, asked: Asked, command: Vec<String>) -> Self {
        let values = case.values();
        Self { asked, command, values, template: case.world, ..self }
    }

    /// A copy of the template. `worker` has it for itself.
    fn fresh(&self, worker: &str) -> Case<'a> {
        let world = self.template.copy();
        // A folder that it serves is its own.
        let config = world.home().join("remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        let place = |world: &World| world.dir.path().to_str().unwrap().to_owned();
        fs::write(&config, text.replace(&place(&self.template), &place(&world))).unwrap();
        let store = match self.server {
            None => Store::Embedded,
            Some(server) => {
                let mount = format!("{}-{worker}", self.name.replace('/', "-"));
                let config = world.home().join("remit.toml");
                let text = fs::read_to_string(&config).unwrap();
                let mut lines: Vec<&str> =
                    text.lines().filter(|line| !line.starts_with("mount = ")).collect();
                let line = format!("mount = \"{mount}\"\n");
                // The server's entry is the last one.
                lines.push(&line);
                fs::write(config, lines.join("\n")).unwrap();
                let mut mounted = self.mounted.lock().unwrap();
                if mounted.insert(mount.clone()) {
                    server.mount(&mount);
                }
                Store::OpenBao { server, mount }
            }
        };
        for (secret, values) in SECRETS.iter().zip(&self.values) {
            store.restore(secret, values);
        }
        Case { world, store }
    }

    /// The points of the command when nothing happens to it.
    fn points(&self) -> Vec<Point> {
        let case = self.fresh("clean");
        let log = case.world.path("points");
        self.carry_out(&case, |command| self.shim.count(command, &log)).ran.exits(0);
        shim::points(&log)
    }

    /// The same of a run, a revert or a recovery.
    fn clean(&self) -> Vec<Point> {
        let points = self.points();
        let has =
            |class: &str, file: &str| points.iter().any(|p| p.class == class && p.file.starts_with(file));
        assert!(has("fsync", "journal.db") && has("write", "journal.db"), "the shim sees files: {points:?}");
        let effect = if self.server.is_some() {
            has("send", "socket") && has("receive", "socket")
        } else {
            has("fsync", "secrets.db")
        };
        assert!(effect, "the shim sees the effects: {points:?}");
        points
    }

    /// Runs the command with something happening at a point. Returns how it ended and the last point it
    /// came to: its threads do not take turns as they did in the clean run.
    fn strike(&self, case: &Case<'_>, at: usize, how: How) -> (Struck, Option<Point>) {
        let log = case.world.path("points");
        let struck = self.carry_out(case, |command| self.shim.strike(command, &log, at, how));
        let reached = shim::points(&log).into_iter().find(|point| point.number == at);
        (struck, reached)
    }

    /// Does it, with the shim that `arm` puts before the process.
    fn carry_out(&self, case: &Case<'_>, arm: impl FnOnce(&mut Command)) -> Struck {
        if self.served {
            return self.serve(case, arm);
        }
        let mut command = case.command(&self.command);
        arm(&mut command);
        wait(command)
    }

    /// Kills the command wherever that makes a difference. `judge` is given a fresh home and the way to do it there, which
    /// answers how the command ended. The points of a whole one.
    fn each_kill(&self, judge: impl Fn(&Case<'_>, &dyn Fn() -> Struck) + Sync) -> Vec<Point> {
        let began = Instant::now();
        let points = self.points();
        assert!(
            points.iter().any(|point| point.class == "fsync"),
            "the shim sees what is written: {points:?}"
        );
        let mut strikes: VecDeque<(&Point, How)> = VecDeque::new();
        for (index, point) in points.iter().enumerate() {
            strikes.extend(
                KILLS.into_iter().filter(|how| matters(&points, index, *how)).map(|how| (point, how)),
            );
        }
        let (total, queue) = (strikes.len(), Mutex::new(strikes));
        std::thread::scope(|scope| {
            for worker in 0..6 {
                let (queue, judge) = (&queue, &judge);
                scope.spawn(move || {
                    while let Some((point, how)) = { queue.lock().unwrap().pop_front() } {
                        let case = self.fresh(&worker.to_string());
                        judge(&case, &|| {
                            let (struck, reached) = self.strike(&case, point.number, how);
                            // Seen if what follows fails.
                            println!("{}: {how} {point}: exit {}", self.name, struck.ran.code);
                            assert!(reached.is_none() || struck.signal == Some(9), "{:?}", struck.ran);
                            struck
                        });
                    }
                });
            }
        });
        println!("{}: {total} cases, {:.0} s", self.name, began.elapsed().as_secs_f64());
        points
    }

    /// Lets each of `hows` happen at each point where it makes a difference.
    fn sweep(&self, hows: &[How]) {
        let began = Instant::now();
        let points = self.clean();
        let only = std::env::var("CRASH_ONLY").ok();
        let mut cases: VecDeque<(Point, How)> = VecDeque::new();
        for (index, point) in points.iter().enumerate() {
            for how in hows.iter().filter(|how| matters(&points, index, **how)) {
                let chosen = only.as_ref().is_none_or(|only| *only == self.case_name(point, *how));
                if chosen {
                    cases.push_back((point.clone(), *how));
                }
            }
        }
        if self.served && only.is_none() {
            cases = served::some(cases);
        }
        let total = cases.len();
        let queue = Mutex::new(cases.into_iter().enumerate().collect::<VecDeque<_>>());
        let (failures, missed) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        // A recovery spends most of its time waiting for what may still be on its way to a server.
        let workers = 3 * std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for worker in 0..workers {
                let (queue, failures, missed) = (&queue, &failures, &missed);
                scope.spawn(move || {
                    loop {
                        let Some((index, (point, how))) = queue.lock().unwrap().pop_front() else { return };
                        let mut reached = None;
                        let judged = catch_unwind(AssertUnwindSafe(|| {
                            self.judge(&worker.to_string(), index, &point, how, &mut reached);
                        }));
                        if reached.is_none() {
                            missed.fetch_add(1, Ordering::Relaxed);
                        }
                        if let Err(why) = judged {
                            let words = why.downcast_ref::<String>().map(String::as_str);
                            let why = words.or(why.downcast_ref().copied()).unwrap_or("(no words)");
                            let there = reached.map_or_else(|| "not reached".to_owned(), |p| p.to_string());
                            failures.lock().unwrap().push(format!(
                                "{}: {how} {point}; this time {there}\n  alone: CRASH_ONLY={}\n  {why}",
                                self.name,
                                self.case_name(&point, how)
                            ));
                        }
                    }
                });
            }
        });
        let (failures, missed) = (failures.into_inner().unwrap(), missed.into_inner());
        println!(
            "{}: {} points, {total} cases, {missed} of them past the end, {:.0} s",
            self.name,
            points.len(),
            began.elapsed().as_secs_f64()
        );
        let shown = failures[..failures.len().min(10)].join("\n\n");
        assert!(failures.is_empty(), "{} of {total} cases failed:\n\n{shown}", failures.len());
        // How many records share a transaction depends on the clock: a few runs have fewer points.
        assert!(only.is_some() || missed * 4 <= total, "{missed} of {total} cases ended before their point");
    }

    fn case_name(&self, point: &Point, how: How) -> String {
        format!("{}/{}/{how}", self.name, point.number)
    }

    /// One case, from a fresh home to the last invariant.
    fn judge(&self, worker: &str, index: usize, point: &Point, how: How, reached: &mut Option<Point>) {
        let case = self.fresh(worker);
        let (struck, at) = self.strike(&case, point.number, how);
        *reached = at;
        if reached.is_some() && how.kills() {
            assert_eq!(struck.signal, Some(9), "{:?}", struck.ran);
        } else {
            // An error is for the host to handle: it says so and ends, with one of its own codes.
            assert!(struck.signal.is_none(), "it was killed: {:?}", struck.ran);
            assert!(matches!(struck.ran.code, 0 | 1 | 5), "{:?}", struck.ran);
        }

        case.recover();
        let mut runs = case.live_runs();
        assert!(runs.len() <= 1, "{runs:?}");
        // An undo that a broken disk refused is a person's to repeat, and the host said so. Nothing else is.
        if let Some((run, Some(state))) = runs.first()
            && matches!(state.as_str(), "held" | "in-doubt")
        {
            assert!(!how.kills(), "nobody interfered, and the run is {state}");
            assert_eq!(struck.ran.code, 5, "the run is {state}: {:?}", struck.ran);
            finish(case.command(&["revert".to_owned(), run.clone()]), "").exits(0);
            runs = case.live_runs();
        }
        let now = case.values();
        let stands = self.standing(&now);
        let untouched = now.iter().all(|values| values.len() == 1);
        match runs.first().map(|(_, state)| state.as_deref()) {
            Some(Some("succeeded")) => assert_eq!(stands, Stands::New, "the run succeeded"),
            Some(Some("reverted" | "failed" | "refused")) => {
                assert_eq!(stands, Stands::Old, "the run is taken back");
            }
            Some(state) => panic!("the run's state is {state:?}: {:?}", struck.ran),
            None => assert!(untouched, "changes without a run"),
        }
        if struck.signal.is_none() && struck.ran.code == 0 {
            let promised = if self.asked == Asked::Run { Stands::New } else { Stands::Old };
            assert_eq!(stands, promised, "it said that it was done");
        }
        case.world.audit_is_sound();

        // Again: there is nothing left to do. That is as long as the rest together, so every fourth case shows it.
        if index.is_multiple_of(4) {
            assert_eq!(case.recover(), Value::Array(Vec::new()), "a second recovery finds nothing");
            assert_eq!(case.live_runs(), runs, "a second recovery does nothing");
            assert_eq!(case.values(), now, "a second recovery does nothing");
        }

        // Life goes on: the request that no run used is as good as before, and so is a fresh one. A whole run
        // costs as much as all of the above, so every 16th case shows it, and every one without a run.
        if runs.is_empty() || index.is_multiple_of(16) {
            let name = if runs.is_empty() { "g" } else { "next" };
            finish(case.command(&run_of(&case.world, name)), "").exits(0);
            for (was, is) in now.iter().zip(case.values()) {
                assert_eq!(is.len(), was.len() + 1);
                assert!(!was.contains(is.last().unwrap()), "a fresh value");
            }
            case.world.audit_is_sound();
        }
    }

    /// Where the secrets stand; all of them agree. Each was rotated at most once and put back at most once.
    #[track_caller]
    fn standing(&self, now: &[Vec<String>]) -> Stands {
        let mut found = BTreeSet::new();
        for (secret, (values, before)) in SECRETS.iter().zip(now.iter().zip(&self.values)) {
            assert!(values.starts_with(before), "{secret}: what was there is still there");
            found.insert(match values.as_slice() {
                [_] => Stands::Old,
                [old, new] if old != new => Stands::New,
                [old, new, back] if old != new && back == old => Stands::Old,
                other => panic!("{secret} has {} versions that no run and revert leave", other.len()),
            });
        }
        let counts: Vec<usize> = now.iter().map(Vec::len).collect();
        assert_eq!(found.len(), 1, "the secrets do not agree; versions: {counts:?}");
        found.pop_first().unwrap()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stands {
    Old,
    New,
}

/// Whether a case is worth its time: all of them together should take no more than a few minutes.
///
/// Between two points the disk does not change, so a kill before one is a kill after the one before: the
/// first point alone is struck `before`. Of calls of one class on one file in a row, the first and the last
/// are struck: of the writes of a transaction that is one torn at its start and one that is whole but not
/// durable; of a request, half of it and all. An answer is there when all of it is. A power cut is different from a kill only while something is not durable, and most so at an
/// fsync. Of the errors, the passing one meets the last of a row, the lasting ones the first or its end.
fn matters(points: &[Point], index: usize, how: How) -> bool {
    let kind = |at: usize| points.get(at).map(|point| (&point.class, &point.file));
    let first = index == 0 || kind(index - 1) != kind(index);
    let last = kind(index + 1) != kind(index);
    let class = points[index].class.as_str();
    match how {
        How::Before => index == 0,
        How::After => class != "receive" && first || last,
        How::Power => class == "fsync",
        How::Eio => !matches!(class, "send" | "receive") && last,
        How::Full => class == "write" && first,
        How::Dead => class == "fsync",
    }
}

impl Case<'_> {
    fn command(&self, args: &[String]) -> Command {
        let mut command = self.world.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("TEST_TOKEN", Bao::TOKEN);
        command
    }

    /// Every live run with its state, oldest first.
    fn live_runs(&self) -> Vec<(String, Option<String>)> {
        let runs = self.world.remit(&["runs", "--json"]).exits(0).json();
        let live = runs.as_array().unwrap().iter().filter(|run| run["mode"] == "live");
        let state = |run: &Value| run["state"].as_str().map(ToOwned::to_owned);
        live.map(|run| (run["run"].as_str().unwrap().to_owned(), state(run))).collect()
    }

    fn values(&self) -> Vec<Vec<String>> {
        SECRETS.iter().map(|secret| self.store.values(&self.world, secret)).collect()
    }

    /// Brings what a dead host left to a named state.
    fn recover(&self) -> Value {
        finish(self.command(&recover()), "").exits(0).json()
    }
}

fn recover() -> Vec<String> {
    ["recover", "--json"].map(ToOwned::to_owned).to_vec()
}

/// How a command ended to which something happened.
struct Struck {
    signal: Option<i32>,
    ran: Ran,
}

fn wait(mut command: Command) -> Struck {
    // It says too little to fill a pipe.
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > HANGS {
            child.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Struck {
        signal: output.status.signal(),
        ran: Ran {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        },
    }
}

fn run_of(world: &World, name: &str) -> Vec<String> {
    ["run", &world.request(name), "--key", "bot.key"].map(ToOwned::to_owned).to_vec()
}
