//! What this process made ready before: for a component with the same digest, nothing is done twice whose result cannot
//! have changed. Which keys are trusted, and what a scope covers, can change, and is not kept here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use remit_trust::{Digest, KeyId};

use crate::candidate::{Candidate, Inspect};
use crate::error::ComponentError;
use crate::publishers::Publishers;

/// The most components that are kept: each holds its mapped code.
const MOST: usize = 64;

/// Components of one world by digest, each as an `R`: compiled and linked.
pub struct Prepared<R>(Mutex<HashMap<Digest, Entry<R>>>);

struct Entry<R> {
    ready: Option<Arc<R>>,
    /// A signature over the component that was verified, and the key that made it.
    signed: Option<(String, KeyId)>,
}

impl<R> Default for Prepared<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R> Default for Entry<R> {
    fn default() -> Self {
        Self { ready: None, signed: None }
    }
}

impl<R> std::fmt::Debug for Prepared<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prepared(..)")
    }
}

impl<R> Prepared<R> {
    /// The component with this digest, made ready by `make` if it was not before.
    pub fn get<E>(&self, digest: Digest, make: impl FnOnce() -> Result<R, E>) -> Result<Arc<R>, E> {
        if let Some(ready) = self.read(digest, |entry| entry.ready.clone()) {
            return Ok(ready);
        }
        // Compiling takes seconds, so the lock is not held. Two threads that make the same do no harm.
        let ready = Arc::new(make()?);
        self.write(digest, |entry| entry.ready = Some(Arc::clone(&ready)));
        Ok(ready)
    }

    /// The trusted publisher who signed a candidate. The arithmetic of a signature is done once.
    pub fn publisher<I: Inspect>(
        &self,
        candidate: &Candidate<I>,
        publishers: &Publishers,
    ) -> Result<KeyId, ComponentError> {
        let (digest, signature) = (candidate.digest(), candidate.signature());
        let verified = self.read(digest, |entry| {
            entry.signed.as_ref().filter(|(text, _)| text == signature).map(|(_, key)| key.clone())
        });
        // Trust in the key that verified can have ended since, or another trusted key can have made it.
        if let Some(key) = verified.and_then(|key| publishers.find(|trusted| *trusted == key)) {
            return Ok(key);
        }
        let key = candidate.publisher(publishers)?;
        self.write(digest, |entry| entry.signed = Some((signature.to_owned(), key.clone())));
        Ok(key)
    }

    fn read<T>(&self, digest: Digest, read: impl FnOnce(&Entry<R>) -> Option<T>) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).and_then(read)
    }

    fn write(&self, digest: Digest, write: impl FnOnce(&mut Entry<R>)) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST && !entries.contains_key(&digest) {
            // Any one: it is made again from the cache when it is needed.
            let other = entries.keys().next().copied();
            other.map(|other| entries.remove(&other));
        }
        write(entries.entry(digest).or_default());
    }
}
