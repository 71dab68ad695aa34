//! How much live runs changed lately, or may still change: policies compare budgets with it. A reader follows the journal
//! and counts each record once, so that a query costs the same however long the journal is.
//!
//! A run counts by the time of its newest change, not of its start: it may go on for an hour, and what it changes at the end of
//! that would otherwise count for a moment only.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::{Effect, Event, Mode, Record, RequestId, RunId, Started, UndoResult};

/// The longest time that a scope may give a run.
pub const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(1);

/// The changes made by the live runs that changed something, or started, since some moment. A run that is under way counts
/// with all changes that it may still make.
#[derive(Debug, Default)]
pub struct Spent {
    /// The number of the newest record that was read.
    pub(crate) upto: u64,
    /// Runs that last counted before are not counted.
    pub(crate) since: Timestamp,
    /// The runs that count, each with the time at which it last counts, the oldest first.
    order: BTreeSet<(Timestamp, RunId)>,
    runs: HashMap<RunId, SpentRun>,
    sums: Sums,
}

#[derive(Clone, Debug)]
struct SpentRun {
    /// The time of its newest change; of its start, as long as it has made none.
    newest: Timestamp,
    /// When its time is up.
    until: Timestamp,
    request: Option<RequestId>,
    /// The names of the requester and, if it is another principal, of the starter.
    principals: Vec<String>,
    action: String,
    /// The call number and the resource of each change that was not undone.
    changed: Vec<(u64, String)>,
    /// How many changes its scope allows.
    may: u64,
    open: bool,
}

impl SpentRun {
    fn of(at: Timestamp, started: &Started) -> Self {
        #[derive(serde::Deserialize)]
        struct Scope {
            limits: Limits,
        }
        #[derive(serde::Deserialize)]
        struct Limits {
            changes: u64,
            #[serde(default)]
            wall_time: Option<SignedDuration>,
        }
        let scope = started.scope.as_ref().and_then(|scope| serde_json::from_str::<Scope>(scope.get()).ok());
        let authority = started.grant.as_ref().and_then(|grant| grant.authority.as_ref());
        let mut principals = vec![started.principal.clone()];
        principals.extend(started.started_by.clone().filter(|by| *by != started.principal));
        let longest = scope.as_ref().and_then(|scope| scope.limits.wall_time).unwrap_or(LONGEST_RUN);
        Self {
            newest: at,
            until: at.checked_add(longest).unwrap_or(Timestamp::MAX),
            request: authority.map(|authority| authority.request),
            principals,
            action: started.action.name.clone(),
            changed: Vec::new(),
            may: scope.map_or(0, |scope| scope.limits.changes),
            open: true,
        }
    }

    /// When it last counts: while it goes on, that is the end of its time, because it may change something until then.
    fn last(&self) -> Timestamp {
        if self.open { self.newest.max(self.until) } else { self.newest }
    }

    /// How many changes it counts with.
    fn changes(&self) -> u64 {
        let made = self.changed.len() as u64;
        if self.open { self.may.max(made) } else { made }
    }
}

#[derive(Debug, Default)]
struct Sums {
    by_principal: HashMap<String, u64>,
    by_action: HashMap<String, u64>,
    /// The number of runs and of changes.
    by_request: HashMap<RequestId, (u64, u64)>,
    /// By the first part of the changed resource: `secret:prod`.
    by_first: HashMap<String, u64>,
    /// How many changes the runs under way may still make, to any resource.
    anywhere: u64,
}

impl Sums {
    fn count(&mut self, run: &SpentRun, with: fn(u64, u64) -> u64) {
        let changes = run.changes();
        let sum = |sums: &mut HashMap<String, u64>, name: &str, by: u64| match sums.get_mut(name) {
            Some(sum) => *sum = with(*sum, by),
            None => {
                sums.insert(name.to_owned(), with(0, by));
            }
        };
        for principal in &run.principals {
            sum(&mut self.by_principal, principal, changes);
        }
        sum(&mut self.by_action, &run.action, changes);
        for (_, resource) in &run.changed {
            sum(&mut self.by_first, resource.split('/').next().unwrap_or_default(), 1);
        }
        self.anywhere = with(self.anywhere, changes - run.changed.len() as u64);
        if let Some(request) = run.request {
            let (runs, sum) = self.by_request.entry(request).or_default();
            (*runs, *sum) = (with(*runs, 1), with(*sum, changes));
        }
    }

