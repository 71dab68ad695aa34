//! `remit rules`, `remit principals` and `remit policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use remit_file::Kind;
use remit_lifecycle::{Case, Home, explain};
use remit_trust::Signer;
use serde_json::json;

use super::{Done, read};
use crate::print::{self, say};

#[derive(Subcommand)]
#[command(
    after_help = "The rules are principals.toml and policies/*.cedar; they are in force as an administrator signed them.\n\nExample:\n  remit rules check && remit rules sign --key admin.key"
)]
pub(crate) enum Rules {
    /// Check the rules as they are written.
    Check,
    /// Put the rules as they are written in force, as an administrator.
    Sign {
        /// The administrator's private key; or an SSH public key, for the ssh-agent.
        #[arg(long, env = "REMIT_ADMIN_KEY", value_name = "FILE")]
        key: PathBuf,
    },
}

impl Rules {
    pub(crate) fn run(self, home: &Home) -> Done {
        match self {
            Self::Check => {
                let (principals, policies, digest) = home.check_rules()?;
                unread(home)?;
                say!("principals {}   policies {}", principals.iter().count(), policies.count());
                say!("digest    {digest}");
                match home.rules() {
                    Ok(rules) => {
                        say!("in force  signed by {}", rules.signed_by.short());
                        Ok(0)
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Self::Sign { key } => {
                let digest = home.sign_rules(&Signer::load(&key)?)?;
                unread(home)?;
                say!("in force  {digest}");
                say!("Requests made under other rules are void.");
                Ok(0)
            }
        }
    }
}

/// What somebody could count on, a `forbid` for instance, is not left out in silence.
fn unread(home: &Home) -> Done<()> {
    for name in home.unread_policies()? {
        print::warn(&format!("note: `policies/{}` is not read: a policy is NAME.cedar", print::word(&name)));
    }
    Ok(())
}

#[derive(Args)]
#[command(after_help = "Example:\n  remit principals")]
pub(crate) struct Principals {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Principals {
    pub(crate) fn run(self, home: &Home) -> Done {
        let (principals, _, _) = home.check_rules()?;
        let now = jiff::Timestamp::now();
        let (mut rows, mut found) = (Vec::new(), Vec::new());
        for principal in principals.iter() {
            let groups: Vec<&str> = principal.groups.iter().map(String::as_str).collect();
            for key in &principal.keys {
                let id = key.key.id();
                found.push(json!({
                    "name": principal.name, "kind": principal.kind, "groups": principal.groups,
                    "key": id.to_string(), "in_force": principals.in_force(&id, now),
                    "from": key.from, "until": key.until,
                }));
                let counts = if principals.in_force(&id, now) { "" } else { "does not count now" };
                rows.push(vec![
                    principal.name.clone(),
                    principal.kind.to_string(),
                    groups.join(","),
                    id.to_string(),
                    counts.to_owned(),
                ]);
            }
        }
        if self.json {
            print::json(&found)?;
        } else {
            print::table(0, &rows);
        }
        Ok(0)
    }
}

#[derive(Subcommand)]
#[command(
    after_help = "Examples:\n  remit policy check\n  remit policy test policies/cases.toml\n  remit policy explain req-01jd2m"
)]
pub(crate) enum Policy {
    /// Check the policies as they are written, against what they can speak of.
    Check,
    /// Print what policies can speak of: Cedar's schema.
    Schema,
    /// Try a table of cases.
    Test {
        /// The table, TOML.
        file: PathBuf,
    },
    /// Tell which policies decide about a request, and what is missing.
    Explain {
        /// The request, or the beginning of its name.
        request: String,
    },
}

impl Policy {
    pub(crate) fn run(self, home: &Home) -> Done {
        match self {
            Self::Check => {
                let policies = home.written_policies()?;
                unread(home)?;
                say!("ok        {} policies  {}", policies.count(), policies.digest());
                Ok(0)
            }
            Self::Schema => {
                print::raw(remit_policy::SCHEMA.as_bytes());
                Ok(0)
            }
            Self::Test { file } => {
                let policies = home.written_policies()?;
                let cases =
                    remit_policy::test(&policies, &read(&file, Kind::Cases)?, &file.display().to_string())?;
                let failed = cases.iter().filter(|case| case.found.is_some()).count();
                for case in &cases {
                    match &case.found {
                        None => say!("ok      {}", print::word(&case.name)),
                        Some(found) => say!("FAILED  {}: {}", print::word(&case.name), print::word(found)),
                    }
                }
                say!("{} passed, {failed} failed", cases.len() - failed);
                Ok(u8::from(failed > 0))
            }
            Self::Explain { request } => {
                let (rules, reader) = (home.rules()?, home.reader()?);
                let case = Case::load(&reader, &rules, reader.find_request(&request)?)?;
                for line in explain(&reader, &rules, &case)? {
                    say!("{}", print::word(&line));
                }
                Ok(0)
            }
        }
    }
}
