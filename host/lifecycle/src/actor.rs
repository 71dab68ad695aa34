//! Who acts on a run that is over, or on what this home keeps.

use remit_engine::blocking;
use remit_journal::{Event, Reader, Record, RunId, SignedStatement};
use remit_policy::{PolicyAction, PolicyRequest};
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, KeyId};

use crate::authority::{Accepted, Identity, Order, OrderKind, Prepared, check_reason, digest_of, refused};
use crate::{Error, Home, Host, RequestState, Rules};

/// Who reverts or resolves a run, or gives up undo data or events.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A principal, by its signed order.
    Principal(Box<Envelope>),
    /// The owner of a home that has no administrator. Such a home has no principals, and its runs must still be
    /// revertible.
    Owner,
}

/// The name in the journal of an actor that is no principal.
const OWNER: &str = "the owner of this home";

/// An actor whose order was checked.
pub(crate) struct CheckedActor {
    pub(crate) name: String,
    /// The principal and its signed order; none for an owner.
    principal: Option<(Identity, SignedStatement)>,
}

impl Home {
    /// Whether there can be principals: an administrator is named.
    pub fn has_principals(&self) -> Result<bool, Error> {
        Ok(!self.load()?.trust.admins.is_empty())
    }
}

impl Actor {
    /// Checks the order of a principal: `is_this` must accept it, it must be new, and the policies must allow it. For an
    /// order about a run, policies decide on the request of that run.
    pub(crate) fn check(
        &self,
        host: &Host,
        reader: &Reader,
        run: Option<RunId>,
        action: PolicyAction,
        is_this: impl FnOnce(&OrderKind) -> bool,
    ) -> Result<CheckedActor, Error> {
        let Self::Principal(signed) = self else {
            if host.home.has_principals()? {
                return Err(Error::Identity {
                    why: "no key was given, so the principal that acts is not known".to_owned(),
                    help: "name your key with --key, or in REMIT_KEY",
                });
            }
            return Ok(CheckedActor { name: OWNER.to_owned(), principal: None });
        };
        let rules = host.rules()?;
        let accepted = Accepted::<Order>::check(&rules, reader, signed)?;
        let order = &accepted.document;
        check_reason(&order.reason)?;
        if !is_this(&order.order) {
            return Err(refused::<Order>("it orders something else"));
        }
        if let Some(run) = run {
            accepted.check_new(orders_about(reader, run)?)?;
        }
        let statement = accepted.statement(&order.reason);
        let name = accepted.by.name().to_owned();
        let actor = CheckedActor { name, principal: Some((accepted.by, statement)) };
        match run {
            Some(run) => actor.check_run(host, reader, run, action)?,
            None => actor.check_policies(host, reader, action, |_| Ok(None))?,
        }
        Ok(actor)
    }
}

impl CheckedActor {
    /// The reason in the order; none for an owner.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.statement().map(|statement| &*statement.reason)
    }

    /// Checks that no software acts.
    pub(crate) fn check_is_person(&self, what: &'static str, run: RunId) -> Result<(), Error> {
        self.principal.as_ref().map_or(Ok(()), |(identity, _)| identity.check_is_person(what, run))
    }

    /// The order as it was signed; none for an owner.
    pub(crate) fn statement(&self) -> Option<&SignedStatement> {
        self.principal.as_ref().map(|(_, statement)| statement)
    }

    /// Checks that the policies allow the actor to do this with a run.
    pub(crate) fn check_run(
        &self,
        host: &Host,
        reader: &Reader,
        run: RunId,
        action: PolicyAction,
    ) -> Result<(), Error> {
        self.check_policies(host, reader, action, |rules| policy_request_of_run(reader, rules, run))
    }

    fn check_policies(
        &self,
        host: &Host,
        reader: &Reader,
        action: PolicyAction,
        request: impl FnOnce(&Rules) -> Result<Option<PolicyRequest>, Error>,
    ) -> Result<(), Error> {
        let Some((identity, _)) = &self.principal else { return Ok(()) };
        let rules = host.rules()?;
        identity.check_allowed(&rules, reader, action, request(&rules)?.as_ref())
    }
}

/// Makes an order about a run, or about this home, for its signature, if the policies allow it.
pub(crate) fn prepare_order(
    host: &Host,
    by: &KeyId,
    run: Option<RunId>,
    (action, what): (PolicyAction, OrderKind),
    reason: &str,
) -> Result<Prepared<Order>, Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(&reader, by)?;
        let request = run.map(|run| policy_request_of_run(&reader, &rules, run)).transpose()?.flatten();
        by.check_allowed(&rules, &reader, action, request.as_ref())?;
        Prepared::order(&rules, &by, what, reason)
    })
}

/// The digest of each order in the journal about a run.
fn orders_about(reader: &Reader, run: RunId) -> Result<Vec<Digest>, Error> {
    let records = reader.run(&run)?;
    let orders = records.iter().filter_map(|(_, record)| match &record.event {
        Event::Phase(entered) => digest_of(entered.order.as_ref()?),
        Event::Extended(extended) => digest_of(extended.order.as_ref()?),
        _ => None,
    });
    Ok(orders.collect())
}

/// The policy request of the request of a run. None if the journal has no such request or it cannot be read any more,
/// which must not prevent a revert.
fn policy_request_of_run(reader: &Reader, rules: &Rules, run: RunId) -> Result<Option<PolicyRequest>, Error> {
    let records = reader.run(&run)?;
    let Some((_, Record { event: Event::Started(started), .. })) = records.first() else { return Ok(None) };
    let Some(authority) = started.grant.as_ref().and_then(|grant| grant.authority.as_ref()) else {
        return Ok(None);
    };
    Ok(RequestState::load(reader, rules, authority.request).ok().map(|state| state.policy_request))
}
