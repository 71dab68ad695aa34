//! `remit runs`.

use clap::Args;
use remit_journal::{Mode, RunId, RunState, RunSummary};
use remit_lifecycle::{Frozen, Home, RunFilter, UNFINISHED, frozen};
use serde::Deserialize;

use super::common::Done;
use super::listing::{Cut, Times, Watch, age, left, letters, short, since, table, warn_if_frozen};
use crate::place::{Place, Query, Server};
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

const STATES: [&str; 8] =
    ["succeeded", "failed", "refused", "reverted", "held", "in-doubt", "rehearsed", UNFINISHED];

impl Runs {
    pub(crate) async fn run(self, place: &Place) -> Done {
        match place.server()? {
            Some(server) => {
                let look = || {
                    let runs = self.at(&server)?;
                    self.print(&runs, letters(runs.iter().map(|run| run.run)), None)
                };
                self.watch.run_at(&server, look).await
            }
            None => {
                let home = place.home()?;
                self.watch.run(home, || self.here(home)).await
            }
        }
    }

    /// The list of a home.
    fn here(&self, home: &Home) -> Done {
        let reader = home.reader()?;
        let mut runs = reader.runs()?;
        let letters = letters(runs.iter().map(|run| run.run));
        let filter = self.filter()?;
        runs.retain(|run| filter.selects(run));
        self.print(&runs, letters, frozen(&reader)?.as_ref())
    }

    /// The list of a server, page by page.
    fn at(&self, server: &Server) -> Done<Vec<RunSummary>> {
        #[derive(Deserialize)]
        struct Page {
            runs: Vec<RunSummary>,
            next: Option<RunId>,
        }
        let filter = self.filter()?;
        let (mut runs, mut before) = (Vec::new(), None::<String>);
        loop {
            let mut query = Query::default();
            query.flag("live", self.live).value("action", self.action.as_deref());
            query.value("principal", self.principal.as_deref()).value("limit", Some("200"));
            let page: Page =
                server.get(&format!("/api/v1/runs{}", query.value("before", before.as_deref())))?;
            runs.extend(page.runs.into_iter().filter(|run| filter.selects(run)));
            let oldest = filter.since.is_some_and(|since| page.next.is_some_and(|next| next.made() < since));
            match page.next {
                Some(next) if !oldest => before = Some(next.to_string()),
                _ => break,
            }
        }
        runs.sort_by_key(|run| run.run);
        Ok(runs)
    }

    fn filter(&self) -> Done<RunFilter> {
        Ok(RunFilter {
            states: self.state.clone(),
            since: self.since.as_deref().map(since).transpose()?,
            action: self.action.clone(),
            principal: self.principal.clone(),
            live: self.live,
        })
    }

    fn print(&self, runs: &[RunSummary], letters: usize, frozen: Option<&Frozen>) -> Done {
        if self.json {
            print::json(&runs)?;
            return Ok(0);
        }
        warn_if_frozen(frozen, self.times);
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
