//! `remit journal`: the keys to what is sealed in it.

use clap::Subcommand;
use jiff::SignedDuration;
use remit_lifecycle::{Home, What, expire_undo, prepare_expire_undo};

use super::common::Done;
use super::signing::{Signing, Step};
use crate::print::{self, say};

#[derive(Subcommand)]
pub(crate) enum Journal {
    /// Give the home a new seal key; every run's own key is sealed under it.
    #[command(
        after_help = "Example:\n  remit journal rekey\n\nNo record changes. Keep a backup of the new seal.key, apart from the journal; the old one opens nothing\nof this journal any more."
    )]
    Rekey,
    /// Delete what old runs could be reverted with, and every secret they sealed.
    #[command(
        after_help = "Example:\n  remit journal expire-undo --older-than 30d --key alice.key\n\nThe records stay, and their proofs. Runs that wait for a person are kept. Copies and backups of the\njournal keep what they had."
    )]
    ExpireUndo {
        /// How long ago they ended at least: 30d, 12h.
        #[arg(
            long,
            value_name = "AGE",
            value_parser = remit_text::duration::parse,
            required_unless_present = "signed",
            conflicts_with = "signed"
        )]
        older_than: Option<SignedDuration>,
        /// Why, for the record [default: that they are so old].
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        signing: Signing,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Journal {
    pub(crate) async fn run(self, home: &Home) -> Done {
        match self {
            Self::Rekey => {
                let count = remit_lifecycle::rekey(home)?;
                say!("rekeyed   {count} run(s); back up the new seal.key, apart from the journal");
            }
            Self::ExpireUndo { older_than, reason, signing, json } => {
                let host = home.alone()?;
                let prepare = async |by: &_| match older_than {
                    Some(age) => prepare_expire_undo(&host, by, age, reason.as_deref()),
                    None => Ok(None),
                };
                let is_it = |what: &_| matches!(what, What::ExpireUndo { .. });
                let again = "remit journal expire-undo";
                let expired = match signing.actor(&host, again, prepare, is_it).await? {
                    Step::Signed(by) => expire_undo(&host, &by, older_than).await?,
                    Step::Nothing => Vec::new(),
                    Step::Written => return Ok(0),
                };
                if json {
                    print::json(&expired)?;
                    return Ok(0);
                }
                for run in &expired {
                    say!("{run}  can no longer be reverted");
                }
                say!("expired   {} run(s)", expired.len());
            }
        }
        Ok(0)
    }
}
