//! Checks the content of the records, one after the other: that runs start with authority, that outcomes have intents, and
//! that the tables agree with the records.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use remit_trust::Digest;
use remit_trust::dsse::Envelope;
use rusqlite::{Connection, Statement};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bases::Bases;
use crate::{
    Act, AuditError, Due, Effect, Event, Intent, Mode, Outcome, Phase, Reader, Record, Resolved, RestsOn,
    RunId, RunState, Started, UndoIntent, append, passkeys,
};

/// What the records so far say.
#[derive(Default)]
pub(crate) struct History {
    /// The runs in the order in which they started, and the index of each.
    runs: Vec<KnownRun>,
    places: HashMap<RunId, usize>,
    /// The run of the record before and its index. Most often the next record is of the same run.
    last: Option<(RunId, usize)>,
    authority: Bases,
    /// The latest time of any record.
    mark: Option<Timestamp>,
}

/// What the records so far say about one run.
struct KnownRun {
    run: RunId,
    mode: Mode,
    grant: Option<String>,
    window: Option<(Timestamp, Timestamp)>,
    rests_on: Vec<RestsOn>,
    /// Whether it ended at least once.
    ended_once: bool,
    phase: Option<Phase>,
    /// The last state that it had.
    state: Option<RunState>,
    /// Whether it has a state now.
    ended: bool,
    expired: bool,
    /// What the host does by itself for it.
    due: Due,
    /// Calls without an outcome.
    open: HashSet<u64>,
    /// The numbers of the calls that are changes.
    changes: HashSet<u64>,
}

/// The finding about a record that the writer would have refused, or would have given another time.
const LATE: &str = "has an earlier time than the records before it: the clock was set back";

impl KnownRun {
    /// The rows of the table `open_run` that the run must have.
    fn open_rows(&self) -> Vec<(String, String, u64)> {
        let row = |basis: String, since| (self.run.to_string(), basis, since);
        match (self.ended_once, self.ended) {
            (false, _) => self.rests_on.iter().map(|on| row(on.basis.to_string(), on.since)).collect(),
            (true, false) => vec![row(String::new(), 0)],
            (true, true) => Vec::new(),
        }
    }
}

