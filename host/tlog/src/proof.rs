//! Proofs that a leaf is in a tree, and that a tree has grown by appending only (RFC 6962, sections 2.1.1
//! and 2.1.2; verification after RFC 9162, sections 2.1.3.2 and 2.1.4.2).
//!
//! Generation reads complete subtrees: `read(level, index)` is the hash over the leaves
//! `index·2^level .. (index+1)·2^level`, and is called only for subtrees that are inside the
//! tree. Its errors are passed on.

use crate::hash::empty_root;
use crate::{Hash, node_hash};

/// Why a proof cannot be made or is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum ProofError {
    /// There is no such leaf, or the older tree is larger than the newer one.
    #[error("the log is too short for this proof")]
    #[diagnostic(
        code(integrity::log_too_short),
        help("compare with an older checkpoint: a log that has become shorter was tampered with")
    )]
    TooShort,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root of the log")]
    #[diagnostic(
        code(integrity::proof),
        help(
            "either the proof is for another log, or the log was changed; keep both and run `remit audit verify`"
        )
    )]
    Wrong,
}

/// The root of the tree of `size` leaves, from its complete subtrees.
pub fn tree_root<E>(size: u64, mut read: impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    if size == 0 { Ok(empty_root()) } else { subtree(0, size, &mut read) }
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves: hashes, lowest first.
pub fn inclusion_proof<E: From<ProofError>>(
    index: u64,
    size: u64,
    mut read: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if index >= size {
        return Err(ProofError::TooShort.into());
    }
    let (mut from, mut until) = (0, size);
    let mut path = Vec::new();
    while until - from > 1 {
        let middle = from + split(until - from);
        if index < middle {
            path.push(subtree(middle, until, &mut read)?);
            until = middle;
        } else {
            path.push(subtree(from, middle, &mut read)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Checks that `leaf` is number `index` of the tree of `size` leaves whose root is `root`.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::TooShort);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Wrong);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // On the right edge there is no sibling at the levels where the node is a left child.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(ProofError::Wrong) }
}

/// The consistency proof: hashes that show that the tree of `old` leaves is the beginning of the tree of `new` leaves. Empty
/// if `old` is 0 or equals `new`.
pub fn consistency_proof<E: From<ProofError>>(
    old: u64,
    new: u64,
    mut read: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if old > new {
        return Err(ProofError::TooShort.into());
    }
    let mut path = Vec::new();
    if old == 0 {
        return Ok(path);
    }
    let (mut from, mut until) = (0, new);
    // While the old tree begins at `from`, the verifier knows its root.
    while old < until {
        let middle = from + split(until - from);
        if old <= middle {
            path.push(subtree(middle, until, &mut read)?);
            until = middle;
        } else {
            path.push(subtree(from, middle, &mut read)?);
            from = middle;
        }
    }
    if from != 0 {
        path.push(subtree(from, until, &mut read)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that the tree of `old` leaves with root `old_root` is the beginning of the tree of `new` leaves
/// with root `new_root`.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let holds = |yes: bool| if yes { Ok(()) } else { Err(ProofError::Wrong) };
    if old > new {
        return Err(ProofError::TooShort);
    }
    if old == new {
        return holds(proof.is_empty() && old_root == new_root);
    }
    if old == 0 {
        return holds(proof.is_empty() && *old_root == empty_root());
    }
    let mut steps = proof.iter();
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // An old tree that is one complete subtree is its own first step.
    let first = if node == 0 { old_root } else { steps.next().ok_or(ProofError::Wrong)? };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in steps {
        if last == 0 {
            return Err(ProofError::Wrong);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    holds(last == 0 && old_hash == *old_root && new_hash == *new_root)
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The hash over the leaves `from..until`, where `from` is a multiple of the first complete subtree's size.
fn subtree<E>(from: u64, until: u64, read: &mut impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    let n = until - from;
    if n.is_power_of_two() {
        return read(n.ilog2(), from / n);
    }
    let middle = from + split(n);
    let left = subtree(from, middle, read)?;
    Ok(node_hash(&left, &subtree(middle, until, read)?))
}
