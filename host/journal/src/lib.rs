//! The journal: the durable, append-only record of every host call of every run.
//!
//! It is one SQLite file. A [`Journal`] handle appends through one writer that commits in groups; several processes may
//! share the file. Records are chained by hash and are the leaves of a Merkle log ([`remit_tlog`]). Every transaction
//! stores a signed checkpoint, so the newest records are never unsigned. A [`Reader`] answers queries, and
//! [`Reader::verify`] checks that nothing was altered.
//!
//! The modules, from the lowest: `name`, `instant`, `state`, `act`, `record` and `call` are the content; `chain`, `tree`
//! and `schema` are the form of the file; `entry`, `tables`, `store` and `append` write it; `queue`, `disk`, `backfill`,
//! `watch` and `writer` share the writing among threads; `reader`, `spending`, `listing`, `keys`, `prove`, `publish` and `audit` (with
//! `history`, `bases` and `structure`) read it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod act;
mod append;
mod audit;
mod backfill;
mod bases;
mod call;
mod chain;
mod disk;
mod entry;
mod error;
mod evidence;
mod history;
mod instant;
mod keys;
mod listing;
mod name;
mod passkeys;
mod prove;
mod publish;
mod queue;
mod reader;
mod record;
mod schema;
mod spending;
mod spent;
mod state;
mod store;
mod structure;
mod tables;
mod tree;
mod watch;
mod writer;

pub use act::{
    About, Act, Basis, Certificate, Certified, Hashed, LedgerEvent, Revocation, SignedStatement, Withdrawn,
};
pub use audit::Audit;
pub use call::CallEvent;
pub use error::{AuditError, JournalError, Poisoned, StartError};
pub use listing::{RunFacts, Span};
pub use name::{RequestId, RequestIdError, RunId, RunIdError};
pub use prove::{CheckError, GrowthProof, Proof, Proven, ProvenRecord, RunProof};
pub use publish::PublishError;
pub use reader::{Cosigned, Reader, RunSummary};
pub use record::{
    ActionRef, Authority, CallResult, ConnectedInterface, ConnectorRef, Counted, Denied, Due, Effect, Ended,
    Event, Extended, GrantRef, Intent, Mode, Outcome, Paged, Phase, PhaseEntered, Record, Resolved, RestsOn,
    SignedRef, Simulated, Started, UndoExpired, UndoIntent, UndoOutcome, UndoResult,
};
pub use spent::{LONGEST_RUN, Spent};
pub use state::RunState;
pub use watch::Watch;
pub use writer::{Journal, Written};
