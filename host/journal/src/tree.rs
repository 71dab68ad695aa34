//! The Merkle tree over all records, from which proofs and tiles are made. The hashes over whole blocks of records are in a
//! table of their own. The records of a block are read only when something inside it is asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use remit_tlog::{Hash, leaf_hash, node_hash};
use rusqlite::{Connection, params};

use crate::JournalError;

/// A block is a complete subtree of `2^BLOCK_LEVEL` records.
pub(crate) const BLOCK_LEVEL: u32 = 8;
const BLOCK: u64 = 1 << BLOCK_LEVEL;

/// The complete subtrees over the first records of a journal.
pub(crate) struct Tree<'d> {
    path: &'d Path,
    database: &'d Connection,
    size: u64,
    /// The levels from that of a block upwards, lowest first.
    levels: Vec<Vec<Hash>>,
    /// The blocks read so far. Each complete one was compared with its hash in the table.
    blocks: RefCell<HashMap<u64, Rc<Block>>>,
}

/// Up to [`BLOCK`] records, and the complete subtrees over them, lowest first.
struct Block {
    entries: Vec<Hash>,
    levels: Vec<Vec<Hash>>,
}

impl<'d> Tree<'d> {
    /// The tree over the first `size` records. The caller must compare its root with a signed one.
    pub(crate) fn of(path: &'d Path, database: &'d Connection, size: u64) -> Result<Self, JournalError> {
        let complete = size >> BLOCK_LEVEL;
        let blocks = block_hashes(path, database, complete)?;
        if blocks.len() as u64 != complete {
            return Err(missing(path));
        }
        Ok(Self { path, database, size, levels: above(blocks), blocks: RefCell::default() })
    }

    /// The hash over the leaves `index·2^level .. (index+1)·2^level`.
    pub(crate) fn read(&self, level: u32, index: u64) -> Result<Hash, JournalError> {
        let of = |levels: &[Vec<Hash>], level: u32, index: u64| {
            let found = levels.get(level as usize).zip(usize::try_from(index).ok());
            found.and_then(|(nodes, index)| nodes.get(index).copied()).ok_or_else(|| missing(self.path))
        };
        match BLOCK_LEVEL.checked_sub(level) {
            None | Some(0) => of(&self.levels, level - BLOCK_LEVEL, index),
            Some(below) => {
                let number = index >> below;
                of(&self.block(number)?.levels, level, index - (number << below))
            }
        }
    }

    /// The log entry of a record. `index` is 0 for the first record.
    pub(crate) fn entry(&self, index: u64) -> Result<Hash, JournalError> {
        let block = self.block(index >> BLOCK_LEVEL)?;
        let found = usize::try_from(index % BLOCK).ok().and_then(|at| block.entries.get(at));
        found.copied().ok_or_else(|| missing(self.path))
    }

    /// The root over the first `size` records, of which the tree must have at least as many.
    pub(crate) fn root(&self, size: u64) -> Result<Hash, JournalError> {
        remit_tlog::tree_root(size, |level, index| self.read(level, index))
    }

    fn block(&self, number: u64) -> Result<Rc<Block>, JournalError> {
        if let Some(block) = self.blocks.borrow().get(&number) {
            return Ok(Rc::clone(block));
        }
        let first = number.saturating_mul(BLOCK).min(self.size);
        let last = first.saturating_add(BLOCK).min(self.size);
        let entries = entries(self.path, self.database, first, last)?;
        let levels = above(entries.iter().map(|entry| leaf_hash(entry)).collect());
        // The last block may be incomplete, and then has no hash in the table; the root covers its records.
        let kept = usize::try_from(number).ok().and_then(|number| self.levels.first()?.get(number));
        if let Some(kept) = kept
            && levels.last().and_then(|top| top.first()) != Some(kept)
        {
            let why = format!("records {} to {last} are not those that the log was made of", first + 1);
            return Err(JournalError::damaged(self.path, why));
        }
        let block = Rc::new(Block { entries, levels });
        self.blocks.borrow_mut().insert(number, Rc::clone(&block));
        Ok(block)
    }
}

/// All complete subtrees over these nodes.
fn above(nodes: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![nodes];
    while let Some(below) = levels.last().filter(|below| below.len() > 1) {
        levels.push(below.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect());
    }
    levels
}

/// Stores the hash over a complete block of the tree, whose last record is `seq`.
pub(crate) fn keep_block(database: &Connection, seq: u64, node: &Hash) -> rusqlite::Result<()> {
    let number = (seq >> BLOCK_LEVEL) - 1;
    database
        .prepare_cached("INSERT INTO block (number, hash) VALUES (?1, ?2)")?
        .execute(params![number.cast_signed(), node])?;
    Ok(())
}

/// The stored hashes of the first `blocks` blocks.
pub(crate) fn block_hashes(
    path: &Path,
    database: &Connection,
    blocks: u64,
) -> Result<Vec<Hash>, JournalError> {
    let query = "SELECT hash FROM block WHERE number >= ?1 AND number < ?2 ORDER BY number";
    hashes(path, database, query, 0, blocks)
}

/// The log entries of the records with the numbers `from + 1 ..= until`.
fn entries(path: &Path, database: &Connection, from: u64, until: u64) -> Result<Vec<Hash>, JournalError> {
    let query = "SELECT chain FROM record WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
    let entries = hashes(path, database, query, from, until)?;
    if entries.len() as u64 == until - from { Ok(entries) } else { Err(missing(path)) }
}

fn hashes(
    path: &Path,
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
    let hashes: Option<Vec<Hash>> =
        read().map_err(|error| JournalError::sqlite(path, &error))?.into_iter().collect();
    hashes.ok_or_else(|| JournalError::damaged(path, "a record's hash does not have 32 bytes"))
}

fn missing(path: &Path) -> JournalError {
    JournalError::damaged(path, "records are missing")
}
