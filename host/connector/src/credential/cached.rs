//! A token that lives for a while, and is made again when it is about to end.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use remit_gate::Failure;
use remit_trust::SecretText;

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(30);
/// The longest that a token is kept, whatever its server says.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A token and its end.
#[derive(Default)]
pub(super) struct Cached(Mutex<Option<(SecretText, Instant)>>);

impl Cached {
    /// The token; `make` makes one, with the time it is good for. Two threads that need one wait for one.
    pub(super) fn get(
        &self,
        make: impl FnOnce() -> Result<(SecretText, Duration), Failure>,
    ) -> Result<SecretText, Failure> {
        let mut kept = self.kept();
        if let Some((token, end)) = &*kept
            && Instant::now() < *end
        {
            return Ok(token.clone());
        }
        let (token, lives) = make()?;
        let end = Instant::now() + lives.min(LONGEST).saturating_sub(MARGIN);
        *kept = Some((token.clone(), end));
        Ok(token)
    }

    pub(super) fn forget(&self) {
        *self.kept() = None;
    }

    fn kept(&self) -> MutexGuard<'_, Option<(SecretText, Instant)>> {
        // It is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
