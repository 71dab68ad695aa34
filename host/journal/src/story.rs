//! Whether the records make sense, one after the other: runs that start under authority, calls with their intents, and
//! tables that say the same.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use remit_trust::Digest;
use remit_trust::dsse::Envelope;
use rusqlite::{Connection, Statement};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::grounds::Grounds;
use crate::{
    Act, AuditError, Effect, Event, Intent, Mode, Outcome, Phase, Reader, Record, Resolved, RestsOn, RunId,
    RunState, Started, UndoIntent, UndoOutcome, UndoResult,
};
use crate::{schema, store};

/// What the records must make sense as.
#[derive(Default)]
pub(crate) struct Story {
    /// In the order in which they started, and where each is.
    runs: Vec<Told>,
    places: HashMap<RunId, usize>,
    /// Where the run of the record before is: most often that of the next.
    last: Option<(RunId, usize)>,
    authority: Grounds,
    /// Where schema 7 begins. What earlier versions wrote is read as they meant it.
    placed_since: u64,
    /// The latest time of any record.
    mark: Option<Timestamp>,
}

/// A rehearsal that an earlier version took for a real run.
#[derive(Clone, Debug, Serialize)]
pub struct Misjudged {
    /// The rehearsal.
    pub run: RunId,
    /// The state it has by that.
    pub state: Option<RunState>,
    /// The simulated changes that were taken back as if they were real.
    pub undone: Vec<Mistaken>,
}

/// A change that never happened, and was taken back on a live system.
#[derive(Clone, Debug, Serialize)]
pub struct Mistaken {
    /// The number of the call.
    pub call: u64,
    /// The operation that was simulated.
    pub operation: String,
    /// What it would have touched, and what its undo may have.
    pub resource: String,
    /// How the undo ended; none when that is not on record.
    pub result: Option<UndoResult>,
}

/// What is known of one run so far.
#[expect(clippy::struct_excessive_bools, reason = "facts about a run, each of its own")]
struct Told {
    run: RunId,
    mode: Mode,
    grant: Option<String>,
    window: Option<(Timestamp, Timestamp)>,
    rests_on: Vec<RestsOn>,
    /// Whether it came to an end at least once.
    let_go: bool,
    phase: Option<Phase>,
    /// Recorded under schema 1, whose reverts did not begin with a phase.
    old: bool,
    /// The last state it had; and whether it has one now.
    state: Option<RunState>,
    ended: bool,
    expired: bool,
    /// Calls without an outcome.
    open: HashSet<u64>,
    /// Changes on record.
    changes: HashSet<u64>,
    /// In a rehearsal up to schema 6: what was simulated, and what was done to it as if it had been real.
    simulated: HashMap<u64, (String, String)>,
    mistaken: Vec<Mistaken>,
    misjudged: bool,
}

/// What is wrong with a record that the writer would have refused, or given another time.
const LATE: &str = "is of an earlier time than what was on record: the clock was set back";

impl Told {
    /// Something that was done about a change of a rehearsal, as if it had been real.
    fn mistake(&mut self, event: &Event) {
        self.misjudged = true;
        match event {
            Event::UndoIntent(UndoIntent { call }) => {
                let (operation, resource) = self.simulated.get(call).cloned().unwrap_or_default();
                self.mistaken.push(Mistaken { call: *call, operation, resource, result: None });
            }
            Event::UndoOutcome(UndoOutcome { call, result }) => {
                if let Some(mistaken) = self.mistaken.iter_mut().rfind(|mistaken| mistaken.call == *call) {
                    mistaken.result = Some(result.clone());
                }
            }
            Event::Resolved(Resolved { call, .. }) => {
                self.open.remove(call);
            }
            _ => {}
        }
    }

    /// The rows of the table that says what it rests on, as a schema has them.
    fn resting(&self, version: i64) -> Vec<(String, String, u64)> {
        let row = |ground: String, since| (self.run.to_string(), ground, since);
        match (self.let_go, self.ended) {
            (false, _) => self.rests_on.iter().map(|on| row(on.ground.to_string(), on.since)).collect(),
            (true, false) if version > 5 => vec![row(String::new(), 0)],
            (true, _) => Vec::new(),
        }
    }
}