impl History {
    /// The number of runs, and of calls without an outcome.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.runs.len() as u64, self.runs.iter().map(|known| known.open.len() as u64).sum())
    }

    /// The latest time of any record.
    pub(crate) fn mark(&self) -> Option<Timestamp> {
        self.mark
    }

    /// Takes note of a record's time. True if it comes from a clock that was set back.
    fn is_late(&mut self, at: Timestamp) -> bool {
        let late = append::set_back(at, self.mark).is_some();
        self.mark = self.mark.max(Some(at));
        late
    }

    /// Checks the next record: its number, the name it is filed under, its kind and its text.
    pub(crate) fn read(&mut self, seq: u64, of: &[u8], kind: &[u8], body: &[u8]) -> Result<(), AuditError> {
        let wrong = |why: String| AuditError::Record { seq, why };
        let unread = |e: serde_json::Error| wrong(format!("cannot be read: {e}"));
        let text = std::str::from_utf8(body).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let filed = |about: &str, is: &str| {
            if (about.as_bytes(), is.as_bytes()) == (of, kind) {
                return Ok(());
            }
            Err(wrong("is filed under another run or kind than its content says".to_owned()))
        };
        if !of.starts_with(b"run-") {
            let act: Act = serde_json::from_str(text).map_err(unread)?;
            filed(&act.about.to_string(), act.event.kind())?;
            if self.is_late(act.at) {
                return Err(wrong(LATE.to_owned()));
            }
            return self.authority.follow(seq, &act);
        }
        // Most records are of calls, and are read without copying. A record with escapes in it is read as the others are.
        if matches!(kind, b"intent" | b"outcome")
            && let Ok(Record { run, at, event }) = serde_json::from_str::<Record<Call<'_>>>(text)
        {
            filed(run.filed().as_str(), event.kind())?;
            return self.follow(seq, run, at, &event.seen());
        }
        let Record { run, at, event } = serde_json::from_str::<Record>(text).map_err(unread)?;
        filed(run.filed().as_str(), event.kind())?;
        self.authority.passkeys.follow(seq, &passkeys::in_event(&event))?;
        self.follow(seq, run, at, &Seen::of(&event))
    }

    fn follow(&mut self, seq: u64, run: RunId, at: Timestamp, seen: &Seen<'_>) -> Result<(), AuditError> {
        let wrong = |why: &str| Err(AuditError::Record { seq, why: why.to_owned() });
        if self.is_late(at) && seen.is_waited_for() {
            return wrong(LATE);
        }
        let last = self.last.take_if(|(last, _)| *last == run);
        let place = last.map(|(_, place)| place).or_else(|| self.places.get(&run).copied());
        self.last = place.map(|place| (run, place));
        let Some(known) = place.and_then(|place| self.runs.get_mut(place)) else {
            let Seen::Other(Event::Started(started)) = seen else {
                return wrong("belongs to a run that never started");
            };
            let known = begin(seq, run, started)?;
            self.authority.allow(seq, started, &known.rests_on)?;
            self.places.insert(run, self.runs.len());
            self.runs.push(known);
            return Ok(());
        };
        let ended = std::mem::replace(&mut known.ended, matches!(seen, Seen::Other(Event::Ended(_))));
        let reopens = matches!(seen, Seen::Other(Event::Phase(entered)) if entered.phase.reopens());
        match seen {
            Seen::Other(Event::Started(_)) => return wrong("starts a run a second time"),
            Seen::Other(Event::Extended(extended)) => {
                known.ended = ended;
                if !ended || known.due.restore.is_none_or(|at| at >= extended.until) {
                    return wrong("extends the time of a run whose changes the host was not to undo before");
                }
                known.due.restore = Some(extended.until);
            }
            Seen::Other(Event::Paged(paged)) => {
                known.ended = ended;
                if !ended || known.due.is_none() {
                    return wrong("calls people because of a run for which the host was to do nothing");
                }
                known.due = paged.due;
            }
            Seen::Other(Event::UndoExpired(_)) => {
                known.expired = true;
                known.ended = ended;
            }
            _ if ended && !reopens => return wrong("is of a run that had ended"),
            Seen::Other(Event::Phase(entered)) => known.phase = Some(entered.phase),
            &Seen::Intent { call, effect, .. } => {
                if !known.open.insert(call) || known.changes.contains(&call) {
                    return wrong("repeats the number of an earlier call");
                }
                let changes = matches!(effect, Effect::Change | Effect::Irrevocable);
                if changes && known.mode == Mode::Rehearse {
                    return wrong("is a change, in a rehearsal");
                }
                if known.mode == Mode::Live && known.grant.is_none() {
                    return wrong("is a call of a live run without a grant");
                }
                if changes && known.mode == Mode::Live {
                    if known.phase.is_some_and(|phase| phase != Phase::Run) {
                        return wrong("is a change after the action's `run` had ended");
                    }
                    if known.window.is_some_and(|(from, until)| at < from || at >= until) {
                        return wrong("is a change outside the time its grant was in force");
                    }
                    if let Some(withdrawn) = self.authority.withdrawn(&known.rests_on) {
                        return wrong(&format!("is a change after its authority was revoked: {withdrawn}"));
                    }
                    known.changes.insert(call);
                }
            }
            &Seen::Outcome { call } => {
                if !known.open.remove(&call) {
                    return wrong("is an outcome without its intent");
                }
            }
            Seen::Other(Event::Simulated(simulated)) => {
                if known.mode == Mode::Live {
                    return wrong("is a simulated change, in a live run");
                }
                if known.open.contains(&simulated.call) {
                    return wrong("repeats the number of an earlier call");
                }
            }
            Seen::Other(Event::UndoIntent(_) | Event::UndoOutcome(_) | Event::Resolved(_))
                if known.mode == Mode::Rehearse =>
            {
                return wrong("is about a change of a rehearsal, which changes nothing");
            }
            Seen::Other(
                event @ (Event::UndoIntent(UndoIntent { call }) | Event::Resolved(Resolved { call, .. })),
            ) => {
                if !known.changes.contains(call) {
                    return wrong("is about a change that is not on record");
                }
                if matches!(event, Event::Resolved(_)) {
                    known.open.remove(call);
                }
                if known.expired && matches!(event, Event::UndoIntent(_)) {
                    return wrong("is an undo whose data had expired");
                }
            }
            Seen::Other(Event::Ended(ended)) => {
                let real = matches!(ended.state, RunState::Reverted | RunState::Held | RunState::InDoubt);
                let possible = match (known.mode, known.state) {
                    (Mode::Rehearse, _) if real => false,
                    (_, Some(before)) => before.next().contains(&ended.state),
                    (mode, None) => (ended.state == RunState::Rehearsed) <= (mode == Mode::Rehearse),
                };
                if !possible {
                    return wrong("is a state that the run could not reach");
                }
                let complete = matches!(ended.state, RunState::Succeeded | RunState::Rehearsed);
                if complete && !known.open.is_empty() {
                    return wrong("says that the run succeeded, although a call has no outcome");
                }
                let stands = matches!(ended.state, RunState::Succeeded | RunState::Held | RunState::InDoubt);
                if !(ended.due.is_none() || stands && known.mode == Mode::Live) {
                    return wrong("says that the host undoes changes later, and no change of the run stands");
                }
                known.due = ended.due;
                known.state = Some(ended.state);
                known.ended_once = true;
            }
            // The last two are never `Other`: `Seen` has variants for them.
            Seen::Other(Event::UndoOutcome(_) | Event::Denied(_) | Event::Intent(_) | Event::Outcome(_)) => {}
        }
        Ok(())
    }

    /// Checks that the tables agree with the records.
    pub(crate) fn check_tables(&self, reader: &Reader, database: &Connection) -> Result<(), AuditError> {
        let table = |what, query, why, has: fn(&KnownRun) -> Option<&str>| {
            let mut rows = database.prepare(query).map_err(|e| reader.sql(&e))?;
            self.check_table(what, &mut rows, why, has).map_err(|e| reader.sql(&e))?
        };
        table(
            "use of a grant",
            "SELECT run, grant_digest FROM grant_use",
            ["does not agree with its record", "is of a run that has no such record"],
            |known| known.grant.as_deref(),
        )?;
        table(
            "unfinished state",
            "SELECT DISTINCT run, '' FROM open_run",
            ["does not agree with its records", "is of a run that never started"],
            |known| (!known.ended).then_some(""),
        )?;
        table(
            "key",
            "SELECT run, '' FROM run_key",
            [
                "is missing, or is there although a record says that it expired",
                "is of a run that never started",
            ],
            |known| (!known.expired).then_some(""),
        )?;
        self.authority.check_tables(reader, database)?;
        let waiting = self.runs.iter().filter(|known| !known.due.is_none());
        let expected: BTreeSet<_> = waiting.map(|known| due_row(&known.run, known.due)).collect();
        let stored = due_rows(database).map_err(|e| reader.sql(&e))?;
        if let Some((run, ..)) = expected.symmetric_difference(&stored).next() {
            let (run, why) = (run.clone(), "does not agree with its records");
            return Err(AuditError::Table { what: "time", run, why });
        }
        let expected: BTreeSet<(String, String, u64)> =
            self.runs.iter().flat_map(KnownRun::open_rows).collect();
        let stored = open_rows(database).map_err(|e| reader.sql(&e))?;
        if let Some((run, ..)) = expected.symmetric_difference(&stored).next() {
            let (run, why) = (run.clone(), "does not agree with its record");
            return Err(AuditError::Table { what: "authority", run, why });
        }
        Ok(())
    }

    /// Checks a table whose rows have a run and a value: each run for which `has` gives a value has one row with that value,
    /// and there are no other rows.
    fn check_table(
        &self,
        what: &'static str,
        rows: &mut Statement<'_>,
        [differs, unknown]: [&'static str; 2],
        has: fn(&KnownRun) -> Option<&str>,
    ) -> rusqlite::Result<Result<(), AuditError>> {
        let wrong = |run: String, why| Ok(Err(AuditError::Table { what, run, why }));
        let mut there = vec![false; self.runs.len()];
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (run, noted) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            let Some(&place) = run.parse().ok().and_then(|run| self.places.get(&run)) else {
                return wrong(run.to_owned(), unknown);
            };
            if has(&self.runs[place]) != Some(noted) {
                return wrong(run.to_owned(), differs);
            }
            there[place] = true;
        }
        let mut missing = self.runs.iter().zip(there).filter(|(known, there)| has(known).is_some() && !there);
        missing.next().map_or(Ok(Ok(())), |(known, _)| wrong(known.run.to_string(), differs))
    }
}

