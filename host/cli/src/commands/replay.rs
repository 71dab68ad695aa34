//! `remit replay`.

use clap::Args;
use remit_lifecycle::Home;

use super::common::Done;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit replay 01jd2m\n\nRuns the recorded component against the recorded answers. No system is contacted, nothing is written."
)]
pub(crate) struct Replay {
    /// The run, or the beginning of its name.
    run: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let run = home.reader()?.find(&self.run)?;
        let replayed = remit_lifecycle::replay(home, run).await?;
        if self.json {
            print::json(&replayed)?;
        } else if replayed.divergence.is_none() {
            say!("{run}  identical");
            say!("calls     {}, each made again and answered from the records", replayed.calls);
            if !replayed.complete {
                say!("up to      where the record was cut: its host was stopped, or its time was up");
            }
            match replayed.fuel {
                (Some(then), now) if then == now => say!("fuel      {now}, as recorded"),
                (Some(then), now) => say!("fuel      {now}, recorded {then}"),
                (None, now) => say!("fuel      {now}"),
            }
        }
        match &replayed.divergence {
            None => Ok(0),
            Some(divergence) => Ok(print::error(divergence)),
        }
    }
}
