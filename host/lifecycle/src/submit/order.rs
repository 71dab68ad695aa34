//! Orders of principals to revoke authority, to freeze or unfreeze the host, and to mark a run as reviewed.

use std::collections::BTreeSet;

use remit_engine::blocking;
use remit_journal::{
    About, Act, Basis, Event, LedgerEvent, Reader, Record, RequestId, Revocation, RunId, RunState,
};
use remit_policy::PolicyAction;
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, KeyId};

use crate::authority::{
    Accepted, Identity, Order, OrderKind, Prepared, check_reason, digests_on_record, refused,
};
use crate::changes::genuine;
use crate::{Error, Host, RequestState, Rules};

/// What can be revoked.
#[derive(Clone, Debug)]
pub enum Target {
    /// A request, and with it the authority that its approvals gave.
    Request(RequestId),
    /// A principal: everything that it requested or approved so far, and every key it has.
    Principal(String),
    /// A key, by its id.
    Key(String),
    /// An action, by the digest of its component.
    Action(Digest),
    /// A connector, by the digest of its component.
    Connector(Digest),
    /// All authority that exists now. Later requests are not affected.
    All,
}

impl Target {
    /// The order that revokes it.
    pub fn order(self, rules: &Rules) -> Result<OrderKind, Error> {
        Ok(OrderKind::Revoke(self.revocations(rules)?))
    }

    fn revocations(self, rules: &Rules) -> Result<Vec<Revocation>, Error> {
        let for_ever = |basis| Revocation { basis, earlier_only: false };
        Ok(match self {
            Self::Request(id) => vec![for_ever(Basis::Request(id))],
            Self::Principal(name) => {
                let Some(principal) = rules.principals.get(&name) else {
                    let why = format!("there is no principal `{}`", name.escape_debug());
                    return Err(Error::RequestOption { why });
                };
                let keys = principal.keys.iter().map(|held| Basis::Key(held.key.id().to_string()));
                let issuers = rules.principals.issuers();
                let identities = principal.identities.iter().filter_map(|identity| {
                    let issuer = issuers.iter().find(|issuer| issuer.name == identity.issuer)?;
                    Some(Basis::identity(&name, &issuer.url, &identity.claims))
                });
                let for_ever: Vec<_> = keys.chain(identities).map(for_ever).collect();
                std::iter::once(Revocation { basis: Basis::Principal(name), earlier_only: true })
                    .chain(for_ever)
                    .collect()
            }
            Self::Key(id) => vec![for_ever(Basis::Key(id))],
            Self::Action(digest) => vec![for_ever(Basis::Action(digest.to_string()))],
            Self::Connector(digest) => vec![for_ever(Basis::Connector(digest.to_string()))],
            Self::All => vec![Revocation { basis: Basis::All, earlier_only: true }],
        })
    }
}

/// Makes an order to revoke authority, for its signature.
pub fn prepare_revoke(
    host: &Host,
    by: &KeyId,
    target: Target,
    reason: &str,
) -> Result<Prepared<Order>, Error> {
    let what = target.order(&*host.rules()?)?;
    prepare(host, by, what, reason)
}

/// Makes an order to freeze or unfreeze the host, for its signature.
pub fn prepare_freeze(host: &Host, by: &KeyId, frozen: bool, reason: &str) -> Result<Prepared<Order>, Error> {
    let what =
        if frozen { OrderKind::Freeze } else { OrderKind::Unfreeze { seen: host.journal.reader()?.size()? } };
    prepare(host, by, what, reason)
}

/// Makes an order that marks a break-glass run as reviewed, for its signature. Until then its requester cannot start
/// another one.
pub fn prepare_review(host: &Host, by: &KeyId, run: RunId, reason: &str) -> Result<Prepared<Order>, Error> {
    prepare(host, by, OrderKind::Review(run), reason)
}