/// Checks a run's first record: its input, scope and grant must have the digests that it names.
fn begin(seq: u64, run: RunId, started: &Started) -> Result<KnownRun, AuditError> {
    let wrong = |why: &str| AuditError::Record { seq, why: why.to_owned() };
    let is = |raw: &RawValue, digest: Digest| {
        // Most often the text is in canonical form already.
        if Digest::of(raw.get().as_bytes()) == digest {
            return true;
        }
        serde_json::from_str::<serde_json::Value>(raw.get())
            .and_then(|value| remit_trust::canonical(&value))
            .is_ok_and(|canonical| Digest::of(&canonical) == digest)
    };
    if !is(&started.input, started.input_digest) {
        return Err(wrong("has an input that does not have the digest it names"));
    }
    if started.scope.as_ref().is_some_and(|scope| !is(scope, started.scope_digest)) {
        return Err(wrong("has a scope that does not have the digest it names"));
    }
    let signed = started.grant.as_ref().and_then(|grant| grant.signed.as_ref().map(|s| (grant.digest, s)));
    if let Some((digest, signed)) = signed {
        let envelope: Result<Envelope, _> = serde_json::from_str(signed.envelope.get());
        if !envelope.is_ok_and(|envelope| envelope.payload_digest() == Ok(digest)) {
            return Err(wrong("has a grant that does not have the digest it names"));
        }
    }
    Ok(KnownRun {
        run,
        mode: started.mode,
        grant: started.grant.as_ref().map(|grant| grant.digest.to_string()),
        window: signed.map(|(_, signed)| (signed.not_before, signed.not_after)),
        rests_on: started.rests_on(),
        ended_once: false,
        phase: None,
        state: None,
        ended: false,
        expired: false,
        due: Due::default(),
        open: HashSet::new(),
        changes: HashSet::new(),
    })
}

