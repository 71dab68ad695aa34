//! Grants: the only source of authority.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use remit_gate::{Plan, Scope};
use remit_journal::{ActionRef, Event, GrantRef, Proven, Record};
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, KeyId, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Error, Input};

/// The DSSE payload type of a grant.
pub const GRANT_TYPE: &str = "application/vnd.remit.grant.v1+json";

/// What an operator allows, and to what exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The action, by the digest of its bytes.
    pub action: ActionRef,
    /// Of the input's canonical form.
    pub input: Digest,
    /// What the action may touch.
    pub scope: Scope,
    /// The approved plan; only its changes are admitted. Without one, any change inside the scope.
    pub plan: Option<Plan>,
    /// Why.
    pub reason: String,
    /// From when on it may be used.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// How many runs it allows.
    pub uses: u32,
    /// Makes two otherwise equal grants different, so that their uses are counted apart. 64 hex digits.
    pub nonce: Digest,
}

/// What a grant is made from.
#[derive(Clone, Debug)]
pub struct GrantRequest {
    /// The action.
    pub action: ActionRef,
    /// Of the input.
    pub input: Digest,
    /// What it may touch.
    pub scope: Scope,
    /// The approved plan.
    pub plan: Option<Plan>,
    /// Why.
    pub reason: String,
    /// For how long from now.
    pub ttl: SignedDuration,
    /// How many runs.
    pub uses: u32,
}

/// The longest a grant may live.
const MAX_TTL: SignedDuration = SignedDuration::from_hours(24);

impl Grant {
    /// Makes a grant that starts now.
    pub fn new(request: GrantRequest) -> Result<Self, Error> {
        let refuse = |why: String| Error::GrantOption { why };
        if request.ttl <= SignedDuration::ZERO || request.ttl > MAX_TTL {
            return Err(refuse("its validity must be over 0 and at most 24h".to_owned()));
        }
        if request.uses == 0 {
            return Err(refuse("it would allow no run at all (uses = 0)".to_owned()));
        }
        if request.reason.trim().is_empty() {
            return Err(refuse("it has no reason".to_owned()));
        }
        let now = Timestamp::now();
        Ok(Self {
            action: request.action,
            input: request.input,
            scope: request.scope,
            plan: request.plan,
            reason: request.reason,
            not_before: now,
            not_after: now.saturating_add(request.ttl).unwrap_or(now),
            uses: request.uses,
            nonce: Digest::from(remit_trust::random()?),
        })
    }

    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope, Error> {
        Ok(Envelope::sign(GRANT_TYPE, &remit_trust::canonical(self)?, key)?)
    }

    /// Whether it allows this run, now. Uses are counted by the journal, at the start.
    pub(crate) fn check(&self, action: Digest, input: &Input, now: Timestamp) -> Result<(), Error> {
        let refuse = |why: String, help| Err(Error::Grant { why, help });
        if self.action.digest != action {
            return refuse(
                format!(
                    "it is for {} {} ({}), this component is {action}",
                    self.action.name, self.action.version, self.action.digest
                ),
                "the component is not the one that was granted: inspect it, and distrust its source if it should not have changed",
            );
        }
        if self.input != input.digest() {
            return refuse(
                format!("it is for the input {}, this one is {}", self.input, input.digest()),
                "run with exactly the granted input, or plan and grant this one",
            );
        }
        if now < self.not_before {
            return refuse(
                format!("it is not valid before {}", self.not_before),
                "wait, or check this machine's clock",
            );
        }
        if now >= self.not_after {
            return refuse(
                format!("it expired at {}", self.not_after),
                "plan again and ask for a new grant (`remit grant`)",
            );
        }
        Ok(())
    }
}