fn prepare(host: &Host, by: &KeyId, what: OrderKind, reason: &str) -> Result<Prepared<Order>, Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(&reader, by)?;
        check(host, &rules, &reader, &by, &what)?;
        Prepared::order(&rules, &by, what, reason)
    })
}

/// The effect of an order that was put on record.
#[derive(Debug)]
pub struct Ordered {
    /// The order as it was signed.
    pub order: Order,
    /// The runs that stop at their next call because of it.
    pub stopping: Vec<RunId>,
}

/// Accepts a signed order to revoke, freeze, unfreeze or review after the same checks, and puts it on record. Runs whose
/// authority was revoked stop at their next call.
pub async fn submit_order(host: &Host, signed: &Envelope) -> Result<Ordered, Error> {
    // An order counts once: until it is on record, no other order is accepted. This holds within this process only,
    // because a freeze must not wait for another process. If the same order is submitted to two processes at once,
    // there are two records, and the second changes nothing.
    let _turn = host.orders.lock().await;
    let (order, about, event, resting) = blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let accepted = Accepted::<Order>::check(&rules, &reader, signed)?;
        let order = &accepted.document;
        check_reason(&order.reason)?;
        check(host, &rules, &reader, &accepted.by, &order.order)?;
        let about = about(&order.order);
        accepted.check_new(digests_on_record(&reader, about)?)?;
        let statement = accepted.statement(&order.reason);
        let event = match &order.order {
            OrderKind::Revoke(revocations) => {
                LedgerEvent::Revoked { statement, revocations: revocations.clone() }
            }
            OrderKind::Freeze => LedgerEvent::Frozen(statement),
            OrderKind::Unfreeze { seen } => LedgerEvent::Unfrozen { statement, seen: *seen },
            OrderKind::Review(run) => LedgerEvent::Reviewed { statement, run: *run },
            _ => return Err(submitted_elsewhere()),
        };
        let resting = resting(&reader, &event)?;
        Ok::<_, Error>((Order::clone(&accepted.document), about, event, resting))
    })?;
    host.journal.act(&Act::now(about, event)).await?;
    if let OrderKind::Unfreeze { seen } = order.order {
        // Another process may have frozen the host since. The journal keeps that freeze in force.
        blocking(|| check_newest_freeze(&*host.journal.reader()?, seen))?;
    }
    let stopping = blocking(|| stopping(&*host.journal.reader()?, resting))?;
    Ok(Ordered { order, stopping })
}

/// The runs under way whose authority this takes away.
fn resting(reader: &Reader, event: &LedgerEvent) -> Result<Vec<RunId>, Error> {
    let bases: Vec<&Basis> = match event {
        LedgerEvent::Revoked { revocations, .. } => revocations.iter().map(|taken| &taken.basis).collect(),
        LedgerEvent::Frozen(_) => vec![&Basis::Thaw],
        _ => Vec::new(),
    };
    let mut resting = Vec::new();
    for basis in bases {
        resting.extend(reader.resting_on(basis)?);
    }
    Ok(resting)
}

/// The runs that stop: those under way without authority, and those of `rested`, which were under way before their authority was
/// taken away, that stopped so soon that they have come to their end since.
fn stopping(reader: &Reader, rested: Vec<RunId>) -> Result<Vec<RunId>, Error> {
    let mut stopping: BTreeSet<RunId> = reader.stopped()?.into_iter().collect();
    for run in rested {
        // One that succeeded was at its end before the order was on record.
        if !stopping.contains(&run) && reader.summary(run)?.state != Some(RunState::Succeeded) {
            stopping.insert(run);
        }
    }
    Ok(stopping.into_iter().collect())
}

/// Refuses an order to unfreeze that was made before the newest freeze, because its signer did not know of that freeze.
fn check_newest_freeze(reader: &Reader, seen: u64) -> Result<(), Error> {
    let acts = reader.acts(About::Host)?;
    let newest = acts.iter().rev().find(|(_, act)| matches!(act.event, LedgerEvent::Frozen(_)));
    match newest {
        Some((seq, act)) if *seq > seen => {
            let why = format!(
                "the host was frozen again at {}, after it was made, and stays frozen: find out why (`remit status`), then sign a new order",
                act.at
            );
            Err(refused::<Order>(why))
        }
        _ => Ok(()),
    }
}

