//! What binds a record to its place: in the journal as a whole, and among the records that are filed under the same name.
//!
//! The entry of a record in the log is the hash
//! `SHA-256("remit-journal-v2\n" ‖ previous ‖ SHA-256(body) ‖ place ‖ before)`. `previous` is the entry of the record before
//! it in the journal, or zeros. `place` is the record's number among those of its run, request or host, from 1, as 8 bytes,
//! most significant first. `before` is the entry of the record before it under the same name, or zeros.

use std::collections::HashMap;

use remit_tlog::Hash;
use remit_trust::Digest;

use crate::name::Filed;

/// The newest record under a name: its number there, and its entry in the log. Both are zero before the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) place: u64,
    pub(crate) entry: Hash,
}

impl Tail {
    /// The same after the next record under that name. `previous` is the entry before it in the journal, `body` the digest
    /// of its text.
    pub(crate) fn next(self, previous: &Hash, body: &Digest) -> Self {
        const HEAD: &[u8] = b"remit-journal-v2\n";
        const BODY: usize = HEAD.len() + 32;
        const PLACE: usize = BODY + 32;
        const BEFORE: usize = PLACE + 8;
        let place = self.place + 1;
        let mut text = [0; BEFORE + 32];
        text[..HEAD.len()].copy_from_slice(HEAD);
        text[HEAD.len()..BODY].copy_from_slice(previous);
        text[BODY..PLACE].copy_from_slice(body.as_bytes());
        text[PLACE..BEFORE].copy_from_slice(&place.to_be_bytes());
        text[BEFORE..].copy_from_slice(&self.entry);
        Self { place, entry: *Digest::of(&text).as_bytes() }
    }
}

/// How many names are kept in memory at once.
const KEPT: usize = 4_096;

/// The newest record under each name that was written lately. Valid as long as the state of the file that it was read
/// from.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// Kept apart, because most often the next record has the same name.
    last: Option<(Filed, Tail)>,
    others: HashMap<Filed, Tail>,
}

impl Tails {
    pub(crate) fn get(&self, of: &Filed) -> Option<Tail> {
        match &self.last {
            Some((last, tail)) if last == of => Some(*tail),
            _ => self.others.get(of).copied(),
        }
    }

    pub(crate) fn set(&mut self, of: &Filed, tail: Tail) {
        match &mut self.last {
            Some((last, kept)) if last == of => *kept = tail,
            last => {
                if let Some((other, kept)) = last.replace((*of, tail)) {
                    self.others.insert(other, kept);
                }
            }
        }
    }

    /// Forgets all names if there are many; they are read from the file when needed again. To be called between two
    /// transactions only, because what a transaction is about to write is not in the file yet.
    pub(crate) fn limit(&mut self) {
        if self.others.len() > KEPT {
            self.others = HashMap::new();
        }
    }
}
