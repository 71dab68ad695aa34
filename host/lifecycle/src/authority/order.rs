//! What anyone entitled orders: authority is taken away, everything is stopped, a run is reviewed.

use jiff::Timestamp;
use remit_journal::{About, Act, Basis, Event, LedgerEvent, Reader, Record, RequestId, Revocation, RunId};
use remit_policy::PolicyAction;
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, KeyId};

use super::documents::{Order, What};
use super::signed::{Accepted, Prepared, on_record};
use super::{Identity, RequestState, Rules};
use crate::host::blocking;
use crate::{Error, Host};

/// What can be revoked.
#[derive(Clone, Debug)]
pub enum Target {
    /// A request, and with it whatever was granted by its approval.
    Request(RequestId),
    /// A principal: all it asked for or approved so far, and every key it has.
    Principal(String),
    /// A key, by its id.
    Key(String),
    /// An action, by the digest of its component.
    Action(Digest),
    /// All authority that exists now. Later requests are not affected.
    All,
}

impl Target {
    /// The order that takes it away.
    pub fn order(self, rules: &Rules) -> Result<What, Error> {
        Ok(What::Revoke(self.revocations(rules)?))
    }

    fn revocations(self, rules: &Rules) -> Result<Vec<Revocation>, Error> {
        let for_good = |basis| Revocation { basis, earlier_only: false };
        Ok(match self {
            Self::Request(id) => vec![for_good(Basis::Request(id))],
            Self::Principal(name) => {
                let Some(principal) = rules.principals.get(&name) else {
                    let why = format!("there is no principal `{}`", name.escape_debug());
                    return Err(Error::RequestOption { why });
                };
                let keys = principal.keys.iter().map(|held| held.key.id().to_string());
                std::iter::once(Revocation { basis: Basis::Principal(name), earlier_only: true })
                    .chain(keys.map(|id| for_good(Basis::Key(id))))
                    .collect()
            }
            Self::Key(id) => vec![for_good(Basis::Key(id))],
            Self::Action(digest) => vec![for_good(Basis::Action(digest.to_string()))],
            Self::All => vec![Revocation { basis: Basis::All, earlier_only: true }],
        })
    }
}

/// Makes what is signed to take authority away.
pub fn prepare_revoke(
    host: &Host,
    by: &KeyId,
    target: Target,
    reason: &str,
) -> Result<Prepared<Order>, Error> {
    let what = target.order(&*host.rules()?)?;
    prepare(host, by, what, reason)
}

/// Makes what is signed to stop everything, or to let it go on.
pub fn prepare_freeze(host: &Host, by: &KeyId, frozen: bool, reason: &str) -> Result<Prepared<Order>, Error> {
    prepare(host, by, if frozen { What::Freeze } else { What::Unfreeze }, reason)
}

/// Makes the document that is signed to mark a break-glass run as reviewed. Until then its requester cannot start
/// another one.
pub fn prepare_review(host: &Host, by: &KeyId, run: RunId, reason: &str) -> Result<Prepared<Order>, Error> {
    prepare(host, by, What::Review(run), reason)
}

fn prepare(host: &Host, by: &KeyId, what: What, reason: &str) -> Result<Prepared<Order>, Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(by)?;
        allows(host, &rules, &reader, &by, &what)?;
        prepared(&rules, &by, what, reason)
    })
}

/// An order of one whom the policies allow it.
pub(super) fn prepared(
    rules: &Rules,
    by: &Identity,
    what: What,
    reason: &str,
) -> Result<Prepared<Order>, Error> {
    has_reason(reason)?;
    let (log, principal, reason) = (rules.log.clone(), by.name().to_owned(), reason.to_owned());
    Prepared::new(Order { log, principal, at: Timestamp::now(), reason, order: what }, by)
}

pub(super) fn has_reason(reason: &str) -> Result<(), Error> {
    if reason.trim().is_empty() {
        return Err(Error::RequestOption { why: "it has no reason".to_owned() });
    }
    Ok(())
}

/// The effect of an order that was put on record.
#[derive(Debug)]
pub struct Ordered {
    /// The order as it was signed.
    pub order: Order,
    /// The runs that stop at their next call because of it.
    pub stopping: Vec<RunId>,
}