impl Story {
    /// How many runs it tells of, and how many calls without an outcome.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.runs.len() as u64, self.runs.iter().map(|told| told.open.len() as u64).sum())
    }

    /// A story whose records are of schema 7 from that number on.
    pub(crate) fn of(placed_since: u64) -> Self {
        Self { placed_since, ..Self::default() }
    }

    /// The latest time of any record.
    pub(crate) fn mark(&self) -> Option<Timestamp> {
        self.mark
    }

    /// The rehearsals that were taken for real runs.
    pub(crate) fn misjudged(&self) -> Vec<Misjudged> {
        let misjudged = self.runs.iter().filter(|told| told.misjudged);
        misjudged
            .map(|told| Misjudged {
                run: told.run,
                state: told.state.filter(|_| told.ended),
                undone: told.mistaken.clone(),
            })
            .collect()
    }

    /// Notes a record's time. Whether it is of a clock that was set back.
    fn is_late(&mut self, seq: u64, at: Timestamp) -> bool {
        let late = seq >= self.placed_since && store::set_back(at, self.mark).is_some();
        self.mark = self.mark.max(Some(at));
        late
    }

    /// Reads the next record: its number, what it is filed under, its kind, its text.
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
            filed(&act.about.to_string(), act.deed.kind())?;
            if self.is_late(seq, act.at) {
                return Err(wrong(LATE.to_owned()));
            }
            return self.authority.follow(seq, &act);
        }
        // Most records are of calls. One that has to be unescaped is read as the others are.
        if matches!(kind, b"intent" | b"outcome")
            && let Ok(Record { run, at, event }) = serde_json::from_str::<Record<Call<'_>>>(text)
        {
            filed(run.filed().as_str(), event.kind())?;
            return self.follow(seq, run, at, &event.seen());
        }
        let Record { run, at, event } = serde_json::from_str::<Record>(text).map_err(unread)?;
        filed(run.filed().as_str(), event.kind())?;
        self.follow(seq, run, at, &Seen::of(&event))
    }

    fn follow(&mut self, seq: u64, run: RunId, at: Timestamp, seen: &Seen<'_>) -> Result<(), AuditError> {
        let wrong = |why: &str| Err(AuditError::Record { seq, why: why.to_owned() });
        if self.is_late(seq, at) && seen.is_waited_for() {
            return wrong(LATE);
        }
        let new = seq >= self.placed_since;
        let last = self.last.take_if(|(last, _)| *last == run);
        let place = last.map(|(_, place)| place).or_else(|| self.places.get(&run).copied());
        self.last = place.map(|place| (run, place));
        let Some(told) = place.and_then(|place| self.runs.get_mut(place)) else {
            let Seen::Other(Event::Started(started)) = seen else {
                return wrong("belongs to a run that never started");
            };
            let told = begin(seq, run, started)?;
            self.authority.allow(seq, started, &told.rests_on)?;
            self.places.insert(run, self.runs.len());
            self.runs.push(told);
            return Ok(());
        };
        let ended = std::mem::replace(&mut told.ended, matches!(seen, Seen::Other(Event::Ended(_))));
        let reopens = matches!(seen, Seen::Other(Event::Phase(entered)) if entered.phase.reopens());
        match seen {
            Seen::Other(Event::Started(_)) => return wrong("starts a run a second time"),
            Seen::Other(Event::UndoExpired(_)) => {
                told.expired = true;
                told.ended = ended;
            }
            _ if ended && !reopens && !told.old => return wrong("is of a run that had ended"),
            Seen::Other(Event::Phase(entered)) => told.phase = Some(entered.phase),
            &Seen::Intent { call, effect, operation, resource, .. } => {
                if !told.open.insert(call) || told.changes.contains(&call) {
                    return wrong("repeats the number of an earlier call");
                }
                let changes = matches!(effect, Effect::Change | Effect::Irrevocable);
                if changes && told.mode == Mode::Rehearse {
                    if new {
                        return wrong("is a change, in a rehearsal");
                    }
                    told.simulated.insert(call, (operation.to_owned(), resource.to_owned()));
                }
                if told.mode == Mode::Live && told.grant.is_none() {
                    return wrong("is a call of a live run without a grant");
                }
                if changes && told.mode == Mode::Live {
                    if told.phase.is_some_and(|phase| phase != Phase::Run) {
                        return wrong("is a change after the action's own turn was over");
                    }
                    if told.window.is_some_and(|(from, until)| at < from || at >= until) {
                        return wrong("is a change outside the time its grant was in force");
                    }
                    if let Some(withdrawn) = self.authority.withdrawn(&told.rests_on) {
                        return wrong(&format!("is a change after its authority was gone: {withdrawn}"));
                    }
                    told.changes.insert(call);
                }
            }
            &Seen::Outcome { call } => {
                if !told.open.remove(&call) {
                    return wrong("is an outcome without its intent");
                }
            }
            Seen::Other(Event::Simulated(simulated)) => {
                if told.mode == Mode::Live {
                    return wrong("is a simulated change, in a live run");
                }
                if told.open.contains(&simulated.call) {
                    return wrong("repeats the number of an earlier call");
                }
            }
            Seen::Other(event @ (Event::UndoIntent(_) | Event::UndoOutcome(_) | Event::Resolved(_)))
                if told.mode == Mode::Rehearse =>
            {
                if new {
                    return wrong("is about a change of a rehearsal, which changes nothing");
                }
                if matches!(event, Event::UndoIntent(undo) if !told.simulated.contains_key(&undo.call)) {
                    return wrong("is about a change that is not on record");
                }
                told.mistake(event);
            }
            Seen::Other(
                event @ (Event::UndoIntent(UndoIntent { call }) | Event::Resolved(Resolved { call, .. })),
            ) => {
                if !told.changes.contains(call) {
                    return wrong("is about a change that is not on record");
                }
                if matches!(event, Event::Resolved(_)) {
                    told.open.remove(call);
                }
                if told.expired && matches!(event, Event::UndoIntent(_)) {
                    return wrong("is an undo whose data had expired");
                }
            }
            Seen::Other(Event::Ended(ended)) => {
                let real = matches!(ended.state, RunState::Reverted | RunState::Held | RunState::InDoubt);
                let possible = match (told.mode, told.state) {
                    // Only an earlier version could come to these. They stand for nothing, and end as any other.
                    (Mode::Rehearse, _) if real => !new,
                    (Mode::Rehearse, Some(_)) if told.misjudged => ended.state == RunState::Failed,
                    (_, Some(before)) => before.next().contains(&ended.state),
                    (mode, None) => (ended.state == RunState::Rehearsed) <= (mode == Mode::Rehearse),
                };
                told.misjudged |= told.mode == Mode::Rehearse && real;
                if !possible {
                    return wrong("is a state that the run could not come to");
                }
                let complete = matches!(ended.state, RunState::Succeeded | RunState::Rehearsed);
                if complete && !told.open.is_empty() {
                    return wrong("says that all went well, with a call that never came back");
                }
                told.state = Some(ended.state);
                told.let_go = true;
            }
            // The last two are what `Seen` has variants for.
            Seen::Other(Event::UndoOutcome(_) | Event::Denied(_) | Event::Intent(_) | Event::Outcome(_)) => {}
        }
        Ok(())
    }

    /// Whether the tables beside the records say the same.
    pub(crate) fn check_tables(&self, reader: &Reader, database: &Connection) -> Result<(), AuditError> {
        let table = |what, query, why, has: fn(&Told) -> Option<&str>| {
            let mut rows = database.prepare(query).map_err(|e| reader.sql(&e))?;
            self.check_table(what, &mut rows, why, has).map_err(|e| reader.sql(&e))?
        };
        table(
            "use of a grant",
            "SELECT run, grant_digest FROM grant_use",
            ["is not counted as its record says", "is counted, but no record tells of it"],
            |told| told.grant.as_deref(),
        )?;
        if reader.version == 1 {
            return Ok(());
        }
        table(
            "unfinished state",
            "SELECT DISTINCT run, '' FROM open_run",
            ["does not say what its records say", "is of a run that never started"],
            |told| (!told.ended).then_some(""),
        )?;
        table(
            "key",
            "SELECT run, '' FROM run_key",
            [
                "is missing, or there although its record says that it expired",
                "is of a run that never started",
            ],
            |told| (!told.expired).then_some(""),
        )?;
        if reader.version > 2 {
            self.authority.check_table(reader, database)?;
            let resting: BTreeSet<(String, String, u64)> =
                self.runs.iter().flat_map(|told| told.resting(reader.version)).collect();
            let noted = resting_in(reader, database).map_err(|e| reader.sql(&e))?;
            if let Some((run, ..)) = resting.symmetric_difference(&noted).next() {
                let (run, why) = (run.clone(), "is not noted as its record says");
                return Err(AuditError::Table { what: "authority", run, why });
            }
        }
        Ok(())
    }

    /// Whether a table with a run and something else in each row has one for each run that `has` something, and that.
    fn check_table(
        &self,
        what: &'static str,
        rows: &mut Statement<'_>,
        [differs, strange]: [&'static str; 2],
        has: fn(&Told) -> Option<&str>,
    ) -> rusqlite::Result<Result<(), AuditError>> {
        let wrong = |run: String, why| Ok(Err(AuditError::Table { what, run, why }));
        let mut there = vec![false; self.runs.len()];
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (run, noted) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            let Some(&place) = run.parse().ok().and_then(|run| self.places.get(&run)) else {
                return wrong(run.to_owned(), strange);
            };
            if has(&self.runs[place]) != Some(noted) {
                return wrong(run.to_owned(), differs);
            }
            there[place] = true;
        }
        let mut missing = self.runs.iter().zip(there).filter(|(told, there)| has(told).is_some() && !there);
        missing.next().map_or(Ok(Ok(())), |(told, _)| wrong(told.run.to_string(), differs))
    }
}

