//! `remit revoke`, `remit freeze`, `remit unfreeze` and `remit review`.

use clap::{Args, Subcommand};
use remit_client::revokes;
use remit_journal::{Basis, Reader, RunId};
use remit_lifecycle::{
    FrozenView, OrderKind as Order, ReviewedView, RevokedView, Rules, Target, prepare_freeze, prepare_review,
    prepare_revoke, submit_order,
};
use remit_trust::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::common::{Done, notify, open, usage};
use super::signing::{Signing, SigningResult};
use crate::place::{Place, Server};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit revoke request req-01jd2m4k9x8s7t6v5w4y3z2a1b --reason 'wrong secret' --key alice.key\n  remit revoke principal bot --reason 'INC-9: compromised' --key alice.key\n\nRuns under that authority stop at their next call. They are reverted or held, as their scope says."
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
    /// A principal: all that it requested, approved or started so far, and every key that it has.
    Principal(Named),
    /// A key, by its id: all that it signed or will sign.
    Key(Named),
    /// An action, by its digest or the beginning of the digest.
    ActionDigest(Named),
    /// A connector, by the digest of its component.
    ConnectorDigest(Named),
    /// All authority that exists now.
    All(Options),
}

#[derive(Args)]
struct Named {
    /// The name, id or digest, as `remit revoke --help` says.
    name: String,
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
struct Options {
    /// The reason, for the record.
    #[arg(long, value_name = "TEXT", required_unless_present = "signed")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }
}

impl Revoke {
    pub(crate) async fn run(self, place: &Place) -> Done {
        let options = match &self.what {
            What::Request(named)
            | What::Principal(named)
            | What::Key(named)
            | What::ActionDigest(named)
            | What::ConnectorDigest(named) => &named.options,
            What::All(options) => options,
        };
        if let Some(server) = place.server()? {
            return self.at(&server, options).await;
        }
        let host = place.home()?.open()?;
        let mode = options.signing.mode(&host)?;
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let (kind, name, target) = match &self.what {
            What::Request(Named { name, .. }) => {
                ("request", &**name, Target::Request(reader.find_request(name)?))
            }
            What::Principal(Named { name, .. }) => ("principal", &**name, Target::Principal(name.clone())),
            What::Key(Named { name, .. }) => ("key", &**name, Target::Key(key(&rules, name)?)),
            What::ActionDigest(Named { name, .. }) => {
                ("action", &**name, Target::Action(action(&reader, name)?))
            }
            What::ConnectorDigest(Named { name, .. }) => {
                ("connector", &**name, Target::Connector(name.parse()?))
            }
            What::All(_) => ("all", "", Target::All),
        };
        drop(reader);
        let order = target.clone().order(&rules)?;
        let again = format!("remit revoke {} {name}", subcommand(kind));
        let prepare = async |by: &_| prepare_revoke(&host, by, target, options.reason());
        let SigningResult::Signed(signed) =
            mode.order(&host, again.trim_end(), prepare, |what| *what == order).await?
        else {
            return Ok(0);
        };
        let stopped = submit_order(&host, &signed).await?.stopping;
        notify(&host).await;
        told(options, kind, name, &stopped)
    }

    /// The same through a server, which takes keys and actions by their whole names only.
    async fn at(&self, server: &Server, options: &Options) -> Done {
        let (kind, name, wanted, basis) = match &self.what {
            What::Request(Named { name, .. }) => {
                let id = server.request(name)?.request.id;
                ("request", &**name, json!({"revoke-request": id}), Basis::Request(id))
            }
            What::Principal(Named { name, .. }) => {
                ("principal", &**name, json!({"revoke-principal": name}), Basis::Principal(name.clone()))
            }
            What::Key(Named { name, .. }) => {
                ("key", &**name, json!({"revoke-key": name}), Basis::Key(name.clone()))
            }
            What::ActionDigest(Named { name, .. }) => {
                ("action", &**name, json!({"revoke-action": name}), Basis::Action(name.clone()))
            }
            What::ConnectorDigest(Named { name, .. }) => {
                let basis = Basis::Connector(name.clone());
                ("connector", &**name, json!({"revoke-connector": name}), basis)
            }
            What::All(_) => ("all", "", json!("revoke-all"), Basis::All),
        };
        let is_it = |what: &Order| revokes(what, &basis);
        let again = format!("remit revoke {} {name}", subcommand(kind));
        match order_at(server, options, again.trim_end(), wanted, is_it).await? {
            Some(stopping) => told(options, kind, name, &stopping),
            None => Ok(0),
        }
    }
}

/// The name of the subcommand that revokes this.
fn subcommand(kind: &str) -> &str {
    match kind {
        "action" => "action-digest",
        "connector" => "connector-digest",
        kind => kind,
    }
}

fn told(options: &Options, kind: &str, name: &str, stopping: &[RunId]) -> Done {
    if options.json {
        print::json(&RevokedView { revoked: kind, name, stopping })?;
    } else {
        say!("revoked   {kind} {}", print::word(name));
        print_stopping(stopping);
    }
    Ok(0)
}

/// Gives an order through a server. Returns the runs that stop; none if it was only prepared.
async fn order_at(
    server: &Server,
    options: &Options,
    again: &str,
    wanted: Value,
    is_it: impl Fn(&Order) -> bool,
) -> Done<Option<Vec<RunId>>> {
    #[derive(Deserialize)]
    struct Ordered {
        stopping: Vec<RunId>,
    }
    let reason = options.reason();
    let mut body = json!({"reason": reason, "order": wanted});
    let is_it = |signed: &remit_lifecycle::Order| match signed {
        signed if !is_it(&signed.order) => Err("it orders something else".to_owned()),
        signed if !options.signing.is_submit() && signed.reason != reason => {
            Err("it gives another reason".to_owned())
        }
        _ => Ok(()),
    };
    let prepare = ("/api/v1/orders/prepare", &mut body);
    let SigningResult::Signed(signed) = options.signing.at_server(server, again, prepare, is_it).await?
    else {
        return Ok(None);
    };
    Ok(Some(server.submit::<Ordered>("/api/v1/orders", &signed)?.stopping))
}

/// The id of a key: given whole, or as the beginning of the id of one principal's key.
fn key(rules: &Rules, name: &str) -> Done<String> {
    let known = rules.principals.keys().into_iter().map(|key| key.id().to_string());
    let found: Vec<String> = known.filter(|id| id.starts_with(name)).collect();
    match found.as_slice() {
        [id] if name.len() >= SHORTEST => Ok(id.clone()),
        // A key that was removed from principals.toml can be revoked by its whole id.
        _ if name.len() == 64 => Ok(name.to_owned()),
        _ => Err(usage(
            format!("`{}` is not the id of one key", name.escape_debug()),
            "`remit principals` lists the keys; give at least 8 digits, or all 64 of a key that is no longer listed",
        )),
    }
}

/// The digest of an action: given whole, or as the beginning of the digest of one action that ran here.
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
            Err(usage(
                what,
                "give the whole digest, or at least 8 digits of one that ran or was rehearsed here",
            ))
        }
    }
}

