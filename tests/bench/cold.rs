//! The command line from its first instruction to its last: processor time, of all its threads.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Place;
use crate::house::House;
use crate::measure::{Figure, Section, turns};

const ROUNDS: usize = 8;
const STARTS: u32 = 10;
const SECRET: &str = "app/db";
const INPUT: &str = "path=app/db";
const SCOPE: &str = "[[allow]]\ncapability = \"remit:secrets/inspect\"\nresources = [\"secret:app/**\"]\n\n\
                     [[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = [\"secret:app/**\"]\n";

pub fn cold(place: &Place) -> Section {
    let rust = Shell::new(place, "rotate-secret");
    let python = Shell::new(place, "rotate-secret-python");
    let plan = ["plan", "action.wasm", "--input", INPUT];
    let start = |shell: &Shell, times: u32, args: &[&str]| (0..times).for_each(|_| drop(shell.remit(args)));
    let run = |shell: &Shell| ["run", &shell.request, "--key", "bot.key"].map(str::to_owned);
    let (run_rust, run_python) = (run(&rust), run(&python));
    let [nothing, plan_rust, plan_python, run_rust, run_python] = turns(
        ROUNDS,
        STARTS,
        [
            &mut |n| start(&rust, n, &["--version"]),
            &mut |n| start(&rust, n, &plan),
            &mut |n| start(&python, n, &plan),
            &mut |n| start(&rust, n, &run_rust.each_ref().map(String::as_str)),
            &mut |n| start(&python, n, &run_python.each_ref().map(String::as_str)),
        ],
        time_of_children,
    )
    .map(|micros| micros / 1_000.0);
    let size = |shell: &Shell| {
        let bytes = fs::metadata(shell.dir.path().join("action.wasm")).expect("a file").len();
        if bytes < 1 << 20 { format!("{} KB", bytes / 1_000) } else { format!("{} MB", bytes / 1_000_000) }
    };
    let figure = |what: &str, shell: &Shell, took| {
        Figure::new(format!("{what}, {}", size(shell)), took, "ms").over("`remit --version`", nothing)
    };
    Section {
        title: "A cold start",
        figures: vec![
            figure("`remit plan` of an action in Rust", &rust, plan_rust).at_most(15.0),
            figure("`remit plan` of one in Python", &python, plan_python).at_most(40.0),
            figure("`remit run` of the first, with its change", &rust, run_rust),
            figure("`remit run` of the second", &python, run_python),
        ],
        notes: vec![
            "Processor time of the whole process, user and system, with the action's code compiled before. The \
             targets are for the way to the guest's first instruction; here all that comes after it is in it too."
                .to_owned(),
        ],
    }
}

/// A home, and `remit` as it is typed there.
struct Shell {
    dir: TempDir,
    request: String,
}

impl Shell {
    fn new(place: &Place, action: &str) -> Self {
        let dir = House::found(&place.disk, &place.plugin(action));
        let mut shell = Self { dir, request: String::new() };
        fs::write(shell.dir.path().join("scope.toml"), SCOPE).expect("written");
        // A file that is younger than this is not trusted to be what it was.
        std::thread::sleep(std::time::Duration::from_secs(4));
        shell.remit(&["secret", "put", SECRET, "password", "--generate"]);
        let uses = ((ROUNDS + 1) * STARTS as usize).to_string();
        let ask = ["request", "action.wasm", "--input", INPUT, "--scope", "scope.toml", "--without-plan"];
        let terms = ["--uses", &uses, "--reason", "a benchmark", "--key", "bot.key", "--json"];
        let asked = shell.remit(&[&ask[..], &terms].concat());
        let asked: serde_json::Value = serde_json::from_str(&asked).expect("JSON");
        asked["request"]["id"].as_str().expect("an id").clone_into(&mut shell.request);
        shell.remit(&["approve", &shell.request, "--key", "alice.key"]);
        shell
    }

    fn remit(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("REMIT_HOME", self.dir.path().join("home")).env("REMIT_KEY", "alice.key");
        let done = command.output().expect("remit starts");
        assert!(done.status.success(), "remit {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    }
}

/// What all ended children have used so far, in seconds. The kernel counts in nanoseconds and tells hundredths of a
/// second: exact enough for many starts together.
fn time_of_children() -> f64 {
    let stat = fs::read_to_string(Path::new("/proc/self/stat")).expect("a line");
    // The second field is a name, which may hold anything but ends with the last bracket.
    let (_, rest) = stat.rsplit_once(") ").expect("a name");
    let fields: Vec<f64> = rest.split(' ').filter_map(|field| field.parse().ok()).collect();
    // The state, a letter, is not among them: `cutime` and `cstime` of proc(5) are the 16th and 17th of all.
    (fields[12] + fields[13]) / 100.0
}
