//! Prepare, sign elsewhere, submit. The host makes a document and returns the exact bytes; the holder of the key signs
//! them, in any process or on any machine; the host checks everything again and accepts the signed document.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use remit_journal::{About, Reader, SignedStatement};
use remit_trust::dsse::{Envelope, pae};
use remit_trust::{Digest, KeyId, Sign, SignatureError, VerifyingKey};
use serde_json::value::{RawValue, to_raw_value};

use super::documents::{Document, MAX_WORDS, Order, OrderKind, Signed};
use super::{Identity, Rules};
use crate::Error;

/// The largest difference between two readings of one clock, or between two clocks that are kept right.
pub(crate) const JITTER: SignedDuration = SignedDuration::from_secs(2);

/// A document that is ready to be signed.
#[derive(Clone, Debug)]
pub struct Prepared<D> {
    /// The content of the document, as it will be signed.
    pub document: D,
    /// The key that is to sign it.
    pub key: KeyId,
    payload: Vec<u8>,
}

impl<D: Document> Prepared<D> {
    pub(crate) fn new(document: D, by: &Identity) -> Result<Self, Error> {
        for (name, words) in document.words() {
            check_length(name, words)?;
        }
        let payload = remit_trust::canonical(&document)?;
        Ok(Self { document, key: by.key.clone(), payload })
    }

    /// A document that a server prepared for this key. The server is not trusted: look at [`Self::document`] before it is
    /// signed. It says everything that the bytes say, because only the canonical form is taken.
    pub fn received(payload_type: &str, payload: Vec<u8>, key: KeyId) -> Result<Self, Error> {
        if payload_type != D::TYPE {
            return Err(refused::<D>(format!("it is of the type {}", payload_type.escape_debug())));
        }
        let document: D =
            serde_json::from_slice(&payload).map_err(|error| SignatureError::Malformed(error.to_string()))?;
        if remit_trust::canonical(&document)? != payload {
            return Err(refused::<D>("it is not canonical JSON (RFC 8785)"));
        }
        Ok(Self { document, key, payload })
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

    /// Signs the document with a key that is in this process.
    pub fn sign(&self, signer: &impl Sign) -> Result<Envelope, Error> {
        Ok(Envelope::sign(D::TYPE, &self.payload, signer)?)
    }

    /// The document with a signature over [`Self::to_sign`] that was made elsewhere.
    pub fn signed(&self, signature: &[u8]) -> Result<Envelope, Error> {
        Ok(Envelope::signed_elsewhere(D::TYPE, &self.payload, &self.key, signature)?)
    }
}

impl Prepared<Order> {
    /// Makes an order for its signature. Whether the policies allow it is for the caller to check.
    pub(crate) fn order(rules: &Rules, by: &Identity, what: OrderKind, reason: &str) -> Result<Self, Error> {
        check_reason(reason)?;
        let (log, principal, reason) = (rules.log.clone(), by.name().to_owned(), reason.to_owned());
        Self::new(Order { log, principal, at: Timestamp::now(), reason, order: what }, by)
    }
}

/// Checks that a reason was given.
pub(crate) fn check_reason(reason: &str) -> Result<(), Error> {
    if reason.trim().is_empty() {
        return Err(Error::RequestOption { why: "it has no reason".to_owned() });
    }
    check_length("reason", reason)
}

/// Checks that a text is no longer than people read.
pub(crate) fn check_length(name: &str, words: &str) -> Result<(), Error> {
    let length = words.chars().count();
    if length <= MAX_WORDS {
        return Ok(());
    }
    let why = format!("its {name} has {length} characters, and may have {MAX_WORDS}: say where the rest is");
    Err(Error::RequestOption { why })
}

/// Reads a signed document: a DSSE envelope in JSON, or the bytes of [`Prepared::to_sign`] with the signature in another
/// file. Also returns the document's content. Whether the signature is valid is checked when the document is submitted.
/// `keys` returns the keys of a principal by its name, and `shown` names the file in errors.
pub fn read_signed<D: Document>(
    keys: impl FnOnce(&str) -> Result<Vec<VerifyingKey>, Error>,
    bytes: &[u8],
    signature: impl FnOnce() -> Result<Vec<u8>, Error>,
    shown: &str,
) -> Result<(Envelope, D), Error> {
    let help =
        "pass the file that --prepare wrote, unchanged, with the signature in FILE.sig; or a DSSE envelope";
    let malformed = |why: &str| Error::Document {
        file: shown.to_owned(),
        wanted: "a signed document",
        why: why.to_owned(),
        help: help.to_owned(),
    };
    if bytes.trim_ascii_start().starts_with(b"{") {
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(&error.to_string()))?;
        let envelope: Envelope =
            remit_text::json::read(text).map_err(|mistake| malformed(&mistake.to_string()))?;
        let (payload, _) = envelope.claimed()?;
        let claimed = serde_json::from_slice(&payload)
            .map_err(|error| malformed(&format!("it is not a signed {}: {error}", D::NAME)))?;
        return Ok((envelope, claimed));
    }
    let other = || malformed(&format!("it is not what is signed for a {}", D::NAME));
    let start = bytes.iter().position(|byte| *byte == b'{').ok_or_else(other)?;
    let payload = &bytes[start..];
    // The payload type is not read from the file: the bytes must be those that are signed for this kind of document.
    if pae(D::TYPE, payload) != bytes {
        return Err(other());
    }
    let claimed: D = serde_json::from_slice(payload).map_err(|error| malformed(&error.to_string()))?;
    let keys = keys(claimed.principal())?;
    let signature = signature()?;
    let mut last_error = SignatureError::Untrusted;
    for key in &keys {
        let envelope = Envelope::signed_elsewhere(D::TYPE, payload, &key.id(), &signature)?;
        match envelope.verify(D::TYPE, std::slice::from_ref(key)) {
            Ok(_) => return Ok((envelope, claimed)),
            Err(error) => last_error = error,
        }
    }
    Err(last_error.into())
}

