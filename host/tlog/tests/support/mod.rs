//! A log kept whole in memory, for the tests of what is published of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use remit_tlog::{
    Hash, ProofError, Tile, TileError, bundle_bytes, bundles_between, leaf_hash, node_hash, tiles_between,
};

/// What any of the functions under test can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Proof(ProofError),
    Tile(TileError),
    NotFound(String),
}

impl From<ProofError> for Wrong {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

impl From<TileError> for Wrong {
    fn from(error: TileError) -> Self {
        Self::Tile(error)
    }
}

/// Every complete subtree of a log whose entry number i is the text `entry i`.
pub struct Tree {
    rows: Vec<Vec<Hash>>,
}

pub fn entry(i: u64) -> Vec<u8> {
    format!("entry {i}").into_bytes()
}

impl Tree {
    pub fn new(size: u64) -> Self {
        let mut rows = vec![(0..size).map(|i| leaf_hash(&entry(i))).collect::<Vec<_>>()];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let above = row.as_chunks::<2>().0.iter().map(|[l, r]| node_hash(l, r)).collect();
            rows.push(above);
        }
        Self { rows }
    }

    /// Reads complete subtrees only, and fails the test when asked for another.
    #[allow(clippy::unnecessary_wraps, reason = "what the functions under test ask for")]
    pub fn read(&self, level: u32, index: u64) -> Result<Hash, Wrong> {
        Ok(self.rows[level as usize][usize::try_from(index).unwrap()])
    }

    /// Everything that a log publishes as it grows to these sizes, one after the other.
    pub fn publish(&self, sizes: &[u64]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut old = 0;
        for new in sizes {
            for tile in tiles_between(old, *new) {
                let bytes = tile.bytes(|level, index| self.read(level, index)).unwrap();
                assert_eq!(files.insert(tile.to_string(), bytes), None, "{tile} written again");
            }
            for bundle in bundles_between(old, *new) {
                let entries: Vec<_> =
                    (0..bundle.width()).map(|i| entry(bundle.first() + u64::from(i))).collect();
                let before = files.insert(bundle.to_string(), bundle_bytes(&entries).unwrap());
                assert_eq!(before, None, "{bundle} written again");
            }
            old = *new;
        }
        files
    }
}

/// Gives the published bytes of a tile.
pub fn fetch(files: &BTreeMap<String, Vec<u8>>) -> impl FnMut(Tile) -> Result<Vec<u8>, Wrong> {
    |tile| files.get(&tile.to_string()).cloned().ok_or(Wrong::NotFound(tile.to_string()))
}
