//! From records to a [`Timeline`].

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use remit_gate::Plan;
use remit_journal::{
    CallResult, Effect, Event, GrantRef, Intent, JournalError, Mode, Outcome, Record, RunId, Started,
    UndoResult,
};
use remit_trust::Digest;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::lines::{LOG, failure_words, line};
use super::words::{own_arguments, short};
use super::{
    ChangeState, Changed, Covers, LogLine, Reached, Refused, Resolution, RunAuthority, Seen, Timeline,
    Undone, value_words,
};
use crate::Error;
use crate::authority::{Approval, Asks, Request, Trigger};

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
        undo_expired: None,
        log: Vec::new(),
        consumed: Value::Null,
        output: None,
        records: (*first, *last),
        lines: records.iter().filter_map(|(seq, record)| line(*seq, record)).collect(),
    };
    let mut leg: Option<Leg> = None;
    for (seq, record) in records {
        let leg_now = leg.get_or_insert_with(|| Leg::from(*seq, record));
        leg_now.read(record);
        story.read(*seq, record);
        if let Event::Ended(ended) = &record.event {
            let Leg { since, began, by, why, phases } = leg.take().unwrap_or_else(|| Leg::from(*seq, record));
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
    story.settle(leg.as_ref());
    Ok(story)
}

/// The records between two states of a run.
struct Leg {
    since: u64,
    began: jiff::Timestamp,
    by: Option<String>,
    why: Option<String>,
    phases: Vec<remit_journal::Phase>,
}

impl Leg {
    fn from(seq: u64, record: &Record) -> Self {
        Self { since: seq, began: record.at, by: None, why: None, phases: Vec::new() }
    }

    fn read(&mut self, record: &Record) {
        match &record.event {
            Event::Phase(entered) => {
                self.phases.push(entered.phase);
                if entered.principal.is_some() {
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
            Event::UndoExpired(expired) => self.undo_expired = Some(expired.clone()),
            Event::Ended(ended) => {
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

    fn intent(&mut self, seq: u64, at: jiff::Timestamp, intent: &Intent) {
        if intent.operation == LOG {
            let line = value(&intent.arguments);
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            self.log.push(LogLine { at, level: text("level"), message: text("message") });
        }
        if remit_capability::operation(&intent.operation).is_some_and(|known| known.ambient) {
            self.ambient_calls += 1;
            return;
        }
        let arguments = arguments(&intent.arguments);
        if matches!(intent.effect, Effect::Change | Effect::Irrevocable) {
            let standing = match (self.mode, &intent.before) {
                (Mode::Rehearse, _) => ChangeState::Simulated,
                // Without a prior state it failed in preparation: nothing was attempted.
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

    /// Fills in what follows from all records together.
    fn settle(&mut self, open: Option<&Leg>) {
        self.in_doubt = self
            .changed
            .iter()
            .filter(|change| change.standing == ChangeState::InDoubt)
            .map(|change| change.call)
            .collect();
        // A phase entered after the last end takes the state away, until the next end.
        if open.is_none_or(|leg| leg.phases.is_empty())
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

/// The arguments without the resource, which is shown apart, and without what was left out.
fn arguments(raw: &RawValue) -> Value {
    own_arguments(value(raw))
}

/// The parts of a DSSE envelope that say who and what. Trust does not come from here.
#[derive(Deserialize)]
struct Envelope {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
}

/// The parts that are shown of a grant in an older journal.
#[derive(Deserialize)]
struct OldGrant {
    plan: Option<Plan>,
}

impl Envelope {
    fn payload(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.payload).or_else(|_| URL_SAFE.decode(&self.payload)).ok()
    }

    fn claims<D: serde::de::DeserializeOwned>(raw: &RawValue) -> Option<D> {
        let envelope: Self = serde_json::from_str(raw.get()).ok()?;
        serde_json::from_slice(&envelope.payload()?).ok()
    }
}

fn authority(grant: &GrantRef, started: &Started) -> RunAuthority {
    let envelope = grant
        .signed
        .as_ref()
        .and_then(|signed| serde_json::from_str::<Envelope>(signed.envelope.get()).ok())
        // An envelope around another document says nothing about this run.
        .filter(|envelope| envelope.payload().is_some_and(|payload| Digest::of(&payload) == grant.digest));
    let request: Option<Request> =
        envelope.as_ref().and_then(|envelope| serde_json::from_slice(&envelope.payload()?).ok());
    let of_plan = |plan: Option<&Plan>| match plan {
        Some(plan) => Covers::Plan { changes: plan.changes().count() },
        None => Covers::Scope,
    };
    let covers = match (&request, &envelope) {
        (Some(Request { asks: Asks::Standing(_), .. }), _) => Some(Covers::Standing),
        (Some(request), _) => Some(of_plan(request.plan())),
        (None, Some(envelope)) => envelope
            .payload()
            .and_then(|payload| serde_json::from_slice::<OldGrant>(&payload).ok())
            .map(|old| of_plan(old.plan.as_ref())),
        (None, None) => None,
    };
    let keys = envelope.map(|envelope| envelope.signatures).unwrap_or_default();
    let keys = keys.into_iter().map(|signature| short(&signature.keyid).clone());
    let approved_by = match &grant.authority {
        Some(authority) => authority
            .approvals
            .iter()
            .filter_map(|raw| Envelope::claims::<Approval>(raw))
            .map(|approval| approval.principal)
            .collect(),
        None => keys.filter(|key| !key.is_empty()).map(|key| format!("key {key}")).collect(),
    };
    let trigger = grant.authority.as_ref().and_then(|a| Envelope::claims::<Trigger>(&a.trigger));
    RunAuthority {
        grant: grant.digest,
        request: grant.authority.as_ref().map(|authority| authority.request),
        approved_by,
        started_by: trigger.map(|trigger| trigger.principal),
        incident: request.and_then(|request| request.incident),
        break_glass: grant.authority.as_ref().is_some_and(|authority| authority.break_glass),
        not_before: grant.signed.as_ref().map(|signed| signed.not_before),
        not_after: grant.signed.as_ref().map(|signed| signed.not_after),
        uses: grant.uses,
        covers,
        scope: started.scope.as_deref().map(value),
    }
}
