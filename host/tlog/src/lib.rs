//! The algorithms and formats of a transparency log: RFC 6962 hashes and proofs; C2SP checkpoints, signed notes, tiles and
//! cosignatures of witnesses. Pure functions: no files, no clock, no network. Decision 009 says why this is our own code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod checkpoint;
mod hash;
mod note;
mod proof;
mod tile;
mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::{Frontier, FrontierError, Hash, leaf_hash, node_hash};
pub use note::{NoteError, NoteSigner, NoteVerifier};
pub use proof::{
    ProofError, consistency_proof, inclusion_proof, tree_root, verify_consistency, verify_inclusion,
};
pub use tile::{
    Bundle, TILE_WIDTH, Tile, TileError, TilePath, TileReader, bundle_bytes, bundles_between, tiles_between,
};
pub use witness::{
    Cosignature, WitnessError, WitnessVerifier, add_checkpoint_body, add_cosignatures, conflict_size,
};