fn submitted_elsewhere() -> Error {
    let why =
        "it does not revoke, freeze, unfreeze or review: submit it with the command that carries it out";
    refused::<Order>(why)
}

/// Whether the record of an order is about a request or about the host.
fn about(what: &OrderKind) -> About {
    match what {
        OrderKind::Revoke(revocations) => match revocations.as_slice() {
            [Revocation { basis: Basis::Request(id), .. }] => About::Request(*id),
            _ => About::Host,
        },
        _ => About::Host,
    }
}

/// Checks that the order is possible, and that the policies allow it to this principal.
fn check(host: &Host, rules: &Rules, reader: &Reader, by: &Identity, what: &OrderKind) -> Result<(), Error> {
    match what {
        OrderKind::Revoke(revocations) => {
            let refuse = |why: &str| Err(refused::<Order>(why));
            if revocations.is_empty() {
                return refuse("it revokes nothing");
            }
            for revocation in revocations {
                let earlier_only = match revocation.basis {
                    Basis::Principal(_) | Basis::All => true,
                    Basis::Request(_)
                    | Basis::Key(_)
                    | Basis::Identity(_)
                    | Basis::Action(_)
                    | Basis::Connector(_) => false,
                    Basis::Thaw => return refuse("it revokes what cannot be revoked"),
                };
                if revocation.earlier_only != earlier_only {
                    return refuse("its `earlier_only` is not that of such a revocation");
                }
            }
            let request = match about(what) {
                About::Request(id) if reader.acts(About::Request(id))?.is_empty() => {
                    return refuse("it revokes a request that was never made");
                }
                // A request that cannot be read any more, because its requester is no principal now, can still be revoked.
                About::Request(id) => {
                    RequestState::load(reader, rules, id).ok().map(|state| state.policy_request)
                }
                _ => None,
            };
            by.check_allowed(rules, reader, PolicyAction::Revoke, request.as_ref())
        }
        OrderKind::Freeze => by.check_allowed(rules, reader, PolicyAction::Freeze, None),
        OrderKind::Unfreeze { seen } => {
            if *seen > reader.size()? {
                return Err(refused::<Order>("it was made for more records than this journal has"));
            }
            check_newest_freeze(reader, *seen)?;
            by.check_allowed(rules, reader, PolicyAction::Freeze, None)
        }
        OrderKind::Review(run) => check_review(host, rules, reader, by, *run),
        _ => Err(submitted_elsewhere()),
    }
}

fn check_review(host: &Host, rules: &Rules, reader: &Reader, by: &Identity, run: RunId) -> Result<(), Error> {
    let records = genuine(&host.home, reader, run)?;
    let refuse = |why: String| {
        Err(Error::NoSay { who: by.name().to_owned(), what: "review", id: run.to_string(), why })
    };
    let Some((_, Record { event: Event::Started(started), .. })) = records.first() else {
        return refuse("its first record is missing".to_owned());
    };
    let authority = started.grant.as_ref().and_then(|grant| grant.authority.as_ref());
    let Some(authority) = authority.filter(|authority| authority.break_glass) else {
        return refuse("it is no break-glass run".to_owned());
    };
    let state = RequestState::load(reader, rules, authority.request)?;
    for name in [Some(state.request.requester.as_str()), started.started_by.as_deref()].into_iter().flatten()
    {
        if by.name() == name || rules.operator(name) == Some(by.name()) {
            let or = if by.name() == name { "" } else { ", or operates what did" };
            return refuse(format!(
                "{} asked for it or started it{or}: somebody else must review it",
                by.name()
            ));
        }
    }
    by.check_allowed(rules, reader, PolicyAction::Review, Some(&state.policy_request))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
