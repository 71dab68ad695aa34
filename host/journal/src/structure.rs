//! Whether the file is sound as a database: its pages, and its indices over the records.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use rusqlite::Connection;

use crate::{AuditError, JournalError, Reader, schema, store};

/// Whether the file, of this schema, is one that SQLite could have written, with its indices but for those that
/// [`Indices`] checks.
pub(crate) fn check_structure(path: &Path, version: i64) -> Result<(), AuditError> {
    let (database, _) = store::open_read_only(path)?;
    let check = |query: &str, of: &[&str]| -> Result<(), AuditError> {
        let whole: String = database
            .query_row(query, rusqlite::params_from_iter(of), |row| row.get(0))
            .map_err(|e| JournalError::sqlite(path, &e))?;
        if whole == "ok" { Ok(()) } else { Err(JournalError::damaged(path, whole).into()) }
    };
    if version < schema::SCHEMA_VERSION {
        return check("PRAGMA integrity_check(1)", &[]);
    }
    check("PRAGMA quick_check(1)", &[])?;
    let tables: Vec<String> = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'record'")
        .and_then(|mut tables| tables.query_map([], |row| row.get(0))?.collect())
        .map_err(|e| JournalError::sqlite(path, &e))?;
    tables.iter().try_for_each(|table| {
        check("SELECT integrity_check FROM pragma_integrity_check(?1) LIMIT 1", &[table])
    })
}

/// What each index of the records is to hold, as a sum over its entries: the same for the same entries in any order.
/// Nobody can make other entries of that sum, for the key is drawn for each audit.
#[derive(Default)]
pub(crate) struct Indices {
    key: RandomState,
    of_run: u64,
    of_kind: u64,
    to_tell: u64,
}

impl Indices {
    fn entry(&self, seq: u64, under: &[u8]) -> u64 {
        self.key.hash_one((seq, under))
    }

    pub(crate) fn note(&mut self, seq: u64, of: &[u8], kind: &[u8]) {
        self.of_run = self.of_run.wrapping_add(self.entry(seq, of));
        if matches!(kind, b"started" | b"ended") {
            self.of_kind = self.of_kind.wrapping_add(self.entry(seq, kind));
        }
        if schema::TO_TELL.iter().any(|told| told.as_bytes() == kind) {
            self.to_tell = self.to_tell.wrapping_add(self.entry(seq, b""));
        }
    }

    /// Whether they hold that. SQLite's own check looks each record up in each of them, which takes several times as
    /// long.
    pub(crate) fn check(&self, reader: &Reader, database: &Connection) -> Result<(), AuditError> {
        if reader.version < schema::SCHEMA_VERSION {
            return Ok(());
        }
        // None if its entries are not in order.
        let sum = |index: &str, under: &str, which: &str| -> rusqlite::Result<Option<u64>> {
            let query = format!("SELECT seq, {under} FROM record INDEXED BY {index} WHERE {which}");
            let mut statement = database.prepare(&query)?;
            let (mut rows, mut sum, mut last) = (statement.query([])?, 0_u64, (Vec::new(), 0));
            while let Some(row) = rows.next()? {
                let (seq, under) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get_ref(1)?.as_bytes()?);
                if (under, seq) <= (last.0.as_slice(), last.1) {
                    return Ok(None);
                }
                last.1 = seq;
                if last.0 != under {
                    under.clone_into(&mut last.0);
                }
                sum = sum.wrapping_add(self.entry(seq, under));
            }
            Ok(Some(sum))
        };
        let all = [
            ("record_of_run", "run", "TRUE", self.of_run),
            ("record_of_kind", "kind", "kind IN ('started', 'ended')", self.of_kind),
            ("record_to_tell", "x''", &schema::to_tell(), self.to_tell),
        ];
        for (index, under, which, expected) in all {
            if sum(index, under, which).map_err(|e| reader.sql(&e))? != Some(expected) {
                let why = format!("its index {index} is not of its records");
                return Err(JournalError::damaged(&reader.path, why).into());
            }
        }
        Ok(())
    }
}
