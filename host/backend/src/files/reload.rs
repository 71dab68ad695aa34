//! `[[files.reload]]` of `remit.toml`: programs that have whoever reads a file read it again, after each change of it and after each undo.
//!
//! What such a program writes is thrown away: it reads the file, which may have secrets in it.

use std::path::Path;
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use jiff::SignedDuration;
use remit_gate::{Failure, Pattern, PatternSet, Resource};
use remit_program::{Broke, Program, cannot_run};
use serde::Deserialize;

use super::change::{Expected, replace_unasked};
use super::limits::KIND;
use super::node::Node;
use crate::error::BackendError;
use crate::systems::{Checked, Trouble};

/// The longest time limit that can be configured.
const MAX_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
/// The longest command in bytes, as it is shown: each plan and record of a change has it.
const MAX_COMMAND: usize = 500;

/// A program that is run after a change of a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadConfig {
    /// The file, as a path below the directory, or several as a pattern: `conf.d/*`.
    pub file: String,
    /// The absolute path of the program, and its arguments.
    pub command: Vec<String>,
    /// The maximum time of one run of it.
    #[serde(default = "default_timeout", deserialize_with = "remit_text::duration::deserialize")]
    pub timeout: SignedDuration,
}

fn default_timeout() -> SignedDuration {
    SignedDuration::from_secs(10)
}

/// The same, checked.
#[derive(Debug)]
pub(super) struct Reload {
    /// The entry, for a person: the directory and the file.
    entry: String,
    files: PatternSet,
    command: Vec<String>,
    time_limit: Duration,
}

impl Reload {
    /// Checks what can be checked without the system. `directory` is the name that the entry has.
    pub(super) fn new(directory: &str, config: &ReloadConfig) -> Result<Self, BackendError> {
        let wrong = |setting, why: String| Err(BackendError::setting(setting, why));
        let ReloadConfig { file, command, timeout } = config;
        let pattern = match Pattern::new(&format!("{KIND}:{directory}/{file}")) {
            Ok(pattern) => pattern,
            Err(error) => {
                let file = file.escape_debug();
                let why = format!(
                    "`{file}` is no path below the directory, nor a pattern of them: {}",
                    error.why()
                );
                return wrong("reload.file", why);
            }
        };
        let Some(program) = command.first() else {
            return wrong(
                "reload.command",
                "it is empty: write the absolute path of a program, and its arguments".to_owned(),
            );
        };
        if !Path::new(program).is_absolute() {
            let why = format!(
                "`{}` is not the absolute path of a program; there is no shell",
                program.escape_debug()
            );
            return wrong("reload.command", why);
        }
        if command.iter().any(|word| word.chars().any(char::is_control)) || shown(command).len() > MAX_COMMAND
        {
            let why =
                format!("it has a control character, or over {MAX_COMMAND} bytes: put that into a script");
            return wrong("reload.command", why);
        }
        if *timeout <= SignedDuration::ZERO || *timeout > MAX_TIMEOUT {
            return wrong("reload.timeout", "it must be more than nothing and at most one minute".to_owned());
        }
        let mut files = PatternSet::default();
        files.insert(&pattern);
        let (entry, time_limit) = (format!("{directory}/{file}"), timeout.unsigned_abs());
        Ok(Self { entry, files, command: command.clone(), time_limit })
    }

    /// Whether its program is below this folder, by its own path or by that of what a link leads to.
    pub(super) fn lies_in(&self, folder: &Path) -> bool {
        let program = Path::new(self.program());
        let real = std::fs::canonicalize(program);
        program.starts_with(folder) || real.is_ok_and(|real| real.starts_with(folder))
    }

    pub(super) fn is_for(&self, file: &Resource) -> bool {
        self.files.matches(file)
    }

