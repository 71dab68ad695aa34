//! What binds a record to its place: in the journal as a whole, and among the records that are filed under the same name.
//!
//! A record's entry in the log is a hash. Up to schema 6 it was
//! `SHA-256("remit-journal-v1\n" ‖ previous ‖ SHA-256(body))`, where `previous` is the entry before it in the journal, or
//! zeros. From schema 7 on it is
//! `SHA-256("remit-journal-v2\n" ‖ previous ‖ SHA-256(body) ‖ place ‖ before)`, where `place` is the record's number among
//! those of its run, request or host, from 1, in 8 bytes, the first of them the highest; and `before` is the entry of the
//! one before it there, or zeros. Records of both forms count.

use std::collections::HashMap;

use remit_tlog::Hash;
use remit_trust::Digest;

use crate::name::Filed;

/// Where the newest record under a name stands: its number there, and its entry in the log. Before the first one, both
/// are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) place: u64,
    pub(crate) entry: Hash,
}

impl Tail {
    /// Where the next record under that name stands.
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

    /// The same for a record whose entry says nothing of its place.
    pub(crate) fn next_unplaced(self, previous: &Hash, body: &Digest) -> Self {
        const HEAD: &[u8] = b"remit-journal-v1\n";
        const BODY: usize = HEAD.len() + 32;
        let mut text = [0; BODY + 32];
        text[..HEAD.len()].copy_from_slice(HEAD);
        text[HEAD.len()..BODY].copy_from_slice(previous);
        text[BODY..].copy_from_slice(body.as_bytes());
        Self { place: self.place + 1, entry: *Digest::of(&text).as_bytes() }
    }
}

/// So many names are kept at once.
const KEPT: usize = 4_096;

/// Where the newest record stands under each name that was written lately. As good as the state of the file that they
/// were found in.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// Most often the next record is of the same name.
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

    /// Forgets all, if they are many: what is asked for again is looked up. Only between two transactions, for what one of
    /// them is about to write is not in the file yet.
    pub(crate) fn limit(&mut self) {
        if self.others.len() > KEPT {
            self.others = HashMap::new();
        }
    }
}
