//! Prepare, sign elsewhere, submit. The host makes a document and returns the exact bytes; the holder of the key signs
//! them, in any process or on any machine; the host checks everything again and accepts the signed document.

use jiff::{SignedDuration, Timestamp};
use remit_journal::{About, Reader, SignedStatement};
use remit_trust::dsse::{Envelope, pae};
use remit_trust::{Digest, KeyId, Sign, SignatureError};
use serde_json::value::{RawValue, to_raw_value};

use super::documents::Document;
use super::{Identity, Rules};
use crate::Error;

/// By how much two readings of one clock, or two clocks that are kept right, may disagree.
pub(super) const JITTER: SignedDuration = SignedDuration::from_secs(2);

/// A document that waits for its signature.
#[derive(Clone, Debug)]
pub struct Prepared<D> {
    /// The content of the document, as it will be signed.
    pub document: D,
    /// The key that is to sign it.
    pub key: KeyId,
    payload: Vec<u8>,
}

impl<D: Document> Prepared<D> {
    pub(super) fn new(document: D, by: &Identity) -> Result<Self, Error> {
        let payload = remit_trust::canonical(&document)?;
        Ok(Self { document, key: by.key.clone(), payload })
    }

    /// The document in canonical JSON (RFC 8785): the DSSE payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload type of the document's DSSE envelope.
    #[must_use]
    pub fn payload_type(&self) -> &'static str {
        D::TYPE
    }

    /// The digest of the payload, by which other documents name this one.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The bytes that a signature is made over: DSSE's pre-authentication encoding.
    #[must_use]
    pub fn to_sign(&self) -> Vec<u8> {
        pae(D::TYPE, &self.payload)
    }

    /// Signs it, for one who has the key in this process.
    pub fn sign(&self, signer: &impl Sign) -> Result<Envelope, Error> {
        Ok(Envelope::sign(D::TYPE, &self.payload, signer)?)
    }

    /// The document with a signature over [`Self::to_sign`] that was made elsewhere.
    pub fn signed(&self, signature: &[u8]) -> Result<Envelope, Error> {
        Ok(Envelope::signed_elsewhere(D::TYPE, &self.payload, &self.key, signature)?)
    }
}

/// Reads a signed document: a DSSE envelope in JSON, or the bytes of [`Prepared::to_sign`] with the signature beside.
/// With what it says of itself: whether the signature holds is checked when it is submitted. `shown` names the file in errors.
pub fn read_signed<D: Document>(
    rules: &Rules,
    bytes: &[u8],
    signature: impl FnOnce() -> Result<Vec<u8>, Error>,
    shown: &str,
) -> Result<(Envelope, D), Error> {
    let malformed = |why: &str| {
        Error::Document {
        file: shown.to_owned(),
        wanted: "a signed document",
        why: why.to_owned(),
        help: "pass the file that --prepare wrote, unchanged, with the signature beside it in FILE.sig; or a DSSE envelope"
            .to_owned(),
    }
    };
    if bytes.trim_ascii_start().starts_with(b"{") {
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(&error.to_string()))?;
        let envelope: Envelope =
            remit_text::json::read(text).map_err(|mistake| malformed(&mistake.to_string()))?;
        let payload = envelope.payload_named(envelope.payload_digest()?)?;
        let claimed = serde_json::from_slice(&payload)
            .map_err(|error| malformed(&format!("it is not a signed {}: {error}", D::NAME)))?;
        return Ok((envelope, claimed));
    }
    // Whatever the file says: what is checked is the signature over exactly these bytes.
    let unlike = || malformed(&format!("it is not what is signed for a {}", D::NAME));
    let start = bytes.iter().position(|byte| *byte == b'{').ok_or_else(unlike)?;
    let payload = &bytes[start..];
    if pae(D::TYPE, payload) != bytes {
        return Err(unlike());
    }
    let claimed: D = serde_json::from_slice(payload).map_err(|error| malformed(&error.to_string()))?;
    let principal =
        rules.principals.get(claimed.principal()).ok_or_else(|| no_principal(claimed.principal()))?;
    let signature = signature()?;
    let mut why_not = SignatureError::Untrusted;
    for held in &principal.keys {
        let envelope = Envelope::signed_elsewhere(D::TYPE, payload, &held.key.id(), &signature)?;
        match envelope.verify(D::TYPE, std::slice::from_ref(&held.key)) {
            Ok(_) => return Ok((envelope, claimed)),
            Err(error) => why_not = error,
        }
    }
    Err(why_not.into())
}

