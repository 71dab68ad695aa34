//! Who acts on a run that is over, or on what this home keeps.

use remit_journal::{Event, Reader, Record, RunId, SignedStatement};
use remit_policy::{PolicyAction, PolicyRequest};
use remit_trust::KeyId;
use remit_trust::dsse::Envelope;

use super::documents::{Order, What};
use super::order::{has_reason, prepared};
use super::signed::{Accepted, Prepared, digest_of};
use super::{RequestState, Rules};
use crate::host::blocking;
use crate::{Error, Home, Host};

/// The one who reverts or resolves a run, or gives up undo data or events.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A principal, by its signed order.
    Principal(Box<Envelope>),
    /// The owner of a home that has no administrator. Such a home has no principals, and its runs must still be
    /// revertible.
    Owner,
}

/// The name on record of one who acts without being a principal.
const OWNER: &str = "the owner of this home";

/// The one who acts, after every check.
pub(crate) struct Said {
    pub(crate) name: String,
    /// The order as signed; none of an owner.
    pub(crate) statement: Option<SignedStatement>,
}

impl Home {
    /// Whether there can be principals: an administrator is named.
    pub fn has_principals(&self) -> Result<bool, Error> {
        Ok(!self.load()?.trust.admins.is_empty())
    }
}

impl Actor {
    /// Returns who acts. A principal's order must be exactly this one, must be new, and must be allowed by the
    /// policies. For an order about a run, the policies are given the request behind the run.
    pub(crate) fn orders(
        &self,
        host: &Host,
        reader: &Reader,
        run: Option<RunId>,
        (verb, what): (PolicyAction, impl FnOnce(&What) -> bool),
    ) -> Result<Said, Error> {
        let Self::Principal(signed) = self else {
            if host.home.has_principals()? {
                return Err(Error::Identity {
                    why: "no key was given, so that nobody knows who acts".to_owned(),
                    help: "name yours with --key, or in REMIT_KEY",
                });
            }
            return Ok(Said { name: OWNER.to_owned(), statement: None });
        };
        let rules = host.rules()?;
        let accepted = Accepted::<Order>::check(&rules, reader, signed)?;
        let order = &accepted.document;
        has_reason(&order.reason)?;
        if !what(&order.order) {
            let why = "it orders something else".to_owned();
            return Err(Error::NotAccepted { what: "order", why });
        }
        let matter = match run {
            Some(run) => {
                accepted.is_new(orders_about(reader, run)?)?;
                matter_of(reader, &rules, run)?
            }
            None => None,
        };
        accepted.by.may(&rules, reader, verb, matter.as_ref())?;
        let statement = accepted.word(&order.reason);
        Ok(Said { name: accepted.by.name().to_owned(), statement: Some(statement) })
    }

    /// Whether the policies allow it for a run, too.
    pub(crate) fn may(
        &self,
        host: &Host,
        reader: &Reader,
        run: RunId,
        verb: PolicyAction,
    ) -> Result<(), Error> {
        let Self::Principal(signed) = self else { return Ok(()) };
        let rules = host.rules()?;
        let by = Accepted::<Order>::check(&rules, reader, signed)?.by;
        by.may(&rules, reader, verb, matter_of(reader, &rules, run)?.as_ref())
    }
}

impl Said {
    /// Why, in its words; none of an owner.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.statement.as_ref().map(|statement| &*statement.reason)
    }
}

/// Makes what is signed to order something of a run, or of this home, if the policies allow it.
pub(crate) fn prepare_order(
    host: &Host,
    by: &KeyId,
    run: Option<RunId>,
    (verb, what): (PolicyAction, What),
    reason: &str,
) -> Result<Prepared<Order>, Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(by)?;
        let matter = run.map(|run| matter_of(&reader, &rules, run)).transpose()?.flatten();
        by.may(&rules, &reader, verb, matter.as_ref())?;
        prepared(&rules, &by, what, reason)
    })
}

/// The digest of each order that is on record about a run.
fn orders_about(reader: &Reader, run: RunId) -> Result<Vec<remit_trust::Digest>, Error> {
    let records = reader.run(&run)?;
    let orders = records.iter().filter_map(|(_, record)| match &record.event {
        Event::Phase(entered) => digest_of(entered.order.as_ref()?),
        _ => None,
    });
    Ok(orders.collect())
}

/// What policies are given of the request behind a run. None if the journal has no such request or it cannot be read
/// any more, which must not prevent a revert.
fn matter_of(reader: &Reader, rules: &Rules, run: RunId) -> Result<Option<PolicyRequest>, Error> {
    let records = reader.run(&run)?;
    let Some((_, Record { event: Event::Started(started), .. })) = records.first() else { return Ok(None) };
    let Some(authority) = started.grant.as_ref().and_then(|grant| grant.authority.as_ref()) else {
        return Ok(None);
    };
    match RequestState::load(reader, rules, authority.request) {
        Ok(case) => Ok(Some(case.matter)),
        Err(_) => Ok(None),
    }
}
