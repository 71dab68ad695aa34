//! The tree over all records, in memory: what proofs and tiles are made of.

use remit_tlog::{Hash, leaf_hash, node_hash};

use crate::{JournalError, Reader};

/// The complete subtrees over the first records of a journal; 64 bytes for each record.
pub(crate) struct Tree {
    /// By level, lowest first.
    levels: Vec<Vec<Hash>>,
    /// The chain values: the log's entries.
    pub(crate) entries: Vec<Hash>,
}

impl Tree {
    /// Of the first `size` records.
    pub(crate) fn of(reader: &Reader, size: u64) -> Result<Self, JournalError> {
        let database = reader.database();
        let query = || -> rusqlite::Result<Vec<Vec<u8>>> {
            let mut rows = database.prepare("SELECT chain FROM record WHERE seq <= ?1 ORDER BY seq")?;
            rows.query_map([size.cast_signed()], |row| row.get(0))?.collect()
        };
        let damaged = |why: &str| JournalError::damaged(&reader.path, why);
        let mut entries = Vec::new();
        for chain in query().map_err(|error| reader.sql(&error))? {
            entries.push(chain.try_into().map_err(|_| damaged("a record's hash has another length"))?);
        }
        if entries.len() as u64 != size {
            return Err(damaged("records are missing"));
        }
        let mut levels = vec![entries.iter().map(|entry: &Hash| leaf_hash(entry)).collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            levels
                .push(below.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect());
        }
        Ok(Self { levels, entries })
    }

    /// The hash over the leaves `index·2^level .. (index+1)·2^level`.
    pub(crate) fn read<E: From<remit_tlog::ProofError>>(&self, level: u32, index: u64) -> Result<Hash, E> {
        let found = usize::try_from(index).ok().and_then(|index| self.levels.get(level as usize)?.get(index));
        Ok(*found.ok_or(remit_tlog::ProofError::TooShort)?)
    }

    /// The root over the first `size` records.
    pub(crate) fn root(&self, size: u64) -> Option<Hash> {
        remit_tlog::tree_root(size, |level, index| self.read::<remit_tlog::ProofError>(level, index)).ok()
    }
}
