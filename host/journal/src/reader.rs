//! Queries of a journal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use remit_tlog::Checkpoint;
use remit_trust::Digest;
use rusqlite::{Connection, OptionalExtension as _, Params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::listing::{Listing, targets};
use crate::{
    About, Act, ActionRef, Basis, Certificate, Due, Ended, Event, JournalError, LedgerEvent, Mode, Record,
    RequestId, RestsOn, RunId, RunState, Spent, Started, Withdrawn, schema, store, tables,
};

/// A read-only view of a journal file. It sees what is committed.
pub struct Reader {
    pub(crate) path: PathBuf,
    database: Mutex<Connection>,
    spent: Mutex<Spent>,
    listing: Mutex<Listing>,
    /// The newest checkpoint of which it is known that the disk has all records that it covers.
    on_disk: Mutex<String>,
    /// The copy that is read, if this is a copied journal, beside which nothing is written.
    pub(crate) evidence: Option<Evidence>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.path.display())
    }
}

/// A run in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's identifier.
    pub run: RunId,
    /// When the run started.
    pub at: Timestamp,
    /// Whether changes were real.
    pub mode: Mode,
    /// The action that ran.
    pub action: ActionRef,
    /// The name of the principal that asked for the run.
    pub principal: String,
    /// The name of the principal that started the run; none for a rehearsal.
    pub started_by: Option<String>,
    /// The request that it ran under.
    pub request: Option<RequestId>,
    /// Why, in the words of who started it.
    pub reason: String,
    /// The input of the action.
    pub input: serde_json::Value,
    /// The resource patterns of its scope, sorted.
    pub target: Vec<String>,
    /// When it reached its state.
    pub ended: Option<Timestamp>,
    /// Why it is in its state, in one sentence.
    pub detail: Option<String>,
    /// When its grant expires.
    pub until: Option<Timestamp>,
    /// Its state. None while it is under way, or when its host was killed.
    pub state: Option<RunState>,
    /// When the host undoes its changes by itself; none if it does not.
    pub restore_at: Option<Timestamp>,
    /// When the host calls people because of it; none if it does not.
    pub page_at: Option<Timestamp>,
}

/// A checkpoint that a witness cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cosigned {
    /// The name of the witness.
    pub witness: String,
    /// How many records it covers.
    pub size: u64,
    /// The signed note, with every signature it has.
    pub note: String,
}

impl RunSummary {
    fn of(run: RunId, at: Timestamp, started: Started) -> Self {
        let target = started.scope.map(|scope| targets(scope.get())).unwrap_or_default();
        let grant = started.grant.as_ref();
        Self {
            run,
            at,
            mode: started.mode,
            request: grant.and_then(|grant| grant.authority.as_ref()).map(|authority| authority.request),
            until: grant.and_then(|grant| grant.signed.as_ref()).map(|signed| signed.not_after),
            action: started.action,
            principal: started.principal,
            started_by: started.started_by,
            reason: started.reason,
            input: serde_json::from_str(started.input.get()).unwrap_or_default(),
            target,
            ended: None,
            detail: None,
            state: None,
            restore_at: None,
            page_at: None,
        }
    }
}

