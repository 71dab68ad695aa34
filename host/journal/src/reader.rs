//! Questions to a journal.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use remit_tlog::Checkpoint;
use remit_trust::Digest;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    About, Act, ActionRef, Ended, Event, JournalError, Mode, Record, RequestId, RestsOn, RunId, RunState,
    Spent, Started, Withdrawn, schema, store, tables,
};

/// A read-only view of a journal file.
pub struct Reader {
    pub(crate) path: PathBuf,
    /// The file's schema: an older one is read as it is.
    pub(crate) version: i64,
    database: Mutex<Connection>,
    spent: Mutex<Spent>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.path.display())
    }
}

/// One line about a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// When it started.
    pub at: Timestamp,
    /// Whether changes were real.
    pub mode: Mode,
    /// What ran.
    pub action: ActionRef,
    /// Who asked.
    pub principal: String,
    /// Who started it, of a live run.
    pub started_by: Option<String>,
    /// The request that it ran under.
    pub request: Option<RequestId>,
    /// Why, in the words of who started it.
    pub reason: String,
    /// What it was given.
    pub input: serde_json::Value,
    /// What its scope names.
    pub target: Vec<String>,
    /// When it came to its state.
    pub ended: Option<Timestamp>,
    /// Why it is in its state, in one sentence.
    pub detail: Option<String>,
    /// Until when its authority held.
    pub until: Option<Timestamp>,
    /// Its state; none while it is going, or left behind by a host that is gone.
    pub state: Option<RunState>,
}

/// A checkpoint that a witness cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cosigned {
    /// The witness's name.
    pub witness: String,
    /// How many records it covers.
    pub size: u64,
    /// With every signature it has.
    pub note: String,
}

