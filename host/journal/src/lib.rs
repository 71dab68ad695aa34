//! The journal: the durable, append-only record of every host call of every run.
//!
//! One SQLite file. A [`Journal`] handle appends through one writer thread that commits in groups;
//! several processes may share the file. Records are chained by hash and are the leaves of a Merkle
//! log ([`remit_tlog`]); every transaction leaves a signed checkpoint behind, so no tail is ever
//! unsigned. A [`Reader`] answers questions and [`Reader::verify`] proves that nothing was altered.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod act;
mod audit;
mod backfill;
mod call;
mod chain;
mod disk;
mod error;
mod grounds;
mod instant;
mod keys;
mod name;
mod prove;
mod publish;
mod queue;
mod reader;
mod record;
mod schema;
mod spent;
mod state;
mod store;
mod story;
mod structure;
mod tables;
mod tree;
mod watch;
mod writer;

pub use act::{About, Act, Deed, Ground, Strike, Withdrawn, Word};
pub use audit::{Audit, AuditError};
pub use call::CallEvent;
pub use error::{JournalError, Poisoned, StartError};
pub use keys::RunKey;
pub use name::{RequestId, RequestIdError, RunId, RunIdError};
pub use prove::{CheckError, GrowthProof, Proof, Proven, ProvenRecord, RunProof};
pub use publish::PublishError;
pub use reader::{Cosigned, Reader, RunSummary};
pub use record::{
    ActionRef, Authority, CallResult, Counted, Denied, Effect, Ended, Event, GrantRef, Intent, Mode, Outcome,
    Phase, PhaseEntered, Record, Resolved, RestsOn, SignedRef, Simulated, Started, UndoExpired, UndoIntent,
    UndoOutcome, UndoResult,
};
pub use spent::Spent;
pub use state::RunState;
pub use story::{Misjudged, Mistaken};
pub use watch::Watch;
pub use writer::{Journal, Written};
