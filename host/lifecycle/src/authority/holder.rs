//! Who holds a key: the principal to whom `principals.toml` gives it, or the one for whom this host certified it.

use std::sync::Arc;

use jiff::Timestamp;
use remit_journal::{About, Certificate, Certified, LedgerEvent, Reader};
use remit_policy::Subject;
use remit_tlog::NoteVerifier;
use remit_trust::issuers::{Accepts, Issuer, Proof, TokenIdentity};
use remit_trust::principals::{Principal, PrincipalKey, Principals};
use remit_trust::{KeyId, VerifyingKey};
use serde_json::{Map, Value};

use super::rules::subject;
use super::{JITTER, Rules};
use crate::Error;

/// A certificate on record, with a signature of this host that holds.
#[derive(Clone, Debug)]
pub(crate) struct OnRecord {
    pub(crate) certificate: Certificate,
    pub(crate) key: VerifyingKey,
    /// The sequence number of its record.
    pub(crate) seq: u64,
}

/// Whose a key is.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// The name of the principal.
    pub(crate) principal: String,
    /// How its holder proves to be the principal.
    pub(crate) proof: Proof,
    /// Whether that is a passkey that never leaves its device.
    pub(crate) device_bound: bool,
    /// The certificate; none for a key that `principals.toml` names.
    pub(crate) certified: Option<Arc<OnRecord>>,
}

impl Holder {
    /// The principal whose key it is, as policies see it.
    pub(crate) fn subject(&self, principals: &Principals, principal: &Principal) -> Subject {
        Subject { proof: self.proof, device_bound: self.device_bound, ..subject(principals, principal) }
    }

    /// Whether a record with that number and time, signed with the key, is the principal's. What a certified key signs counts
    /// between its certificate and that one's end, and remains then; a key of `principals.toml` has no such bounds.
    pub(crate) fn signed(&self, seq: u64, at: Timestamp) -> bool {
        // A document is put on record shortly after it was accepted.
        let accepted = at.saturating_sub(JITTER).unwrap_or(at);
        self.certified.as_ref().is_none_or(|held| {
            held.seq < seq && held.certificate.from <= at && accepted < held.certificate.until
        })
    }
}

impl Rules {
    /// Whose a key is, whether or not it counts now. None if it is nobody's.
    pub(crate) fn holder(&self, reader: &Reader, key: &KeyId) -> Result<Option<Holder>, Error> {
        if let Some(principal) = self.principals.holder(key) {
            let held = self.principals.key(key);
            return Ok(Some(Holder {
                principal: principal.name.clone(),
                proof: held.map_or(Proof::Key, PrincipalKey::proof),
                device_bound: held.is_some_and(|held| held.device_bound),
                certified: None,
            }));
        }
        Ok(self.certificate(reader, key)?.map(|held| Holder {
            principal: held.certificate.principal.clone(),
            proof: held.certificate.proof,
            device_bound: false,
            certified: Some(held),
        }))
    }

    /// Whether a key is that of the principal with this name.
    pub(crate) fn is_key_of(&self, reader: &Reader, key: &KeyId, name: &str) -> Result<bool, Error> {
        Ok(self.holder(reader, key)?.is_some_and(|holder| holder.principal == name))
    }

    /// The certificate of a key. One that somebody put into the journal's file does not bear this host's signature.
    pub(super) fn certificate(&self, reader: &Reader, key: &KeyId) -> Result<Option<Arc<OnRecord>>, Error> {
        if let Some(held) = self.verified.certificate(key) {
            return Ok(Some(held));
        }
        for (seq, act) in reader.acts(About::key(key))? {
            let LedgerEvent::Certified(certified) = act.event else { continue };
            let found = check(*certified, seq, &self.log_key);
            if let Some(held) = found.filter(|held| held.key.id() == *key) {
                let held = Arc::new(held);
                self.verified.keep_certificate(key, &held);
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    /// Whether the rules in force still say that what a certificate rests on is its principal's.
    pub(super) fn still_proves(&self, certificate: &Certificate, principal: &Principal) -> bool {
        let accepts = if certificate.proof == Proof::Token { Accepts::Bearer } else { Accepts::Exchange };
        let claim = |value| serde_json::to_value(value).unwrap_or_default();
        let claims: Map<String, Value> =
            certificate.claims.iter().map(|(name, value)| (name.clone(), claim(value))).collect();
        self.principals.issuer(&certificate.issuer, accepts).is_some_and(|issuer| {
            let by = |identity: &&TokenIdentity| identity.issuer == issuer.name;
            principal.identities.iter().filter(by).any(|identity| identity.matches(&claims))
        })
    }

    /// The principal that a token of this issuer is for, and the identity that says so.
    pub(crate) fn principal_of(
        &self,
        issuer: &Issuer,
        claims: &Map<String, Value>,
    ) -> Result<Option<(&Principal, &TokenIdentity)>, String> {
        let mut all = self.principals.iter().flat_map(|principal| {
            let by = |identity: &&TokenIdentity| identity.issuer == issuer.name && identity.matches(claims);
            principal.identities.iter().filter(by).map(move |identity| (principal, identity))
        });
        let Some(first) = all.next() else { return Ok(None) };
        match all.find(|(principal, _)| principal.name != first.0.name) {
            None => Ok(Some(first)),
            Some((other, _)) => Err(format!("it is for {} as well as for {}", first.0.name, other.name)),
        }
    }
}

/// A certificate, if it is for the log with this key and signed by it.
fn check(certified: Certified, seq: u64, log: &NoteVerifier) -> Option<OnRecord> {
    let Certified { certificate, signature } = certified;
    let text = certificate.to_sign().ok()?;
    let note = format!("{text}\n{signature}");
    let is_signed =
        log.verify_text(&note).is_ok_and(|signed| signed == text) && certificate.log == log.name();
    let key = VerifyingKey::from_text(&certificate.key, "a certified key").ok()?;
    is_signed.then_some(OnRecord { certificate, key, seq })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
