//! What lists of runs are selected by. A reader follows the journal and reads each record once, so that a page of a list takes as
//! long however long the list is, and however few runs of it are wanted.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, de};

use crate::{Event, JournalError, Mode, Reader, RunId, RunState, RunSummary, instant};

/// How many records are read at once: nobody else reads the journal meanwhile.
const AT_ONCE: u32 = 5_000;

/// Among how many runs one is looked for before all others are read of.
const NEWEST: usize = 100;

/// What runs are selected by, but for their time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunFacts {
    /// Whether changes were real.
    pub mode: Mode,
    /// The name of the action that ran.
    pub action: String,
    /// The name of the principal that asked for the run.
    pub principal: String,
    /// The name of the principal that started the run; none for a rehearsal.
    pub started_by: Option<String>,
    /// The resource patterns of its scope, sorted.
    pub target: Vec<String>,
    /// Its state. None while it is under way, or when its host was killed.
    pub state: Option<RunState>,
}

impl RunSummary {
    /// What it is selected by.
    #[must_use]
    pub fn facts(&self) -> RunFacts {
        RunFacts {
            mode: self.mode,
            action: self.action.name.clone(),
            principal: self.principal.clone(),
            started_by: self.started_by.clone(),
            target: self.target.clone(),
            state: self.state,
        }
    }
}

/// The resource patterns of a scope in JSON, sorted; none of a text that is no scope.
pub(crate) fn targets(scope: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Scope {
        allow: Vec<Allow>,
    }
    #[derive(Deserialize)]
    struct Allow {
        resources: Vec<String>,
    }
    let scope = serde_json::from_str::<Scope>(scope).ok();
    let mut all: Vec<String> =
        scope.into_iter().flat_map(|scope| scope.allow).flat_map(|allow| allow.resources).collect();
    all.sort();
    all.dedup();
    all
}

/// Every run, and what it is selected by. Many runs have the same facts, which are kept once.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The number of the newest record that was read.
    upto: u64,
    /// In the order of their `started` records: the oldest first.
    runs: Vec<Listed>,
    /// Where each run is among them.
    places: HashMap<RunId, usize>,
    /// Where those are that went without the usual policy.
    break_glass: Vec<usize>,
    facts: Vec<Arc<RunFacts>>,
    known: HashMap<Arc<RunFacts>, usize>,
}

#[derive(Debug)]
struct Listed {
    run: RunId,
    at: Timestamp,
    /// Which of the facts are its.
    facts: usize,
}

impl Listing {
    fn keep(&mut self, facts: RunFacts) -> usize {
        if let Some(known) = self.known.get(&facts) {
            return *known;
        }
        let (number, facts) = (self.facts.len(), Arc::new(facts));
        self.facts.push(Arc::clone(&facts));
        self.known.insert(facts, number);
        number
    }

    /// Notes the state of a run.
    fn set(&mut self, run: &RunId, state: Option<RunState>) {
        let Some(&place) = self.places.get(run) else { return };
        let facts = &self.facts[self.runs[place].facts];
        if facts.state != state {
            let facts = RunFacts { state, ..(**facts).clone() };
            self.runs[place].facts = self.keep(facts);
        }
    }
}

fn parsed<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, de::value::Error> {
    T::deserialize(text.into_deserializer())
}

/// A row of a `started` record.
struct StartedRow {
    seq: i64,
    run: String,
    at: String,
    mode: String,
    action: String,
    principal: String,
    started_by: Option<String>,
    break_glass: Option<bool>,
    scope: Option<String>,
}

/// Which runs a page of a list has.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Only those before this one in the list.
    pub before: Option<RunId>,
    /// Only those that started at this time or later.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub most: usize,
}

impl Reader {
    /// The runs of a span that `wanted` wants, newest first; and `before` of the next page, if there is one.
    pub fn page(
        &self,
        span: Span,
        wanted: impl Fn(&RunFacts) -> bool,
    ) -> Result<(Vec<RunSummary>, Option<RunId>), JournalError> {
        let (found, next) = self.select(span, wanted)?;
        let found = found.into_iter().map(|run| self.summary(run)).collect::<Result<_, _>>()?;
        Ok((found, next))
    }

    fn select(
        &self,
        span: Span,
        wanted: impl Fn(&RunFacts) -> bool,
    ) -> Result<(Vec<RunId>, Option<RunId>), JournalError> {
        let mut listing = self.listing();
        self.follow(&mut listing)?;
        // Pages are cut by record: names are in the order of their hosts' clocks, which may differ.
        let end = match span.before {
            None => listing.runs.len(),
            Some(before) => listing.places.get(&before).copied().unwrap_or_default(),
        };
        let wanted: Vec<bool> = listing.facts.iter().map(|facts| wanted(facts)).collect();
        let (mut found, mut next) = (Vec::new(), None);
        // All of them, if few are wanted: a nanosecond for each.
        let mut place = end;
        while place > 0 && next.is_none() {
            place -= 1;
            let listed = &listing.runs[place];
            if wanted[listed.facts] && span.since.is_none_or(|since| listed.at >= since) {
                if found.len() == span.most {
                    next = found.last().copied();
                } else {
                    found.push(listed.run);
                }
            }
        }
        Ok((found, next))
    }

