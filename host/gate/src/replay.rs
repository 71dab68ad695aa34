//! Replay: the same action again, answered from the records of a run. There is no backend here that it could reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_journal::{CallResult, Denied, Event, Intent, Phase, Record, RunId, Simulated};
use remit_trust::Sealer;

use crate::context::outcome_context;
use crate::progress::within;
use crate::{Divergence, Failure, Fault, Limit, Limits, Operation, Used};

/// The recorded host calls of a run, in the order in which the action must ask for them again.
pub struct Replay {
    run: RunId,
    /// Intents, refusals and phases, in order.
    script: Vec<Event>,
    /// The recorded outcomes, by the number of the call.
    outcomes: HashMap<u64, CallResult>,
    limits: Limits,
    /// Opens what was disclosed.
    sealer: Option<Arc<Sealer>>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    next: usize,
    used: Used,
}

impl Replay {
    /// From the records of a run, up to its first end. `sealer` is only needed if an outcome is sealed.
    #[must_use]
    pub fn new(run: RunId, records: &[(u64, Record)], limits: Limits, sealer: Option<Arc<Sealer>>) -> Self {
        let mut script = Vec::new();
        let mut outcomes = HashMap::new();
        for (_, record) in records {
            match &record.event {
                Event::Outcome(outcome) => drop(outcomes.insert(outcome.call, outcome.result.clone())),
                Event::Intent(_) | Event::Denied(_) => script.push(record.event.clone()),
                Event::Simulated(simulated) => {
                    outcomes.insert(simulated.call, simulated.result.clone());
                    script.push(record.event.clone());
                }
                Event::Phase(entered) if matches!(entered.phase, Phase::Verify | Phase::HostCheck) => {
                    script.push(record.event.clone());
                }
                // The action does not run after this.
                Event::Phase(_) | Event::Ended(_) => break,
                _ => {}
            }
        }
        Self { run, script, outcomes, limits, sealer, progress: Mutex::default() }
    }

    /// The first recorded call that the action has not asked for yet, in words; none if it asked for all.
    pub(crate) fn left(&self) -> Option<String> {
        self.script.get(self.progress().next).map(words)
    }