fn no_principal(name: &str) -> Error {
    Error::Identity {
        why: format!("there is no principal `{}`", name.escape_debug()),
        help: "`remit principals` lists them",
    }
}

/// A signed document that was accepted: who says what, and the proof.
#[derive(Debug)]
pub(crate) struct Accepted<D> {
    pub(crate) document: D,
    /// The digest of the signed payload.
    pub(crate) digest: Digest,
    /// The principal that signed the document.
    pub(crate) by: Identity,
    /// The DSSE envelope as it was submitted.
    pub(crate) envelope: Box<RawValue>,
}

impl<D: Document> Accepted<D> {
    /// Checks what can be checked of any signed document: the signature, that its key counts now and is held by the one
    /// who it says it is by, the journal, the time.
    pub(crate) fn check(rules: &Rules, reader: &Reader, envelope: &Envelope) -> Result<Self, Error> {
        let refuse = |why: String| Err(Error::NotAccepted { what: D::NAME, why });
        let verified = envelope.verify(D::TYPE, &rules.keys())?;
        let document: D = serde_json::from_slice(&verified.payload)
            .map_err(|error| SignatureError::Malformed(error.to_string()))?;
        // Only the canonical spelling is accepted, so that the same bytes cannot be read in two ways.
        if remit_trust::canonical(&document)? != verified.payload {
            return refuse("it is not canonical JSON (RFC 8785), as it was prepared".to_owned());
        }
        let name = document.principal();
        if rules.principals.get(name).is_none() {
            return Err(no_principal(name));
        }
        let holds = |key: &&KeyId| rules.principals.holder(key).is_some_and(|holder| holder.name == name);
        let Some(key) = verified.signers.iter().find(holds) else {
            return refuse(format!("it says that it is by {name}, and {name} did not sign it"));
        };
        let by = rules.identify(key)?;
        by.stands(reader)?;
        if document.log() != rules.log {
            return refuse(format!(
                "it is for the journal {}, and this one is {}",
                document.log().escape_debug(),
                rules.log
            ));
        }
        // A clock that was set back gives nothing new life.
        let now = reader.highest()?.map_or_else(Timestamp::now, |newest| newest.max(Timestamp::now()));
        is_fresh::<D>(document.at(), now)?;
        Ok(Self { digest: Digest::of(&verified.payload), by, envelope: to_raw_value(envelope)?, document })
    }

    /// Refuses what is on record already.
    pub(crate) fn is_new(&self, on_record: impl IntoIterator<Item = Digest>) -> Result<(), Error> {
        if on_record.into_iter().any(|digest| digest == self.digest) {
            let why = "it is on record already: a signed document counts once".to_owned();
            return Err(Error::NotAccepted { what: D::NAME, why });
        }
        Ok(())
    }

    /// The statement that the journal keeps of this document.
    pub(crate) fn word(&self, reason: &str) -> SignedStatement {
        SignedStatement {
            principal: self.by.name().to_owned(),
            key: self.by.key.to_string(),
            reason: reason.to_owned(),
            document: self.envelope.clone(),
        }
    }
}

fn is_fresh<D: Document>(at: Timestamp, now: Timestamp) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::NotAccepted { what: D::NAME, why });
    if at > now.saturating_add(JITTER).unwrap_or(now) {
        return refuse(format!("it was made at {at}, and it is only {now}"));
    }
    if now.duration_since(at) > D::GOOD_FOR {
        let hours = D::GOOD_FOR.as_hours();
        return refuse(format!("it was made at {at}, which is more than {hours} h ago"));
    }
    Ok(())
}

/// The digest of each document that is on record about something.
pub(super) fn on_record(reader: &Reader, about: About) -> Result<Vec<Digest>, Error> {
    let acts = reader.acts(about)?;
    Ok(acts.iter().filter_map(|(_, act)| digest_of(&act.event.statement()?.document)).collect())
}

/// The digest of what was signed; none of what cannot be read.
pub(crate) fn digest_of(document: &RawValue) -> Option<Digest> {
    serde_json::from_str::<Envelope>(document.get()).ok()?.payload_digest().ok()
}

/// Whether a name that a client made up says the time at which the document was made: lists are in the order of names.
pub(super) fn is_made_at<D: Document>(document: &D, name: Timestamp) -> Result<(), Error> {
    let apart = document.at().duration_since(name).abs();
    if apart <= JITTER {
        return Ok(());
    }
    let why = format!("its name says that it was made at {name}, and it says at {}", document.at());
    Err(Error::NotAccepted { what: D::NAME, why })
}
