//! The sessions that are open, by their tokens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use remit_trust::{Digest, KeyId};

use super::dpop::Used;

/// How many sessions there may be at once.
const MOST: usize = 10_000;
/// How many of them one principal may have. One more ends the one that would end first.
const MOST_OF_ONE: usize = 100;

/// What a session was opened with.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// The principal in whose name it reads.
    pub(super) principal: String,
    /// The id of the principal's key that signed it.
    pub(super) key: KeyId,
    /// The thumbprint of the client's key.
    pub(super) thumbprint: String,
    /// When it ends.
    pub(super) until: Timestamp,
}

/// The sessions of this server. They end with it: a client opens a new one.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// By the digest of the token, so that what is in memory lets nobody in.
    open: Mutex<HashMap<Digest, Opened>>,
    /// The proofs that were used.
    pub(super) used: Used,
}

impl Sessions {
    /// Keeps a session; false if there are as many as this server keeps.
    pub(super) fn keep(&self, token: &str, session: Opened, now: Timestamp) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST {
            open.retain(|_, session| session.until > now);
        }
        let of_one = || open.iter().filter(|(_, other)| other.principal == session.principal);
        if of_one().count() >= MOST_OF_ONE
            && let Some(first) = of_one().min_by_key(|(_, other)| other.until).map(|(token, _)| *token)
        {
            open.remove(&first);
        }
        let has_room = open.len() < MOST;
        if has_room {
            open.insert(Digest::of(token.as_bytes()), session);
        }
        has_room
    }

    /// The session of a token, if it has not ended.
    pub(super) fn find(&self, token: &str, now: Timestamp) -> Option<Opened> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&Digest::of(token.as_bytes())).filter(|session| session.until > now).cloned()
    }
}
