//! The Merkle tree of RFC 6962, section 2.1, built one leaf at a time.

use ring::digest::{Context, SHA256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// The hash of a leaf: `SHA-256(0x00 ‖ entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    hash(&[&[0], entry])
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

/// The root of the tree without leaves: the hash of the empty string.
pub(crate) fn empty_root() -> Hash {
    hash(&[])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The right edge of a growing tree: one node for each bit set in its size, largest subtree first. It is enough to append
/// and to compute the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

/// The error for bytes that are not a frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the stored right edge of the log's tree is malformed")]
#[diagnostic(code(integrity::frontier), help("run `remit audit verify`; restore the journal from a copy"))]
pub struct FrontierError;

impl Frontier {
    /// Appends the hash of a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_noting(leaf, 0);
    }

    /// Appends the hash of a leaf. If that completes a subtree of `2^level` leaves, returns the subtree's hash.
    pub fn push_noting(&mut self, leaf: Hash, level: u32) -> Option<Hash> {
        let (mut node, mut noted) = (leaf, (level == 0).then_some(leaf));
        // Each complete subtree on the right is merged, as in adding one to a binary number.
        for below in 0..self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            node = node_hash(&left, &node);
            if below + 1 == level {
                noted = Some(node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
        noted
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root; for the empty tree the hash of the empty string.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut from_right = self.nodes.iter().rev();
        match from_right.next() {
            None => empty_root(),
            Some(last) => from_right.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// The frontier as bytes: the size, big-endian, then the nodes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.size.to_be_bytes().to_vec();
        for node in &self.nodes {
            out.extend_from_slice(node);
        }
        out
    }

    /// Reads the bytes of [`Frontier::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let (size, rest) = bytes.split_first_chunk::<8>().ok_or(FrontierError)?;
        let size = u64::from_be_bytes(*size);
        let (nodes, remainder) = rest.as_chunks::<32>();
        // No log has 2⁶³ entries: a larger size is damage, and would overflow at the next append.
        if size >> 63 != 0 || !remainder.is_empty() || nodes.len() != size.count_ones() as usize {
            return Err(FrontierError);
        }
        Ok(Self { size, nodes: nodes.to_vec() })
    }
}
