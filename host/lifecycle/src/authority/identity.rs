//! A principal that is known by a key: whether the key is valid, and what the policies allow the principal to order.

use std::sync::Arc;

use jiff::Timestamp;
use remit_journal::{Basis, Reader, RestsOn, RunId};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use remit_trust::KeyId;
use remit_trust::principals::{Principal, PrincipalKind};

use super::Rules;
use super::holder::OnRecord;
use super::rules::subject;
use crate::Error;

/// A principal that is identified by a key, valid now. Holds no private key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The principal that the key belongs to.
    pub principal: Principal,
    /// The id of the key that identified it.
    pub key: KeyId,
    who: Subject,
    /// The certificate of the key; none for one that `principals.toml` names.
    certified: Option<Arc<OnRecord>>,
    /// What ends if the identity is revoked by which the key was certified; none for one that `principals.toml` names.
    basis: Option<Basis>,
}

impl Identity {
    /// The principal as the subject of a policy request.
    #[must_use]
    pub fn who(&self) -> Subject {
        self.who.clone()
    }

    /// The principal's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.principal.name
    }

    /// Until when the key counts, if this host certified it.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        Some(self.certified.as_ref()?.certificate.until)
    }

    /// Checks that neither the principal nor its key was revoked.
    pub(crate) fn stands(&self, reader: &Reader) -> Result<(), Error> {
        let now = reader.size()?;
        // The revocation of a principal ends what it did before, and so what was certified before; the revocation of a key is
        // for ever.
        let since = self.certified.as_ref().map_or(now, |held| held.seq);
        let key = RestsOn { basis: Basis::Key(self.key.to_string()), since: now };
        let principal = RestsOn { basis: Basis::Principal(self.name().to_owned()), since };
        let identity = self.basis.iter().map(|basis| RestsOn { basis: basis.clone(), since: now });
        let rests_on: Vec<_> = [key, principal].into_iter().chain(identity).collect();
        match reader.struck(&rests_on)? {
            None => Ok(()),
            Some(revoked) => Err(Error::Identity {
                why: revoked.to_string(),
                help: "if the principal may go on, an administrator gives it a new key or identity in principals.toml",
            }),
        }
    }

    /// Checks that it is a person.
    pub(crate) fn check_is_person(&self, what: &'static str, run: RunId) -> Result<(), Error> {
        if self.principal.kind == PrincipalKind::Human {
            return Ok(());
        }
        let why = "it is software: only a person can do so".to_owned();
        Err(Error::NoSay { who: self.name().to_owned(), what, id: run.to_string(), why })
    }

    /// Checks that the principal was not revoked, and that the policies allow it to order this.
    pub(crate) fn check_allowed(
        &self,
        rules: &Rules,
        reader: &Reader,
        action: PolicyAction,
        request: Option<&PolicyRequest>,
    ) -> Result<(), Error> {
        self.stands(reader)?;
        check_allowed(rules, &self.who(), action, request)
    }
}

/// The id of no key: no digest is all zeros.
const NOBODYS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Rules {
    /// Identifies the principal that holds a key, if the key is valid now.
    pub fn identify(&self, reader: &Reader, key: &KeyId) -> Result<Identity, Error> {
        let refuse = |why: String, help| Err(Error::Identity { why, help });
        let holder = self.holder(reader, key)?;
        let known = holder.and_then(|holder| Some((self.principals.get(&holder.principal)?, holder)));
        let Some((principal, holder)) = known else {
            return refuse(
                format!("the key {} belongs to no principal", key.short()),
                "`remit principals` lists them; an administrator adds one to principals.toml",
            );
        };
        if let Some(held) = &holder.certified {
            let now = reader.now()?;
            if !held.certificate.covers(now) {
                return refuse(
                    format!(
                        "the key {} was {}'s until {} only",
                        key.short(),
                        principal.name,
                        held.certificate.until
                    ),
                    "make a new key, and exchange a new token for it",
                );
            }
            if !self.still_proves(&held.certificate, principal) {
                return refuse(
                    format!(
                        "the token that the key {} was certified for is not one of {} any more: the rules were changed since",
                        key.short(),
                        principal.name
                    ),
                    "`remit principals` lists the identities that count; an administrator changes them in principals.toml",
                );
            }
        } else if !self.principals.in_force(key, Timestamp::now()) {
            return refuse(
                format!("the key {} of {} is not in force now", key.short(), principal.name),
                "use a key that is in force (`from`, `until` in principals.toml)",
            );
        }
        let who = holder.subject(&self.principals, principal);
        let basis = holder.certified.as_ref().map(|held| held.certificate.identity());
        let (principal, key) = (principal.clone(), key.clone());
        Ok(Identity { principal, key, who, certified: holder.certified, basis })
    }

    /// Everything that a principal could prove its identity with now, to tell what it could do then: its keys that count, and its
    /// identities, each with a key that nobody has.
    pub(crate) fn possible<'a>(
        &'a self,
        reader: &'a Reader,
        principal: &'a Principal,
    ) -> impl Iterator<Item = Identity> + 'a {
        let keys = principal.keys.iter().filter_map(|held| self.identify(reader, &held.key.id()).ok());
        let identities = principal.identities.iter().filter_map(|identity| {
            let issuer = self.principals.issuers().iter().find(|issuer| issuer.name == identity.issuer)?;
            Some(Identity {
                principal: principal.clone(),
                key: NOBODYS.parse().ok()?,
                who: Subject { proof: issuer.accepts.proof(), ..subject(&self.principals, principal) },
                certified: None,
                basis: Some(Basis::identity(&principal.name, &issuer.url, &identity.claims)),
            })
        });
        keys.chain(identities)
    }
}

/// Checks that the policies allow a principal to order this.
pub(crate) fn check_allowed(
    rules: &Rules,
    who: &Subject,
    action: PolicyAction,
    request: Option<&PolicyRequest>,
) -> Result<(), Error> {
    let verdict = rules.policies.may(who, action, request, Timestamp::now(), &[]);
    if verdict.allowed {
        return Ok(());
    }
    let what = match action {
        PolicyAction::Revoke => "revoke this",
        PolicyAction::Freeze => "freeze or unfreeze",
        PolicyAction::Revert => "revert this",
        PolicyAction::Resolve => "resolve this",
        PolicyAction::Review => "review this",
        PolicyAction::Rehearse | PolicyAction::Propose | PolicyAction::Approve | PolicyAction::Trigger => {
            "do this"
        }
    };
    Err(Error::Forbidden { who: who.name.clone(), what, why: verdict.words() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
