//! A principal that is known by its key: whether it still is one, and what the policies let it order.

use jiff::Timestamp;
use remit_journal::{Basis, Reader, RestsOn};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use remit_trust::KeyId;
use remit_trust::principals::Principal;

use super::Rules;
use super::rules::who;
use crate::Error;

/// A principal that is identified by one of its own keys, valid now. Holds no private key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The principal that the key belongs to.
    pub principal: Principal,
    /// The id of the key that identified it.
    pub key: KeyId,
}

impl Identity {
    /// The principal as the subject of a policy request.
    #[must_use]
    pub fn who(&self) -> Subject {
        who(&self.principal)
    }

    /// The principal's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.principal.name
    }

    /// Checks that neither the principal nor its key was revoked.
    pub(crate) fn stands(&self, reader: &Reader) -> Result<(), Error> {
        let since = reader.size()?;
        // A name can come back under a new key; a key never.
        let bases = [Basis::Key(self.key.to_string()), Basis::Principal(self.name().to_owned())];
        let rests_on: Vec<_> = bases.into_iter().map(|basis| RestsOn { basis, since }).collect();
        match reader.struck(&rests_on)? {
            None => Ok(()),
            Some(withdrawn) => Err(Error::Identity {
                why: withdrawn.to_string(),
                help: "an administrator gives the principal a new key, if it may go on",
            }),
        }
    }

    /// Whether the policies let it order that.
    pub(crate) fn may(
        &self,
        rules: &Rules,
        reader: &Reader,
        verb: PolicyAction,
        matter: Option<&PolicyRequest>,
    ) -> Result<(), Error> {
        self.stands(reader)?;
        may_order(rules, &self.who(), verb, matter)
    }
}

impl Rules {
    /// Identifies the principal that holds a key, if the key is valid now.
    pub fn identify(&self, key: &KeyId) -> Result<Identity, Error> {
        let refuse = |why: String, help| Err(Error::Identity { why, help });
        let Some(principal) = self.principals.holder(key) else {
            return refuse(
                format!("the key {} belongs to no principal", key.short()),
                "`remit principals` lists them; an administrator adds one to principals.toml",
            );
        };
        if !self.principals.in_force(key, Timestamp::now()) {
            return refuse(
                format!("the key {} of {} does not count now", key.short(), principal.name),
                "use a key that is in force (`from`, `until` in principals.toml)",
            );
        }
        Ok(Identity { principal: principal.clone(), key: key.clone() })
    }
}

/// Whether the policies let a principal order that.
pub(super) fn may_order(
    rules: &Rules,
    who: &Subject,
    verb: PolicyAction,
    matter: Option<&PolicyRequest>,
) -> Result<(), Error> {
    let verdict = rules.policies.may(who, verb, matter, Timestamp::now(), &[]);
    if verdict.allowed {
        return Ok(());
    }
    let what = match verb {
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