/// A row of the table `due`.
type DueRow = (String, Option<i64>, Option<i64>);

fn due_row(run: &RunId, due: Due) -> DueRow {
    let second = |at: Option<Timestamp>| at.map(Timestamp::as_second);
    (run.to_string(), second(due.restore), second(due.page))
}

/// The rows of the table `due`.
fn due_rows(database: &Connection) -> rusqlite::Result<BTreeSet<DueRow>> {
    let mut rows = database.prepare("SELECT run, restore, page FROM due")?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// The rows of the table `open_run`.
fn open_rows(database: &Connection) -> rusqlite::Result<BTreeSet<(String, String, u64)>> {
    let mut rows = database.prepare("SELECT run, basis, since FROM open_run")?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned())))?.collect()
}

/// A record of a call that borrows from its text.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call<'a> {
    #[serde(borrow)]
    Intent(Intent<&'a str, &'a RawValue>),
    #[serde(borrow)]
    Outcome(Outcome<&'a RawValue, &'a RawValue>),
}

impl Call<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Intent(_) => "intent",
            Self::Outcome(_) => "outcome",
        }
    }

    fn seen(&self) -> Seen<'static> {
        match self {
            Self::Intent(intent) => Seen::intent(intent),
            Self::Outcome(Outcome { call, .. }) => Seen::Outcome { call: *call },
        }
    }
}

/// What the audit needs of an event.
enum Seen<'a> {
    Intent {
        call: u64,
        effect: Effect,
        /// Whether the prior state is on record.
        kept: bool,
    },
    Outcome {
        call: u64,
    },
    Other(&'a Event),
}

impl<'a> Seen<'a> {
    fn of(event: &'a Event) -> Self {
        match event {
            Event::Intent(intent) => Self::intent(intent),
            Event::Outcome(Outcome { call, .. }) => Self::Outcome { call: *call },
            other => Self::Other(other),
        }
    }

    fn intent<S, A>(intent: &Intent<S, A>) -> Self {
        Self::Intent { call: intent.call, effect: intent.effect, kept: intent.before.is_some() }
    }

    /// Whether the writer's caller waits for such a record. Only then does the writer check its time.
    fn is_waited_for(&self) -> bool {
        match self {
            // Without a prior state, the change failed in preparation.
            Self::Intent { effect, kept, .. } => {
                *kept && matches!(effect, Effect::Change | Effect::Irrevocable)
            }
            Self::Outcome { .. } => false,
            Self::Other(event) => matches!(
                event,
                Event::Started(_)
                    | Event::UndoIntent(_)
                    | Event::UndoOutcome(_)
                    | Event::Resolved(_)
                    | Event::UndoExpired(_)
                    | Event::Extended(_)
                    | Event::Paged(_)
                    | Event::Ended(_)
            ),
        }
    }
}
