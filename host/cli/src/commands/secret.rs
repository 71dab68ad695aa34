//! `remit secret`: the embedded secret store.

use std::io::IsTerminal as _;

use clap::Subcommand;
use jiff::Timestamp;
use miette::Diagnostic;
use remit_backend::{Fields, SecretText, Secrets, SecretsConfig, Systems as _};
use remit_gate::{Failure, Resource};
use remit_lifecycle::{Error, Home};

use super::common::{Done, usage};
use crate::print::{self, say};

#[derive(Subcommand)]
pub(crate) enum Secret {
    /// Set a field of a secret, in a new version. Its other fields are kept.
    #[command(
        after_help = "The other fields are copied from the current version, as by `bao kv patch`. With --replace they are dropped, as by `bao kv put`.\n\nExamples:\n  remit secret put app/db password --generate\n  printf %s \"$VALUE\" | remit secret put app/db password"
    )]
    Put {
        /// The secret, such as prod/payments/stripe.
        path: String,
        /// The name of the field.
        field: String,
        /// Generate the value. Without this, it is read from standard input.
        #[arg(long)]
        generate: bool,
        /// Drop every other field.
        #[arg(long)]
        replace: bool,
    },
    /// Show a secret's versions, never a value.
    #[command(after_help = "Example:\n  remit secret show app/db")]
    Show {
        /// The secret.
        path: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Secret {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let config = home.load()?;
        match self {
            Self::Put { path, field, generate, replace } => {
                let secret = Resource::new("secret", &path)?;
                let store = SecretsConfig::embedded(config.entries::<Secrets>(), home.path(), &secret)?;
                let generator = SecretsConfig::serving(config.entries::<Secrets>(), &secret)
                    .map(|entry| entry.generator.clone())
                    .unwrap_or_default();
                let value = if generate { generator.generate().map_err(failed)? } else { typed()? };
                let (version, kept) = if replace {
                    let fields = Fields::default().with(&field, value);
                    (store.seed(&secret, fields).await.map_err(failed)?, Vec::new())
                } else {
                    match store.seed_field(&secret, &field, value).await {
                        Err(Failure::Conflict(why)) => {
                            let help =
                                "nothing was changed; --replace writes a version with this field alone";
                            return Err(usage(why, help));
                        }
                        written => written.map_err(failed)?,
                    }
                };
                say!("{path}  version {version}");
                if !kept.is_empty() {
                    say!("kept      {}", print::word(&kept.join(", ")));
                }
            }
            Self::Show { path, json } => {
                let secret = Resource::new("secret", &path)?;
                let secrets = Secrets::open(config.entries::<Secrets>(), home.path())?;
                let (store, _) = secrets.at(&secret).map_err(failed)?;
                let found = store.metadata(&secret).await.map_err(failed)?;
                if json {
                    print::json(&found)?;
                    return Ok(0);
                }
                let rows: Vec<_> = found
                    .versions
                    .iter()
                    .map(|version| {
                        let current = if version.number == found.current { "current" } else { "" };
                        let made = i64::try_from(version.created).ok();
                        let made = made.and_then(|at| Timestamp::from_millisecond(at).ok());
                        let made =
                            made.map_or_else(String::new, |at| remit_lifecycle::second(at).to_string());
                        vec![version.number.to_string(), version.state.to_string(), made, current.to_owned()]
                    })
                    .collect();
                print::table(0, &rows);
            }
        }
        Ok(0)
    }
}

/// The value from standard input, without the line break at its end.
fn typed() -> Result<SecretText, Box<dyn Diagnostic + Send + Sync>> {
    if std::io::stdin().is_terminal() {
        return Err(usage(
            "the value would be shown while it is typed".to_owned(),
            "pipe it in, `printf %s \"$VALUE\" | remit secret put …`, or pass --generate",
        ));
    }
    let read = remit_file::standard_input(remit_file::Kind::Given).map_err(Error::from)?;
    let mut text = read.into_text().map_err(Error::from)?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.is_empty() {
        return Err(usage(
            "standard input holds no value".to_owned(),
            "pipe the value in, or pass --generate; nothing was changed",
        ));
    }
    Ok(SecretText::new(text))
}

fn failed(failure: Failure) -> Error {
    Error::Store(failure)
}
