//! `remit init`.

use std::path::PathBuf;

use clap::Args;
use remit_lifecycle::Home;

use super::Done;
use crate::print::say;

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit init --log me.example/journal --publisher publisher.pub --operator operator.pub"
)]
pub(crate) struct Init {
    /// The journal's name in its signed checkpoints: one no other log has.
    #[arg(long, value_name = "NAME")]
    log: String,
    /// A public key whose actions may run here. May be repeated.
    #[arg(long, value_name = "FILE.pub")]
    publisher: Vec<PathBuf>,
    /// A public key that may grant. May be repeated.
    #[arg(long, value_name = "FILE.pub")]
    operator: Vec<PathBuf>,
}

impl Init {
    pub(crate) fn run(self, home: &Home) -> Done {
        let made = home.init(&self.log, &self.publisher, &self.operator)?;
        say!("made      {}", home.path().display());
        say!("edit      {}", made.config.display());
        say!("log key   {}", made.log_key);
        say!("\nKeep the log key elsewhere: with it, anyone can prove what this journal says.");
        Ok(0)
    }
}