/// The fewest digits that may stand for a key or an action.
const SHORTEST: usize = 8;

fn print_stopping(runs: &[RunId]) {
    for run in runs {
        say!("stopping  {run}");
    }
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit freeze --reason 'INC-9' --key alice.key\n\nRuns stop at their next call, and none can start until `remit unfreeze`. Reverts go on."
)]
pub(crate) struct Freeze {
    #[command(flatten)]
    options: Options,
}

impl Freeze {
    pub(crate) async fn run(self, place: &Place, frozen: bool) -> Done {
        let options = &self.options;
        let is_it = |what: &_| match what {
            Order::Freeze => frozen,
            Order::Unfreeze { .. } => !frozen,
            _ => false,
        };
        if let Some(server) = place.server()? {
            let name = if frozen { "freeze" } else { "unfreeze" };
            let stopping = order_at(&server, options, &format!("remit {name}"), json!(name), is_it).await?;
            return stopping.map_or(Ok(0), |stopping| Self::told(options, frozen, &stopping));
        }
        let host = place.home()?.open()?;
        let mode = self.options.signing.mode(&host)?;
        let again = if frozen { "remit freeze" } else { "remit unfreeze" };
        let prepare = async |by: &_| prepare_freeze(&host, by, frozen, self.options.reason());
        let SigningResult::Signed(signed) = mode.order(&host, again, prepare, is_it).await? else {
            return Ok(0);
        };
        let stopped = submit_order(&host, &signed).await?.stopping;
        notify(&host).await;
        Self::told(options, frozen, &stopped)
    }

    fn told(options: &Options, frozen: bool, stopping: &[RunId]) -> Done {
        if options.json {
            print::json(&FrozenView { frozen, stopping })?;
        } else {
            say!("{}", if frozen { "frozen    nothing starts until `remit unfreeze`" } else { "unfrozen" });
            print_stopping(stopping);
        }
        Ok(0)
    }
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit review run-01jd2m4k9x8s7t6v5w4y3z2a1b --reason 'it was needed, INC-9' --key carol.key"
)]
pub(crate) struct Review {
    /// The run, or the beginning of its name.
    run: String,
    #[command(flatten)]
    options: Options,
}

impl Review {
    pub(crate) async fn run(self, place: &Place) -> Done {
        let options = &self.options;
        if let Some(server) = place.server()? {
            let (run, _) = server.run(&self.run)?;
            let is_it = |what: &Order| *what == Order::Review(run);
            let again = format!("remit review {run}");
            let done = order_at(&server, options, &again, json!({"review": run}), is_it).await?;
            return done.map_or(Ok(0), |_| Self::told(options, run));
        }
        let host = open(place.home()?).await?;
        let mode = self.options.signing.mode(&host)?;
        let run = host.journal.reader()?.find(&self.run)?;
        let prepare = async |by: &_| prepare_review(&host, by, run, self.options.reason());
        let is_it = |what: &_| *what == Order::Review(run);
        let SigningResult::Signed(signed) =
            mode.order(&host, &format!("remit review {run}"), prepare, is_it).await?
        else {
            return Ok(0);
        };
        submit_order(&host, &signed).await?;
        Self::told(options, run)
    }

    fn told(options: &Options, run: RunId) -> Done {
        if options.json {
            print::json(&ReviewedView { reviewed: run })?;
        } else {
            say!("reviewed  {run}");
        }
        Ok(0)
    }
}
