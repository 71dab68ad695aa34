//! Checks that the file is sound as a database: its pages, and its indices of the records.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use rusqlite::Connection;

use crate::{AuditError, JournalError, Reader, schema};

/// Checks that SQLite could have written the file, and reads the content of its indices of the records into `found`. If the
/// file has other tables or indices than this version makes, SQLite checks all of them instead, and the answer is none.
pub(crate) fn check_structure(
    reader: &Reader,
    database: &Connection,
    mut found: Indices,
) -> Result<Option<Indices>, AuditError> {
    let check = |query: &str, of: &[&str]| -> Result<(), AuditError> {
        let whole: String = database
            .query_row(query, rusqlite::params_from_iter(of), |row| row.get(0))
            .map_err(|e| reader.sql(&e))?;
        if whole == "ok" { Ok(()) } else { Err(JournalError::damaged(&reader.path, whole).into()) }
    };
    if !is_own(database).map_err(|e| reader.sql(&e))? {
        return check("PRAGMA integrity_check(1)", &[]).map(|()| None);
    }
    check("PRAGMA quick_check(1)", &[])?;
    let tables: Vec<String> = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'record'")
        .and_then(|mut tables| tables.query_map([], |row| row.get(0))?.collect())
        .map_err(|e| reader.sql(&e))?;
    tables.iter().try_for_each(|table| {
        check("SELECT integrity_check FROM pragma_integrity_check(?1) LIMIT 1", &[table])
    })?;
    found.read(reader, database)?;
    Ok(Some(found))
}

/// Whether the file has exactly the tables and indices that this version makes.
fn is_own(database: &Connection) -> rusqlite::Result<bool> {
    let of = |database: &Connection| -> rusqlite::Result<Vec<(String, Option<String>)>> {
        let mut all = database.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name, sql")?;
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let own = Connection::open_in_memory()?;
    own.execute_batch(&schema::statements())?;
    Ok(of(database)? == of(&own)?)
}

/// The content of each index of the records, as a sum over hashes of its entries: the same entries give the same sum in any
/// order. The key of the hash is random for each audit, so nobody can prepare other entries with the same sum. SQLite's
/// own check looks up each record in each index, which takes several times as long.
#[derive(Clone, Default)]
pub(crate) struct Indices {
    key: RandomState,
    sums: [u64; 2],
}

const OF_RUN: usize = 0;
const OF_KIND: usize = 1;
const NAMES: [&str; 2] = ["record_of_run", "record_of_kind"];

impl Indices {
    fn add(&mut self, index: usize, seq: u64, under: &[u8]) {
        let mut entry = self.key.build_hasher();
        entry.write_u64(seq);
        entry.write(under);
        self.sums[index] = self.sums[index].wrapping_add(entry.finish());
    }

    /// Adds what the indices must have for a record.
    pub(crate) fn note(&mut self, seq: u64, of: &[u8], kind: &[u8]) {
        self.add(OF_RUN, seq, of);
        if kind == b"started" || schema::TO_NOTIFY.iter().any(|listed| listed.as_bytes() == kind) {
            self.add(OF_KIND, seq, kind);
        }
    }

    /// Adds what the indices do have.
    fn read(&mut self, reader: &Reader, database: &Connection) -> Result<(), AuditError> {
        // False if its entries are not in order.
        let mut read = |index: usize, under: &str, which: &str| -> rusqlite::Result<bool> {
            let name = NAMES[index];
            // Asked for in the order of the index, SQLite reads it once and sorts nothing.
            let query = format!(
                "SELECT seq, {under} FROM record INDEXED BY {name} WHERE {which} ORDER BY {under}, seq"
            );
            let mut statement = database.prepare(&query)?;
            let (mut rows, mut last) = (statement.query([])?, (Vec::new(), 0));
            while let Some(row) = rows.next()? {
                let (seq, under) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get_ref(1)?.as_bytes()?);
                if (under, seq) <= (last.0.as_slice(), last.1) {
                    return Ok(false);
                }
                last.1 = seq;
                if last.0 != under {
                    under.clone_into(&mut last.0);
                }
                self.add(index, seq, under);
            }
            Ok(true)
        };
        for (index, under, which) in [(OF_RUN, "run", "TRUE"), (OF_KIND, "kind", &schema::by_kind())] {
            if !read(index, under, which).map_err(|e| reader.sql(&e))? {
                return Err(wrong(reader, index));
            }
        }
        Ok(())
    }

    /// Checks that the indices have what they must have.
    pub(crate) fn compare(&self, found: &Self, reader: &Reader) -> Result<(), AuditError> {
        let differ = (0..NAMES.len()).find(|&index| self.sums[index] != found.sums[index]);
        differ.map_or(Ok(()), |index| Err(wrong(reader, index)))
    }
}

fn wrong(reader: &Reader, index: usize) -> AuditError {
    JournalError::damaged(&reader.path, format!("its index {} does not agree with its records", NAMES[index]))
        .into()
}