    fn drop_empty(&mut self) {
        self.by_principal.retain(|_, sum| *sum > 0);
        self.by_action.retain(|_, sum| *sum > 0);
        self.by_first.retain(|_, sum| *sum > 0);
        self.by_request.retain(|_, (runs, _)| *runs > 0);
    }
}

impl Spent {
    /// A count of the runs that last count at `since` or later, none of which is among the first `upto` records.
    pub(crate) fn after_record(upto: u64, since: Timestamp) -> Self {
        Self { upto, since, ..Self::default() }
    }

    /// Changes by runs that this principal asked for or started. Under a standing scope these may be two principals, and
    /// the run counts for both.
    #[must_use]
    pub fn by_principal(&self, name: &str) -> u64 {
        self.sums.by_principal.get(name).copied().unwrap_or(0)
    }

    /// Changes by runs of actions with this name.
    #[must_use]
    pub fn by_action(&self, name: &str) -> u64 {
        self.sums.by_action.get(name).copied().unwrap_or(0)
    }

    /// The number of runs under a request, and of their changes.
    #[must_use]
    pub fn by_request(&self, request: RequestId) -> (u64, u64) {
        self.sums.by_request.get(&request).copied().unwrap_or((0, 0))
    }

    /// Changes to resources whose kind and first segment are `prefix`, such as `secret:prod`; with an empty prefix, to all.
    /// What a run under way may still change counts for each prefix, because it may change any resource.
    #[must_use]
    pub fn under(&self, prefix: &str) -> u64 {
        let made = self.sums.by_first.iter().filter(|(first, _)| prefix.is_empty() || *first == prefix);
        made.map(|(_, changes)| changes).sum::<u64>() + self.sums.anywhere
    }

    /// Of each run under a request when it last counts, oldest first, and the number of its changes.
    #[must_use]
    pub fn of_request(&self, request: RequestId) -> Vec<(Timestamp, u64)> {
        let runs = self.order.iter().filter_map(|(last, run)| Some((*last, self.runs.get(run)?)));
        runs.filter(|(_, one)| one.request == Some(request))
            .map(|(last, one)| (last, one.changes()))
            .collect()
    }

    /// When each run last counts, oldest first.
    #[must_use]
    pub fn starts(&self) -> Vec<Timestamp> {
        self.order.iter().map(|(last, _)| *last).collect()
    }

    /// The same without the runs that last count at `at` or earlier.
    #[must_use]
    pub fn after(&self, at: Timestamp) -> Self {
        let mut later = Self { upto: self.upto, since: at, ..Self::default() };
        for (last, run) in &self.order {
            if let Some(one) = self.runs.get(run).filter(|_| *last > at) {
                later.add(*run, one.clone());
            }
        }
        later
    }

    fn add(&mut self, run: RunId, one: SpentRun) {
        self.sums.count(&one, u64::saturating_add);
        self.order.insert((one.last(), run));
        self.runs.insert(run, one);
    }

    fn remove(&mut self, run: RunId) -> Option<SpentRun> {
        let one = self.runs.remove(&run)?;
        self.order.remove(&(one.last(), run));
        self.sums.count(&one, u64::saturating_sub);
        Some(one)
    }

    /// Applies `change` to one run and corrects the sums.
    fn change(&mut self, run: RunId, change: impl FnOnce(&mut SpentRun)) {
        if let Some(mut one) = self.remove(run) {
            change(&mut one);
            self.add(run, one);
        }
    }

