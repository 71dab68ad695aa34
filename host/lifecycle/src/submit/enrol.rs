//! Enrolment of passkeys: a new key signs whose it says it is. That gives it no power; an administrator puts it into the rules.

use jiff::{SignedDuration, Timestamp};
use remit_trust::dsse::{Envelope, pae};
use remit_trust::{Passkeys, VerifyingKey, canonical};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::authority::{JITTER, refused_named};

/// What a new passkey signs: whose it says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The name of the journal that it is for.
    pub log: String,
    /// The name of the principal whose key it is to be. Nobody has checked it.
    pub principal: String,
    /// The public key, as a line of OpenSSH.
    pub key: String,
    /// When it was made.
    pub at: Timestamp,
}

/// An enrolment whose key signed it.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// What it says.
    pub enrolment: Enrolment,
    /// The new key.
    pub key: VerifyingKey,
}

impl Enrolment {
    /// The payload type of its DSSE envelope.
    pub const TYPE: &'static str = "application/vnd.remit.enrolment.v1+json";
    const NAME: &'static str = "enrolment";
    /// How long after its creation an administrator may put it in force.
    const GOOD_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
    /// How long a name may be.
    const LONGEST: usize = 64;

    /// The enrolment of a public key in SPKI (DER) as the passkey of a principal, in canonical JSON (RFC 8785).
    pub fn prepare(log: &str, principal: &str, spki: &[u8], passkeys: &Passkeys) -> Result<Vec<u8>, Error> {
        let refuse = |why: &str| Err(refused_named(Self::NAME, why));
        let name = principal.trim();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        if name.is_empty() || name.len() > Self::LONGEST || !name.chars().all(plain) {
            return refuse("it needs the name of a principal, as principals.toml has it or will have it");
        }
        let comment = format!("{name} (passkey)");
        let Some(key) = VerifyingKey::of_passkey(spki, &passkeys.rp, &comment) else {
            return refuse("its key is none for ECDSA P-256 (ES256): use another device or browser");
        };
        let enrolment = Self {
            log: log.to_owned(),
            principal: name.to_owned(),
            key: key.to_text().trim_end().to_owned(),
            at: Timestamp::now(),
        };
        Ok(canonical(&enrolment)?)
    }

    /// The bytes that the key signs for this payload.
    #[must_use]
    pub fn to_sign(payload: &[u8]) -> Vec<u8> {
        pae(Self::TYPE, payload)
    }

    /// The key that a payload is about. Nothing else is checked.
    pub fn claimed(payload: &[u8]) -> Result<VerifyingKey, Error> {
        let claimed: Self =
            serde_json::from_slice(payload).map_err(|error| refused_named(Self::NAME, error.to_string()))?;
        Ok(VerifyingKey::from_text(&claimed.key, "the key of the enrolment")?)
    }

    /// Checks that the key that it is about signed it, for this journal, on a page where passkeys sign.
    pub fn check(signed: &Envelope, log: &str, passkeys: &Passkeys) -> Result<Enrolled, Error> {
        let refuse = |why: String| Err(refused_named(Self::NAME, why));
        let (payload, _) = signed.claimed()?;
        let key = Self::claimed(&payload)?;
        if key.passkey_of() != Some(passkeys.rp.as_str()) {
            return refuse(format!("its key is no passkey for {}", passkeys.rp));
        }
        let key = key.on_pages_of(passkeys);
        let verified = signed.verify(Self::TYPE, std::slice::from_ref(&key))?;
        let enrolment: Self = serde_json::from_slice(&verified.payload)?;
        if canonical(&enrolment)? != verified.payload {
            return refuse("it is not canonical JSON (RFC 8785)".to_owned());
        }
        if enrolment.log != log {
            return refuse(format!(
                "it is for the journal {}, and this one is {log}",
                enrolment.log.escape_debug()
            ));
        }
        let age = Timestamp::now().duration_since(enrolment.at);
        if age > Self::GOOD_FOR || age < -JITTER {
            return refuse(format!(
                "it was made at {}, and an enrolment is good for a week: make another one",
                enrolment.at
            ));
        }
        Ok(Enrolled { enrolment, key })
    }
}

impl Enrolled {
    /// The lines for `principals.toml`: under the principal, if the file has it.
    #[must_use]
    pub fn lines(&self) -> String {
        format!(
            "[[principal.key]]          # of {}\npublic = \"{}\"\nfrom   = {}\n",
            self.enrolment.principal,
            self.enrolment.key,
            crate::second(Timestamp::now())
        )
    }
}
