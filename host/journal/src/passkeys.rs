//! How often passkeys have signed, as they count themselves. A counter that does not rise shows a copy of the key: `WebAuthn`, section
//! 6.1.1. Each use is on record with the document that was signed, and the table has the last one of each key.

use std::collections::BTreeMap;

use remit_trust::dsse::Envelope;
use remit_trust::{Digest, PasskeyUse};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::value::RawValue;

use crate::{Act, AuditError, Event, JournalError, Reader, SignedStatement};

/// Whether a counter may follow another one. A key that does not count says 0 each time.
fn rises(last: u32, next: u32) -> bool {
    next > last || (last, next) == (0, 0)
}

/// How base64 of a signature by an SSH key begins, of a passkey too.
const SSHSIG: &str = "U1NIU0lH";

fn uses(document: &RawValue) -> Vec<PasskeyUse> {
    // Most documents are signed with other keys. That is seen without parsing them, where no escape can hide anything.
    if !document.get().contains(SSHSIG) && !document.get().contains('\\') {
        return Vec::new();
    }
    let envelope: Option<Envelope> = serde_json::from_str(document.get()).ok();
    envelope.map(|envelope| envelope.uses_of_passkeys()).unwrap_or_default()
}

/// The uses of passkeys in what a principal said.
pub(crate) fn in_act(act: &Act) -> Vec<PasskeyUse> {
    act.event.statement().map(|statement| uses(&statement.document)).unwrap_or_default()
}

/// The uses of passkeys in what a principal ordered about a run. Copies of what is on record elsewhere do not count.
pub(crate) fn in_event(event: &Event) -> Vec<PasskeyUse> {
    let document = match event {
        Event::Started(started) => {
            let authority = started.grant.as_ref().and_then(|grant| grant.authority.as_ref());
            authority.map(|authority| &authority.trigger)
        }
        Event::Phase(entered) => entered.order.as_ref(),
        Event::Extended(extended) => extended.order.as_ref(),
        Event::UndoExpired(expired) => expired.order.as_ref(),
        _ => None,
    };
    document.map(|document| uses(document)).unwrap_or_default()
}

fn last(database: &Connection, key: &str) -> rusqlite::Result<Option<(u32, String)>> {
    database
        .prepare_cached("SELECT counter, signature FROM passkey WHERE key = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Whether these uses may come now. One document may be in several records.
pub(crate) fn admit(
    database: &Connection,
    uses: &[PasskeyUse],
) -> rusqlite::Result<Result<(), JournalError>> {
    for PasskeyUse { key, counter, signature } in uses {
        if let Some((last, of)) = last(database, &key.to_string())?
            && of != signature.to_string()
            && !rises(last, *counter)
        {
            return Ok(Err(JournalError::Passkey { key: key.clone(), counter: *counter, last }));
        }
    }
    Ok(Ok(()))
}

/// Writes uses that were admitted.
pub(crate) fn keep(database: &Connection, uses: &[PasskeyUse]) -> rusqlite::Result<()> {
    for PasskeyUse { key, counter, signature } in uses {
        database
            .prepare_cached("INSERT OR REPLACE INTO passkey (key, counter, signature) VALUES (?1, ?2, ?3)")?
            .execute(params![key.to_string(), counter, signature.to_string()])?;
    }
    Ok(())
}

impl Reader {
    /// Checks that the counter of a passkey rises with this use, which is not put on record.
    pub fn check_use(&self, used: &PasskeyUse) -> Result<(), JournalError> {
        let database = self.database();
        admit(&database, std::slice::from_ref(used)).map_err(|error| self.sql(&error))?
    }
}

/// What the records so far say, for an audit.
#[derive(Default)]
pub(crate) struct Counters(BTreeMap<String, (u32, Digest)>);

impl Counters {
    /// Checks the signature of a statement, if a passkey made it, by the public key that is in it; and that its counter rises.
    pub(crate) fn follow_statement(&mut self, seq: u64, said: &SignedStatement) -> Result<(), AuditError> {
        let wrong = |why: &str| Err(AuditError::Record { seq, why: why.to_owned() });
        let uses = uses(&said.document);
        let Ok(envelope) = serde_json::from_str::<Envelope>(said.document.get()) else { return Ok(()) };
        let says_so = envelope.claimed_passkeys().iter().any(|key| key.to_string() == said.key);
        if says_so && !uses.iter().any(|used| used.key.to_string() == said.key) {
            return wrong("holds a document that its passkey did not sign like this");
        }
        self.follow(seq, &uses)
    }

    /// Checks that counters rise.
    pub(crate) fn follow(&mut self, seq: u64, uses: &[PasskeyUse]) -> Result<(), AuditError> {
        for PasskeyUse { key, counter, signature } in uses {
            let before = self.0.insert(key.to_string(), (*counter, *signature));
            if let Some((last, of)) = before
                && of != *signature
                && !rises(last, *counter)
            {
                let why = format!(
                    "is signed by the passkey {} with the number {counter} after {last}: a number that does not rise shows a copy",
                    key.short()
                );
                return Err(AuditError::Record { seq, why });
            }
        }
        Ok(())
    }

    /// Checks that the table agrees with the records.
    pub(crate) fn check_table(&self, reader: &Reader, database: &Connection) -> Result<(), AuditError> {
        let stored = || -> rusqlite::Result<BTreeMap<String, (u32, String)>> {
            let mut rows = database.prepare("SELECT key, counter, signature FROM passkey")?;
            rows.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?.collect()
        };
        let stored = stored().map_err(|error| reader.sql(&error))?;
        let expected: BTreeMap<_, _> =
            self.0.iter().map(|(key, (counter, of))| (key.clone(), (*counter, of.to_string()))).collect();
        let differs = expected.keys().chain(stored.keys()).find(|key| stored.get(*key) != expected.get(*key));
        let why = "does not agree with its record";
        differs.map_or(Ok(()), |key| Err(AuditError::Table { what: "passkey", run: key.clone(), why }))
    }
}
