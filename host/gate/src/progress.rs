//! How far a run has come: what it used of its limits, and which steps of its plan it took.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_journal::{Intent, Phase};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{Exceeded, Failure, Fault, Limit, Limits, Past, Plan, Step, Used};

/// The counters of one run, against its limits and its plan.
pub(crate) struct Progress {
    limits: Limits,
    /// Every step of the approved plan that is more than a look.
    plan: Option<Vec<Step>>,
    counted: Mutex<Counted>,
}

struct Counted {
    phase: Phase,
    used: Used,
    /// Calls that reached a backend, but for the ambient ones; counted where one of them is to fail.
    performed: u64,
    /// Steps of the plan that were taken; a change that failed was not.
    steps: usize,
    /// A change of which it is not known whether it happened: no step that was approved to follow it is admitted.
    unknown: Option<String>,
    observed: Plan,
    made: Vec<Made>,
    /// The interfaces and paths of calls that succeeded and that others have to come after.
    done_first: BTreeSet<(String, String)>,
    /// What calls failed with: no more of them than a run may have calls.
    failures: Vec<Failure>,
}

/// A change of a live run. The host uses these while the run's process lives, and the journal afterwards.
#[derive(Clone, Debug)]
pub struct Made {
    /// The intent of the change, as the journal has it.
    pub intent: Intent,
    /// Whether it came to pass; none if that is not known.
    pub happened: Option<bool>,
    /// What it returned; none if it returned nothing, or that is not known.
    pub got: Option<Box<RawValue>>,
}

impl Made {
    /// It, as an undo needs it.
    #[must_use]
    pub fn past(&self) -> Past<'_> {
        Past { intent: &self.intent, got: self.got.as_deref() }
    }
}

impl Progress {
    pub(crate) fn new(limits: Limits, plan: Option<Plan>) -> Self {
        Self {
            limits,
            plan: plan.map(|plan| plan.bound().cloned().collect()),
            counted: Mutex::new(Counted {
                phase: Phase::Run,
                used: Used::default(),
                performed: 0,
                steps: 0,
                unknown: None,
                observed: Plan::default(),
                made: Vec::new(),
                done_first: BTreeSet::new(),
                failures: Vec::new(),
            }),
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // The data is counters and lists: whole after a panic elsewhere.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.counted().phase
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.counted().phase = phase;
    }

    pub(crate) fn used(&self) -> Used {
        self.counted().used
    }

    pub(crate) fn observed(&self) -> Plan {
        self.counted().observed.clone()
    }

    pub(crate) fn made(&self) -> Vec<Made> {
        self.counted().made.clone()
    }

    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.counted().failures.clone()
    }

    /// The number of a new call, counted from 1; or that there are too many, with the number all the same.
    pub(crate) fn count_call(&self) -> Result<u64, (u64, Fault)> {
        let mut counted = self.counted();
        counted.used.host_calls += 1;
        let calls = counted.used.host_calls;
        within(Limit::HostCalls, calls, self.limits.host_calls).map_err(|fault| (calls, fault))?;
        Ok(calls)
    }

    /// The number of a call that reaches a backend, counted from 1.
    pub(crate) fn count_performed(&self) -> u64 {
        let mut counted = self.counted();
        counted.performed += 1;
        counted.performed
    }

    /// Counts so many bytes of log.
    pub(crate) fn charge_log(&self, bytes: u64) -> Result<(), Fault> {
        let mut counted = self.counted();
        counted.used.log_bytes = counted.used.log_bytes.saturating_add(bytes);
        within(Limit::LogBytes, counted.used.log_bytes, self.limits.log_bytes.as_u64())
    }

    /// Counts an answer of so many bytes, which the guest does not have yet.
    pub(crate) fn charge_answer<T>(&self, answer: &Result<T, Failure>, bytes: u64) -> Result<(), Fault> {
        let mut counted = self.counted();
        if let Err(failure) = answer {
            counted.failures.push(failure.clone());
        }
        counted.used.answers = counted.used.answers.saturating_add(bytes);
        within(Limit::OneAnswer, bytes, self.limits.one_answer.as_u64())?;
        within(Limit::Answers, counted.used.answers, self.limits.answers.as_u64())
    }

    /// Adds a step to what was observed, without asking the plan.
    pub(crate) fn saw(&self, step: Step) {
        self.counted().observed.steps.push(step);
    }

    /// Takes a step, if the plan has it next (`as_planned` compares it with the one that the plan has) and the limits
    /// have room for it.
    pub(crate) fn take(
        &self,
        step: Step,
        as_planned: impl FnOnce(&Step, &Step) -> bool,
    ) -> Result<(), Fault> {
        let mut counted = self.counted();
        // The plan comes before the limits: that the world changed since it was approved is what a person must know.
        if let Some(plan) = &self.plan {
            let differ = match (plan.get(counted.steps), &counted.unknown) {
                (_, Some(unknown)) => Some((
                    format!("nothing more, as it is not known whether {unknown} happened"),
                    step.words(),
                )),
                (None, None) => Some(("no further step".to_owned(), step.words())),
                (Some(expected), None) if as_planned(expected, &step) => None,
                (Some(expected), None) => Some(expected.apart(&step)),
            };
            if let Some((expected, found)) = differ {
                let (operation, resource) = (step.operation, step.resource.to_string());
                return Err(Fault::NotInPlan { operation, resource, expected, found });
            }
        }
        let changes = counted.used.changes + u64::from(step.is_change());
        within(Limit::Changes, changes, self.limits.changes)?;
        counted.used.changes = changes;
        counted.steps += 1;
        counted.observed.steps.push(step);
        Ok(())
    }

    /// Remembers a call that succeeded and that others have to come after.
    pub(crate) fn does_first(&self, interface: &str, path: &str) {
        self.counted().done_first.insert((interface.to_owned(), path.to_owned()));
    }

    /// Whether this run has used an interface on a path, successfully.
    pub(crate) fn has_done_first(&self, interface: &str, path: &str) -> bool {
        self.counted().done_first.contains(&(interface.to_owned(), path.to_owned()))
    }

    /// The next step of the plan that was not taken, in words; none if all were taken, or if there is no plan.
    pub(crate) fn left(&self) -> Option<String> {
        let steps = self.counted().steps;
        self.plan.as_ref()?.get(steps).map(Step::words)
    }

    /// A change begins: its intent is durable.
    pub(crate) fn begins(&self, intent: Intent) {
        self.counted().made.push(Made { intent, happened: None, got: None });
    }

    /// Remembers how a change ended. A change that failed does not count as a step taken: the steps after it were approved
    /// on the state that it would have left, and could otherwise work on what somebody else left there.
    pub(crate) fn ends<T: Serialize>(&self, call: u64, answer: &Result<T, Failure>) {
        let mut counted = self.counted();
        let happened = match answer {
            Ok(_) => Some(true),
            Err(failure) if failure.is_definite() => Some(false),
            Err(_) => None,
        };
        let Counted { made, steps, unknown, .. } = &mut *counted;
        let Some(made) = made.iter_mut().rev().find(|made| made.intent.call == call) else { return };
        made.happened = happened;
        made.got = answer.as_ref().ok().and_then(|got| to_raw_value(got).ok());
        match happened {
            Some(true) => {}
            Some(false) => *steps -= 1,
            None => *unknown = Some(format!("{} on {}", made.intent.operation, made.intent.resource)),
        }
    }
}

/// Whether what was used is within a limit.
pub(crate) fn within(limit: Limit, used: u64, allowed: u64) -> Result<(), Fault> {
    if used > allowed { Err(Exceeded { limit, used, allowed }.into()) } else { Ok(()) }
}
