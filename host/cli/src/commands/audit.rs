//! `remit audit`: checks and proofs of the journal.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use remit_file::{Kind, Wrote};
use remit_journal::{Event, Journal, Proof, Proven, Reader};
use remit_lifecycle::Home;
use remit_tlog::NoteVerifier;

use super::common::{Done, open, read, usage, write};
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
        /// A file with an older checkpoint. Detects that records were removed since then.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// Also check every file of this folder, which `remit audit publish` wrote.
        #[arg(long, value_name = "DIR")]
        published: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the newest signed checkpoint, to keep elsewhere.
    Checkpoint {
        /// Print the newest checkpoint that witnesses cosigned, with their signatures.
        #[arg(long)]
        cosigned: bool,
    },
    /// Write a proof of what a run did, for someone who has only the log's public key.
    #[command(
        after_help = "Example:\n  remit audit prove 01jd2m --out incident.proof.json\n\nThe proof contains every record of the run. `remit audit check-proof` checks it."
    )]
    Prove {
        /// The run, or the beginning of its name.
        run: String,
        /// Where to write it [default: standard output].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a proof with nothing but the log's public key.
    #[command(after_help = "Example:\n  remit audit check-proof incident.proof.json --key log.pub")]
    CheckProof {
        /// What `audit prove` or `audit consistency --out` wrote.
        file: PathBuf,
        /// The log's public key, or a file with it.
        #[arg(long, value_name = "FILE|KEY")]
        key: String,
        /// A principal's public key. Fails unless its holder approved the run.
        #[arg(long, value_name = "FILE")]
        approver: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prove that the journal continues an older checkpoint.
    #[command(
        after_help = "Example:\n  remit audit checkpoint > monday.checkpoint\n  remit audit consistency monday.checkpoint"
    )]
    Consistency {
        /// A file with the older checkpoint.
        old: PathBuf,
        /// Also write the proof, for someone else to check.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write the log's tiles to a folder. Any static file server can publish it.
    #[command(
        after_help = "Example:\n  remit audit publish --to /srv/www/log\n\nThe folder gets the digests of the records and the signed checkpoint, never a record's content (c2sp.org/tlog-tiles)."
    )]
    Publish {
        /// The folder.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Print the journal for another system, one JSON object a line.
    #[command(
        after_help = "Examples:\n  remit audit export --format jsonl --since 1200\n  remit audit export --format ocsf\n\njsonl prints every record as it was written. ocsf prints one Remediation Activity (OCSF 1.8, class 7001) for each state that a live run reached."
    )]
    Export {
        /// The format.
        #[arg(long, value_enum)]
        format: Format,
        /// Only records of this run: its name or the beginning of its name.
        #[arg(long)]
        run: Option<String>,
        /// Start at the record with this number (jsonl).
        #[arg(long, value_name = "SEQ", default_value_t = 1)]
        since: u64,
    },
    /// Have the newest checkpoint cosigned by the configured witnesses.
    #[command(
        after_help = "Example:\n  remit audit witness\n\nWitnesses are listed in remit.toml under [[witness]]. They get the checkpoint, never a record (c2sp.org/tlog-witness)."
    )]
    Witness {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Every record as it was written.
    Jsonl,
    /// OCSF events.
    Ocsf,
}