    /// Whether the next thing on record is a call of this operation.
    pub(crate) fn is_next(&self, operation: &str) -> bool {
        match self.script.get(self.progress().next) {
            Some(Event::Intent(intent)) => intent.operation == operation,
            Some(Event::Simulated(simulated)) => simulated.operation == operation,
            Some(Event::Denied(denied)) => denied.operation == operation,
            _ => false,
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // The data is counters: whole after a panic elsewhere.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn used(&self) -> Used {
        self.progress().used
    }

    pub(crate) fn charge_log(&self, bytes: u64) -> Result<(), Fault> {
        let mut progress = self.progress();
        progress.used.log_bytes = progress.used.log_bytes.saturating_add(bytes);
        within(Limit::LogBytes, progress.used.log_bytes, self.limits.log_bytes.as_u64())
    }

    pub(crate) fn enter(&self, phase: Phase) -> Result<(), Fault> {
        match self.next()? {
            Event::Phase(entered) if entered.phase == phase => Ok(()),
            other => Err(Self::diverge(&other, format!("the phase {phase}"))),
        }
    }

    pub(crate) fn refuse(&self, operation: &str, argument: &str, why: &str) -> Result<(), Fault> {
        match self.next_call()? {
            Event::Denied(denied)
                if denied.operation == operation && denied.resource == argument && denied.reason == why =>
            {
                Ok(())
            }
            other => Err(Self::diverge(&other, format!("{operation} on {argument}, refused: {why}"))),
        }
    }

    /// The answer that the recorded run got.
    pub(crate) fn answer<O: Operation>(&self, operation: &O) -> Result<Result<O::Outcome, Failure>, Fault> {
        let own = operation.name();
        let unreadable = |verb, why: String| Fault::Record { operation: own.to_owned(), verb, why };
        let arguments =
            serde_json::to_string(operation).map_err(|error| unreadable("written", error.to_string()))?;
        let resource = operation.resource();
        let same =
            |name: &str, on: &str, with: &str| name == own && on == resource.as_str() && with == arguments;
        let call = match self.next_call()? {
            Event::Intent(i) if same(&i.operation, &i.resource, i.arguments.get()) => i.call,
            Event::Simulated(s) if same(&s.operation, &s.resource, s.arguments.get()) => s.call,
            Event::Denied(d) if same(&d.operation, &d.resource, d.arguments.get()) => {
                return Err(Fault::Recorded(d.reason));
            }
            other => {
                return Err(Self::diverge(&other, format!("{own} on {resource} with {arguments}")));
            }
        };
        // The call had an outcome, but its answer was too large and was refused: the guest never got it.
        if let Some(reason) = self.refused_after(call) {
            return Err(Fault::Recorded(reason));
        }
        let read =
            |text: &[u8]| serde_json::from_slice(text).map_err(|error| unreadable("read", error.to_string()));
        match self.outcomes.get(&call) {
            None => Err(Fault::EndOfRecord),
            Some(CallResult::Ok { value }) => Ok(Ok(read(value.get().as_bytes())?)),
            Some(CallResult::Failed { failure }) => {
                let failure = serde_json::from_str(failure.get());
                Ok(Err(failure.map_err(|error| unreadable("read", error.to_string()))?))
            }
            Some(CallResult::Sealed { value }) => {
                let sealer = self.sealer.as_ref().ok_or_else(|| {
                    unreadable("read", "what it disclosed is sealed, and its key is gone".to_owned())
                })?;
                let context = outcome_context(&self.run, call, own);
                let open = sealer
                    .open(context.as_bytes(), value)
                    .map_err(|error| unreadable("read", error.to_string()))?;
                // The text of serde's error could quote what was disclosed.
                let value = serde_json::from_slice(&open)
                    .map_err(|_| unreadable("read", "what it disclosed has another shape".to_owned()))?;
                Ok(Ok(value))
            }
        }
    }

    fn next_call(&self) -> Result<Event, Fault> {
        let next = self.next()?;
        let mut progress = self.progress();
        progress.used.host_calls += 1;
        if let Event::Intent(Intent { before: Some(_), .. }) = &next {
            progress.used.changes += 1;
        }
        if let Event::Simulated(simulated) = &next {
            progress.used.changes += u64::from(simulated.before.is_some());
        }
        Ok(next)
    }

    /// If the next record refuses a call that has an outcome already: skips it, and returns the reason.
    fn refused_after(&self, call: u64) -> Option<String> {
        let mut progress = self.progress();
        match self.script.get(progress.next) {
            Some(Event::Denied(denied)) if denied.call == call => {
                progress.next += 1;
                Some(denied.reason.clone())
            }
            _ => None,
        }
    }

    fn next(&self) -> Result<Event, Fault> {
        let mut progress = self.progress();
        let next = self.script.get(progress.next).cloned().ok_or(Fault::EndOfRecord)?;
        progress.next += 1;
        Ok(next)
    }

    fn diverge(expected: &Event, got: String) -> Fault {
        let at = match expected {
            Event::Intent(Intent { call, .. }) | Event::Denied(Denied { call, .. }) => format!("call {call}"),
            Event::Simulated(simulated) => format!("call {}", simulated.call),
            _ => "a change of phase".to_owned(),
        };
        Box::new(Divergence { at, expected: words(expected), got }).into()
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Intent(i) => format!("{} on {} with {}", i.operation, i.resource, i.arguments),
        Event::Simulated(s) => {
            let Simulated { operation, resource, arguments, .. } = &**s;
            format!("{operation} on {resource} with {arguments}")
        }
        Event::Denied(d) => format!("{} on {}, refused: {}", d.operation, d.resource, d.reason),
        Event::Phase(entered) => format!("the phase {}", entered.phase),
        other => other.kind().to_owned(),
    }
}
