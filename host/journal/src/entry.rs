//! A record on its way into the file, and what it means for the tables beside the records.

use std::borrow::Cow;
use std::ops::Range;

use jiff::Timestamp;
use remit_trust::{Digest, PasskeyUse, Sealed};

use crate::act::AuthorityChange;
use crate::chain::Tail;
use crate::name::Filed;
use crate::{Due, RestsOn, RunId};

/// A record that waits for its transaction.
pub(crate) struct Entry {
    /// The name that it is filed under.
    pub(crate) of: Filed,
    pub(crate) kind: &'static str,
    /// Where its text is in the text of the whole group.
    pub(crate) body: Range<usize>,
    /// The digest of that text, where the sender computed it: everybody waits for the writer, so the writer does less.
    pub(crate) digest: Option<Digest>,
    /// When the record was made, by the clock of the host that made it. The text says the same.
    pub(crate) at: Timestamp,
    /// Whether a caller waits for it.
    pub(crate) waited_for: bool,
    pub(crate) transition: Transition,
    /// The uses of passkeys that it puts on record.
    pub(crate) uses: Vec<PasskeyUse>,
}

/// What a record changes in the tables beside the records.
pub(crate) enum Transition {
    /// The run exists from now on.
    Starts(Box<Start>),
    /// The run wants to change a resource. Refused if its authority was revoked.
    Changes,
    /// The run has no state from now on, although it had one.
    Reopens,
    /// The run has a state from now on, and the host does this by itself.
    Ends(Due),
    /// The host does this by itself from now on.
    Waits(Due),
    /// The host undoes the run's changes then.
    Extends(Timestamp),
    /// The run's key is deleted.
    Expires,
    /// Authority was revoked or restored, or notices were delivered.
    Decides(Box<AuthorityChange>),
    /// No table changes.
    Goes,
}

/// What a run starts with.
pub(crate) struct Start {
    pub(crate) run: RunId,
    /// The grant's digest, and how many runs it allows.
    pub(crate) grant: Option<(Digest, u32)>,
    pub(crate) rests_on: Vec<RestsOn>,
    /// The run's own key, sealed under the host's.
    pub(crate) key: Sealed,
}

/// A record with its place in the log, and among the records of its name.
pub(crate) struct Row<'e> {
    pub(crate) seq: u64,
    pub(crate) entry: &'e Entry,
    pub(crate) body: Cow<'e, [u8]>,
    pub(crate) tail: Tail,
}