impl Audit {
    pub(crate) async fn run(self, home: &Home) -> Done {
        match self {
            Self::Verify { journal, key, since, published, json } => {
                let reader = match &journal {
                    Some(file) => Journal::open_copy(file)?,
                    None => home.reader()?,
                };
                let key = key.map_or_else(|| home.verifier(), |key| log_key(&key))?;
                let since = since.as_deref().map(|file| read(file, Kind::Checkpoint)).transpose()?;
                verify(&reader, &key, since.as_deref(), published.as_deref(), json)
            }
            Self::Checkpoint { cosigned: false } => {
                print::raw(home.reader()?.checkpoint()?.as_bytes());
                Ok(0)
            }
            Self::Checkpoint { cosigned: true } => match home.reader()?.cosigned()?.first() {
                Some(newest) => {
                    print::raw(newest.note.as_bytes());
                    Ok(0)
                }
                None => Err(usage(
                    "no witness has cosigned this journal yet".to_owned(),
                    "`remit audit witness` asks them",
                )),
            },
            Self::Prove { run, out } => {
                // The log's key signs that no later record of the run exists.
                let reader = home.reader()?;
                let proof = reader.prove(&reader.find(&run)?, &home.signer(&home.load()?)?)?;
                let text = serde_json::to_string_pretty(&proof).map_err(remit_lifecycle::Error::from)? + "\n";
                match out {
                    Some(file) => {
                        if write(&file, &text)? == Wrote::File {
                            say!("wrote proof  {}", file.display());
                        }
                    }
                    None => print::raw(text.as_bytes()),
                }
                Ok(0)
            }
            Self::CheckProof { file, key, approver, json } => {
                let proven = Proof::parse(&read(&file, Kind::Proof)?)?.check(&log_key(&key)?)?;
                if let Some(approver) = &approver {
                    remit_lifecycle::check_authority(&proven, approver)?;
                }
                if json {
                    print::json(&proven)?;
                    return Ok(0);
                }
                print_proven(&proven);
                if let Some(approver) = &approver {
                    say!("approved  by {}: its signature holds", approver.display());
                }
                Ok(0)
            }
            Self::Consistency { old, out } => {
                let key = home.verifier()?;
                let proof = home.reader()?.prove_growth(&read(&old, Kind::Checkpoint)?, &key)?;
                if let Some(file) = out {
                    let text = serde_json::to_string_pretty(&proof).map_err(remit_lifecycle::Error::from)?;
                    write(&file, &(text + "\n"))?;
                }
                print_proven(&proof.check(&key)?);
                Ok(0)
            }
            Self::Publish { to } => {
                if to.join("remit.toml").exists() {
                    return Err(usage(
                        format!("{} is a Remit home, with its keys", to.display()),
                        "nothing was written; publish into a folder of its own",
                    ));
                }
                let size = home.reader()?.publish(&to, &home.verifier()?)?;
                say!("published  {size} records in {}", to.display());
                Ok(0)
            }
            Self::Export { format, run, since } => {
                let run = run
                    .map(|run| home.reader()?.find(&run).map_err(remit_lifecycle::Error::from))
                    .transpose()?;
                match format {
                    Format::Jsonl => {
                        remit_lifecycle::export_records(home, since, run, |record| {
                            print::json_text(&record.to_string());
                        })?;
                    }
                    Format::Ocsf => {
                        remit_lifecycle::export_ocsf(home, run, |event| {
                            print::json_text(&event.to_string());
                        })?;
                    }
                }
                Ok(0)
            }
            Self::Witness { json } => {
                let host = open(home).await?;
                let asked = tokio::task::spawn_blocking(move || remit_lifecycle::ask_witnesses(&host));
                let witnessed = asked.await.map_err(|error| {
                    usage(format!("the witnesses could not be asked: {error}"), "try again")
                })??;
                if json {
                    print::json(&witnessed)?;
                }
                let mut code = 0;
                for answer in &witnessed {
                    match (&answer.size, &answer.why_not) {
                        (Some(size), _) if !json => say!("cosigned  {size} records by {}", answer.witness),
                        (Some(_), _) => {}
                        (None, why) => {
                            code = 1;
                            let why = print::word(why.as_deref().unwrap_or_default());
                            print::warn(&format!("error: {} did not cosign: {why}", answer.witness));
                        }
                    }
                }
                Ok(code)
            }
        }
    }
}

/// A public key, `NAME+ID+BASE64`, or a file with one. A file with such a name takes precedence.
fn log_key(key: &str) -> Result<NoteVerifier, remit_lifecycle::Error> {
    if key.matches('+').count() >= 2 && !Path::new(key).exists() {
        remit_lifecycle::log_key(key)
    } else {
        remit_lifecycle::log_key(&read(Path::new(key), Kind::Key)?)
    }
}

fn verify(
    reader: &Reader,
    key: &NoteVerifier,
    since: Option<&str>,
    published: Option<&Path>,
    json: bool,
) -> Done {
    let audit = reader.verify(key, since)?;
    let published = published.map(|folder| reader.check_published(folder, key)).transpose()?;
    if json {
        print::json(&audit)?;
        return Ok(0);
    }
    say!("sound     {} records of {} runs, all as signed", audit.records, audit.runs);
    say!("root      {}", audit.root);
    if let Some(size) = published {
        say!("published {size} records, every tile correct");
    }
    if audit.open_calls > 0 {
        say!("open      {} call(s) without an outcome: under way, or interrupted", audit.open_calls);
    }
    Ok(0)
}

fn print_proven(proven: &Proven) {
    match proven {
        Proven::Growth { log, old, new } => {
            say!("consistent  {log} grew from {old} to {new} records; no earlier record was changed");
        }
        Proven::Run { run, log, size, count, state, records } => {
            let state = state.map_or("unfinished", remit_journal::RunState::name);
            say!("proven    {run}  {state}");
            say!("log       {log}, {size} records");
            say!("records   {count}: all that the run had then, as the log's host signed");
            if let Some((_, Event::Started(started))) = records.first().map(|(seq, r)| (seq, &r.event)) {
                let action = &started.action;
                say!(
                    "action    {}",
                    print::word(&format!("{} {}  {}", action.name, action.version, action.digest))
                );
                say!("by        {}", print::word(&started.principal));
                say!("reason    {}", print::word(&started.reason));
                if let Some(grant) = &started.grant {
                    say!("grant     {}", grant.digest);
                }
            }
            if let Ok(story) = remit_lifecycle::Timeline::of(*run, records) {
                print::table(2, &super::show::rows(&story.lines, super::listing::Times::default()));
            }
        }
    }
}