/// Takes a signed order to revoke, freeze, unfreeze or review, after the same checks, and puts it on record. Runs that go on
/// under what was revoked stop at their next call.
pub async fn submit_order(host: &Host, signed: &Envelope) -> Result<Ordered, Error> {
    // An order counts once: until it is on record, no other order is accepted. This holds within this process only,
    // because a freeze must not wait for another process. If the same order is submitted to two processes at once,
    // there are two records, and the second changes nothing.
    let _turn = host.orders.lock().await;
    let (order, about, event) = blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let accepted = Accepted::<Order>::check(&rules, &reader, signed)?;
        let order = &accepted.document;
        has_reason(&order.reason)?;
        allows(host, &rules, &reader, &accepted.by, &order.order)?;
        let about = about(&order.order);
        if order.order == What::Unfreeze {
            lifts_what_it_was_signed_for(&reader, order.at)?;
        }
        accepted.is_new(on_record(&reader, about)?)?;
        let statement = accepted.word(&order.reason);
        let event = match &order.order {
            What::Revoke(revocations) => LedgerEvent::Revoked { statement, revocations: revocations.clone() },
            What::Freeze => LedgerEvent::Frozen(statement),
            What::Unfreeze => LedgerEvent::Unfrozen(statement),
            What::Review(run) => LedgerEvent::Reviewed { statement, run: *run },
            _ => return Err(not_here()),
        };
        Ok((accepted.document, about, event))
    })?;
    host.journal.act(&Act::now(about, event)).await?;
    let stopping = blocking(|| host.journal.reader()?.stopped().map_err(Error::from))?;
    Ok(Ordered { order, stopping })
}

/// Refuses an order to unfreeze that is older than the newest freeze: who signed it did not know of that one.
fn lifts_what_it_was_signed_for(reader: &Reader, signed: Timestamp) -> Result<(), Error> {
    let acts = reader.acts(About::Host)?;
    let newest = acts.iter().rev().find(|(_, act)| matches!(act.event, LedgerEvent::Frozen(_)));
    match newest {
        Some((_, act)) if act.at > signed => {
            let why = format!(
                "everything was frozen again at {}, after it was made: look why (`remit status`), then sign a new one",
                act.at
            );
            Err(Error::NotAccepted { what: "order", why })
        }
        _ => Ok(()),
    }
}

fn not_here() -> Error {
    let why = "it is about a run or this home, and is submitted where that is done".to_owned();
    Error::NotAccepted { what: "order", why }
}

/// What the record of an order is about: its request, or the host.
fn about(what: &What) -> About {
    match what {
        What::Revoke(revocations) => match revocations.as_slice() {
            [Revocation { basis: Basis::Request(id), .. }] => About::Request(*id),
            _ => About::Host,
        },
        _ => About::Host,
    }
}

/// Whether the policies let a principal order that, and it can be.
fn allows(host: &Host, rules: &Rules, reader: &Reader, by: &Identity, what: &What) -> Result<(), Error> {
    match what {
        What::Revoke(revocations) => {
            let refuse = |why: &str| Err(Error::NotAccepted { what: "order", why: why.to_owned() });
            if revocations.is_empty() {
                return refuse("it revokes nothing");
            }
            for revocation in revocations {
                let earlier_only = match revocation.basis {
                    Basis::Principal(_) | Basis::All => true,
                    Basis::Request(_) | Basis::Key(_) | Basis::Action(_) => false,
                    Basis::Thaw => return refuse("it revokes what cannot be revoked"),
                };
                if revocation.earlier_only != earlier_only {
                    return refuse("it revokes for another time than such an order does");
                }
            }
            let matter = match about(what) {
                About::Request(id) if reader.acts(About::Request(id))?.is_empty() => {
                    return refuse("it revokes a request that was never made");
                }
                // A request that cannot be read any more, because its requester is gone, can still be revoked.
                About::Request(id) => RequestState::load(reader, rules, id).ok().map(|case| case.matter),
                About::Host => None,
            };
            by.may(rules, reader, PolicyAction::Revoke, matter.as_ref())
        }
        What::Freeze | What::Unfreeze => by.may(rules, reader, PolicyAction::Freeze, None),
        What::Review(run) => may_review(host, rules, reader, by, *run),
        _ => Err(not_here()),
    }
}

fn may_review(host: &Host, rules: &Rules, reader: &Reader, by: &Identity, run: RunId) -> Result<(), Error> {
    let records = crate::changes::genuine(&host.home, reader, run)?;
    let refuse = |why: String| {
        Err(Error::NoSay { who: by.name().to_owned(), what: "review", id: run.to_string(), why })
    };
    let Some((_, Record { event: Event::Started(started), .. })) = records.first() else {
        return refuse("its first record is missing".to_owned());
    };
    let authority = started.grant.as_ref().and_then(|grant| grant.authority.as_ref());
    let Some(authority) = authority.filter(|authority| authority.break_glass) else {
        return refuse("it did not go without the usual policy".to_owned());
    };
    let case = RequestState::load(reader, rules, authority.request)?;
    if by.name() == started.principal || by.name() == case.request.requester {
        return refuse(format!("{} asked for it: somebody else reviews it", by.name()));
    }
    by.may(rules, reader, PolicyAction::Review, Some(&case.matter))
}
