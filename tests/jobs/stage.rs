//! How a job is told to who watches it: `cargo xtask demo jobs` shows what a test that passes keeps to itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::server::elsewhere;
use crate::common::{Ran, World, finish};

/// A part of the story.
pub fn scene(title: &str) {
    println!("\n── {title} ──");
}

/// What somebody types, and what they read; with the exit code that it must end with.
#[track_caller]
pub fn types(world: &World, who: &str, args: &[&str], code: i32) -> Ran {
    shown(who, args, finish(elsewhere(world, who, &[args, &["--context", "prod"]].concat()), ""), code)
}

/// The same at the home.
#[track_caller]
pub fn types_at_home(world: &World, args: &[&str], code: i32) -> Ran {
    shown("home", args, world.remit(args), code)
}

#[track_caller]
fn shown(who: &str, args: &[&str], ran: Ran, code: i32) -> Ran {
    let quoted = |arg: &&str| if arg.contains([' ', '{']) { format!("'{arg}'") } else { (*arg).to_owned() };
    let typed: Vec<String> = args.iter().map(quoted).collect();
    println!("\n{who}$ remit {}\n{}{}", typed.join(" "), ran.out, if code == 0 { "" } else { &ran.err });
    ran.exits(code)
}

/// A tool that an agent uses, and the part of its answer that a person would read.
#[track_caller]
pub fn uses(agent: &mut Agent, tool: &str, arguments: &Value) -> Value {
    println!("\nbot ▸ {tool} {}", brief(arguments));
    let answer = agent.call(tool, arguments);
    let told = [
        "preview",
        "request",
        "run",
        "stands",
        "state",
        "detail",
        "approval_url",
        "restore_at",
        "output",
        "log_size",
    ];
    for name in told {
        if !answer[name].is_null() {
            println!("      {name}: {}", brief(&answer[name]));
        }
    }
    answer
}

/// The end of a run that an agent started.
#[track_caller]
pub fn ends(agent: &mut Agent, started: &Value) -> Value {
    let run = json!({ "run": started["run"] });
    agent.end(&run);
    uses(agent, "get_run", &run)
}

/// Without the digests of components.
fn brief(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}sha256:{}…{}", &part[..8], &part[64..]))
}

/// What a real system tells whoever asks it with a client of its own.
pub fn finds(client: &str, what: &str) {
    println!("\n{client}\n      {what}");
}

/// What a job costs, of runs that went one after the other.
pub struct Costs<'w> {
    pub world: &'w World,
    pub job: &'static str,
}

impl Costs<'_> {
    /// One line: how long it took since what set it off, and what its runs asked of the host.
    pub fn tell(&self, what: &str, took: Duration, runs: &[&str]) {
        let (mut calls, mut changes) = (0, 0);
        for run in runs {
            let story = self.world.remit(&["show", run, "--json"]).exits(0).json()["story"].clone();
            calls += story["consumed"]["host_calls"].as_u64().unwrap();
            changes += story["consumed"]["changes"].as_u64().unwrap();
        }
        println!(
            "cost  {:<20} {what:<44} {:>5.1} s {calls:>3} host calls {changes:>2} changes",
            self.job,
            took.as_secs_f64(),
        );
    }
}

/// An action's own tests, which need no system at all.
pub fn plays_offline(world: &World, action: &str) {
    let folder = format!("{}/../../plugins/{action}/tests", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path().display().to_string());
    let files: Vec<String> = files.collect();
    let component = format!("{action}.wasm");
    let args: Vec<&str> = ["test", &component].into_iter().chain(files.iter().map(String::as_str)).collect();
    world.remit(&args).exits(0);
}
