//! `remit rules`, `remit principals` and `remit policy`.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use remit_file::Kind;
use remit_lifecycle::{
    Ending, Enrolment, Explained, Home, PrincipalView, RequestState, RulesView, SignedRulesView, explain,
};
use remit_policy::Policies;
use remit_trust::Signer;

use super::common::{Done, read, usage};
use crate::place::Place;
use crate::print::{self, say};

#[derive(Subcommand)]
#[command(
    after_help = "The rules are principals.toml and policies/*.cedar. They are in force only as an administrator signed them.\n\nExample:\n  remit rules check && remit rules sign --key admin.key"
)]
pub(crate) enum Rules {
    /// Check the rules in the files.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check what a new passkey signed, and print its lines for principals.toml. They are in force once the rules are signed.
    #[command(
        after_help = "Example:\n  remit rules enrol dana.enrolment.json\n\nAsk the person on another way whether the key is theirs: compare its id."
    )]
    Enrol {
        /// What the console's page for a new passkey gave.
        file: PathBuf,
    },
    /// Sign the rules in the files, as an administrator. They are then in force.
    Sign {
        /// The administrator's private key; or an SSH public key, for the ssh-agent.
        #[arg(long, env = "REMIT_ADMIN_KEY", value_name = "FILE")]
        key: PathBuf,
        /// Do not ask, even if open requests and standing scopes become void.
        #[arg(long)]
        yes: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Rules {
    pub(crate) fn run(self, home: &Home) -> Done {
        match self {
            Self::Check { json } => {
                let (principals, policies, digest) = home.written_rules()?;
                check_policies(home)?;
                let (principals, policies) = (principals.iter().count(), policies.count());
                let rules = home.rules();
                if json {
                    let signed_by = rules.as_ref().ok().map(|rules| rules.signed_by.to_string());
                    print::json(&RulesView { principals, policies, digest, signed_by })?;
                } else {
                    say!("principals {principals}   policies {policies}");
                    say!("digest    {digest}");
                }
                let rules = rules?;
                if !json {
                    say!("in force  signed by {}", rules.signed_by.short());
                }
                Ok(0)
            }
            Self::Enrol { file } => enrol(home, &read(&file, Kind::Approval)?),
            Self::Sign { key, yes, json } => {
                let admin = Signer::load(&key)?;
                let (mut void, mut ended) = (String::new(), Vec::new());
                let signed = home.sign_rules(&admin, |ending| {
                    print_ending(ending);
                    (void, ended) = (count(ending), ending.to_vec());
                    yes || agreed()
                })?;
                let Some(digest) = signed else {
                    let what = format!("{void} would become void; nothing was signed");
                    return Err(usage(
                        what,
                        "sign with --yes if that is wanted; whoever needs them asks again then",
                    ));
                };
                if json {
                    print::json(&SignedRulesView { digest, void: ended })?;
                    return Ok(0);
                }
                check_policies(home)?;
                say!("in force  {digest}");
                if void.is_empty() {
                    say!("Requests made under other rules are void; none was open.");
                } else {
                    say!("void      {void}: whoever needs them asks again");
                }
                Ok(0)
            }
        }
    }
}

/// Prints the lines of a new passkey.
fn enrol(home: &Home, text: &str) -> Done {
    let malformed = |why: String| usage(why, "pass the file that the console's page gave, unchanged");
    let envelope = remit_text::json::read(text).map_err(|mistake| malformed(mistake.to_string()))?;
    let (principals, ..) = home.written_rules()?;
    let Some(passkeys) = principals.passkeys() else {
        return Err(usage(
            "principals.toml does not say where passkeys sign".to_owned(),
            "add [passkeys] with `rp` and `origins`: docs/console.md",
        ));
    };
    let enrolled = Enrolment::check(&envelope, &home.load()?.log, passkeys)?;
    let (name, key) = (&enrolled.enrolment.principal, enrolled.key.id());
    if let Some(holder) = principals.holder(&key) {
        return Err(usage(
            format!("the key {} is in principals.toml, as one of {}", key.short(), holder.name),
            "nothing is left to do but `remit rules sign`",
        ));
    }
    say!(
        "# The key signed that it is {}'s. Nobody has checked that: compare its id with what its owner sees.",
        name
    );
    say!("# {key}");
    if principals.get(name).is_none() {
        say!("[[principal]]\nname = \"{name}\"\nkind = \"human\"");
    }
    print::raw(enrolled.lines().as_bytes());
    Ok(0)
}

/// Checks the policies. Warns of approvals that they demand and nobody can give, which may be intended, and of files that
/// are not read, because somebody could rely on a `forbid` in one.
fn check_policies(home: &Home) -> Done<Arc<Policies>> {
    let (policies, unmet) = home.check_policies()?;
    for words in unmet {
        print::warn(&format!("note: {}", print::word(&words)));
    }
    for name in home.unread_policies()? {
        print::warn(&format!("note: `policies/{}` is not read: a policy is NAME.cedar", print::word(&name)));
    }
    Ok(policies)
}

/// Prints each request that new rules would void.
fn print_ending(ending: &[Ending]) {
    print::warn("Every request names the rules it was made under. New rules void these:");
    for ending in ending {
        let what = if ending.standing { "standing scope" } else { "request" };
        let until = remit_lifecycle::second(ending.until);
        let (action, by) = (print::word(&ending.action), print::word(&ending.by));
        let reason: String = print::word(&ending.reason).chars().take(80).collect();
        print::warn(&format!("  {what} {}  {action}, good until {until}, by {by}: {reason}", ending.request));
    }
}

fn count(ending: &[Ending]) -> String {
    let standing = ending.iter().filter(|ending| ending.standing).count();
    match standing {
        0 => format!("{} open request(s)", ending.len()),
        _ => format!("{} open request(s), {standing} of them for standing scopes,", ending.len()),
    }
}

/// Asks the person at the terminal. Without a terminal, the answer is no.
fn agreed() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print::ask("Sign, and void them? [y/N] ");
    let mut answer = String::new();
    #[expect(clippy::disallowed_methods, reason = "one line, from a person at a terminal")]
    let read = std::io::stdin().lock().take(100).read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

#[derive(Args)]
#[command(after_help = "Example:\n  remit principals")]
pub(crate) struct Principals {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Principals {
    pub(crate) fn run(self, place: &Place) -> Done {
        let keys: Vec<PrincipalView> = match place.server()? {
            Some(server) => server.get("/api/v1/principals")?,
            None => {
                let home = place.home()?;
                let mut all = PrincipalView::all(&home.written_rules()?.0);
                // As long as nobody signed the rules, no certificate counts.
                if let Ok(rules) = home.rules() {
                    all.extend(PrincipalView::certified(&home.reader()?, &rules)?);
                }
                all
            }
        };
        if self.json {
            print::json(&keys)?;
            return Ok(0);
        }
        let row = |held: PrincipalView| {
            let counts = match (held.in_force, held.identity.is_some(), held.until) {
                (false, ..) => "does not count now".to_owned(),
                (true, true, Some(until)) => format!("until {until}"),
                (true, ..) => String::new(),
            };
            vec![
                held.name.clone(),
                held.kind.to_string(),
                held.operator.as_ref().map(|name| format!("operated by {name}")).unwrap_or_default(),
                held.groups.join(","),
                held.words(),
                counts,
            ]
        };
        print::table(0, &keys.into_iter().map(row).collect::<Vec<_>>());
        Ok(0)
    }
}

#[derive(Subcommand)]
#[command(
    after_help = "Examples:\n  remit policy check\n  remit policy test policies/cases.toml\n  remit policy explain req-01jd2m"
)]
pub(crate) enum Policy {
    /// Check the policies in the files against Cedar's schema.
    Check,
    /// Print Cedar's schema: all that policies can refer to.
    Schema,
    /// Test the policies with a table of cases.
    Test {
        /// The table, TOML.
        file: PathBuf,
    },
    /// Show which policies decide about a request, and which approvals are missing.
    Explain {
        /// The request, or the beginning of its name.
        request: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Policy {
    pub(crate) fn run(self, place: &Place) -> Done {
        if let Self::Explain { request, json } = &self
            && let Some(server) = place.server()?
        {
            return print_explained(&server.explained(request)?, *json);
        }
        let home = place.home()?;
        match self {
            Self::Check => {
                let policies = check_policies(home)?;
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
            Self::Explain { request, json } => {
                let (rules, reader) = (home.rules()?, home.reader()?);
                let state = RequestState::load(&reader, &rules, reader.find_request(&request)?)?;
                print_explained(&explain(&reader, &rules, &state)?, json)
            }
        }
    }
}

fn print_explained(explained: &Explained, json: bool) -> Done {
    if json {
        print::json(explained)?;
        return Ok(0);
    }
    for line in explained.lines() {
        say!("{}", print::word(&line));
    }
    Ok(0)
}