    /// The runs that went without the usual policy, newest first, each with the principal that asked for it.
    pub fn break_glass_runs(&self) -> Result<Vec<(RunId, String)>, JournalError> {
        let mut listing = self.listing();
        self.follow(&mut listing)?;
        let told = |place: &usize| {
            let listed = &listing.runs[*place];
            (listed.run, listing.facts[listed.facts].principal.clone())
        };
        Ok(listing.break_glass.iter().rev().map(told).collect())
    }

    /// The newest live run of an action of this name.
    pub fn newest_live(&self, action: &str) -> Result<Option<RunId>, JournalError> {
        let (mut found, mut looked) = (None, 0);
        // Most often it is among the newest, and a process that asks once need not read of all the others.
        self.newest_runs(|_, record| {
            looked += 1;
            if let Event::Started(started) = &record.event
                && started.mode == Mode::Live
                && started.action.name == action
            {
                found = Some(record.run);
            }
            found.is_none() && looked < NEWEST
        })?;
        if found.is_some() || looked < NEWEST {
            return Ok(found);
        }
        let wanted = |run: &RunFacts| run.mode == Mode::Live && run.action == action;
        Ok(self.select(Span { before: None, since: None, most: 1 }, wanted)?.0.pop())
    }

    /// Reads what is new in the journal.
    fn follow(&self, listing: &mut Listing) -> Result<(), JournalError> {
        // Read first: what is appended meanwhile has a higher number.
        let size = self.size()?;
        let mut since = listing.upto;
        loop {
            let rows = self.started(since, size)?;
            let Some(last) = rows.last() else { break };
            since = last.seq.cast_unsigned();
            for row in rows {
                self.add(listing, &row)?;
            }
        }
        let mut since = listing.upto;
        loop {
            let rows = self.ended(since, size)?;
            let Some((last, ..)) = rows.last() else { break };
            since = last.cast_unsigned();
            for (seq, run, state) in rows {
                let state = parsed(&state).map_err(|error| unreadable(seq, error))?;
                listing.set(&self.named(&run)?, Some(state));
            }
        }
        listing.upto = size;
        // One that is being reverted has no state until that is done.
        for run in self.unfinished()? {
            listing.set(&run, None);
        }
        Ok(())
    }

    fn add(&self, listing: &mut Listing, row: &StartedRow) -> Result<(), JournalError> {
        let facts = RunFacts {
            mode: parsed(&row.mode).map_err(|error| unreadable(row.seq, error))?,
            action: row.action.clone(),
            principal: row.principal.clone(),
            started_by: row.started_by.clone(),
            target: row.scope.as_deref().map(targets).unwrap_or_default(),
            state: None,
        };
        let at = instant::parse(&row.at).map_err(|error| unreadable(row.seq, error))?;
        let run = self.named(&row.run)?;
        let facts = listing.keep(facts);
        // A run starts once. An error in between leaves some of it read, and it is read again.
        if let Some(&place) = listing.places.get(&run) {
            listing.runs[place].facts = facts;
            return Ok(());
        }
        if row.break_glass.unwrap_or_default() {
            listing.break_glass.push(listing.runs.len());
        }
        listing.places.insert(run, listing.runs.len());
        listing.runs.push(Listed { run, at, facts });
        Ok(())
    }

    /// The starts after a record and up to another, as many as are read at once. SQLite reads the few members: that takes a
    /// fraction of what it takes to read whole records.
    fn started(&self, since: u64, upto: u64) -> Result<Vec<StartedRow>, JournalError> {
        let database = self.database();
        let query = || -> rusqlite::Result<Vec<StartedRow>> {
            let mut rows = database.prepare_cached(
                "SELECT seq, run, text ->> '$.at', text ->> '$.event.started.mode',
                    text ->> '$.event.started.action.name', text ->> '$.event.started.principal',
                    text ->> '$.event.started.started_by', text ->> '$.event.started.grant.authority.break_glass',
                    text -> '$.event.started.scope'
                 FROM (SELECT seq, run, CAST(body AS TEXT) AS text FROM record
                    WHERE kind = 'started' AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)",
            )?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok(StartedRow {
                    seq: row.get(0)?,
                    run: row.get(1)?,
                    at: row.get(2)?,
                    mode: row.get(3)?,
                    action: row.get(4)?,
                    principal: row.get(5)?,
                    started_by: row.get(6)?,
                    break_glass: row.get(7)?,
                    scope: row.get(8)?,
                })
            };
            rows.query_map((since.cast_signed(), upto.cast_signed(), AT_ONCE), row)?.collect()
        };
        query().map_err(|error| self.sql(&error))
    }

    /// The ends after a record and up to another, as many as are read at once: the number, the run and the state of each.
    fn ended(&self, since: u64, upto: u64) -> Result<Vec<(i64, String, String)>, JournalError> {
        let database = self.database();
        let query = || -> rusqlite::Result<Vec<(i64, String, String)>> {
            let mut rows = database.prepare_cached(
                "SELECT seq, run, CAST(body AS TEXT) ->> '$.event.ended.state' FROM record
                 WHERE kind = 'ended' AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
            )?;
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            rows.query_map((since.cast_signed(), upto.cast_signed(), AT_ONCE), row)?.collect()
        };
        query().map_err(|error| self.sql(&error))
    }

    fn named(&self, run: &str) -> Result<RunId, JournalError> {
        run.parse().map_err(|_| {
            JournalError::damaged(&self.path, "a record is filed under a name that is not one of a run")
        })
    }
}

fn unreadable(seq: i64, why: impl ToString) -> JournalError {
    JournalError::Record { which: seq.to_string(), verb: "read", why: why.to_string() }
}