impl Rules {
    /// The keys of a principal, in force or not.
    pub fn keys_of(&self, name: &str) -> Result<Vec<VerifyingKey>, Error> {
        let principal = self.principals.get(name).ok_or_else(|| no_principal(name))?;
        Ok(principal.keys.iter().map(|held| held.key.clone()).collect())
    }
}

fn no_principal(name: &str) -> Error {
    Error::Identity {
        why: format!("there is no principal `{}`", name.escape_debug()),
        help: "`remit principals` lists them",
    }
}

/// A signed document that was accepted, with the principal that signed it.
#[derive(Debug)]
pub(crate) struct Accepted<D> {
    pub(crate) document: Arc<D>,
    /// The digest of the signed payload.
    pub(crate) digest: Digest,
    /// The principal that signed the document.
    pub(crate) by: Identity,
    /// The DSSE envelope as it was submitted.
    pub(crate) envelope: Box<RawValue>,
}

impl<D: Document> Accepted<D> {
    /// Makes the checks that are the same for every signed document: the signature is valid; its key is in force now and
    /// belongs to the principal that the document names; the document is for this journal, and is not too old.
    pub(crate) fn check(rules: &Rules, reader: &Reader, envelope: &Envelope) -> Result<Self, Error> {
        let refuse = |why: String| Err(refused::<D>(why));
        let envelope = to_raw_value(envelope)?;
        let signed = rules.open::<D>(reader, &envelope)?;
        let Signed { document, digest, keys, is_canonical } = &*signed;
        // Only the canonical spelling is accepted, so that the same bytes cannot be read in two ways.
        if !is_canonical {
            return refuse("it is not canonical JSON (RFC 8785), as it was prepared".to_owned());
        }
        let name = document.principal();
        if rules.principals.get(name).is_none() {
            return Err(no_principal(name));
        }
        let mut own = None;
        for key in keys {
            if own.is_none() && rules.is_key_of(reader, key, name)? {
                own = Some(key);
            }
        }
        let Some(key) = own else {
            return refuse(format!("it says that it is by {name}, and {name} did not sign it"));
        };
        let by = rules.identify(reader, key)?;
        by.stands(reader)?;
        if document.log() != rules.log {
            return refuse(format!(
                "it is for the journal {}, and this one is {}",
                document.log().escape_debug(),
                rules.log
            ));
        }
        // The newest record counts as the time if the clock was set back, so that an old document stays too old.
        let now = reader.highest()?.map_or_else(Timestamp::now, |newest| newest.max(Timestamp::now()));
        check_age::<D>(document.at(), now)?;
        for (name, words) in document.words() {
            check_length(name, words)?;
        }
        Ok(Self { document: Arc::clone(document), digest: *digest, by, envelope })
    }

    /// Returns an error if the document is in the journal already.
    pub(crate) fn check_new(&self, on_record: impl IntoIterator<Item = Digest>) -> Result<(), Error> {
        if on_record.into_iter().any(|digest| digest == self.digest) {
            return Err(Error::OnRecord { what: D::NAME });
        }
        Ok(())
    }

    /// Checks that the time in an identifier that a client made is the time of the document, because lists are in the
    /// order of identifiers.
    pub(crate) fn check_made_at(&self, made: Timestamp) -> Result<(), Error> {
        let at = self.document.at();
        if at.duration_since(made).abs() <= JITTER {
            return Ok(());
        }
        Err(refused::<D>(format!("its identifier was made at {made}, and it says that it was made at {at}")))
    }

    /// The statement that the journal keeps of this document.
    pub(crate) fn statement(&self, reason: &str) -> SignedStatement {
        SignedStatement {
            principal: self.by.name().to_owned(),
            key: self.by.key.to_string(),
            reason: reason.to_owned(),
            document: self.envelope.clone(),
        }
    }
}

/// The error for a document of this kind that is not accepted.
pub(crate) fn refused<D: Document>(why: impl Into<String>) -> Error {
    refused_named(D::NAME, why)
}

/// The same for one that has no principal in it, by its name.
pub(crate) fn refused_named(what: &'static str, why: impl Into<String>) -> Error {
    Error::NotAccepted { what, why: why.into() }
}

fn check_age<D: Document>(at: Timestamp, now: Timestamp) -> Result<(), Error> {
    let refuse = |why: String| Err(refused::<D>(why));
    if at > now.saturating_add(JITTER).unwrap_or(now) {
        return refuse(format!("it was made at {at}, and it is only {now}"));
    }
    if now.duration_since(at) > D::GOOD_FOR {
        let hours = D::GOOD_FOR.as_hours();
        return refuse(format!("it was made at {at}, which is more than {hours} h ago"));
    }
    Ok(())
}

/// The digest of each signed document in the journal about a request or the host.
pub(crate) fn digests_on_record(reader: &Reader, about: About) -> Result<Vec<Digest>, Error> {
    let acts = reader.acts(about)?;
    Ok(acts.iter().filter_map(|(_, act)| digest_of(&act.event.statement()?.document)).collect())
}

/// The digest of a signed document; none if it cannot be read.
pub(crate) fn digest_of(document: &RawValue) -> Option<Digest> {
    serde_json::from_str::<Envelope>(document.get()).ok()?.payload_digest().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
