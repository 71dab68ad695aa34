//! `cargo xtask demo`: one repair from keys to revert, as a terminal session; then another through a server.

mod boundary;
pub(crate) mod jobs;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{plugins, shell, test};

/// A part of the story.
struct Scene {
    /// What happens, for the person who watches.
    title: &'static str,
    /// The command lines, each with the exit code it must end with.
    lines: &'static [(&'static str, i32)],
}

/// The story. In a line, words are split at spaces except within single quotes, and `RUN` stands for the
/// run that succeeded, `REQUEST` for the newest request.
const STORY: &[Scene] = &[
    Scene {
        title: "Keys: for who publishes actions, who administers, a person, and a bot",
        lines: &[
            ("keys new --out publisher", 0),
            ("keys new --out admin", 0),
            ("keys new --out alice", 0),
            ("keys new --out bot", 0),
        ],
    },
    Scene {
        title: "A home that trusts them, and a secret in its embedded store",
        lines: &[
            (
                "init --log demo.example/journal --publisher publisher.pub --admin admin.key --human alice.pub --agent bot.pub",
                0,
            ),
            ("secret put prod/payments/stripe api_key --generate", 0),
        ],
    },
    Scene {
        title: "The publisher signs the action",
        lines: &[("sign rotate-secret.wasm --key publisher.key", 0)],
    },
    Scene { title: "What could it do?", lines: &[("inspect rotate-secret.wasm", 0)] },
    Scene {
        title: "What would it do? A rehearsal: reads are real, changes are simulated",
        lines: &[
            ("plan rotate-secret.wasm --input path=prod/payments/stripe --key bot.key", 0),
            ("secret show prod/payments/stripe", 0),
        ],
    },
    Scene {
        title: "The bot asks for exactly that. It cannot approve it, and without an approval nothing runs",
        lines: &[
            (
                "request rotate-secret.wasm --input path=prod/payments/stripe --reason 'INC-7: key leaked' --key bot.key",
                0,
            ),
            ("approve REQUEST --key bot.key", 3),
            ("run REQUEST --key bot.key", 3),
        ],
    },
    Scene { title: "Alice approves", lines: &[("approve REQUEST --key alice.key", 0)] },
    Scene {
        title: "It runs, verifies itself, and is checked by the host",
        lines: &[("run REQUEST --key bot.key", 0), ("show RUN", 0)],
    },
    Scene {
        title: "The same again: refused. And what changes after the approval voids it",
        lines: &[
            ("run REQUEST --key bot.key", 3),
            ("request rotate-secret.wasm --input path=prod/payments/stripe --reason again --key bot.key", 0),
            ("approve REQUEST --key alice.key", 0),
            ("secret put prod/payments/stripe api_key --generate", 0),
            ("run REQUEST --key bot.key", 3),
        ],
    },
    Scene { title: "What happened can be proven", lines: &[("runs", 0), ("audit verify", 0)] },
    Scene {
        title: "To revert it now would overwrite what someone else put there since: Remit will not",
        lines: &[("revert RUN --dry-run", 5), ("requests --all", 0), ("audit verify", 0)],
    },
];

/// Builds Remit and the action, then plays the story in an empty directory.
pub(crate) fn run() -> Result<()> {
    let target = shell::target()?;
    shell::say("building remit: a few minutes the first time");
    // With a test among what is built, the dependencies have the same features as for the tests: they are built once.
    let build = ["build", "--quiet", "--workspace", "--bin", "remit", "--test", "sinks"];
    let mut cargo = shell::cargo(build)?;
    if std::env::var_os("CI").is_some() {
        // `cargo xtask test` comes next, and compiles so.
        cargo = test::with_lints(cargo)?;
    }
    shell::run(&mut cargo)?;
    plugins::run(&["rotate-secret".to_owned()])?;
    let dir = tempfile::tempdir()?;
    std::fs::copy(target.join("plugins/rotate-secret.wasm"), dir.path().join("rotate-secret.wasm"))?;

    let stage = Stage { remit: target.join("debug/remit"), dir: dir.path() };
    for scene in STORY {
        println!("\n── {} ──", scene.title);
        for (line, exit) in scene.lines {
            stage.play(line, *exit)?;
        }
    }
    boundary::play(&stage)?;
    println!("\nThat was all of it. To try by hand: cargo install --path host/cli, then the same commands.");
    Ok(())
}

struct Stage<'a> {
    remit: PathBuf,
    dir: &'a Path,
}

impl Stage<'_> {
    fn play(&self, line: &str, exit: i32) -> Result<()> {
        let mut typed = line.to_owned();
        if line.contains("REQUEST") {
            typed = typed.replace("REQUEST", &self.newest_request()?);
        }
        if line.contains("RUN") {
            typed = typed.replace("RUN", &self.succeeded()?);
        }
        println!("\n$ remit {typed}");
        let status = self
            .command(&words(&typed))
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("starting {}", self.remit.display()))?;
        ensure!(status.code() == Some(exit), "`remit {typed}`: expected exit code {exit}, got {status}");
        Ok(())
    }

    /// What was asked for last.
    fn newest_request(&self) -> Result<String> {
        let all = shell::output(&mut self.command(&["requests".to_owned(), "--all".to_owned()]))?;
        let line = all.lines().rfind(|line| line.starts_with("req-")).context("nothing was asked for")?;
        line.split_whitespace().next().map(ToOwned::to_owned).context("`remit requests` names no request")
    }

    /// The run that rotated the secret.
    fn succeeded(&self) -> Result<String> {
        let runs = shell::output(&mut self.command(&["runs".to_owned()]))?;
        let line = runs.lines().find(|line| line.contains("succeeded")).context("no run succeeded")?;
        line.split_whitespace().next().map(ToOwned::to_owned).context("`remit runs` names no run")
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
