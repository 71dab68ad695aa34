//! `remit status`.

use clap::Args;
use remit_journal::RunSummary;
use remit_lifecycle::{HostStatus, Open};

use super::common::Done;
use super::listing::{Times, Watch, age, left, warn_if_frozen};
use super::runs::{state, target, who};
use crate::place::Place;
use crate::print::{self, say, word};

#[derive(Args)]
#[command(
    after_help = "Exits 5 if runs are in doubt or held, 3 if the host is frozen or its rules are not in force.\n\nExamples:\n  remit status\n  remit status --watch --local"
)]
pub(crate) struct Status {
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    times: Times,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self, place: &Place) -> Done {
        if let Some(server) = place.server()? {
            let look = || self.print(&server.get("/api/v1/status")?);
            return self.watch.run_at(&server, look).await;
        }
        let home = place.home()?;
        self.watch.run(home, || self.print(&remit_lifecycle::status(home, &home.reader()?)?)).await
    }

    fn print(&self, status: &HostStatus) -> Done {
        if self.json {
            print::json(status)?;
        } else {
            self.text(status);
        }
        Ok(code(status))
    }

    fn text(&self, status: &HostStatus) {
        warn_if_frozen(status.frozen.as_ref(), self.times);
        if status.frozen.is_none() {
            say!("not frozen");
        }
        if let Some(why) = &status.rules {
            say!("NOBODY CAN ASK OR START ANYTHING: {}", word(why));
        }
        self.runs(
            "in doubt",
            &status.in_doubt,
            "look at the live system, then `remit resolve RUN` or `remit revert RUN`",
        );
        self.runs(
            "held",
            &status.held,
            "its changes stand: `remit show RUN`; keep them, or `remit revert RUN`",
        );
        self.runs(
            "stand for a while only",
            &status.contained,
            "`remit extend RUN --until 2h --reason …`, or `remit revert RUN`",
        );
        self.runs("left by a host that stopped", &status.left_behind, "`remit recover`");
        self.runs("going on", &status.going_on, "");
        for run in &status.to_review {
            say!("\n{run} is a break-glass run that nobody has reviewed: `remit review {run} --reason …`");
        }
        self.open("waits for approval", &status.waiting);
        self.open("may be started", &status.approved);
        self.open("standing scopes", &status.standing);
        if !status.ends_soon.is_empty() {
            say!("\nends soon");
            for ends in &status.ends_soon {
                let (name, at) = (word(&ends.name), self.times.second(ends.at));
                say!("  {} {name}: in {}, at {at}", ends.what, left(ends.at));
            }
        }
    }

    fn runs(&self, title: &str, runs: &[RunSummary], next: &str) {
        if runs.is_empty() {
            return;
        }
        say!("\n{title}");
        for run in runs {
            let action = format!("{} {}", run.action.name, run.action.version);
            say!("  {}  {}  {}", run.run, word(&action), word(&target(run)));
            let began = format!("since {}, by {}", self.times.second(run.at), who(run));
            say!("    {}: {}", word(&began), word(&brief(&run.reason)));
            if let Some(detail) = &run.detail {
                say!("    {}: {}", state(run), word(&brief(detail)));
            }
            for (does, at) in [("undoes its changes", run.restore_at), ("calls people", run.page_at)] {
                if let Some(at) = at {
                    say!("    the host {does} in {}, at {}", left(at), self.times.second(at));
                }
            }
        }
        if !next.is_empty() {
            say!("    → {next}");
        }
    }

    fn open(&self, title: &str, all: &[Open]) {
        if all.is_empty() {
            return;
        }
        say!("\n{title}");
        for open in all {
            say!("  {}  {}  {}", open.request, word(&open.action), word(&brief(&open.target.join(", "))));
            let (by, why) = (word(&open.by), word(&brief(&open.reason)));
            let until = self.times.second(open.until);
            say!("    asked {} ago by {by}: {why}", age(open.since));
            say!("    ends in {}, at {until}", left(open.until));
            for need in &open.needs {
                let names = open.may_approve.join(", ");
                let who = match (open.may_approve.is_empty(), open.out_of_reach) {
                    (true, _) => "nobody may approve it".to_owned(),
                    (false, true) => format!("only {names} may approve, which is not enough"),
                    (false, false) => format!("{names} may approve"),
                };
                say!("    lacks {}: {}", word(need), word(&who));
            }
            if open.needs.is_empty() {
                say!("    {} may start it", word(&open.may_start.join(", ")));
            }
            for why in &open.waits_for_room {
                say!("    not now: {}", word(why));
            }
            if let Some(budgets) = &open.budgets {
                say!("    runs within the hour: {}", budgets.runs);
                say!("    changes within the hour: {}", budgets.changes);
            }
        }
    }
}

/// The exit code of the most serious finding.
fn code(status: &HostStatus) -> u8 {
    if !(status.in_doubt.is_empty() && status.held.is_empty()) {
        5
    } else if status.frozen.is_some() || status.rules.is_some() {
        3
    } else {
        0
    }
}

/// The beginning of a long text.
fn brief(text: &str) -> String {
    const LONGEST: usize = 120;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
