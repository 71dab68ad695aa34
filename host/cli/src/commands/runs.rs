//! `remit runs`.

use clap::Args;
use remit_lifecycle::Home;

use super::Done;
use crate::print;

#[derive(Args)]
#[command(after_help = "Example:\n  remit runs --json | jq '.[] | select(.state == \"held\")'")]
pub(crate) struct Runs {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Runs {
    pub(crate) fn run(self, home: &Home) -> Done {
        let runs = home.reader()?.runs()?;
        if self.json {
            print::json(&runs)?;
            return Ok(0);
        }
        let mut rows = vec![["run", "started", "mode", "action", "state"].map(ToOwned::to_owned).to_vec()];
        for run in runs {
            rows.push(vec![
                run.run.to_string(),
                run.at.round(jiff::Unit::Second).unwrap_or(run.at).to_string(),
                run.mode.to_string(),
                format!("{} {}", run.action.name, run.action.version),
                run.state.map_or("unfinished", |state| state.name()).to_owned(),
            ]);
        }
        print::table(0, &rows);
        Ok(0)
    }
}
