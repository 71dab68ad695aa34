//! `cargo xtask demo`: one repair from keys to revert, as a terminal session.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{plugins, shell};

/// A command line of the demo.
struct Line {
    /// What it shows.
    about: &'static str,
    /// What follows `$ remit`; words are split at spaces, except within single quotes.
    args: &'static str,
    /// The exit code it must end with.
    exit: i32,
}

const fn line(about: &'static str, args: &'static str) -> Line {
    Line { about, args, exit: 0 }
}

/// The story. `RUN` stands for the run that rotated the secret.
const STORY: [Line; 16] = [
    line("A publisher signs actions, an operator grants them.", "keys new --out publisher"),
    line("", "keys new --out operator"),
    line(
        "A home trusts both.",
        "init --log demo.example/journal --publisher publisher.pub --operator operator.pub",
    ),
    line("", "sign rotate-secret.wasm --key publisher.key"),
    line("A secret to repair; nobody sees its value.", "secret put prod/payments/stripe api_key --generate"),
    line("What can the action do? Nothing of it runs.", "inspect rotate-secret.wasm"),
    line(
        "What would it do? A rehearsal: reads are real, changes are not.",
        "plan rotate-secret.wasm --input '{\"path\":\"prod/payments/stripe\"}' --out plan.json --emit-scope scope.toml",
    ),
    line(
        "Grant exactly that.",
        "grant --plan plan.json --key operator.key --reason 'INC-7: key leaked' --out stripe.grant",
    ),
    line("", "run rotate-secret.wasm --input '{\"path\":\"prod/payments/stripe\"}' --grant stripe.grant"),
    line("What happened?", "show RUN"),
    line(
        "The same scope, another secret: the host refuses the call.",
        "grant --scope scope.toml --action rotate-secret.wasm --input '{\"path\":\"prod/payments/other\"}' --key operator.key --reason 'outside the scope' --out other.grant",
    ),
    Line {
        exit: 3,
        ..line("", "run rotate-secret.wasm --input '{\"path\":\"prod/payments/other\"}' --grant other.grant")
    },
    line("Is the record whole?", "audit verify"),
    line("Take the rotation back.", "revert RUN"),
    line("", "secret show prod/payments/stripe"),
    line("The taking back is on the record too.", "audit verify"),
];

/// Builds Remit and the guests, then plays the story in an empty directory.
pub(crate) fn run() -> Result<()> {
    let target = shell::target()?;
    shell::say("building remit: a few minutes the first time");
    shell::run(&mut shell::cargo(["build", "--quiet", "-p", "remit"])?)?;
    plugins::run()?;
    let dir = tempfile::tempdir()?;
    std::fs::copy(target.join("plugins/rotate-secret.wasm"), dir.path().join("rotate-secret.wasm"))?;

    let stage = Stage { remit: target.join("debug/remit"), dir: dir.path(), run: OnceCell::new() };
    for line in &STORY {
        stage.play(line)?;
    }
    Ok(())
}

struct Stage<'a> {
    remit: PathBuf,
    dir: &'a Path,
    run: OnceCell<String>,
}

impl Stage<'_> {
    fn play(&self, line: &Line) -> Result<()> {
        let typed = if words(line.args).iter().any(|word| word == "RUN") {
            line.args.replace("RUN", self.run()?)
        } else {
            line.args.to_owned()
        };
        if line.about.is_empty() {
            println!();
        } else {
            println!("\n# {}", line.about);
        }
        println!("$ remit {typed}");
        let status = self
            .command(&words(&typed))
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("starting {}", self.remit.display()))?;
        ensure!(
            status.code() == Some(line.exit),
            "`remit {typed}`: expected exit code {}, got {status}",
            line.exit
        );
        if line.exit != 0 {
            println!("(exit code {})", line.exit);
        }
        Ok(())
    }

    /// The run that was the newest when it was first asked for.
    fn run(&self) -> Result<&str> {
        if self.run.get().is_none() {
            let runs = shell::output(&mut self.command(&["runs".to_owned(), "--json".to_owned()]))?;
            let runs: serde_json::Value = serde_json::from_str(&runs).context("reading `remit runs`")?;
            let newest = runs.as_array().and_then(|runs| runs.last()?["run"].as_str());
            let newest = newest.context("`remit runs` names no run")?;
            let _ = self.run.set(newest.to_owned());
        }
        self.run.get().map(String::as_str).context("no run yet")
    }

    /// `remit` in the demo's directory, with its home there too and nothing of the caller's setup.
    fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(&self.remit);
        command
            .args(args)
            .current_dir(self.dir)
            .env("REMIT_HOME", self.dir.join("home"))
            .env("NO_COLOR", "1");
        command
    }
}

/// Splits at spaces, except within single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_keep_spaces() {
        assert_eq!(super::words("run '{\"a\": 1}' b"), ["run", "{\"a\": 1}", "b"]);
    }
}
