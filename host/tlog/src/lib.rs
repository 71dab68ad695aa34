//! A transparency log's mathematics and formats: RFC 6962 hashes, C2SP checkpoints and signed notes.
//! Pure: no file, no clock.

mod checkpoint;
mod hash;
mod note;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::{Frontier, FrontierError, Hash, leaf_hash, node_hash};
pub use note::{NoteError, NoteSigner, NoteVerifier};