    /// Counts the next record.
    pub(crate) fn follow(&mut self, Record { run, at, event }: Record) {
        match event {
            Event::Started(started) if started.mode == Mode::Live => {
                self.add(run, SpentRun::of(at, &started));
            }
            Event::Intent(intent) => {
                let changes = matches!(intent.effect, Effect::Change | Effect::Irrevocable);
                if changes && intent.before.is_some() {
                    self.change(run, |one| {
                        one.changed.push((intent.call, intent.resource));
                        one.newest = one.newest.max(at);
                    });
                }
            }
            // A change that was undone does not count.
            Event::UndoOutcome(undo)
                if matches!(undo.result, UndoResult::Undone | UndoResult::AlreadyUndone) =>
            {
                self.change(run, |one| one.changed.retain(|(call, _)| *call != undo.call));
            }
            Event::Phase(_) => self.change(run, |one| one.open = true),
            Event::Ended(_) => self.change(run, |one| one.open = false),
            _ => {}
        }
    }

    /// Stops counting the runs that last count before `since`.
    pub(crate) fn forget(&mut self, since: Timestamp) {
        self.since = since;
        let before = self.order.len();
        while let Some((_, run)) = self.order.first().copied().filter(|(last, _)| *last < since) {
            self.remove(run);
        }
        if self.order.len() < before {
            self.sums.drop_empty();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use remit_trust::Digest;
    use serde_json::value::RawValue;

    use super::*;
    use crate::{ActionRef, Authority, Ended, GrantRef, Intent, Phase, PhaseEntered, RunState, UndoOutcome};

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    struct Told {
        spent: Spent,
        request: RequestId,
        run: RunId,
    }

    impl Told {
        /// A run that may make three changes and has made two, to `secret:a/x` and `secret:b/y`.
        fn of_two_changes(spent: Spent, request: RequestId, minute: i64) -> Self {
            let mut told = Self { spent, request, run: RunId::new() };
            let digest = Digest::of(b"x");
            let authority = Authority {
                request,
                approvals: Vec::new(),
                trigger: raw("{}"),
                break_glass: false,
                rests_on: Vec::new(),
            };
            let started = Started {
                mode: Mode::Live,
                action: ActionRef { digest, name: "rotate".to_owned(), version: "1.0.0".to_owned() },
                publisher: None,
                connectors: Vec::new(),
                input: raw("{}"),
                input_digest: digest,
                scope_digest: digest,
                scope: Some(raw(r#"{"limits":{"changes":3}}"#)),
                grant: Some(GrantRef { digest, uses: 1, signed: None, authority: Some(authority) }),
                principal: "ana".to_owned(),
                started_by: Some("bot".to_owned()),
                reason: "a test".to_owned(),
                seed: [0; 32],
                host_version: "0.1.0".to_owned(),
            };
            told.follow(minute, Event::from(started));
            told.change(minute, 1, "secret:a/x");
            told.change(minute, 2, "secret:b/y");
            told
        }

        fn change(&mut self, minute: i64, call: u64, resource: &str) {
            let intent = Intent {
                call,
                operation: "remit:secrets/rotate.rotate".to_owned(),
                effect: Effect::Change,
                resource: resource.to_owned(),
                arguments: raw("{}"),
                before: Some(raw("{}")),
                sealed: None,
                irrevocable_because: None,
            };
            self.follow(minute, Event::Intent(intent));
        }

        fn follow(&mut self, minute: i64, event: Event) {
            self.spent.follow(Record { run: self.run, at: at(minute), event });
        }

        fn end(&mut self, state: RunState) {
            let ended = Ended {
                state,
                detail: String::new(),
                consumed: raw("{}"),
                output: None,
                own_words: None,
                code: None,
                due: crate::Due::default(),
            };
            self.follow(1, Event::Ended(ended));
        }

        fn undo(&mut self, call: u64, result: UndoResult) {
            self.follow(1, Event::UndoOutcome(UndoOutcome { call, result }));
        }

        fn reopen(&mut self) {
            let entered = PhaseEntered { phase: Phase::Revert, principal: None, reason: None, order: None };
            self.follow(1, Event::Phase(entered));
        }

        /// By who asked, by who started, by the action, under the request, in two places.
        fn counts(&self) -> [u64; 6] {
            let spent = &self.spent;
            [
                spent.by_principal("ana"),
                spent.by_principal("bot"),
                spent.by_action("rotate"),
                spent.by_request(self.request).1,
                spent.under("secret:a"),
                spent.under("secret:b"),
            ]
        }
    }

    #[test]
    fn what_was_taken_back_counts_no_more() {
        let mut told = Told::of_two_changes(Spent::default(), RequestId::new(), 0);
        assert_eq!(told.counts(), [3, 3, 3, 3, 2, 2], "one that goes on may make one more, anywhere");
        told.end(RunState::Held);
        assert_eq!(told.counts(), [2, 2, 2, 2, 1, 1]);
        told.reopen();
        for result in [
            UndoResult::Conflict { live: String::new() },
            UndoResult::Failed { message: String::new() },
            UndoResult::InDoubt { live: String::new() },
            UndoResult::NotReversible { why: String::new() },
        ] {
            told.undo(2, result);
        }
        told.end(RunState::Held);
        assert_eq!(told.counts(), [2, 2, 2, 2, 1, 1], "what could not be taken back stands");
        told.reopen();
        told.undo(2, UndoResult::Undone);
        // Told again, and of a call that there is not.
        told.undo(2, UndoResult::AlreadyUndone);
        told.undo(9, UndoResult::Undone);
        told.end(RunState::Held);
        assert_eq!(told.counts(), [1, 1, 1, 1, 1, 0]);
        told.reopen();
        told.undo(1, UndoResult::AlreadyUndone);
        told.end(RunState::Reverted);
        assert_eq!(told.counts(), [0; 6]);
        assert_eq!(told.spent.by_request(told.request), (1, 0), "a run it was all the same");
    }

    /// What a run changes late in its time would otherwise count for a moment only.
    #[test]
    fn the_hour_of_a_change_begins_with_it() {
        let mut told = Told::of_two_changes(Spent::default(), RequestId::new(), 0);
        told.spent.forget(at(59));
        assert_eq!(told.counts(), [3, 3, 3, 3, 2, 2], "its time is not up");
        told.change(59, 3, "secret:a/z");
        told.spent.forget(at(60));
        assert_eq!(told.counts(), [3, 3, 3, 3, 2, 1]);
        told.end(RunState::Succeeded);
        assert_eq!(told.spent.of_request(told.request), [(at(59), 3)]);
        told.spent.forget(at(59));
        assert_eq!(told.counts(), [3, 3, 3, 3, 2, 1]);
        told.spent.forget(at(60));
        assert_eq!((told.counts(), told.spent.starts()), ([0; 6], Vec::new()));
    }

    #[test]
    fn later_less_counts() {
        let request = RequestId::new();
        let mut told = Told::of_two_changes(Spent::default(), request, 0);
        told.end(RunState::Succeeded);
        let mut told = Told::of_two_changes(told.spent, request, 10);
        told.undo(1, UndoResult::Undone);
        told.end(RunState::Held);
        assert_eq!(told.counts(), [3, 3, 3, 3, 1, 2]);
        assert_eq!(told.spent.starts(), [at(0), at(10)]);
        assert_eq!(told.spent.of_request(request), [(at(0), 2), (at(10), 1)]);
        assert_eq!(told.spent.of_request(RequestId::new()), []);
        let count = |spent: &Spent| (spent.by_principal("ana"), spent.by_request(request), spent.under(""));
        assert_eq!(count(&told.spent.after(at(-1))), (3, (2, 3), 3));
        assert_eq!(count(&told.spent.after(at(0))), (1, (1, 1), 1));
        assert_eq!(count(&told.spent.after(at(10))), (0, (0, 0), 0));
        // A look: nothing is forgotten by it.
        assert_eq!(told.counts(), [3, 3, 3, 3, 1, 2]);
    }
}