impl RunSummary {
    fn of(run: RunId, at: Timestamp, started: Started) -> Self {
        #[derive(serde::Deserialize)]
        struct Scope {
            allow: Vec<Allow>,
        }
        #[derive(serde::Deserialize)]
        struct Allow {
            resources: Vec<String>,
        }
        let scope = started.scope.and_then(|scope| serde_json::from_str::<Scope>(scope.get()).ok());
        let allowed = scope.into_iter().flat_map(|scope| scope.allow);
        let mut target: Vec<String> = allowed.flat_map(|allow| allow.resources).collect();
        target.sort();
        target.dedup();
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
        }
    }
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let (database, version) = store::open_read_only(path)?;
        Ok(Self { path: path.to_owned(), version, database: Mutex::new(database), spent: Mutex::default() })
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Connection> {
        // Reading leaves no half-done state behind.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spending(&self) -> MutexGuard<'_, Spent> {
        // A count that a panic left half-way starts anew.
        self.spent.lock().unwrap_or_else(|poisoned| {
            self.spent.clear_poison();
            let mut spent = poisoned.into_inner();
            *spent = Spent::default();
            spent
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
        let database = self.database();
        let query = || -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
            let mut statement = database
                .prepare_cached(&format!("SELECT seq, body FROM record WHERE {filter} ORDER BY seq"))?;
            statement.query_map([argument], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
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
        if self.version > 1 {
            // One that is being reverted has no state until that is done.
            let open = self.unfinished()?;
            for run in runs.iter_mut().filter(|run| open.contains(&run.run)) {
                run.state = None;
                run.ended = None;
                run.detail = None;
            }
        }
        Ok(runs)
    }

    /// The newest run of all.
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

    /// Every name that begins so.
    fn beginning<T: FromStr>(&self, kind: &str, prefix: &str) -> Result<Vec<T>, JournalError> {
        let wanted = if prefix.starts_with(kind) { prefix.to_owned() } else { format!("{kind}{prefix}") };
        // An unset variable in a script must not mean the only one there is.
        if wanted == kind {
            return Ok(Vec::new());
        }
        // Names are of lower-case letters, digits and a hyphen: all that begin so lie below `prefix~`.
        self.names(
            "SELECT DISTINCT run FROM record WHERE run >= ?1 AND run < ?1 || '~' ORDER BY run",
            &wanted,
        )
    }

    /// All requests, oldest first.
    pub fn requests(&self) -> Result<Vec<RequestId>, JournalError> {
        self.names("SELECT DISTINCT run FROM record WHERE run >= ?1 AND run < ?1 || '~' ORDER BY run", "req-")
    }

    /// Every act about a request, or about the host, with its number.
    pub fn acts(&self, about: About) -> Result<Vec<(u64, Act)>, JournalError> {
        self.records("run = ?1", &about.to_string())
    }

    /// The newest runs first, each with its first record, until `visit` says false.
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

    /// What of this was taken away, if anything was.
    pub fn struck(&self, rests_on: &[RestsOn]) -> Result<Option<Withdrawn>, JournalError> {
        if self.version < 3 {
            return Ok(None);
        }
        let database = self.database();
        let query = || -> rusqlite::Result<Option<Withdrawn>> {
            let mut struck =
                database.prepare_cached("SELECT why FROM struck WHERE ground = ?1 AND ?2 < before")?;
            for RestsOn { ground, since } in rests_on {
                let why = struck
                    .query_row(rusqlite::params![ground.to_string(), since.cast_signed()], |row| row.get(0))
                    .optional()?;
                if let Some(why) = why {
                    return Ok(Some(Withdrawn { ground: ground.clone(), why }));
                }
            }
            Ok(None)
        };
        query().map_err(|error| self.sql(&error))
    }

    /// Up to which record a notifier told everything worth telling; none if it never did.
    pub fn told(&self, notifier: &str) -> Result<Option<u64>, JournalError> {
        let upto: Option<i64> = self
            .database()
            .prepare_cached("SELECT upto FROM told WHERE notifier = ?1")
            .and_then(|mut told| told.query_row([notifier], |row| row.get(0)).optional())
            .map_err(|error| self.sql(&error))?;
        Ok(upto.map(i64::cast_unsigned))
    }

    /// The first records after `since`, `most` of them, that may be worth telling somebody: each as it was written, with
    /// what it is filed under.
    pub fn to_tell(&self, since: u64, most: u32) -> Result<Vec<(u64, String, String)>, JournalError> {
        let database = self.database();
        let query = || -> rusqlite::Result<Vec<(i64, String, Vec<u8>)>> {
            // An older schema's index is of another list.
            let by = if self.version < 6 { "NOT INDEXED" } else { "INDEXED BY record_of_kind" };
            let to_tell = schema::to_tell();
            let mut rows = database.prepare_cached(&format!(
                "SELECT seq, run, body FROM record {by} WHERE seq > ?1 AND {to_tell} ORDER BY seq LIMIT ?2"
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

    /// The runs that go on although what they rest on was taken away: they stop at their next call.
    pub fn stopped(&self) -> Result<Vec<RunId>, JournalError> {
        let resting = schema::resting(self.version);
        self.names(
            &format!(
                "SELECT DISTINCT run FROM {resting} JOIN struck USING (ground)
                 WHERE since < before AND ?1 = '' ORDER BY run"
            ),
            "",
        )
    }

    /// The latest time of any record, by the clock of the host that wrote it; none before the first. Records that nobody
    /// waited for may be of an earlier time than the ones before them, this never is.
    pub fn highest(&self) -> Result<Option<Timestamp>, JournalError> {
        if self.version < 7 {
            // Nobody kept it. Whoever goes on with this journal finds it first.
            let last: Vec<(u64, schema::At)> =
                self.records("seq = (SELECT max(seq) FROM record) AND ?1 = ''", "")?;
            return Ok(last.first().map(|(_, last)| last.at));
        }
        let note = store::head(&self.path, &self.database())?.note;
        let text = note.split("\n\n").next().unwrap_or_default().to_owned() + "\n";
        let signed =
            Checkpoint::parse(&text).map_err(|error| JournalError::damaged(&self.path, error.to_string()))?;
        store::mark(&self.path, &signed)
    }

    /// What time it is: the machine's clock, but never before any record.
    pub fn now(&self) -> Result<Timestamp, JournalError> {
        let now = Timestamp::now();
        Ok(self.highest()?.map_or(now, |highest| highest.max(now)))
    }

    /// The number of the newest record.
    pub fn size(&self) -> Result<u64, JournalError> {
        let size: i64 = self
            .database()
            .query_row("SELECT coalesce(max(seq), 0) FROM record", [], |row| row.get(0))
            .map_err(|error| self.sql(&error))?;
        Ok(size.cast_unsigned())
    }

    /// The runs without a state, oldest first: going on, or left behind by a host that is gone.
    pub fn unfinished(&self) -> Result<Vec<RunId>, JournalError> {
        if self.version == 1 {
            return Ok(self
                .runs()?
                .into_iter()
                .filter(|run| run.state.is_none())
                .map(|run| run.run)
                .collect());
        }
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
            .map(|name| name.parse().map_err(|_| JournalError::damaged(&self.path, "a record is of no run")))
            .collect()
    }

    /// Calls `visit` with the number, the run and the text of each record from `since` on, in order, a page at a
    /// time: neither the whole journal nor its lock is held meanwhile.
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

    /// What witnesses cosigned, the newest checkpoint of each.
    pub fn cosigned(&self) -> Result<Vec<Cosigned>, JournalError> {
        if self.version == 1 {
            return Ok(Vec::new());
        }
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

    /// The newest signed checkpoint. What it covers is on the disk: it may be given to others.
    pub fn checkpoint(&self) -> Result<String, JournalError> {
        let note = self.database().query_row("SELECT note FROM head", [], |row| row.get(0)).optional();
        let note = note
            .map_err(|error| self.sql(&error))?
            .ok_or_else(|| JournalError::damaged(&self.path, "it has no checkpoint"))?;
        store::sync(&self.path)?;
        Ok(note)
    }
}
