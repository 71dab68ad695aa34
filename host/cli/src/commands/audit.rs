//! `remit audit`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use remit_journal::Journal;
use remit_lifecycle::Home;

use super::{Done, read};
use crate::print::{self, say};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Check every record: sequence, chain, tree, signatures, grants.
    #[command(
        after_help = "Example:\n  remit audit verify\n\nWith the journal and the log key alone, on any machine:\n  remit audit verify --journal copy.db --key log.pub"
    )]
    Verify {
        /// The journal [default: the home's].
        #[arg(long, value_name = "FILE", requires = "key")]
        journal: Option<PathBuf>,
        /// The log's public key, or a file with it [default: the home's].
        #[arg(long, value_name = "FILE|KEY")]
        key: Option<String>,
        /// A file with an older checkpoint: finds a journal that was shortened since.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the newest signed checkpoint, to keep elsewhere.
    Checkpoint,
}

impl Audit {
    pub(crate) fn run(self, home: &Home) -> Done {
        match self {
            Self::Checkpoint => {
                print::raw(home.reader()?.checkpoint()?.as_bytes());
                Ok(0)
            }
            Self::Verify { journal, key, since, json } => {
                let reader = match &journal {
                    Some(file) => Journal::open_read_only(file)?,
                    None => home.reader()?,
                };
                let key = match &key {
                    // A public key is `NAME+ID+BASE64`; a file of that name would win.
                    Some(key) if key.matches('+').count() >= 2 && !Path::new(key).exists() => {
                        remit_lifecycle::log_key(key)?
                    }
                    Some(file) => remit_lifecycle::log_key(&read(Path::new(file))?)?,
                    None => home.verifier()?,
                };
                let since = since.as_deref().map(read).transpose()?;
                let audit = reader.verify(&key, since.as_deref())?;
                if json {
                    print::json(&audit)?;
                    return Ok(0);
                }
                say!("sound     {} records of {} runs, all as signed", audit.records, audit.runs);
                say!("root      {}", audit.root);
                if audit.open_calls > 0 {
                    say!(
                        "open      {} call(s) without an outcome: under way, or interrupted",
                        audit.open_calls
                    );
                }
                Ok(0)
            }
        }
    }
}
