//! `remit recover` and `remit resolve`.

use clap::{ArgGroup, Args};
use remit_journal::{RunId, RunState};
use remit_lifecycle::{Home, Recovered, Recovery, Verdict};

use super::revert::steps;
use super::{Done, Key};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit recover\n\nA run is taken back or held, as its scope says. The same happens by itself whenever a command opens the\nhome to run, plan or revert. Runs that go on in another process are left alone."
)]
pub(crate) struct Recover {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Recover {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let host = home.open()?;
        let recovery = remit_lifecycle::recover(&host).await?;
        if self.json {
            print::json(&recovery.recovered)?;
        } else if recovery.recovered.is_empty() && recovery.stuck.is_empty() {
            say!("nothing to recover");
        }
        let mut code = 0;
        for run in &recovery.recovered {
            if !self.json {
                tell(run);
            }
            code = code.max(warn(run));
        }
        Ok(code.max(stuck(&recovery)))
    }
}

#[derive(Args)]
#[command(
    group(ArgGroup::new("verdict").required(true)),
    after_help = "Example:\n  remit resolve 01jd2m --did-not-happen --reason 'version 3 is still there, says the audit log of the vault'\n\nThe run then goes to the state that follows: taken back, held, or failed."
)]
pub(crate) struct Resolve {
    /// The run, or the beginning of its name.
    run: String,
    /// The call took effect.
    #[arg(long, group = "verdict")]
    happened: bool,
    /// It did not.
    #[arg(long, group = "verdict")]
    did_not_happen: bool,
    /// How you know, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Which call, when several are in doubt.
    #[arg(long, value_name = "NUMBER")]
    call: Option<u64>,
    #[command(flatten)]
    key: Key,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Resolve {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let run = home.reader()?.find(&self.run)?;
        let by = self.key.actor(home)?;
        let host = super::open(home).await?;
        let verdict = Verdict { call: self.call, happened: self.happened, reason: self.reason };
        let resolved = remit_lifecycle::resolve(&host, &by, run, &verdict).await?;
        if self.json {
            print::json(&resolved)?;
        } else {
            tell(&resolved);
        }
        Ok(warn(&resolved))
    }
}

/// Tells of the runs that could not be recovered; the exit code of the gravest.
pub(crate) fn stuck(recovery: &Recovery) -> u8 {
    let codes = recovery.stuck.iter().map(|(run, error)| {
        print::warn(&format!("error: {run} could not be recovered"));
        print::error(error)
    });
    codes.max().unwrap_or(0)
}

fn tell(run: &Recovered) {
    say!("{}  {}", run.run, run.state);
    say!("because   {}", print::word(&run.detail));
    steps(&run.reverted);
}

/// Tells what a person must do, and the exit code that says so.
pub(crate) fn warn(run: &Recovered) -> u8 {
    if !run.state.needs_a_person() {
        return 0;
    }
    let next = next_step(run.run, run.state);
    print::warn(&format!("error: {} is {}: {}\n help: {next}", run.run, run.state, print::word(&run.detail)));
    5
}

/// What a person does about a run that is held or in doubt.
pub(crate) fn next_step(run: RunId, state: RunState) -> String {
    match state {
        RunState::InDoubt => {
            format!(
                "what there is now is not known: look at the live system; then `remit resolve {run}` or `remit revert {run}`"
            )
        }
        _ => format!("look at its changes (`remit show {run}`); then keep or `remit revert` them"),
    }
}