/// A run's header says what it is bound to by digest; what it holds must be that.
fn begin(seq: u64, run: RunId, started: &Started) -> Result<Told, AuditError> {
    let wrong = |why: &str| AuditError::Record { seq, why: why.to_owned() };
    let is = |raw: &RawValue, digest: Digest| {
        // Most often it is written as it is hashed.
        if Digest::of(raw.get().as_bytes()) == digest {
            return true;
        }
        serde_json::from_str::<serde_json::Value>(raw.get())
            .and_then(|value| remit_trust::canonical(&value))
            .is_ok_and(|canonical| Digest::of(&canonical) == digest)
    };
    if !is(&started.input, started.input_digest) {
        return Err(wrong("holds an input that is not of the digest it names"));
    }
    if started.scope.as_ref().is_some_and(|scope| !is(scope, started.scope_digest)) {
        return Err(wrong("holds a scope that is not of the digest it names"));
    }
    let signed = started.grant.as_ref().and_then(|grant| grant.signed.as_ref().map(|s| (grant.digest, s)));
    if let Some((digest, signed)) = signed {
        let envelope: Result<Envelope, _> = serde_json::from_str(signed.envelope.get());
        if !envelope.is_ok_and(|envelope| envelope.payload_digest() == Ok(digest)) {
            return Err(wrong("holds a grant that is not of the digest it names"));
        }
    }
    Ok(Told {
        run,
        mode: started.mode,
        grant: started.grant.as_ref().map(|grant| grant.digest.to_string()),
        window: signed.map(|(_, signed)| (signed.not_before, signed.not_after)),
        rests_on: started.rests_on(),
        let_go: false,
        phase: None,
        old: started.scope.is_none(),
        state: None,
        ended: false,
        expired: false,
        open: HashSet::new(),
        changes: HashSet::new(),
        simulated: HashMap::new(),
        mistaken: Vec::new(),
        misjudged: false,
    })
}

