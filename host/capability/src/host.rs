//! `remit:host`: the run's log and its facts. Ambient: no grant names them.

use std::borrow::Cow;
use std::sync::LazyLock;

use remit_gate::{Facts, Fault, Gate, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Serialize};

use crate::Ctx;
use crate::bindings::remit::host::{log, run};
use crate::domain::{Domain, interfaces};

/// The `remit:host` domain. No system is behind it: all its interfaces are ambient.
pub(crate) static DOMAIN: Domain = Domain { name: "host", interfaces: INTERFACES, systems: None };

interfaces! {
    "remit:host/log" "0.1.0" [observe Write] by log:
        "writes lines into the run's own journal";
    "remit:host/run" "0.1.0" [observe ReadFacts] by run:
        "knows its run's identifier, start and reason";
}

/// The resource of every operation that reaches nothing but its own run.
#[must_use]
pub fn this_run() -> &'static Resource {
    #[expect(clippy::expect_used, reason = "a constant in canonical form")]
    static THIS: LazyLock<Resource> = LazyLock::new(|| Resource::new("run", "this").expect("canonical"));
    &THIS
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For the action's author.
    Debug,
    /// Normal progress.
    Info,
    /// Something that a person should look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// `remit:host/log.write`: the journal's record of it *is* the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// How important the line is.
    pub level: Level,
    /// The line, safe to print: see [`remit_text::lines`].
    pub message: String,
    /// Whether it goes into the journal only, and not into the host's own log: the action had been told a secret or
    /// content, which the line may hold.
    #[serde(skip)]
    pub journal_only: bool,
}

impl Operation for Write {
    const NAME: &'static str = "remit:host/log.write";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Facts;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for Write {
    async fn observe(&self, on: &Facts) -> Result<(), remit_gate::Failure> {
        if self.journal_only {
            return Ok(());
        }
        let (run, message) = (&on.run, &self.message);
        match self.level {
            Level::Debug => tracing::debug!(target: "remit::action", %run, "{message}"),
            Level::Info => tracing::info!(target: "remit::action", %run, "{message}"),
            Level::Warn => tracing::warn!(target: "remit::action", %run, "{message}"),
            Level::Error => tracing::error!(target: "remit::action", %run, "{message}"),
        }
        Ok(())
    }
}

/// `remit:host/run.facts`: tells the action about its own run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReadFacts {}

/// What an action can know about its own run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The run's identifier.
    pub id: String,
    /// When it started, in milliseconds since the Unix epoch.
    pub started: u64,
    /// The reason given for it.
    pub reason: String,
}

impl Operation for ReadFacts {
    const NAME: &'static str = "remit:host/run.facts";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Facts;
    type Outcome = RunFacts;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for ReadFacts {
    async fn observe(&self, on: &Facts) -> Result<RunFacts, remit_gate::Failure> {
        Ok(RunFacts {
            id: on.run.to_string(),
            // A host whose clock stands before 1970 reports 1970.
            started: u64::try_from(on.started.as_millisecond()).unwrap_or(0),
            reason: on.reason.clone(),
        })
    }
}

/// Writes one line into the run's journal, if its log has room for it.
pub(crate) async fn write(gate: &Gate, level: Level, message: &str) -> Result<(), Fault> {
    gate.charge_log(message.len() as u64)?;
    // Writing to the run's own log has no failure of its own.
    let line =
        Write { level, message: remit_text::lines(message).into_owned(), journal_only: gate.was_told() };
    let _ = gate.observe(line).await?;
    Ok(())
}

impl log::Host for Ctx {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        write(self.gate(), level, &message).await.map_err(wasmtime::Error::new)?;
        self.last_words = (level == Level::Error).then(|| remit_text::lines(&message).into_owned());
        Ok(())
    }
}

impl run::Host for Ctx {
    async fn facts(&mut self) -> wasmtime::Result<run::RunFacts> {
        let RunFacts { id, started, reason } = self.observe(ReadFacts {}).await?;
        Ok(run::RunFacts { id, started, reason })
    }
}
