//! What this process has admitted before: of a component with the same digest, nothing is looked at twice that cannot
//! have changed. Who is trusted, and what a scope covers, is looked at every time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use remit_capability::bindings::ActionPre;
use remit_trust::{Digest, KeyId};

use crate::Inspection;
use crate::session::Guest;

/// The most components that are kept ready: each holds its mapped code.
const MOST: usize = 64;

/// A component that is an action, compiled and linked to what it imports, and to nothing else.
pub(crate) struct Ready {
    pub(crate) pre: ActionPre<Guest>,
    pub(crate) inspection: Inspection,
}

/// Components by digest.
#[derive(Default)]
pub(crate) struct Warm(Mutex<HashMap<Digest, One>>);

#[derive(Default)]
struct One {
    ready: Option<Arc<Ready>>,
    /// The signature over it that was verified, and by which key.
    signed: Option<(String, KeyId)>,
}

impl Warm {
    /// The component, made ready by `make` if it is not.
    pub(crate) fn ready<E>(
        &self,
        digest: Digest,
        make: impl FnOnce() -> Result<Ready, E>,
    ) -> Result<Arc<Ready>, E> {
        if let Some(ready) = self.look(digest, |one| one.ready.clone()) {
            return Ok(ready);
        }
        // Compiling takes seconds: nobody waits for a lock meanwhile. Two that make the same are no harm.
        let ready = Arc::new(make()?);
        self.keep(digest, |one| one.ready = Some(Arc::clone(&ready)));
        Ok(ready)
    }

    /// The key that made this signature over this component, verified by `verify` if it was not before.
    pub(crate) fn signer<E>(
        &self,
        digest: Digest,
        signature: &str,
        verify: impl FnOnce() -> Result<KeyId, E>,
    ) -> Result<KeyId, E> {
        let same = |one: &mut One| one.signed.clone().filter(|(text, _)| text == signature);
        if let Some((_, key)) = self.look(digest, same) {
            return Ok(key);
        }
        let key = verify()?;
        self.keep(digest, |one| one.signed = Some((signature.to_owned(), key.clone())));
        Ok(key)
    }

    fn look<T>(&self, digest: Digest, read: impl FnOnce(&mut One) -> Option<T>) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&digest).and_then(read)
    }

    fn keep(&self, digest: Digest, write: impl FnOnce(&mut One)) {
        let mut warm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if warm.len() >= MOST && !warm.contains_key(&digest) {
            // Which one goes does not matter: it is made again from what the cache holds.
            let other = warm.keys().next().copied();
            other.map(|other| warm.remove(&other));
        }
        write(warm.entry(digest).or_default());
    }
}
