//! `remit revert`.

use clap::Args;
use remit_journal::RunState;
use remit_lifecycle::{Home, Reverted};

use super::Done;
use super::show::undo_words;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit revert run-01jd2m4k9x8s7t6v5w4y3z2a1b\n\nA change is taken back only if the live state still is what the run left. Reverting twice is harmless."
)]
pub(crate) struct Revert {
    /// The run, or the beginning of its name.
    run: String,
    /// The run has no end because the host that ran it was killed: take back what it may have done.
    #[arg(long)]
    interrupted: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Revert {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let run = home.reader()?.find(&self.run)?;
        let host = home.open()?;
        let reverted = remit_lifecycle::revert(&host, run, self.interrupted).await?;
        if self.json {
            print::json(&reverted)?;
        } else {
            say!("{run}  {}", reverted.state());
            steps(&reverted);
        }
        if reverted.state() == RunState::Reverted {
            return Ok(0);
        }
        print::warn(&format!(
            "error: not everything could be taken back\n help: compare the live system with `remit show {run}`; what is left is for a person to decide"
        ));
        Ok(5)
    }
}

/// Prints what became of each change.
pub(crate) fn steps(reverted: &Reverted) {
    let rows: Vec<_> = reverted
        .steps
        .iter()
        .map(|step| {
            vec![
                format!("undo #{}", step.call),
                step.operation.clone(),
                step.resource.clone(),
                undo_words(&step.result),
            ]
        })
        .collect();
    print::table(2, &rows);
}
