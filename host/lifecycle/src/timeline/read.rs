//! Makes a [`Timeline`] from records.

use remit_capability::BUILT_IN;
use remit_journal::{
    CallResult, Due, Effect, Event, GrantRef, Intent, JournalError, Mode, Outcome, Record, RunId, Started,
    UndoResult,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::lines::{LOG, failure_words, line};
use super::words::own_arguments;
use super::{
    ChangeState, Changed, Covers, LogLine, Reached, Refused, Resolution, RunAuthority, Seen, Timeline,
    Undone, value_words,
};
use crate::Error;
use crate::authority::{Approval, Request, RequestedAuthority, Trigger, claimed};

/// The maximum number of different results that are kept of equal reads.
const ANSWERS: usize = 4;

pub(super) fn timeline(run: RunId, records: &[(u64, Record)]) -> Result<Timeline, Error> {
    let (Some((first, Record { at, event: Event::Started(started), .. })), Some((last, _))) =
        (records.first(), records.last())
    else {
        let why = "it does not begin with its start".to_owned();
        return Err(JournalError::Record { which: run.to_string(), verb: "read", why }.into());
    };
    let mut story = Timeline {
        run,
        mode: started.mode,
        state: None,
        detail: None,
        principal: started.principal.clone(),
        reason: started.reason.clone(),
        action: started.action.clone(),
        publisher: started.publisher.clone(),
        host_version: started.host_version.clone(),
        input: value(&started.input),
        authority: started.grant.as_ref().map(|grant| authority(grant, started)),
        started: *at,
        ended: None,
        duration_ms: None,
        states: Vec::new(),
        seen: Vec::new(),
        ambient_calls: 0,
        changed: Vec::new(),
        refused: Vec::new(),
        undone: Vec::new(),
        in_doubt: Vec::new(),
        resolved: Vec::new(),
        restore_at: None,
        page_at: None,
        extended: Vec::new(),
        undo_expired: None,
        log: Vec::new(),
        consumed: Value::Null,
        output: None,
        records: (*first, *last),
        lines: records.iter().filter_map(|(seq, record)| line(*seq, record)).collect(),
    };
    let mut current: Option<Section> = None;
    for (seq, record) in records {
        current.get_or_insert_with(|| Section::from(*seq, record)).read(record);
        story.read(*seq, record);
        if let Event::Ended(ended) = &record.event {
            let Section { since, began, by, why, phases } =
                current.take().unwrap_or_else(|| Section::from(*seq, record));
            let (state, detail) = (ended.state, ended.detail.clone());
            story.states.push(Reached {
                seq: *seq,
                since,
                began,
                at: record.at,
                state,
                detail,
                by,
                why,
                phases,
            });
        }
    }
    story.finish(current.as_ref());
    Ok(story)
}

/// The records that lead to one state of a run.
struct Section {
    since: u64,
    began: jiff::Timestamp,
    by: Option<String>,
    why: Option<String>,
    phases: Vec<remit_journal::Phase>,
}

impl Section {
    fn from(seq: u64, record: &Record) -> Self {
        Self { since: seq, began: record.at, by: None, why: None, phases: Vec::new() }
    }

    fn read(&mut self, record: &Record) {
        match &record.event {
            Event::Phase(entered) => {
                self.phases.push(entered.phase);
                if entered.principal.is_some() || entered.reason.is_some() {
                    self.by.clone_from(&entered.principal);
                    self.why.clone_from(&entered.reason);
                }
            }
            Event::Resolved(resolved) => {
                self.by.get_or_insert_with(|| resolved.principal.clone());
                self.why.get_or_insert_with(|| resolved.reason.clone());
            }
            _ => {}
        }
    }
}

impl Timeline {
    fn read(&mut self, seq: u64, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::Started(_) | Event::Phase(_) | Event::UndoIntent(_) => {}
            Event::Intent(intent) => self.intent(seq, at, intent),
            Event::Outcome(outcome) => self.outcome(outcome),
            Event::Simulated(simulated) => {
                let failure = match &simulated.result {
                    CallResult::Failed { failure } => Some(failure_words(failure.get())),
                    CallResult::Ok { .. } | CallResult::Sealed { .. } => None,
                };
                let after = match &simulated.result {
                    CallResult::Ok { value: after } => Some(value(after)),
                    CallResult::Sealed { .. } | CallResult::Failed { .. } => None,
                };
                self.changed.push(Changed {
                    call: simulated.call,
                    seq,
                    at,
                    operation: simulated.operation.clone(),
                    effect: simulated.effect,
                    resource: simulated.resource.clone(),
                    arguments: arguments(&simulated.arguments),
                    before: simulated.before.as_deref().map(value),
                    after,
                    failure,
                    irrevocable_because: simulated.irrevocable_because.clone(),
                    sent: Vec::new(),
                    standing: ChangeState::Simulated,
                    undo: None,
                });
            }
            Event::Denied(denied) => self.refused.push(Refused {
                call: denied.call,
                seq,
                at,
                operation: denied.operation.clone(),
                resource: denied.resource.clone(),
                arguments: arguments(&denied.arguments),
                reason: denied.reason.clone(),
            }),
            Event::UndoOutcome(undo) => {
                self.undone.push(Undone { call: undo.call, seq, at, result: undo.result.clone() });
                if let Some(change) = self.changed.iter_mut().find(|change| change.call == undo.call) {
                    if matches!(undo.result, UndoResult::Undone | UndoResult::AlreadyUndone) {
                        change.standing = ChangeState::Undone;
                    }
                    change.undo = Some(undo.result.clone());
                }
            }
            Event::Resolved(resolved) => {
                self.resolved.push(Resolution { seq, at, said: resolved.clone() });
                if let Some(change) = self.changed.iter_mut().find(|change| change.call == resolved.call) {
                    change.standing =
                        if resolved.happened { ChangeState::Stands } else { ChangeState::DidNotHappen };
                }
            }
            Event::Extended(extended) => {
                self.restore_at = Some(extended.until);
                self.extended.push(extended.clone());
            }
            Event::Paged(paged) => self.wait(paged.due),
            Event::UndoExpired(expired) => self.undo_expired = Some(expired.clone()),
            Event::Ended(ended) => {
                self.wait(ended.due);
                if self.ended.is_none() {
                    self.ended = Some(at);
                    let ms = at.duration_since(self.started).as_millis();
                    self.duration_ms = u64::try_from(ms).ok();
                    self.consumed = serde_json::from_str(ended.consumed.get()).unwrap_or_default();
                    self.output.clone_from(&ended.output);
                }
            }
        }
    }

    fn wait(&mut self, due: Due) {
        (self.restore_at, self.page_at) = (due.restore, due.page);
    }

    fn intent(&mut self, seq: u64, at: jiff::Timestamp, intent: &Intent) {
        if intent.operation == LOG {
            let line = value(&intent.arguments);
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            self.log.push(LogLine { at, level: text("level"), message: text("message") });
        }
        if BUILT_IN.operation(&intent.operation).is_some_and(|known| known.ambient) {
            self.ambient_calls += 1;
            return;
        }
        let arguments = arguments(&intent.arguments);
        if matches!(intent.effect, Effect::Change | Effect::Irrevocable) {
            let standing = match (self.mode, &intent.before) {
                (Mode::Rehearse, _) => ChangeState::Simulated,
                // A change without a prior state failed in preparation, and nothing was attempted.
                (Mode::Live, None) => ChangeState::Failed,
                (Mode::Live, Some(_)) => ChangeState::InDoubt,
            };
            self.changed.push(Changed {
                call: intent.call,
                seq,
                at,
                operation: intent.operation.clone(),
                effect: intent.effect,
                resource: intent.resource.clone(),
                arguments,
                before: intent.before.as_deref().map(value),
                after: None,
                failure: None,
                irrevocable_because: intent.irrevocable_because.clone(),
                sent: Vec::new(),
                standing,
                undo: None,
            });
            return;
        }
        let same = |seen: &&mut Seen| {
            seen.operation == intent.operation
                && seen.resource == intent.resource
                && seen.arguments == arguments
        };
        match self.seen.iter_mut().find(same) {
            Some(seen) => seen.calls.push(intent.call),
            None => self.seen.push(Seen {
                operation: intent.operation.clone(),
                effect: intent.effect,
                resource: intent.resource.clone(),
                arguments,
                calls: vec![intent.call],
                results: Vec::new(),
            }),
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        if let Some(change) = self.changed.iter_mut().find(|change| change.call == outcome.call) {
            let sent = outcome.sent.as_ref().and_then(|sent| serde_json::from_str(sent.get()).ok());
            change.sent = sent.unwrap_or_default();
            match &outcome.result {
                CallResult::Ok { value: after } => {
                    change.after = Some(value(after));
                    if change.standing == ChangeState::InDoubt {
                        change.standing = ChangeState::Stands;
                    }
                }
                CallResult::Sealed { .. } => change.standing = ChangeState::Stands,
                CallResult::Failed { failure } => {
                    change.failure = Some(failure_words(failure.get()));
                    let definite = serde_json::from_str::<remit_gate::Failure>(failure.get())
                        .is_ok_and(|failure| failure.is_definite());
                    if definite {
                        change.standing = ChangeState::Failed;
                    }
                }
            }
            return;
        }
        let Some(seen) = self.seen.iter_mut().find(|seen| seen.calls.contains(&outcome.call)) else { return };
        let result = match &outcome.result {
            CallResult::Ok { value: found } => value_words(&value(found)),
            CallResult::Sealed { .. } => "the answer, sealed".to_owned(),
            CallResult::Failed { failure } => format!("failed: {}", failure_words(failure.get())),
        };
        if seen.results.last() != Some(&result) && seen.results.len() < ANSWERS {
            seen.results.push(result);
        }
    }

    /// Fills in what follows from all records together. `open` are the records after the last state.
    fn finish(&mut self, open: Option<&Section>) {
        self.in_doubt = self
            .changed
            .iter()
            .filter(|change| change.standing == ChangeState::InDoubt)
            .map(|change| change.call)
            .collect();
        // A phase that was entered after the last state takes that state away.
        if open.is_none_or(|section| section.phases.is_empty())
            && let Some(last) = self.states.last()
        {
            self.state = Some(last.state);
            self.detail = Some(last.detail.clone());
        }
    }
}

fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// The arguments without the resource, which is shown beside them, and without those that are not set.
fn arguments(raw: &RawValue) -> Value {
    own_arguments(value(raw))
}

/// The authority of a run, from its documents. Their signatures are not checked here.
fn authority(grant: &GrantRef, started: &Started) -> RunAuthority {
    let (signed, authority) = (grant.signed.as_ref(), grant.authority.as_ref());
    let request = signed
        .and_then(|signed| claimed::<Request>(&signed.envelope))
        // Another document says nothing about this run.
        .and_then(|(request, digest)| (digest == grant.digest).then_some(request));
    let covers = request.as_ref().map(|request| match (&request.asks, request.plan()) {
        (RequestedAuthority::Standing(_), _) => Covers::Standing,
        (RequestedAuthority::Run { .. }, Some(plan)) => Covers::Plan { changes: plan.changes().count() },
        (RequestedAuthority::Run { .. }, None) => Covers::Scope,
    });
    let approvals = authority.into_iter().flat_map(|authority| &authority.approvals);
    let trigger = authority.and_then(|authority| claimed::<Trigger>(&authority.trigger));
    RunAuthority {
        grant: grant.digest,
        request: authority.map(|authority| authority.request),
        approved_by: approvals
            .filter_map(|envelope| claimed::<Approval>(envelope))
            .map(|(approval, _)| approval.principal)
            .collect(),
        started_by: trigger.map(|(trigger, _)| trigger.principal),
        incident: request.and_then(|request| request.incident),
        break_glass: authority.is_some_and(|authority| authority.break_glass),
        not_before: signed.map(|signed| signed.not_before),
        not_after: signed.map(|signed| signed.not_after),
        uses: grant.uses,
        covers,
        scope: started.scope.as_deref().map(value),
    }
}
