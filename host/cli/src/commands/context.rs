//! `remit context`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use remit_client::ClientError;
use serde::Serialize;

use super::common::{Done, usage};
use crate::id_token::{Kept, Source};
use crate::place::{Context as Entry, Contexts, Server};
use crate::print::{self, say};

/// Servers that commands can act through: `remit --context NAME …`.
#[derive(Subcommand)]
pub(crate) enum Context {
    /// Add a server, and remember the key of its journal.
    Add(Add),
    /// List the servers.
    List(List),
    /// Forget a server.
    Remove(Remove),
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit context add prod https://remit.example --key ~/.ssh/id_ed25519.pub\n  remit --context prod requests\n\nCompare the key of the journal with what you were given on another way: every document is for that journal only."
)]
pub(crate) struct Add {
    /// The name of the context.
    name: String,
    /// The URL of the server.
    url: String,
    /// Your private key, PEM or OpenSSH; or an SSH public key, if the ssh-agent has the private one.
    #[arg(long, env = "REMIT_KEY", value_name = "FILE", required_unless_present = "id_token")]
    key: Option<PathBuf>,
    /// In place of a key, where an ID token of the platform comes from, which a job of CI has: `env:NAME`, `file:PATH` or `github`.
    #[arg(long, value_name = "SOURCE")]
    id_token: Option<Source>,
    /// What GitHub is asked to make the token for: the `audience` of the [[issuer]] in principals.toml; the server's URL unless
    /// it is named.
    #[arg(long, requires = "id_token")]
    audience: Option<String>,
    /// The key of its journal, if you were given it: a server with another one is not added.
    #[arg(long, value_name = "KEY")]
    log_key: Option<String>,
    /// Certificates in PEM that are trusted in place of the public ones.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Remove {
    /// The name of the context.
    name: String,
}

/// A context and its name.
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(flatten)]
    context: &'a Entry,
}

impl Context {
    pub(crate) fn run(self) -> Done {
        let mut contexts = Contexts::load()?;
        match self {
            Self::Add(Add { name, url, key, id_token, audience, log_key, ca_file, json }) => {
                // With a token, a key that is in REMIT_KEY for other commands is none of this context.
                let key = key.filter(|_| id_token.is_none());
                let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                if name.is_empty() || !name.chars().all(letters) {
                    let why = format!("`{}` is no name for a context", name.escape_debug());
                    return Err(usage(why, "use letters, digits, `-`, `.` and `_`"));
                }
                // The context is used from any folder.
                let whole = |file: PathBuf| {
                    std::path::absolute(&file)
                        .map_err(|error| usage(format!("{}: {error}", file.display()), "name the file"))
                };
                let (key, ca_file) = (key.map(whole).transpose()?, ca_file.map(whole).transpose()?);
                let id_token = match id_token {
                    Some(Source::File(file)) => Some(Source::File(whole(file)?)),
                    other => other,
                };
                let expected = log_key.map(|text| text.trim().to_owned());
                let (log, log_key) = (String::new(), String::new());
                let mut context = Entry { url, key, id_token, audience, ca_file, log, log_key };
                let server = Server::connect(context.clone())?;
                if let Some(expected) = expected.filter(|expected| *expected != server.about().log_key) {
                    let found = server.about().log_key.clone();
                    return Err(Box::new(ClientError::OtherHome { url: context.url, found, expected }));
                }
                server.about().log.clone_into(&mut context.log);
                server.about().log_key.clone_into(&mut context.log_key);
                contexts.0.insert(name.clone(), context.clone());
                contexts.save()?;
                if json {
                    print::json(&Named { name: &name, context: &context })?;
                } else {
                    say!("added     {}", print::word(&name));
                    say!("journal   {}", print::word(&context.log));
                    say!("key       {}", print::word(&context.log_key));
                }
            }
            Self::List(List { json }) => {
                let named: Vec<_> =
                    contexts.0.iter().map(|(name, context)| Named { name, context }).collect();
                if json {
                    print::json(&named)?;
                    return Ok(0);
                }
                let mut rows = vec![["name", "url", "journal", "key"].map(ToOwned::to_owned).to_vec()];
                rows.extend(named.iter().map(|Named { name, context }| {
                    let key = context.key.as_ref().map(|key| key.display().to_string());
                    let token = context.id_token.as_ref().map(ToString::to_string);
                    let who = key.or(token).unwrap_or_default();
                    vec![(*name).to_owned(), context.url.clone(), context.log.clone(), who]
                }));
                print::table(0, &rows);
            }
            Self::Remove(Remove { name }) => {
                if contexts.0.remove(&name).is_none() {
                    let why = format!("there is no context `{}`", name.escape_debug());
                    return Err(usage(why, "`remit context list` lists them"));
                }
                contexts.save()?;
                Kept::of(&Contexts::file()?, &name)?.forget()?;
                say!("removed   {}", print::word(&name));
            }
        }
        Ok(0)
    }
}
