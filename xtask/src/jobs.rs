//! Test programs, several at once. Each uses the processors for two thirds of its time at most: the rest it waits, for
//! servers, disks and clocks.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::shell;

/// What the names of unit tests end with.
pub(crate) const UNIT: &str = "(unit tests)";
/// The program that has all end-to-end tests.
pub(crate) const END_TO_END: &str = "e2e";

/// Something to run, whose output is shown when it has ended.
pub(crate) struct Job {
    pub(crate) name: String,
    /// Run one after the other, until one fails.
    commands: Vec<Command>,
    /// Whether it runs the program `remit`, which no build may replace meanwhile.
    pub(crate) end_to_end: bool,
}

impl Job {
    pub(crate) fn new(name: &str, commands: Vec<Command>) -> Self {
        Self { name: name.to_owned(), commands, end_to_end: false }
    }

    /// Sets these variables for all that it runs.
    pub(crate) fn envs(&mut self, environment: &[(String, PathBuf)]) {
        for command in &mut self.commands {
            command.envs(environment.iter().cloned());
        }
    }
}

/// Builds what `cargo test` with these arguments would run: one job for each program. The documentation's tests and the
/// benchmarks are no part of it.
pub(crate) fn build(cargo: &mut Command) -> Result<Vec<Job>> {
    let messages = shell::output(cargo.args(["--no-run", "--message-format=json-render-diagnostics"]))?;
    let mut jobs = Vec::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("reading cargo's messages")?;
        let (Some(program), Some(true)) =
            (message["executable"].as_str(), message["profile"]["test"].as_bool())
        else {
            continue;
        };
        if message["target"]["kind"][0] == "bench" {
            continue;
        }
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let found = (text(&message["manifest_path"]), text(&message["target"]["name"]));
        let (Some(manifest), Some(target)) = found else { bail!("cargo built {program} of no package") };
        let folder = Path::new(&manifest).parent().context("a package lies in no folder")?;
        let package = folder.file_name().unwrap_or_default().to_string_lossy();
        let unit = ["lib", "bin"].iter().any(|kind| message["target"]["kind"][0] == *kind);
        let name = if unit { format!("{package} {UNIT}") } else { format!("{package} {target}") };
        let mut command = Command::new(program);
        // As cargo does it.
        command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder).env("CARGO", shell::cargo_program());
        if target == END_TO_END {
            jobs.extend(modules(&command)?);
        } else {
            jobs.push(Job { name, commands: vec![command], end_to_end: package == "cli" });
        }
    }
    Ok(jobs)
}

/// A test program as one job for each of its modules: so each is a line of its own, and what takes longest begins first.
fn modules(program: &Command) -> Result<Vec<Job>> {
    let listed = shell::output(again(program).args(["--list", "--format=terse"]))?;
    let mut modules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in listed.lines().filter_map(|line| line.strip_suffix(": test")) {
        let module = name.split("::").next().unwrap_or(name);
        modules.entry(module).or_default().push(name);
    }
    let job = |(module, names): (&str, Vec<&str>)| {
        let mut command = again(program);
        // A name without `--exact` would be looked for in the names of other modules too.
        command.arg("--exact").args(names);
        Job { name: module.to_owned(), commands: vec![command], end_to_end: true }
    };
    Ok(modules.into_iter().map(job).collect())
}

/// The same program in the same place.
fn again(program: &Command) -> Command {
    let mut command = Command::new(program.get_program());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// Runs all jobs, as many at once as there are processors; fails if one of them fails, after all have ended.
pub(crate) fn run(jobs: Vec<Job>) -> Result<()> {
    let lanes = std::thread::available_parallelism().map_or(2, usize::from).min(jobs.len());
    let queue = Mutex::new(VecDeque::from(jobs));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lane = || {
        let mut failed = Vec::new();
        while let Some(job) = next() {
            let name = job.name.clone();
            if !perform(job)? {
                failed.push(name);
            }
        }
        anyhow::Ok(failed)
    };
    let failed = std::thread::scope(|threads| {
        let lanes: Vec<_> = (0..lanes).map(|_| threads.spawn(lane)).collect();
        let ended = lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|_| bail!("a job panicked")));
        ended.collect::<Result<Vec<_>>>()
    })?
    .concat();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("these failed, see above: {}", failed.join(", "))
}

/// Runs one job; whether it succeeded. One line, or all that it printed if it did not.
fn perform(job: Job) -> Result<bool> {
    let started = Instant::now();
    let mut file = tempfile::tempfile()?;
    let mut succeeded = true;
    for mut command in job.commands {
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        let status = command.status().with_context(|| format!("starting {}", shell::describe(&command)))?;
        succeeded = status.success();
        if !succeeded {
            break;
        }
    }
    file.rewind()?;
    let mut printed = Vec::new();
    file.read_to_end(&mut printed)?;
    let printed = String::from_utf8_lossy(&printed);
    let (name, seconds) = (job.name, started.elapsed().as_secs_f64());
    let counts = counts(&printed);
    if succeeded {
        println!("ok      {name:<34} {counts:<24} {seconds:>6.1} s");
    } else {
        println!("FAILED  {name:<34} {counts:<24} {seconds:>6.1} s\n{printed}");
    }
    Ok(succeeded)
}

/// How many tests there were, from the lines that each test program ends with.
fn counts(printed: &str) -> String {
    let (mut passed, mut ignored) = (0, 0);
    for line in printed.lines().filter(|line| line.starts_with("test result: ")) {
        let count = |what: &str| {
            let mut words = line.split(['.', ';', ' ']).filter(|word| !word.is_empty()).rev();
            words.find(|word| *word == what)?;
            words.next()?.parse::<u32>().ok()
        };
        passed += count("passed").unwrap_or(0);
        ignored += count("ignored").unwrap_or(0);
    }
    let ignored = if ignored > 0 { format!(", {ignored} ignored") } else { String::new() };
    format!("{passed} passed{ignored}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_fails_lets_the_others_end_and_is_named() {
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let touch = || sh(&format!("touch {}", file.display()));
        let failed = run(vec![Job::new("bad", vec![sh("exit 3"), touch()])]).unwrap_err().to_string();
        assert!(failed.contains("bad") && !file.exists(), "{failed}");
        let failed =
            run(vec![Job::new("bad", vec![sh("exit 3")]), Job::new("good", vec![touch()])]).unwrap_err();
        assert!(file.exists() && !failed.to_string().contains("good"), "{failed}");
        run(vec![]).unwrap();
    }

    #[test]
    fn tests_are_counted_over_all_programs_of_a_job() {
        let line =
            "test result: ok. 12 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(counts(&format!("x\n{line}\ny\n{line}\n")), "24 passed, 4 ignored");
        assert_eq!(counts("nothing"), "0 passed");
    }
}
