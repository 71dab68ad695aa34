//! `cargo xtask demo`: one repair from keys to revert, as a terminal session.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{plugins, shell};

/// A command line of the demo.
struct Line {
    /// What follows `$ remit`; words are split at spaces, except within single quotes.
    args: &'static str,
    /// What is typed into it.
    stdin: &'static str,
    /// The exit code it must end with.
    exit: i32,
}

const fn line(args: &'static str) -> Line {
    Line { args, stdin: "", exit: 0 }
}

/// The story. `RUN` stands for the newest run.
const STORY: [Line; 12] = [
    line("keys new publisher"),
    line("keys new operator"),
    line("init --trust publisher.pub --approver operator.pub"),
    line("sign rotate-secret.wasm --key publisher.key"),
    Line { stdin: "hunter2", ..line("secret put app/db password") },
    line("inspect rotate-secret.wasm"),
    line("plan rotate-secret.wasm --input '{\"path\":\"app/db\"}' --reason leaked --out plan.json"),
    line("grant plan.json --key operator.key --out grant.json"),
    line("run rotate-secret.wasm --input '{\"path\":\"app/db\"}' --grant grant.json"),
    Line { exit: 3, ..line("run rotate-secret.wasm --input '{\"path\":\"app/other\"}' --grant grant.json") },
    line("audit verify"),
    line("revert RUN --yes"),
];

/// Builds Remit and the guests, then plays the story in an empty directory.
pub(crate) fn run() -> Result<()> {
    let target = shell::target()?;
    shell::run(&mut shell::cargo(["build", "--quiet", "-p", "remit"]))?;
    plugins::run()?;
    let dir = tempfile::tempdir()?;
    std::fs::copy(target.join("plugins/rotate-secret.wasm"), dir.path().join("rotate-secret.wasm"))?;

    let stage = Stage { remit: target.join("debug/remit"), dir: dir.path() };
    for line in &STORY {
        stage.play(line)?;
    }
    Ok(())
}

struct Stage<'a> {
    remit: PathBuf,
    dir: &'a Path,
}

impl Stage<'_> {
    fn play(&self, line: &Line) -> Result<()> {
        let typed = if line.args.contains("RUN") {
            line.args.replace("RUN", &self.newest_run()?)
        } else {
            line.args.to_owned()
        };
        println!("\n$ remit {typed}");
        let mut child = self
            .command(&words(&typed))
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.remit.display()))?;
        // A command that reads nothing may be gone already.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = std::io::Write::write_all(&mut stdin, line.stdin.as_bytes());
        }
        let status = child.wait()?;
        ensure!(
            status.code() == Some(line.exit),
            "`remit {typed}`: expected exit code {}, got {status}",
            line.exit
        );
        Ok(())
    }

    /// The identifier of the newest run: the first such word of `remit show`.
    fn newest_run(&self) -> Result<String> {
        let shown = shell::output(&mut self.command(&["show".to_owned()]))?;
        let run = shown.split_whitespace().find(|word| word.starts_with("run-"));
        run.map(ToOwned::to_owned).context("`remit show` names no run")
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