fn resting_in(reader: &Reader, database: &Connection) -> rusqlite::Result<BTreeSet<(String, String, u64)>> {
    let table = schema::resting(reader.version);
    let mut rows = database.prepare(&format!("SELECT run, ground, since FROM {table}"))?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned())))?.collect()
}

/// A record of a call, where it lies.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call<'a> {
    #[serde(borrow)]
    Intent(Intent<&'a str, &'a RawValue>),
    #[serde(borrow)]
    Outcome(Outcome<&'a RawValue, &'a RawValue>),
}

impl<'a> Call<'a> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Intent(_) => "intent",
            Self::Outcome(_) => "outcome",
        }
    }

    fn seen(&self) -> Seen<'a> {
        match self {
            Self::Intent(intent) => Seen::intent(intent, intent.operation, intent.resource),
            Self::Outcome(Outcome { call, .. }) => Seen::Outcome { call: *call },
        }
    }
}

/// What an audit looks at in an event.
enum Seen<'a> {
    Intent {
        call: u64,
        effect: Effect,
        /// What was there before is on record.
        kept: bool,
        operation: &'a str,
        resource: &'a str,
    },
    Outcome {
        call: u64,
    },
    Other(&'a Event),
}

impl<'a> Seen<'a> {
    fn of(event: &'a Event) -> Self {
        match event {
            Event::Intent(intent) => Self::intent(intent, &intent.operation, &intent.resource),
            Event::Outcome(Outcome { call, .. }) => Self::Outcome { call: *call },
            other => Self::Other(other),
        }
    }

    fn intent<S, A>(intent: &Intent<S, A>, operation: &'a str, resource: &'a str) -> Self {
        let (call, effect, kept) = (intent.call, intent.effect, intent.before.is_some());
        Self::Intent { call, effect, kept, operation, resource }
    }

    /// Whether somebody waits for such a record: its time is looked at as it is written.
    fn is_waited_for(&self) -> bool {
        match self {
            // Without a prior state it failed in preparation, or is a look.
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
                    | Event::Ended(_)
            ),
        }
    }
}
