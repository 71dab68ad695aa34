//! Sessions of a server: who may read and prepare without signing each call.

use std::sync::PoisonError;

use jiff::Timestamp;
use remit_engine::blocking;
use remit_journal::{JournalError, Reader};
use remit_trust::dsse::Envelope;
use remit_trust::issuers::Proof;
use remit_trust::principals::PrincipalKey;
use remit_trust::{Digest, KeyId, VerifyingKey};

use crate::authority::{Accepted, Document, Identity, Prepared, Session};
use crate::{Error, Host};

/// Makes what is signed to let a key with this thumbprint read and prepare in a principal's name, at the server with this
/// URL.
pub fn prepare_session(
    host: &Host,
    by: &KeyId,
    audience: &str,
    thumbprint: &str,
) -> Result<Prepared<Session>, Error> {
    let by = host.identify(by)?;
    let session = Session {
        log: host.rules()?.log.clone(),
        audience: audience.to_owned(),
        principal: by.name().to_owned(),
        at: Timestamp::now(),
        thumbprint: thumbprint.to_owned(),
    };
    Prepared::new(session, &by)
}

/// Makes what a passkey signs to let a browser read and prepare in the name of whoever writes this name, who may be nobody: what
/// comes back does not tell. Whoever takes it signed checks who signed it.
pub fn prepare_login(host: &Host, name: &str, audience: &str, thumbprint: &str) -> Result<Vec<u8>, Error> {
    let session = Session {
        log: host.rules()?.log.clone(),
        audience: audience.to_owned(),
        principal: name.to_owned(),
        at: Timestamp::now(),
        thumbprint: thumbprint.to_owned(),
    };
    Ok(remit_trust::canonical(&session)?)
}

/// The passkeys of a principal that count now; none if it has none, or is none.
pub fn passkeys_of(host: &Host, name: &str) -> Result<Vec<VerifyingKey>, Error> {
    let rules = host.rules()?;
    let now = Timestamp::now();
    let keys = rules.principals.get(name).map(|principal| principal.keys.as_slice()).unwrap_or_default();
    let counts = |held: &&PrincipalKey| {
        held.proof() == Proof::Passkey && rules.principals.in_force(&held.key.id(), now)
    };
    Ok(keys.iter().filter(counts).map(|held| held.key.clone()).collect())
}

/// Checks a signed session for the server with this URL: who signed it, and for which key.
pub fn accept_session(host: &Host, signed: &Envelope, audience: &str) -> Result<(Identity, Session), Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let accepted = Accepted::<Session>::check(&rules, &reader, signed)?;
        if accepted.document.audience != audience {
            let why = format!(
                "it is for the server {}, and this one is {audience}",
                accepted.document.audience.escape_debug()
            );
            return Err(Error::NotAccepted { what: Session::NAME, why });
        }
        count_login(host, &reader, signed, &accepted.by.key)?;
        Ok((accepted.by, Session::clone(&accepted.document)))
    })
}

/// Checks that the counter of a passkey rises with this login, and remembers it: a session is not put on record.
fn count_login(host: &Host, reader: &Reader, signed: &Envelope, key: &KeyId) -> Result<(), Error> {
    for used in signed.uses_of_passkeys().into_iter().filter(|used| used.key == *key) {
        reader.check_use(&used)?;
        let mut logins = host.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let last = logins.get(key).copied().unwrap_or_default();
        if used.counter <= last && (used.counter, last) != (0, 0) {
            return Err(JournalError::Passkey { key: used.key, counter: used.counter, last }.into());
        }
        // There are no more keys than the rules have.
        logins.insert(used.key, used.counter);
    }
    Ok(())
}

/// Who signed a document.
#[derive(Debug)]
pub struct SignedBy {
    /// The principal, whose key is in force now.
    pub by: Identity,
    /// The digest of what was signed.
    pub digest: Digest,
}

/// Makes the checks that every signed document must pass, before it costs more than they do: who signed it, that this is whom it
/// names, that it is for this journal, and not too old. It is not accepted by that: whoever submits it makes them again.
pub fn signed_by<D: Document>(host: &Host, signed: &Envelope) -> Result<SignedBy, Error> {
    blocking(|| {
        let accepted = Accepted::<D>::check(&*host.rules()?, &*host.journal.reader()?, signed)?;
        Ok(SignedBy { by: accepted.by, digest: accepted.digest })
    })
}

impl Host {
    /// The principal that holds a key, if both count now and neither was revoked.
    pub fn identify(&self, key: &KeyId) -> Result<Identity, Error> {
        blocking(|| {
            let reader = self.journal.reader()?;
            let by = self.rules()?.identify(&reader, key)?;
            by.stands(&reader)?;
            Ok(by)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{POLICY, Place};

    #[test]
    fn a_session_is_for_one_server() {
        let place = Place::new(POLICY);
        let (here, there) = ("https://remit.example", "https://other.example");
        let prepared = prepare_session(&place.host, &place.key("bot"), here, "thumb").unwrap();
        assert_eq!((&*prepared.document.audience, &*prepared.document.thumbprint), (here, "thumb"));
        let signed = place.sign("bot", &prepared.document);
        let (by, session) = accept_session(&place.host, &signed, here).unwrap();
        assert_eq!((by.name(), session), ("bot", prepared.document));
        let told = accept_session(&place.host, &signed, there).unwrap_err().to_string();
        assert!(
            told.contains("it is for the server https://remit.example, and this one is https://other"),
            "{told}"
        );
    }
}
