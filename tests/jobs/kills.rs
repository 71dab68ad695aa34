//! Wherever a host is killed in a job, what it left can be brought to a named end, and the systems' own clients say the same.
//!
//! Nothing here lists steps by hand. A job is carried out once undisturbed, and its records say when the host is killed then, in a copy of
//! the same home: when the run is on record; for each host call that changes something, when its intent is on the disk and nothing was
//! done yet, and when it was done and is not on record yet; and before the run's end is on record. The moments are the records' own
//! bytes on their way to the disk ([`super::shim`]), so that each kill is where it is said to be, however fast the machine is.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use super::shim::{How, On, Shim};
use crate::common::World;

/// What the systems' own clients say of the changes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// None of them is there.
    Before,
    /// All of them are.
    After,
}

impl Found {
    /// Of what each system says for itself. They must agree.
    #[track_caller]
    pub fn agreed(done: &[bool]) -> Self {
        assert!(done.iter().all(|one| *one == done[0]), "a part of it was done: {done:?}");
        if done[0] { Self::After } else { Self::Before }
    }
}

/// A job, and how it is known what became of it.
pub struct Killed<'a> {
    pub name: &'static str,
    /// The home before it, without any run.
    pub template: &'a World,
    /// Makes everything as it is before the job; the command that does it.
    pub begin: &'a dyn Fn(&World) -> Vec<String>,
    pub found: &'a dyn Fn() -> Found,
    /// What is left of a run that ends as held: a part of it cannot be taken back.
    pub held: Found,
}

/// A moment at which the host is killed.
struct Moment {
    /// What is on its way to the disk,
    on: On,
    how: How,
    /// and what that means.
    means: String,
}

/// The moments of a run, of its records.
fn moments(records: &[Value]) -> Vec<Moment> {
    let mut all = vec![Moment {
        on: On::Text("\"started\":{\"mode\":\"live\"".to_owned()),
        how: How::After,
        means: "the run is on record".to_owned(),
    }];
    let text = |intent: &Value, name: &str| intent[name].as_str().unwrap_or_default().to_owned();
    let intents = records.iter().map(|record| &record["event"]["intent"]);
    let changes: Vec<[String; 3]> = intents
        .map(|intent| ["operation", "effect", "resource"].map(|name| text(intent, name)))
        .filter(|[_, effect, _]| !matches!(effect.as_str(), "" | "observe"))
        .collect();
    for [operation, effect, resource] in &changes {
        // The number of the call is not always the same: a language's runtime makes calls of its own. What it is about is
        // not either, and is not needed where there is one such call.
        let one = changes.iter().filter(|[other, ..]| other == operation).count() == 1;
        let resource = if one { "" } else { resource };
        let on = On::Call(format!(
            ",\"operation\":\"{operation}\",\"effect\":\"{effect}\",\"resource\":\"{resource}"
        ));
        let what = if one { operation.clone() } else { format!("{operation} on {resource}") };
        all.push(Moment { on: on.clone(), how: How::After, means: format!("{what} is not done yet") });
        all.push(Moment { on, how: How::Before, means: format!("{what} is done") });
    }
    all.push(Moment {
        on: On::Text("\"ended\":{\"state\":\"succeeded\"".to_owned()),
        how: How::Before,
        means: "all is done and checked".to_owned(),
    });
    all
}

impl Killed<'_> {
    /// Carries it out undisturbed, and then kills it at each moment. How many times.
    pub fn at_each_step(&self, shim: &Shim) -> usize {
        let began = Instant::now();
        let world = self.template.copy();
        world.remit(&words(&(self.begin)(&world))).exits(0);
        assert_eq!((self.found)(), Found::After, "{}: undisturbed", self.name);
        let (run, records) = world.last_run();
        let moments = moments(&records);
        takes_back(&world, &run);
        for Moment { on, how, means } in &moments {
            let when = format!("{}: killed when {means}", self.name);
            let world = self.template.copy();
            let args = (self.begin)(&world);
            let mut command = world.command(&words(&args));
            shim.strike_on(&mut command, on, *how);
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            assert_eq!(status.signal(), Some(9), "{when}: it ended with {:?}", status.code());
            self.comes_to_an_end(&world, &when);
        }
        println!(
            "{}: killed at {} moments, {:.0} s",
            self.name,
            moments.len(),
            began.elapsed().as_secs_f64()
        );
        moments.len()
    }

    /// Recovers, and does what a person would do where the host calls one. Then state and systems agree.
    fn comes_to_an_end(&self, world: &World, when: &str) {
        let told = world.remit(&["recover"]);
        let (run, mut state) = live(world).unzip();
        let run = run.unwrap_or_default();
        let calls_a_person = matches!(state.as_deref(), Some("held" | "in-doubt"));
        assert_eq!(told.code == 5, calls_a_person, "{when}: {told:?}");
        if state.as_deref() == Some("in-doubt") {
            let answer = if (self.found)() == Found::After { "--happened" } else { "--did-not-happen" };
            world.remit(&["resolve", &run, answer, "--reason", "looked with the system's own client"]);
            state = live(world).map(|(_, state)| state);
        }
        if state.as_deref() == Some("held") {
            takes_back(world, &run);
            state = live(world).map(|(_, state)| state);
        }
        let found = (self.found)();
        let says = match state.as_deref() {
            Some("succeeded") => Found::After,
            Some("held") => self.held,
            Some("reverted" | "failed" | "refused") | None => Found::Before,
            other => panic!("{when}: the run has no end: {other:?}"),
        };
        assert_eq!(found, says, "{when}: the run is {state:?}");
        if state.as_deref() == Some("succeeded") {
            takes_back(world, &run);
        }
        // Of what is written whole or not at all, the crash matrix has more.
        if found == Found::After {
            world.audit_is_sound();
        }
    }
}

/// Takes back what can be.
fn takes_back(world: &World, run: &str) {
    let told = world.remit(&["revert", run, "--keep-going"]);
    assert!(matches!(told.code, 0 | 5), "{told:?}");
}

/// The one live run of a home, and its state.
fn live(world: &World) -> Option<(String, String)> {
    let runs = world.remit(&["runs", "--live", "--json"]).exits(0).json();
    let run = runs.as_array().unwrap().last()?;
    let text = |name: &str| run[name].as_str().unwrap_or("none").to_owned();
    Some((text("run"), text("state")))
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
