//! The tree over all records: what proofs and tiles are made of. The hashes over whole blocks of records are kept in a
//! table; a block itself is read when something in it is asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use remit_tlog::{Frontier, Hash, leaf_hash, node_hash};
use rusqlite::Connection;

use crate::{JournalError, Reader};

/// A block is a complete subtree of `2^BLOCK_LEVEL` records.
pub(crate) const BLOCK_LEVEL: u32 = 8;
const BLOCK: u64 = 1 << BLOCK_LEVEL;

/// The complete subtrees over the first records of a journal.
pub(crate) struct Tree<'d> {
    reader: &'d Reader,
    database: &'d Connection,
    size: u64,
    /// From the level of a block on, lowest first.
    levels: Vec<Vec<Hash>>,
    /// What was read so far. A block that is whole has the hash that is kept of it.
    blocks: RefCell<HashMap<u64, Rc<Block>>>,
}

/// Up to [`BLOCK`] records, and the complete subtrees over them, lowest first.
struct Block {
    entries: Vec<Hash>,
    levels: Vec<Vec<Hash>>,
}

impl<'d> Tree<'d> {
    /// Of the first `size` records. It is of the log only if its root is.
    pub(crate) fn of(reader: &'d Reader, database: &'d Connection, size: u64) -> Result<Self, JournalError> {
        let whole = size >> BLOCK_LEVEL;
        let blocks = if reader.version < 7 {
            let mut frontier = Frontier::default();
            let entries = entries(reader, database, 0, size)?;
            entries.iter().filter_map(|entry| frontier.push_noting(leaf_hash(entry), BLOCK_LEVEL)).collect()
        } else {
            kept(reader, database, whole)?
        };
        if blocks.len() as u64 != whole {
            return Err(missing(reader));
        }
        Ok(Self { reader, database, size, levels: above(blocks), blocks: RefCell::default() })
    }

    /// The hash over the leaves `index·2^level .. (index+1)·2^level`.
    pub(crate) fn read(&self, level: u32, index: u64) -> Result<Hash, JournalError> {
        let of = |levels: &[Vec<Hash>], level: u32, index: u64| {
            let found = levels.get(level as usize).zip(usize::try_from(index).ok());
            found.and_then(|(nodes, index)| nodes.get(index).copied()).ok_or_else(|| missing(self.reader))
        };
        match BLOCK_LEVEL.checked_sub(level) {
            None | Some(0) => of(&self.levels, level - BLOCK_LEVEL, index),
            Some(below) => {
                let number = index >> below;
                of(&self.block(number)?.levels, level, index - (number << below))
            }
        }
    }

    /// A record's entry; the first one's `index` is 0.
    pub(crate) fn entry(&self, index: u64) -> Result<Hash, JournalError> {
        let block = self.block(index >> BLOCK_LEVEL)?;
        let found = usize::try_from(index % BLOCK).ok().and_then(|at| block.entries.get(at));
        found.copied().ok_or_else(|| missing(self.reader))
    }

    /// The root over the first `size` records, which are no more than those of the tree.
    pub(crate) fn root(&self, size: u64) -> Result<Hash, JournalError> {
        remit_tlog::tree_root(size, |level, index| self.read(level, index))
    }

    fn block(&self, number: u64) -> Result<Rc<Block>, JournalError> {
        if let Some(block) = self.blocks.borrow().get(&number) {
            return Ok(Rc::clone(block));
        }
        let first = number.saturating_mul(BLOCK).min(self.size);
        let last = first.saturating_add(BLOCK).min(self.size);
        let entries = entries(self.reader, self.database, first, last)?;
        let levels = above(entries.iter().map(|entry| leaf_hash(entry)).collect());
        // The last block has no hash that is kept: the root is over its records.
        let kept = usize::try_from(number).ok().and_then(|number| self.levels.first()?.get(number));
        if let Some(kept) = kept
            && levels.last().and_then(|top| top.first()) != Some(kept)
        {
            let why = format!("records {} to {last} are not those that the log is made of", first + 1);
            return Err(JournalError::damaged(&self.reader.path, why));
        }
        let block = Rc::new(Block { entries, levels });
        self.blocks.borrow_mut().insert(number, Rc::clone(&block));
        Ok(block)
    }
}

/// All complete subtrees over these ones.
fn above(nodes: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![nodes];
    while let Some(below) = levels.last().filter(|below| below.len() > 1) {
        levels.push(below.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect());
    }
    levels
}

/// The entries of the records after the first `from`, up to the one of number `until`.
fn entries(reader: &Reader, database: &Connection, from: u64, until: u64) -> Result<Vec<Hash>, JournalError> {
    let query = "SELECT chain FROM record WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
    let entries = hashes(reader, database, query, from, until)?;
    if entries.len() as u64 == until - from { Ok(entries) } else { Err(missing(reader)) }
}

/// The hashes that are kept of the first blocks.
pub(crate) fn kept(reader: &Reader, database: &Connection, blocks: u64) -> Result<Vec<Hash>, JournalError> {
    let query = "SELECT hash FROM block WHERE number >= ?1 AND number < ?2 ORDER BY number";
    hashes(reader, database, query, 0, blocks)
}

fn hashes(
    reader: &Reader,
    database: &Connection,
    query: &str,
    from: u64,
    until: u64,
) -> Result<Vec<Hash>, JournalError> {
    let read = || -> rusqlite::Result<Vec<Option<Hash>>> {
        let mut rows = database.prepare_cached(query)?;
        rows.query_map([from.cast_signed(), until.cast_signed()], |row| {
            Ok(row.get_ref(0)?.as_bytes().ok().and_then(|hash| hash.try_into().ok()))
        })?
        .collect()
    };
    let hashes: Option<Vec<Hash>> = read().map_err(|error| reader.sql(&error))?.into_iter().collect();
    hashes.ok_or_else(|| JournalError::damaged(&reader.path, "a record's hash has another length"))
}

fn missing(reader: &Reader) -> JournalError {
    JournalError::damaged(&reader.path, "records are missing")
}
