//! `remit runs`.

use clap::Args;
use remit_journal::{Mode, RunState, RunSummary};
use remit_lifecycle::{Home, frozen};

use super::common::Done;
use super::listing::{Cut, Times, Watch, age, left, letters, short, since, table, warn_if_frozen};
use crate::print;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit runs --live --since 24h\n  remit runs --state held --state in-doubt\n  remit runs --principal bot --watch\n  remit runs --json | jq '.[] | select(.state == \"held\")'\n\nThe beginning of a name is enough, wherever a run is named."
)]
pub(crate) struct Runs {
    /// Only runs in this state. May be repeated.
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Vec<String>,
    /// Only runs that started since then: a time, or an age such as 2h or 7d.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only runs of actions of this name.
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// Only runs that this principal requested or started.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only live runs, no rehearsals.
    #[arg(long)]
    live: bool,
    /// Cut texts only at 600 columns, not at the width of the terminal.
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    times: Times,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const UNFINISHED: &str = "unfinished";
const STATES: [&str; 8] =
    ["succeeded", "failed", "refused", "reverted", "held", "in-doubt", "rehearsed", UNFINISHED];

impl Runs {
    pub(crate) async fn run(self, home: &Home) -> Done {
        self.watch.run(home, || self.print(home)).await
    }

    fn print(&self, home: &Home) -> Done {
        let reader = home.reader()?;
        let since = self.since.as_deref().map(since).transpose()?;
        let mut runs = reader.runs()?;
        let letters = letters(runs.iter().map(|run| run.run));
        runs.retain(|run| {
            (self.state.is_empty() || self.state.iter().any(|wanted| wanted == state(run)))
                && since.is_none_or(|since| run.at >= since)
                && self.action.as_ref().is_none_or(|name| run.action.name == *name)
                && self.principal.as_ref().is_none_or(|name| {
                    run.principal == *name || run.started_by.as_ref().is_some_and(|by| by == name)
                })
                && (!self.live || run.mode == Mode::Live)
        });
        if self.json {
            print::json(&runs)?;
            return Ok(0);
        }
        warn_if_frozen(frozen(&reader)?.as_ref(), self.times);
        let head = [
            ("run", Cut::Not),
            ("started", Cut::Not),
            ("age", Cut::Not),
            ("mode", Cut::Not),
            ("action", Cut::May),
            ("state", Cut::Not),
            ("by", Cut::May),
            ("target", Cut::May),
            ("why", Cut::May),
        ];
        let rows = runs.iter().map(|run| self.row(run, letters));
        table(&head, rows.collect(), self.wide);
        Ok(0)
    }

    fn row(&self, run: &RunSummary, letters: usize) -> Vec<String> {
        vec![
            short(run.run, letters),
            self.times.second(run.at),
            age(run.at),
            run.mode.to_string(),
            format!("{} {}", run.action.name, run.action.version),
            standing(run),
            who(run),
            target(run),
            run.reason.clone(),
        ]
    }
}

/// The run's state, or `unfinished`.
pub(super) fn state(run: &RunSummary) -> &'static str {
    run.state.map_or(UNFINISHED, RunState::name)
}

/// The run's state, and how long its changes may still stand.
fn standing(run: &RunSummary) -> String {
    match run.restore_at {
        Some(at) => format!("{}, undone in {}", state(run), left(at)),
        None => state(run).to_owned(),
    }
}

/// The requester, and who started the run, if that was somebody else.
pub(super) fn who(run: &RunSummary) -> String {
    match &run.started_by {
        Some(by) if *by != run.principal => format!("{}, started by {by}", run.principal),
        _ => run.principal.clone(),
    }
}

/// The resources of the run's scope. A rehearsal may read all: for it, the input.
pub(super) fn target(run: &RunSummary) -> String {
    match run.mode {
        Mode::Live => run.target.join(", "),
        Mode::Rehearse => run.input.to_string(),
    }
}
