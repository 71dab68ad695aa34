//! A transparency log's mathematics and formats: RFC 6962 hashes and proofs, C2SP checkpoints and signed notes.
//! Pure: no file, no clock.

mod checkpoint;
mod hash;
mod note;
mod proof;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::{Frontier, FrontierError, Hash, leaf_hash, node_hash};
pub use note::{NoteError, NoteSigner, NoteVerifier};
pub use proof::{ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
