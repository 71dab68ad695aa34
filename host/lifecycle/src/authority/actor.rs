//! Who acts on a run that is over.

use remit_journal::{Event, Reader, Record, RunId, SignedStatement};
use remit_policy::{PolicyAction, PolicyRequest};

use super::{Case, Identity, Rules, What};
use crate::{Error, Home, host};

/// Whoever reverts or resolves a run, or gives up what would be needed for that.
#[derive(Debug)]
pub enum Actor {
    /// A principal, if the rules allow it.
    Principal(Box<(Rules, Identity)>),
    /// The user of this machine, in a home that has no rules: one of an older version.
    Local,
}

impl Home {
    /// Who acts: the holder of the key, in a home that has rules. In one that names no administrator nobody can be
    /// a principal, and what it holds must still be revertible.
    pub fn actor(&self, key: Option<remit_trust::Signer>) -> Result<Actor, Error> {
        if self.load()?.trust.admins.is_empty() {
            return Ok(Actor::Local);
        }
        let rules = self.rules()?;
        let Some(key) = key else {
            return Err(Error::Identity {
                why: "no key was given, so that nobody knows who acts".to_owned(),
                help: "name yours with --key, or in REMIT_KEY",
            });
        };
        let identity = rules.identify(key)?;
        Ok(Actor::Principal(Box::new((rules, identity))))
    }
}

impl Actor {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Principal(principal) => principal.1.name().to_owned(),
            Self::Local => host::principal(),
        }
    }

    /// The signed order to do that to a run, if the policies allow it.
    pub(crate) fn order(
        &self,
        reader: &Reader,
        run: RunId,
        (verb, what): (PolicyAction, What),
        reason: &str,
    ) -> Result<Option<SignedStatement>, Error> {
        let Self::Principal(principal) = self else { return Ok(None) };
        let (rules, identity) = &**principal;
        let matter = matter_of(reader, rules, run)?;
        identity.order(rules, reader, (verb, what), matter.as_ref(), reason).map(Some)
    }
}

impl Actor {
    /// Whether the policies allow it for a run.
    pub(crate) fn may(&self, reader: &Reader, run: RunId, verb: PolicyAction) -> Result<(), Error> {
        let Self::Principal(principal) = self else { return Ok(()) };
        let (rules, identity) = &**principal;
        identity.may(rules, reader, verb, matter_of(reader, rules, run)?.as_ref())
    }

    /// The signed order to do that to this home, if the policies allow it.
    pub(crate) fn order_here(
        &self,
        reader: &Reader,
        (verb, what): (PolicyAction, What),
        reason: &str,
    ) -> Result<Option<SignedStatement>, Error> {
        let Self::Principal(principal) = self else { return Ok(None) };
        let (rules, identity) = &**principal;
        identity.order(rules, reader, (verb, what), None, reason).map(Some)
    }
}

/// What policies are told of the request behind a run; nothing of a run that has none on record, or one that cannot
/// be read any more: that must not keep anyone from taking it back.
fn matter_of(reader: &Reader, rules: &Rules, run: RunId) -> Result<Option<PolicyRequest>, Error> {
    let records = reader.run(&run)?;
    let Some((_, Record { event: Event::Started(started), .. })) = records.first() else { return Ok(None) };
    let Some(authority) = started.grant.as_ref().and_then(|grant| grant.authority.as_ref()) else {
        return Ok(None);
    };
    match Case::load(reader, rules, authority.request) {
        Ok(case) => Ok(Some(case.matter)),
        Err(_) => Ok(None),
    }
}