impl RunSummary {
    fn wait(&mut self, due: Due) {
        (self.restore_at, self.page_at) = (due.restore, due.page);
    }
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let database = Mutex::new(store::open_read_only(path)?);
        Ok(Self {
            path: path.to_owned(),
            database,
            spent: Mutex::default(),
            listing: Mutex::default(),
            on_disk: Mutex::default(),
            evidence: None,
        })
    }

    pub(crate) fn open_copy(path: &Path) -> Result<Self, JournalError> {
        let evidence = Evidence::open(path)?;
        let database = Mutex::new(evidence.connect()?);
        Ok(Self {
            path: path.to_owned(),
            database,
            spent: Mutex::default(),
            listing: Mutex::default(),
            on_disk: Mutex::default(),
            evidence: Some(evidence),
        })
    }

    /// Opens one more connection to the same journal.
    pub(crate) fn connect(&self) -> Result<Connection, JournalError> {
        match &self.evidence {
            Some(evidence) => evidence.connect(),
            None => store::open_read_only(&self.path),
        }
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Connection> {
        // A panic while reading leaves nothing half done.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spending(&self) -> MutexGuard<'_, Spent> {
        // After a panic in the middle of counting, start again.
        self.spent.lock().unwrap_or_else(|poisoned| {
            self.spent.clear_poison();
            let mut spent = poisoned.into_inner();
            *spent = Spent::default();
            spent
        })
    }

    pub(crate) fn listing(&self) -> MutexGuard<'_, Listing> {
        // The same.
        self.listing.lock().unwrap_or_else(|poisoned| {
            self.listing.clear_poison();
            let mut listing = poisoned.into_inner();
            *listing = Listing::default();
            listing
        })
    }

    pub(crate) fn sql(&self, error: &rusqlite::Error) -> JournalError {
        JournalError::sqlite(&self.path, error)
    }

    fn records<T: DeserializeOwned>(
        &self,
        filter: &str,
        argument: &str,
    ) -> Result<Vec<(u64, T)>, JournalError> {
        self.records_of(&format!("{filter} ORDER BY seq"), [argument])
    }

    /// The records that `which` says, all that follows `WHERE` in SQL.
    fn records_of<T: DeserializeOwned>(
        &self,
        which: &str,
        arguments: impl Params,
    ) -> Result<Vec<(u64, T)>, JournalError> {
        let query = || -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
            let database = self.database();
            let mut statement =
                database.prepare_cached(&format!("SELECT seq, body FROM record WHERE {which}"))?;
            statement.query_map(arguments, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        // Others read while the rows are parsed, which takes longer.
        let rows = query().map_err(|error| self.sql(&error))?;
        rows.into_iter()
            .map(|(seq, body)| {
                let record = serde_json::from_slice(&body).map_err(|error| JournalError::Record {
                    which: seq.to_string(),
                    verb: "read",
                    why: error.to_string(),
                })?;
                Ok((seq.cast_unsigned(), record))
            })
            .collect()
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        let mut runs: Vec<RunSummary> = Vec::new();
        let mut places = HashMap::new();
        for (_, record) in self.records::<Record>("kind = 'started' AND ?1 = ''", "")? {
            if let Event::Started(started) = record.event {
                places.insert(record.run, runs.len());
                runs.push(RunSummary::of(record.run, record.at, *started));
            }
        }
        for (_, record) in self.records::<Record>("kind = 'ended' AND ?1 = ''", "")? {
            if let (Event::Ended(Ended { state, detail, .. }), Some(&place)) =
                (record.event, places.get(&record.run))
            {
                runs[place].state = Some(state);
                runs[place].ended = Some(record.at);
                runs[place].detail = Some(detail);
            }
        }
        // A run that is being reverted has no state until that is done.
        let open = self.unfinished()?;
        for run in runs.iter_mut().filter(|run| open.contains(&run.run)) {
            run.state = None;
            run.ended = None;
            run.detail = None;
        }
        for (run, due) in self.due()? {
            if let Some(&place) = places.get(&run) {
                runs[place].wait(due);
            }
        }
        Ok(runs)
    }

    /// The summary of one run.
    pub fn summary(&self, run: RunId) -> Result<RunSummary, JournalError> {
        let mut summary = None;
        // Of its records only those that tell where it stands: it may have thousands of calls.
        for (_, record) in
            self.records::<Record>("run = ?1 AND kind IN ('started', 'ended', 'phase')", &run.to_string())?
        {
            match record.event {
                Event::Started(started) => summary = Some(RunSummary::of(run, record.at, *started)),
                Event::Ended(Ended { state, detail, .. }) => {
                    if let Some(summary) = &mut summary {
                        (summary.state, summary.ended, summary.detail) =
                            (Some(state), Some(record.at), Some(detail));
                    }
                }
                // One that is being reverted has no state until that is done.
                Event::Phase(entered) if entered.phase.reopens() => {
                    if let Some(summary) = &mut summary {
                        (summary.state, summary.ended, summary.detail) = (None, None, None);
                    }
                }
                _ => {}
            }
        }
        let mut summary = summary.ok_or_else(|| JournalError::NoSuchRun(run.to_string()))?;
        summary.wait(self.due_of(run)?);
        Ok(summary)
    }

    /// The first `most` records of a run with a higher number than `seq`.
    pub fn run_since(&self, run: &RunId, seq: u64, most: usize) -> Result<Vec<(u64, Record)>, JournalError> {
        let (seq, most) = (seq.cast_signed(), i64::try_from(most).unwrap_or(i64::MAX));
        self.records_of(
            "run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            rusqlite::params![run.to_string(), seq, most],
        )
    }

    /// The identifier of the newest run; none if there is no run.
    pub fn last(&self) -> Result<Option<RunId>, JournalError> {
        let mut last = None;
        self.newest_runs(|_, record| {
            last = Some(record.run);
            false
        })?;
        Ok(last)
    }

    /// Every record of a run, with its sequence number.
    pub fn run(&self, run: &RunId) -> Result<Vec<(u64, Record)>, JournalError> {
        let records = self.records("run = ?1", &run.to_string())?;
        if records.is_empty() { Err(JournalError::NoSuchRun(run.to_string())) } else { Ok(records) }
    }

    /// The run whose name begins with `prefix`; the leading `run-` may be left out.
    pub fn find(&self, prefix: &str) -> Result<RunId, JournalError> {
        match self.beginning("run-", prefix)?.as_slice() {
            [] => Err(JournalError::NoSuchRun(prefix.escape_debug().take(80).collect())),
            [run] => Ok(*run),
            several => Err(JournalError::AmbiguousRun(prefix.to_owned(), several.to_vec())),
        }
    }

    /// The request whose name begins with `prefix`; the leading `req-` may be left out.
    pub fn find_request(&self, prefix: &str) -> Result<RequestId, JournalError> {
        match self.beginning("req-", prefix)?.as_slice() {
            [] => Err(JournalError::NoSuchRequest(prefix.escape_debug().take(80).collect())),
            [request] => Ok(*request),
            several => Err(JournalError::AmbiguousRequest(prefix.to_owned(), several.to_vec())),
        }
    }

    /// Every name that begins with `prefix`.
    fn beginning<T: FromStr>(&self, kind: &str, prefix: &str) -> Result<Vec<T>, JournalError> {
        let wanted = if prefix.starts_with(kind) { prefix.to_owned() } else { format!("{kind}{prefix}") };
        // An empty name, such as an unset variable in a script, must not mean the only run there is.
        if wanted == kind {
            return Ok(Vec::new());
        }
        // Names have lower-case letters, digits and a hyphen, so all names that begin with the prefix are below `prefix~`.
        self.names(
            "SELECT DISTINCT run FROM record WHERE run >= ?1 AND run < ?1 || '~' ORDER BY run",
            &wanted,
        )
    }

    /// All requests, oldest first.
    pub fn requests(&self) -> Result<Vec<RequestId>, JournalError> {
        self.names("SELECT DISTINCT run FROM record WHERE run >= ?1 AND run < ?1 || '~' ORDER BY run", "req-")
    }

    /// The requests that were denied or voided, in no order.
    pub fn closed_requests(&self) -> Result<Vec<RequestId>, JournalError> {
        // Each kind by itself: SQLite has an index for that.
        let of = |kind| self.names(&format!("SELECT run FROM record WHERE kind = '{kind}' AND ?1 = ''"), "");
        Ok([of("request-denied")?, of("voided")?].concat())
    }

    /// Every act about a request, or about the host, with its sequence number.
    pub fn acts(&self, about: About) -> Result<Vec<(u64, Act)>, JournalError> {
        self.records("run = ?1", &about.to_string())
    }

    /// Calls `visit` with the first record of each run and its sequence number, newest run first, until it returns false.
    pub fn newest_runs(&self, mut visit: impl FnMut(u64, &Record) -> bool) -> Result<(), JournalError> {
        let mut below = i64::MAX;
        loop {
            let page: Vec<(u64, Record)> = self.records(
                "kind = 'started' AND seq IN (SELECT seq FROM record WHERE kind = 'started'
                 AND seq < CAST(?1 AS INTEGER) ORDER BY seq DESC LIMIT 100)",
                &below.to_string(),
            )?;
            let Some((first, _)) = page.first() else { return Ok(()) };
            below = first.cast_signed();
            for (seq, record) in page.iter().rev() {
                if !visit(*seq, record) {
                    return Ok(());
                }
            }
        }
    }

    /// Every key that was certified at this time or later, newest first: the certificates, whoever signed them.
    pub fn certified(&self, since: Timestamp) -> Result<Vec<Certificate>, JournalError> {
        let (mut found, mut below) = (Vec::new(), i64::MAX);
        loop {
            let page: Vec<(u64, Act)> = self.records_of(
                "kind = 'certified' AND seq < ?1 ORDER BY seq DESC LIMIT 100",
                rusqlite::params![below],
            )?;
            for (seq, act) in &page {
                below = seq.cast_signed();
                if let LedgerEvent::Certified(certified) = &act.event
                    && certified.certificate.from >= since
                {
                    found.push(certified.certificate.clone());
                }
            }
            // Records are in the order of time but for what two clocks differ.
            if page.last().is_none_or(|(_, act)| act.at < since) {
                return Ok(found);
            }
        }
    }

    /// The first of these that was revoked; none if none was.
    pub fn struck(&self, rests_on: &[RestsOn]) -> Result<Option<Withdrawn>, JournalError> {
        let database = self.database();
        let query = || -> rusqlite::Result<Option<Withdrawn>> {
            let mut struck =
                database.prepare_cached("SELECT why FROM revoked WHERE basis = ?1 AND ?2 < before")?;
            for RestsOn { basis, since } in rests_on {
                let why = struck
                    .query_row(rusqlite::params![basis.to_string(), since.cast_signed()], |row| row.get(0))
                    .optional()?;
                if let Some(why) = why {
                    return Ok(Some(Withdrawn { basis: basis.clone(), why }));
                }
            }
            Ok(None)
        };
        query().map_err(|error| self.sql(&error))
    }

    /// The number of the record up to which a notifier delivered everything. None if it never delivered anything.
    pub fn told(&self, notifier: &str) -> Result<Option<u64>, JournalError> {
        let upto: Option<i64> = self
            .database()
            .prepare_cached("SELECT upto FROM notified WHERE notifier = ?1")
            .and_then(|mut told| told.query_row([notifier], |row| row.get(0)).optional())
            .map_err(|error| self.sql(&error))?;
        Ok(upto.map(i64::cast_unsigned))
    }

    /// The first `most` records after number `since` of the kinds that notifiers deliver: each with its number, the name it
    /// is filed under, and its text.
    pub fn to_tell(&self, since: u64, most: u32) -> Result<Vec<(u64, String, String)>, JournalError> {
        let database = self.database();
        let query = || -> rusqlite::Result<Vec<(i64, String, Vec<u8>)>> {
            let to_notify = schema::to_notify();
            let mut rows = database.prepare_cached(&format!(
                "SELECT seq, run, body FROM record INDEXED BY record_of_kind WHERE seq > ?1 AND {to_notify}
                 ORDER BY seq LIMIT ?2"
            ))?;
            rows.query_map((since.cast_signed(), most), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        };
        let text = |body| {
            String::from_utf8(body).map_err(|_| JournalError::damaged(&self.path, "a record is not text"))
        };
        let rows = query().map_err(|error| self.sql(&error))?;
        rows.into_iter().map(|(seq, of, body)| Ok((seq.cast_unsigned(), of, text(body)?))).collect()
    }

    /// The runs for which the host does something by itself, and when, the earliest first.
    pub fn due(&self) -> Result<Vec<(RunId, Due)>, JournalError> {
        let mut due = self.due_where("?1 = ''", "")?;
        due.sort_by_key(|(run, due)| (due.restore.into_iter().chain(due.page).min(), *run));
        Ok(due)
    }

    /// What the host does by itself for one run, and when.
    pub fn due_of(&self, run: RunId) -> Result<Due, JournalError> {
        let due = self.due_where("run = ?1", &run.to_string())?;
        Ok(due.first().map(|(_, due)| *due).unwrap_or_default())
    }

    fn due_where(&self, filter: &str, argument: &str) -> Result<Vec<(RunId, Due)>, JournalError> {
        let rows: Vec<(String, Option<i64>, Option<i64>)> = self
            .database()
            .prepare_cached(&format!("SELECT run, restore, page FROM due WHERE {filter}"))
            .and_then(|mut rows| {
                rows.query_map([argument], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
            })
            .map_err(|error| self.sql(&error))?;
        let damaged = |run: &str| JournalError::damaged(&self.path, format!("the time of `{run}` is none"));
        let mut due = Vec::with_capacity(rows.len());
        for (run, restore, page) in rows {
            let at = |second: Option<i64>| second.map(Timestamp::from_second).transpose();
            let (Ok(name), Ok(restore), Ok(page)) = (run.parse(), at(restore), at(page)) else {
                return Err(damaged(&run));
            };
            due.push((name, Due { restore, page }));
        }
        Ok(due)
    }

    /// The runs under way whose authority was revoked. They stop at their next call.
    pub fn stopped(&self) -> Result<Vec<RunId>, JournalError> {
        self.names(
            "SELECT DISTINCT run FROM open_run JOIN revoked USING (basis)
             WHERE since < before AND ?1 = '' ORDER BY run",
            "",
        )
    }

    /// The runs under way whose authority depends on this, oldest first.
    pub fn resting_on(&self, basis: &Basis) -> Result<Vec<RunId>, JournalError> {
        self.names("SELECT DISTINCT run FROM open_run WHERE basis = ?1 ORDER BY run", &basis.to_string())
    }

    /// The latest time of any record, by the clock of the host that wrote it; none before the first record. It never goes
    /// back, although a record that nobody waited for may have an earlier time than the records before it.
    pub fn highest(&self) -> Result<Option<Timestamp>, JournalError> {
        let note = self.newest_checkpoint()?;
        let text = note.split("\n\n").next().unwrap_or_default().to_owned() + "\n";
        let signed =
            Checkpoint::parse(&text).map_err(|error| JournalError::damaged(&self.path, error.to_string()))?;
        store::mark(&self.path, &signed)
    }

    /// The time: that of the machine's clock, but never before [`Reader::highest`].
    pub fn now(&self) -> Result<Timestamp, JournalError> {
        let now = Timestamp::now();
        Ok(self.highest()?.map_or(now, |highest| highest.max(now)))
    }

    /// The sequence number of the newest record; 0 without records.
    pub fn size(&self) -> Result<u64, JournalError> {
        let size: i64 = self
            .database()
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM record")
            .and_then(|mut newest| newest.query_row([], |row| row.get(0)))
            .map_err(|error| self.sql(&error))?;
        Ok(size.cast_unsigned())
    }

    /// The runs without a state, oldest first: under way, or left behind by a host that was killed.
    pub fn unfinished(&self) -> Result<Vec<RunId>, JournalError> {
        self.names("SELECT DISTINCT run FROM open_run WHERE ?1 = '' ORDER BY run", "")
    }

    fn names<T: FromStr>(&self, query: &str, argument: &str) -> Result<Vec<T>, JournalError> {
        let database = self.database();
        let names: Vec<String> = database
            .prepare_cached(query)
            .and_then(|mut names| names.query_map([argument], |row| row.get(0))?.collect())
            .map_err(|error| self.sql(&error))?;
        names
            .iter()
            .map(|name| {
                name.parse().map_err(|_| {
                    JournalError::damaged(
                        &self.path,
                        "a record is filed under a name that is not one of a run or request",
                    )
                })
            })
            .collect()
    }

    /// Calls `visit` with the number, the name and the text of each record from number `since` on, in order. It reads page
    /// by page, and holds neither the whole journal in memory nor its lock while it visits.
    pub fn each(&self, since: u64, mut visit: impl FnMut(u64, &str, &str)) -> Result<(), JournalError> {
        let mut next = since.cast_signed();
        loop {
            let page: Vec<(i64, String, Vec<u8>)> = {
                let database = self.database();
                database
                    .prepare_cached(
                        "SELECT seq, run, body FROM record WHERE seq >= ?1 ORDER BY seq LIMIT 1000",
                    )
                    .and_then(|mut rows| {
                        rows.query_map([next], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
                    })
                    .map_err(|error| self.sql(&error))?
            };
            let Some((last, ..)) = page.last() else { return Ok(()) };
            next = last + 1;
            for (seq, run, body) in &page {
                let text = std::str::from_utf8(body)
                    .map_err(|_| JournalError::damaged(&self.path, format!("record {seq} is not text")))?;
                visit(seq.cast_unsigned(), run, text);
            }
        }
    }

    /// The newest checkpoint that each witness cosigned, largest first.
    pub fn cosigned(&self) -> Result<Vec<Cosigned>, JournalError> {
        let database = self.database();
        let query = || -> rusqlite::Result<Vec<Cosigned>> {
            let mut rows =
                database.prepare("SELECT witness, size, note FROM cosigned ORDER BY size DESC, witness")?;
            rows.query_map([], |row| {
                let size: i64 = row.get(1)?;
                Ok(Cosigned { witness: row.get(0)?, size: size.cast_unsigned(), note: row.get(2)? })
            })?
            .collect()
        };
        query().map_err(|error| self.sql(&error))
    }

    /// How many runs started under a grant.
    pub fn grant_uses(&self, grant: &Digest) -> Result<u32, JournalError> {
        tables::uses_of(&self.database(), grant).map_err(|error| self.sql(&error))
    }

    /// The newest signed checkpoint. All records that it covers are on the disk, so it may be given to others. Waits for the disk if
    /// it is newer than the last one that was.
    pub fn checkpoint(&self) -> Result<String, JournalError> {
        let note = self.newest_checkpoint()?;
        let mut on_disk = self.on_disk();
        if *on_disk != note {
            store::sync(&self.path)?;
            on_disk.clone_from(&note);
        }
        Ok(note)
    }

    /// The same without waiting for the disk; none if that would be needed.
    pub fn checkpoint_on_disk(&self) -> Result<Option<String>, JournalError> {
        let note = self.newest_checkpoint()?;
        Ok(Some(note).filter(|note| *self.on_disk() == *note))
    }

    fn newest_checkpoint(&self) -> Result<String, JournalError> {
        let note = self
            .database()
            .prepare_cached("SELECT note FROM head")
            .and_then(|mut head| head.query_row([], |row| row.get(0)).optional());
        note.map_err(|error| self.sql(&error))?
            .ok_or_else(|| JournalError::damaged(&self.path, "it has no checkpoint"))
    }

    fn on_disk(&self) -> MutexGuard<'_, String> {
        // A panic while this is held leaves what was true before.
        self.on_disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
