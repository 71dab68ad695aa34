//! `remit journal`: the keys of sealed data.

use clap::Subcommand;
use jiff::SignedDuration;
use remit_lifecycle::{Home, OrderKind, expire_undo, prepare_expire_undo};

use super::common::Done;
use super::signing::{Signing, SigningResult};
use crate::print::{self, say};

#[derive(Subcommand)]
pub(crate) enum Journal {
    /// Replace the home's seal key, with which the key of each run is sealed.
    #[command(
        after_help = "Example:\n  remit journal rekey\n\nNo record changes. Keep a backup of the new seal.key, apart from the journal. The old one no longer opens anything of this journal."
    )]
    Rekey,
    /// Delete the undo data of old runs, and every secret in it. They can no longer be reverted.
    #[command(
        after_help = "Example:\n  remit journal expire-undo --older-than 30d --key alice.key\n\nRecords and proofs stay. Runs that wait for a person keep their undo data. Copies and backups of the journal are not changed."
    )]
    ExpireUndo {
        /// Only runs that ended at least this long ago: 30d, 12h. With --signed, the document names the time.
        #[arg(
            long,
            value_name = "AGE",
            value_parser = remit_text::duration::parse,
            required_unless_present = "signed",
            conflicts_with = "signed"
        )]
        older_than: Option<SignedDuration>,
        /// The reason, for the record [default: `older than AGE`].
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        signing: Signing,
        /// Print JSON.
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
                let is_it = |what: &_| matches!(what, OrderKind::ExpireUndo { .. });
                let again = "remit journal expire-undo";
                let expired = match signing.actor(&host, again, prepare, is_it).await? {
                    SigningResult::Signed(by) => expire_undo(&host, &by, older_than).await?,
                    SigningResult::Nothing => Vec::new(),
                    SigningResult::Written => return Ok(0),
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
