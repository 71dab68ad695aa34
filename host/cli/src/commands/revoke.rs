//! `remit revoke`, `remit freeze`, `remit unfreeze` and `remit review`.

use clap::{Args, Subcommand};
use remit_journal::{Reader, RunId};
use remit_lifecycle::{
    FrozenView, Home, ReviewedView, RevokedView, Target, What as Order, prepare_freeze, prepare_review,
    prepare_revoke, submit_order,
};
use remit_trust::Digest;

use super::common::{Done, open, told};
use super::signing::{Signing, Step};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit revoke request req-01jd2m4k9x8s7t6v5w4y3z2a1b --reason 'wrong secret' --key alice.key\n  remit revoke principal bot --reason 'INC-9: compromised' --key alice.key\n\nRuns that go on under it stop at their next call, and are reverted or held as their scope says."
)]
pub(crate) struct Revoke {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A request, approved or not.
    #[command(visible_alias = "grant")]
    Request(Named),
    /// A principal: all it asked for, approved or started so far, and every key it has.
    Principal(Named),
    /// A key, by its id: whatever it signed, and will sign.
    Key(Named),
    /// An action, by its digest or the beginning of it.
    ActionDigest(Named),
    /// All authority there is so far.
    All(Why),
}

#[derive(Args)]
struct Named {
    /// Which.
    name: String,
    #[command(flatten)]
    why: Why,
}

#[derive(Args)]
struct Why {
    /// Why.
    #[arg(long, value_name = "TEXT", required_unless_present = "signed")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Why {
    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }
}

impl Revoke {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let (what, name, why) = match self.what {
            What::Request(Named { name, why }) => ("request", name, why),
            What::Principal(Named { name, why }) => ("principal", name, why),
            What::Key(Named { name, why }) => ("key", name, why),
            What::ActionDigest(Named { name, why }) => ("action", name, why),
            What::All(why) => ("all", String::new(), why),
        };
        let host = home.open()?;
        let way = why.signing.way(&host)?;
        let rules = host.rules()?;
        let target = match what {
            "request" => Target::Request(host.journal.reader()?.find_request(&name)?),
            "principal" => Target::Principal(name.clone()),
            "key" => {
                let known = rules.principals.keys().into_iter().map(|key| key.id().to_string());
                let found: Vec<String> = known.filter(|id| id.starts_with(&name)).collect();
                match found.as_slice() {
                    [id] if name.len() >= SHORTEST => Target::Key(id.clone()),
                    // One that was removed from principals.toml is revoked by its whole id.
                    _ if name.len() == 64 => Target::Key(name.clone()),
                    _ => {
                        return Err(super::common::usage(
                            format!("`{}` is not the id of one key", name.escape_debug()),
                            "`remit principals` lists them; give at least 8 digits, or all 64 of a key that is not there any more",
                        ));
                    }
                }
            }
            "action" => Target::Action(action(&*host.journal.reader()?, &name)?),
            _ => Target::All,
        };
        let order = target.clone().order(&rules)?;
        let again = format!("remit revoke {} {name}", if what == "action" { "action-digest" } else { what });
        let prepare = async |by: &_| prepare_revoke(&host, by, target, why.reason());
        let step = way.order(&host, again.trim_end(), prepare, |what| *what == order).await?;
        let Step::Signed(signed) = step else { return Ok(0) };
        let stopped = submit_order(&host, &signed).await?.stopping;
        if why.json {
            print::json(&RevokedView { revoked: what, name: &name, stopping: &stopped })?;
        } else {
            say!("revoked   {what} {}", print::word(&name));
            stopping(&stopped);
        }
        told(&host).await;
        Ok(0)
    }
}

/// The digest of an action, or of the one action seen here whose digest begins like this.
fn action(reader: &Reader, name: &str) -> Done<Digest> {
    if let Ok(whole) = name.parse() {
        return Ok(whole);
    }
    let wanted = name.strip_prefix("sha256:").unwrap_or(name);
    let mut found: Vec<String> = reader.runs()?.iter().map(|run| run.action.digest.to_string()).collect();
    found.retain(|digest| digest.strip_prefix("sha256:").is_some_and(|hex| hex.starts_with(wanted)));
    found.sort();
    found.dedup();
    match found.as_slice() {
        [one] if wanted.len() >= SHORTEST => Ok(one.parse()?),
        several => {
            let what = match several {
                [] | [_] => format!("`{}` is not the digest of one action", name.escape_debug()),
                several => format!("`{}` is the beginning of {}", name.escape_debug(), several.join(", ")),
            };
            Err(super::common::usage(
                what,
                "give the whole digest, or at least 8 digits of one that ran or was rehearsed here",
            ))
        }
    }
}

/// So many digits of a key or a digest are no accident.
const SHORTEST: usize = 8;

fn stopping(runs: &[RunId]) {
    for run in runs {
        say!("stopping  {run}");
    }
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit freeze --reason 'INC-9' --key alice.key\n\nNothing starts, and whatever goes on stops, until `remit unfreeze`. Reverts go on."
)]
pub(crate) struct Freeze {
    #[command(flatten)]
    why: Why,
}

impl Freeze {
    pub(crate) async fn run(self, home: &Home, frozen: bool) -> Done {
        let host = home.open()?;
        let way = self.why.signing.way(&host)?;
        let (again, order) =
            if frozen { ("remit freeze", Order::Freeze) } else { ("remit unfreeze", Order::Unfreeze) };
        let prepare = async |by: &_| prepare_freeze(&host, by, frozen, self.why.reason());
        let step = way.order(&host, again, prepare, |what| *what == order).await?;
        let Step::Signed(signed) = step else { return Ok(0) };
        let stopped = submit_order(&host, &signed).await?.stopping;
        if self.why.json {
            print::json(&FrozenView { frozen, stopping: &stopped })?;
        } else {
            say!("{}", if frozen { "frozen    nothing starts until `remit unfreeze`" } else { "unfrozen" });
            stopping(&stopped);
        }
        told(&host).await;
        Ok(0)
    }
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit review run-01jd2m4k9x8s7t6v5w4y3z2a1b --reason 'was needed, INC-9' --key carol.key"
)]
pub(crate) struct Review {
    /// The run, or the beginning of its name.
    run: String,
    #[command(flatten)]
    why: Why,
}

impl Review {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let host = open(home).await?;
        let way = self.why.signing.way(&host)?;
        let run = host.journal.reader()?.find(&self.run)?;
        let prepare = async |by: &_| prepare_review(&host, by, run, self.why.reason());
        let is_it = |what: &_| *what == Order::Review(run);
        let step = way.order(&host, &format!("remit review {run}"), prepare, is_it).await?;
        let Step::Signed(signed) = step else { return Ok(0) };
        submit_order(&host, &signed).await?;
        if self.why.json {
            print::json(&ReviewedView { reviewed: run })?;
        } else {
            say!("reviewed  {run}");
        }
        Ok(0)
    }
}
