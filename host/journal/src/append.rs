//! The one transaction that appends to the journal.

use std::borrow::Cow;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use remit_tlog::{Frontier, NoteSigner, leaf_hash};
use remit_trust::Digest;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::chain::{Tail, Tails};
use crate::entry::{Entry, Row, Transition};
use crate::store::{Head, trusted_head, write_head};
use crate::tables::Tables;
use crate::tree::{BLOCK_LEVEL, keep_block};
use crate::{JournalError, StartError, instant};

/// How far the time of a record may be before the latest time on record. Several threads make records at once, and a
/// machine's clock is corrected by about so much now and then.
const JITTER: SignedDuration = SignedDuration::from_secs(2);

/// If `at` comes from a clock that was set back, the latest time on record, which is later than `at`.
pub(crate) fn set_back(at: Timestamp, mark: Option<Timestamp>) -> Option<Timestamp> {
    mark.filter(|mark| mark.duration_since(at) > JITTER)
}

/// A state of the log that this connection verified or wrote. `version` is SQLite's number for the state of the file, which
/// changes as soon as another connection writes.
pub(crate) struct Trusted {
    chain: [u8; 32],
    frontier: Frontier,
    /// The latest time of any record.
    mark: Option<Timestamp>,
    tails: Tails,
    version: i64,
}

/// Appends entries in one transaction. The state of the log is read inside it, so that several processes can share the
/// file. Answers for each entry whether it was refused. An error means that none was written.
pub(crate) fn append(
    path: &Path,
    database: &mut Connection,
    signer: &NoteSigner,
    trusted: &mut Option<Trusted>,
    (entries, text): (&[Entry], &[u8]),
) -> Result<Vec<Result<(), StartError>>, JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let version = transaction
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut version| version.query_row([], |row| row.get(0)))
        .map_err(sql)?;
    let mut state = match trusted.take() {
        Some(trusted) if trusted.version == version => trusted,
        _ => {
            let (Head { chain, frontier, .. }, mark) = trusted_head(path, &transaction, &signer.verifier())?;
            Trusted { chain, frontier, mark, tails: Tails::default(), version }
        }
    };
    let mut answers = Vec::with_capacity(entries.len());
    let mut tables = Tables::of(&transaction).map_err(sql)?;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let late = set_back(entry.at, state.mark).filter(|_| entry.waited_for);
        let admitted = match late {
            Some(newest) if matches!(entry.transition, Transition::Starts(_) | Transition::Changes) => {
                Err(StartError::Clock { now: entry.at, newest })
            }
            _ => tables.admit(entry).map_err(sql)?,
        };
        if admitted.is_ok() {
            let (mut body, mut digest) = (Cow::Borrowed(&text[entry.body.clone()]), entry.digest);
            if let Some(mark) = late {
                (body, digest) = (Cow::Owned(stamped(&body, mark)), None);
            }
            let digest = digest.unwrap_or_else(|| Digest::of(&body));
            let before = match state.tails.get(&entry.of) {
                Some(tail) => tail,
                // `admit` made sure that nothing of the run is on record.
                None if matches!(entry.transition, Transition::Starts(_)) => Tail::default(),
                None => tail(path, &transaction, entry.of.as_str())?,
            };
            let tail = before.next(&state.chain, &digest);
            state.tails.set(&entry.of, tail);
            state.chain = tail.entry;
            let node = state.frontier.push_noting(leaf_hash(&state.chain), BLOCK_LEVEL);
            state.mark = state.mark.max(Some(late.unwrap_or(entry.at)));
            let row = Row { seq: state.frontier.size(), entry, body, tail };
            tables.follow(&row).map_err(sql)?;
            if let Some(node) = node {
                keep_block(&transaction, row.seq, &node).map_err(sql)?;
            }
            rows.push(row);
        }
        answers.push(admitted);
    }
    tables.append(&rows).map_err(sql)?;
    drop(tables);
    write_head(&transaction, &state.chain, &state.frontier, state.mark, signer).map_err(sql)?;
    transaction.commit().map_err(sql)?;
    state.tails.limit();
    *trusted = Some(state);
    Ok(answers)
}

/// Reads the newest record under a name.
fn tail(path: &Path, database: &Connection, of: &str) -> Result<Tail, JournalError> {
    let sql = |error: rusqlite::Error| JournalError::sqlite(path, &error);
    let newest: Option<(i64, Vec<u8>)> = database
        .prepare_cached("SELECT place, chain FROM record WHERE run = ?1 ORDER BY seq DESC LIMIT 1")
        .and_then(|mut newest| newest.query_row([of], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(sql)?;
    let Some((place, chain)) = newest else { return Ok(Tail::default()) };
    let entry = chain
        .try_into()
        .map_err(|_| JournalError::damaged(path, "a record's hash does not have 32 bytes"))?;
    Ok(Tail { place: place.cast_unsigned(), entry })
}

/// The text of a record with another time in it. The text begins with a name, which has no quotes, and the time.
fn stamped(body: &[u8], at: Timestamp) -> Vec<u8> {
    const AT: &[u8] = br#"","at":""#;
    let end = |from: usize| body[from..].iter().position(|byte| *byte == b'"').map(|end| from + end);
    let found = body.windows(AT.len()).position(|window| window == AT).map(|found| found + AT.len());
    let Some((start, end)) = found.and_then(|start| Some((start, end(start)?))) else {
        return body.to_vec();
    };
    let mut text = body[..start].to_vec();
    instant::append(at, &mut text);
    text.extend_from_slice(&body[end..]);
    text
}