/// A grant whose signature holds.
#[derive(Clone, Debug)]
pub struct SignedGrant {
    /// What was signed.
    pub grant: Grant,
    /// Of what was signed: the grant's name in the journal.
    pub digest: Digest,
    /// The operators who signed it.
    pub signers: Vec<KeyId>,
    /// What the journal keeps, signatures and all.
    pub(crate) envelope: Box<RawValue>,
}

impl SignedGrant {
    /// Reads a grant file and checks it against the trusted operators. Only what was signed is parsed.
    pub fn load(path: &Path, operators: &[VerifyingKey]) -> Result<Self, Error> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, &error))?;
        let malformed = |text: &str, error: &serde_json::Error| Error::Document {
            file: file.clone(),
            wanted: "a grant",
            why: crate::input::with_caret(text, error),
            help: "pass the file that `remit grant --out` wrote, unchanged".to_owned(),
        };
        let envelope: Envelope = serde_json::from_str(&text).map_err(|error| malformed(&text, &error))?;
        let verified = envelope
            .verify(GRANT_TYPE, operators)
            .map_err(|source| Error::GrantSignature { file: file.clone(), source })?;
        let grant = serde_json::from_slice(&verified.payload)
            .map_err(|error| malformed(&String::from_utf8_lossy(&verified.payload), &error))?;
        let envelope = serde_json::value::to_raw_value(&envelope)?;
        Ok(Self { grant, digest: Digest::of(&verified.payload), signers: verified.signers, envelope })
    }
}

/// Checks that a proven run acted under a grant that the holder of `operator` signed, and within it: this action,
/// this input, this scope, at this time.
pub fn check_authority(proven: &Proven, operator: &Path) -> Result<(), Error> {
    let refuse = |why: &str| {
        Err(Error::Grant {
            why: why.to_owned(),
            help: "the proof does not show that this operator allowed the run: ask for the key of the one who did",
        })
    };
    let Proven::Run { records, .. } = proven else {
        return refuse("this is not the proof of a run");
    };
    let Some((_, Record { event: Event::Started(started), at, .. })) = records.first() else {
        return refuse("its first record is missing");
    };
    let Some(GrantRef { digest, signed: Some(signed), .. }) = &started.grant else {
        return refuse("the run has no grant on record");
    };
    let envelope: Envelope = serde_json::from_str(signed.envelope.get())?;
    let key = VerifyingKey::load(operator)?;
    let verified = envelope
        .verify(GRANT_TYPE, &[key])
        .map_err(|source| Error::GrantSignature { file: "on record".to_owned(), source })?;
    let grant: Grant = serde_json::from_slice(&verified.payload)?;
    let same = Digest::of(&verified.payload) == *digest
        && grant.action.digest == started.action.digest
        && grant.input == started.input_digest
        && grant.scope.digest()? == started.scope_digest
        && (grant.not_before, grant.not_after) == (signed.not_before, signed.not_after)
        && (grant.not_before..grant.not_after).contains(at);
    if same { Ok(()) } else { refuse("the run is not what the grant on record allows") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The one moment a test cannot wait for: before the window opens.
    #[test]
    fn a_grant_holds_from_its_first_to_its_last_moment() {
        let input = Input::parse("{}", "input").unwrap();
        let action = ActionRef { digest: Digest::of(b"a"), name: "a".to_owned(), version: "1".to_owned() };
        let digest = action.digest;
        let grant = Grant::new(GrantRequest {
            action,
            input: input.digest(),
            scope: Scope::parse("", "scope").unwrap(),
            plan: None,
            reason: "a test".to_owned(),
            ttl: SignedDuration::from_mins(15),
            uses: 1,
        })
        .unwrap();
        let second = SignedDuration::from_secs(1);
        let at = |now: Timestamp| grant.check(digest, &input, now).map_err(|error| error.to_string());
        at(grant.not_before).unwrap();
        at(grant.not_after - second).unwrap();
        assert!(at(grant.not_before - second).unwrap_err().contains("not valid before"));
        assert!(at(grant.not_after).unwrap_err().contains("expired"));
    }
}