    /// Runs it. The error has nothing of what it wrote.
    async fn run(&self, until: Option<Instant>) -> Result<(), String> {
        let program = self.program();
        let left = until.map(|end| end.saturating_duration_since(Instant::now()));
        let time_limit = left.map_or(self.time_limit, |left| left.min(self.time_limit));
        if time_limit.is_zero() {
            return Err(format!("its reload {program} was not run: the run has no time left"));
        }
        if let Some(why) = self.cannot_run() {
            return Err(why);
        }
        match Program::tethered(&self.command).run(time_limit).await {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("its reload {program} ended with {}", output.status)),
            Err(Broke::Late(limit)) if limit < self.time_limit => {
                Err(format!("its reload {program} was ended with the run, which has no time left"))
            }
            Err(broke) => Err(format!("its reload {program} failed: {broke}")),
        }
    }

    /// Why it cannot be run, in words; none if it can, as far as that can be seen.
    pub(super) fn cannot_run(&self) -> Option<String> {
        let program = self.program();
        Some(format!("its reload {program} cannot be run: {}", cannot_run(Path::new(program))?))
    }

    fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Whether it can be run right now, as far as that can be seen.
    pub(super) fn check(&self) -> Checked {
        let program = Path::new(self.program());
        let trouble = |why: String, fix| Err(Trouble { why: format!("{}: {why}", program.display()), fix });
        let found = if let Some(why) = cannot_run(program) {
            trouble(why, "install the program, or correct [[files.reload]] in remit.toml")
        } else if let Some(mode) = remit_file::others_can_write(program) {
            let why =
                format!("others can write it (mode {mode:04o}), and so act as the user that Remit runs as");
            trouble(why, "chmod go-w it")
        } else {
            Ok(format!("a change runs {}", shown(&self.command)))
        };
        Checked { what: format!("files.reload {}", self.entry), found }
    }
}

/// Commands in words: with quotes around what is not plain, so that no two are shown alike.
pub(super) fn words<'a>(reloads: impl Iterator<Item = &'a Reload>) -> Option<String> {
    let all: Vec<String> = reloads.map(|reload| shown(&reload.command)).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn shown(command: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@%+=:,".contains(c))
    };
    let word = |word: &String| {
        if plain(word) { word.clone() } else { serde_json::Value::from(word.as_str()).to_string() }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A file whose readers are told of each change.
pub(super) struct Followed<'a> {
    pub(super) root: &'a Dir,
    /// Below the root.
    pub(super) path: &'a str,
    pub(super) file: &'a Resource,
    pub(super) reloads: Vec<&'a Reload>,
}

impl Followed<'_> {
    /// Puts `new` where `expected` is, or touches nothing. If not all who follow can be told, what was there comes back, and they are told
    /// that: then it is as if nothing had happened. `until` is when the run has no time left.
    pub(super) async fn change(
        &self,
        expected: Expected<'_>,
        new: &Node,
        until: Option<Instant>,
    ) -> Result<(), Failure> {
        let was = replace_unasked(self.root, self.path, expected, new)?;
        let Err(why) = self.tell(until).await else { return Ok(()) };
        let file = self.file;
        let like = new.likeness();
        let written = Expected { like: &like, thing: None, within: None };
        // What began in time is taken back whatever time it takes.
        let told = match replace_unasked(self.root, self.path, written, &was.node) {
            Ok(_) => self.tell(None).await,
            Err(left) => {
                return Err(Failure::Unavailable(format!(
                    "{file} was changed, and {why}; then it could not be put back: {left}"
                )));
            }
        };
        Err(match told {
            Ok(()) => Failure::Denied(format!(
                "{file} was changed, and {why}; it is back as it was, which was reloaded. What the program wrote is not kept: run its \
                 command by hand to see it"
            )),
            Err(again) => Failure::Unavailable(format!(
                "{file} was changed, and {why}; it is back as it was, but {again}: whoever reads it may still use the other content"
            )),
        })
    }

    /// Puts what was there before back where `expected` is, or touches nothing; then tells who follows.
    pub(super) async fn put_back(&self, expected: Expected<'_>, old: &Node) -> Result<(), Failure> {
        replace_unasked(self.root, self.path, expected, old)?;
        self.tell_again().await.map(drop)
    }

    /// Tells who follows that the file is as it was before. Whether there is anybody.
    pub(super) async fn tell_again(&self) -> Result<bool, Failure> {
        match self.tell(None).await {
            Ok(()) => Ok(!self.reloads.is_empty()),
            Err(why) => Err(Failure::Unavailable(format!(
                "{} is back as it was, but {why}: whoever reads it may still use the other content. Repair that program, then `remit revert`, \
                 which runs it once more",
                self.file
            ))),
        }
    }

    /// All of them, in the order of the configuration, up to the first that fails.
    async fn tell(&self, until: Option<Instant>) -> Result<(), String> {
        for reload in &self.reloads {
            reload.run(until).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
