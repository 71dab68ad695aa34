//! The gate itself: one function every host call goes through.

mod record;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use remit_journal::{
    CallEvent, Effect, Event, Intent, Journal, Mode, Phase, Record, RunId, StartError, Watch,
};
use remit_trust::Sealer;
use serde_json::value::RawValue;
use tokio::sync::RwLock;

use crate::finish::Finish;
use crate::operation::Named as _;
use crate::replay::Replay;
use crate::scope::Rules;
use crate::setup::{Estate, Setup, Used, Window};
use crate::{Exceeded, Failure, Fault, Limit, Noise, Operation, Permit, Plan, Resource, Step};
use record::{intent, raw, written};
pub(crate) use record::{outcome_context, undo_context};

/// The one way from an action to the outside. Cheap to clone; all clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Way>);

/// Where a call's answer comes from. A replay has neither backends nor a journal to write: it cannot touch
/// anything, whatever it is asked.
enum Way {
    Real(Arc<Inner>),
    Replay(Box<Replay>),
}

struct Inner {
    run: RunId,
    mode: Mode,
    rules: Rules,
    limits: crate::Limits,
    /// Every step of the approved plan that is more than a look.
    plan: Option<Vec<Step>>,
    window: Option<Window>,
    watch: Option<Watch>,
    estate: Estate,
    journal: Journal,
    sealer: Arc<Sealer>,
    /// Whether an answer was a secret, or content: one that is sealed in the journal.
    told: AtomicBool,
    /// What a rehearsal's made-up answers are made of.
    noise: Noise,
    progress: Mutex<Progress>,
    /// Held for reading by every effect under way, so that [`Gate::settle`] can wait for them even when
    /// the guest that asked is gone.
    under_way: Arc<RwLock<()>>,
}

struct Progress {
    phase: Phase,
    calls: u64,
    /// Calls that reached a backend, but for the ambient ones; counted where one of them is to fail.
    performed: u64,
    changes: u64,
    /// Steps of the plan that were taken; a change that failed was not.
    steps: usize,
    /// A step of which nobody knows whether it came to pass: what was approved to follow it may not.
    unknown: Option<String>,
    logged: u64,
    /// Bytes of answers.
    answered: u64,
    observed: Plan,
    made: Vec<Made>,
    /// What calls failed with: no more of them than a run may have calls.
    failures: Vec<Failure>,
}

/// A change of a live run, as its gate saw it: what the host goes by as long as it lives.
#[derive(Clone, Debug)]
pub struct Made {
    /// As journaled.
    pub intent: Intent,
    /// Whether it came to pass; none if that is not known.
    pub happened: Option<bool>,
}

impl Gate {
    /// A gate for one run.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let noise = Noise::new(&setup.facts.seed);
        Self(Arc::new(Way::Real(Arc::new(Inner {
            run: setup.facts.run,
            mode: setup.mode,
            rules: setup.scope.compile(),
            estate: setup.estate.for_run(&setup.scope, setup.mode).with(setup.facts),
            limits: setup.scope.limits,
            plan: setup.plan.map(|plan| plan.bound().cloned().collect()),
            window: setup.window,
            watch: setup.watch,
            journal: setup.journal,
            sealer: setup.sealer,
            told: AtomicBool::new(false),
            noise,
            progress: Mutex::new(Progress {
                phase: Phase::Run,
                calls: 0,
                performed: 0,
                changes: 0,
                steps: 0,
                unknown: None,
                logged: 0,
                answered: 0,
                observed: Plan::default(),
                made: Vec::new(),
                failures: Vec::new(),
            }),
            under_way: Arc::default(),
        }))))
    }

    /// A gate that answers from the record of a run.
    #[must_use]
    pub fn replay(replay: Replay) -> Self {
        Self(Arc::new(Way::Replay(Box::new(replay))))
    }

    /// Enters a phase; in [`Phase::Verify`] nothing can be changed.
    pub fn enter(&self, phase: Phase) -> Result<(), Fault> {
        match &*self.0 {
            Way::Real(inner) => {
                inner.progress().phase = phase;
                inner.note(phase.into())
            }
            Way::Replay(replay) => replay.enter(phase),
        }
    }

    /// What a rehearsal saw so far: every operation but the ambient ones. Of a live run, all that was more than a look;
    /// of a replay, nothing.
    #[must_use]
    pub fn observed(&self) -> Plan {
        match &*self.0 {
            Way::Real(inner) => inner.progress().observed.clone(),
            Way::Replay(_) => Plan::default(),
        }
    }

    /// What a live run changed or may have changed so far, in order. Complete once the gate is
    /// [settled](Gate::settle).
    #[must_use]
    pub fn made(&self) -> Vec<Made> {
        match &*self.0 {
            Way::Real(inner) => inner.progress().made.clone(),
            Way::Replay(_) => Vec::new(),
        }
    }

    /// What calls failed with so far, in order; of a replay, nothing.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        match &*self.0 {
            Way::Real(inner) => inner.progress().failures.clone(),
            Way::Replay(_) => Vec::new(),
        }
    }

    /// Whether the run was told a secret or content: whatever words its action chooses from then on may hold it. In a
    /// replay nobody else hears them.
    #[must_use]
    pub fn was_told(&self) -> bool {
        match &*self.0 {
            Way::Real(inner) => inner.told.load(Ordering::Relaxed),
            Way::Replay(_) => false,
        }
    }

    /// What the calls came to so far.
    #[must_use]
    pub fn used(&self) -> Used {
        match &*self.0 {
            Way::Real(inner) => {
                let progress = inner.progress();
                Used {
                    host_calls: progress.calls,
                    changes: progress.changes,
                    log_bytes: progress.logged,
                    answers: progress.answered,
                }
            }
            Way::Replay(replay) => replay.used(),
        }
    }

    /// In a replay, the first thing on record that the action did not ask for again; none if it asked for
    /// all.
    #[must_use]
    pub fn unasked(&self) -> Option<String> {
        match &*self.0 {
            Way::Real(_) => None,
            Way::Replay(replay) => replay.left(),
        }
    }

    /// Waits until every effect under way has its outcome journaled. Called after the guest is gone and
    /// before anything is decided about its run.
    pub async fn settle(&self) {
        if let Way::Real(inner) = &*self.0 {
            drop(inner.under_way.write().await);
        }
    }

    /// Whether the run still has authority. In a replay it had it when it was recorded.
    pub fn still_in_force(&self) -> Result<(), Fault> {
        match &*self.0 {
            Way::Real(inner) => inner.holds(Timestamp::now()),
            Way::Replay(_) => Ok(()),
        }
    }

    /// Counts `bytes` of log against the scope.
    pub fn charge_log(&self, bytes: u64) -> Result<(), Fault> {
        match &*self.0 {
            Way::Real(inner) => {
                let mut progress = inner.progress();
                progress.logged = progress.logged.saturating_add(bytes);
                within(Limit::LogBytes, progress.logged, inner.limits.log_bytes.as_u64())
            }
            Way::Replay(replay) => replay.charge_log(bytes),
        }
    }

    /// Journals a call whose arguments have no canonical form, and says so to the guest.
    pub fn refuse(&self, operation: &str, argument: &str, why: &str) -> Result<Failure, Fault> {
        let shown: String = argument.escape_debug().take(200).collect();
        match &*self.0 {
            Way::Real(inner) => {
                let call = inner.count_call()?;
                inner.deny(call, operation, &shown, RawValue::NULL.to_owned(), why)?;
            }
            Way::Replay(replay) => replay.refuse(operation, &shown, why)?,
        }
        Ok(Failure::Invalid(why.to_owned()))
    }

    /// Whether this run has what `O` works on. In a replay: whether the record has such a call next.
    #[must_use]
    pub fn offers<O: Operation>(&self) -> bool {
        match &*self.0 {
            Way::Real(inner) => inner.estate.get::<O>().is_ok(),
            Way::Replay(replay) => replay.is_next(O::NAME),
        }
    }

    /// Performs one operation, if everything says yes.
    ///
    /// The order is the product: count → window → phase → scope → preparation → accepted effect → plan and prior state →
    /// durable intent → effect → outcome → size of the answer. The inner error is the guest's to handle; the outer one ends
    /// its run. In a replay nothing of this happens: the record answers.
    pub async fn call<O: Operation>(&self, operation: O) -> Result<Result<O::Outcome, Failure>, Fault> {
        match &*self.0 {
            Way::Real(inner) => inner.call(operation).await,
            Way::Replay(replay) => replay.call(&operation),
        }
    }
}

impl Inner {
    async fn call<O: Operation>(
        self: &Arc<Self>,
        operation: O,
    ) -> Result<Result<O::Outcome, Failure>, Fault> {
        let resource = operation.resource();
        let call = match self.count_call() {
            Ok(call) => call,
            Err(fault) => {
                let call = self.progress().calls;
                self.deny(call, O::NAME, resource.as_str(), raw::<O>(&operation)?, &fault.to_string())?;
                return Err(fault);
            }
        };
        // Without its resource: a name that the action chose may hold what it was told.
        tracing::debug!(run = %self.run, call, operation = O::NAME, "host call");
        let at = Timestamp::now();
        self.admit(at, call, &operation, &resource)?;
        match O::EFFECT {
            Effect::Observe => self.observe(at, call, &operation, &resource).await,
            Effect::Disclose => self.disclose(call, &operation, &resource).await,
            Effect::Change | Effect::Irrevocable => {
                let resource = resource.into_owned();
                self.change(call, operation, resource).await
            }
        }
    }

    async fn observe<O: Operation>(
        self: &Arc<Self>,
        at: Timestamp,
        call: u64,
        operation: &O,
        resource: &Resource,
    ) -> Result<Result<O::Outcome, Failure>, Fault> {
        let backend = self.estate.of::<O>()?;
        // Only a rehearsal is asked for what it saw.
        if self.mode == Mode::Rehearse && !Rules::is_ambient(O::INTERFACE) {
            let mut progress = self.progress();
            let step = Step::of(progress.phase, operation, O::EFFECT).map_err(written::<O>)?;
            progress.observed.steps.push(step);
        }
        let (effect, arguments) = (O::EFFECT, operation);
        let (named, on) = (O::NAME, resource.as_str());
        self.note_call::<O>(
            at,
            CallEvent::Intent { call, operation: named, effect, resource: on, arguments },
        )?;
        let answer = self.perform(backend, Permit { operation, before: None }).await;
        let bytes = self.note_outcome::<O>(call, &answer)?;
        self.charge_answer(call, operation, bytes)?;
        Ok(answer)
    }

    /// Hands out secret material, as a step of the plan; in a rehearsal, something of the same shape that is made up.
    async fn disclose<O: Operation>(
        self: &Arc<Self>,
        call: u64,
        operation: &O,
        resource: &Resource,
    ) -> Result<Result<O::Outcome, Failure>, Fault> {
        let backend = self.estate.of::<O>()?;
        let step = Step::of(self.progress().phase, operation, O::EFFECT).map_err(written::<O>)?;
        self.admit_step(call, operation, step, None)?;
        let permit = Permit { operation, before: None };
        if self.mode == Mode::Rehearse {
            let made_up = match (self.perform(backend, permit).await, O::MAKE_UP) {
                (Ok(real), Some(make_up)) => {
                    let place = format!("{} {}", O::NAME, raw::<O>(operation)?);
                    Ok(make_up(real, &self.noise.at(&place)))
                }
                (Ok(_), None) => Err(Failure::Invalid(format!("{} cannot be rehearsed", O::NAME))),
                (Err(failure), _) => Err(failure),
            };
            let bytes = self.note_simulated::<O>(intent(call, operation, O::EFFECT, resource)?, &made_up)?;
            self.charge_answer(call, operation, bytes)?;
            return Ok(made_up);
        }
        // Whoever learnt a secret must be on record even if the host dies right after.
        self.intend(Timestamp::now(), operation, intent(call, operation, O::EFFECT, resource)?).await?;
        let answer = self.perform(backend, permit).await;
        let bytes = self.note_outcome::<O>(call, &answer)?;
        self.charge_answer(call, operation, bytes)?;
        Ok(answer)
    }

    async fn change<O: Operation>(
        self: &Arc<Self>,
        call: u64,
        operation: O,
        resource: Resource,
    ) -> Result<Result<O::Outcome, Failure>, Fault> {
        let inner = self;
        let backend = inner.estate.get::<O>()?;
        let mut prepared = match operation.prepare(&backend).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                // Nothing was touched: the attempt is on record, and the guest may handle it.
                let intent = intent(call, &operation, O::EFFECT, &resource)?;
                let answer = Err(failure);
                let bytes = if inner.mode == Mode::Rehearse {
                    inner.note_simulated::<O>(intent, &answer)?
                } else {
                    inner.note(Event::Intent(intent))?;
                    inner.note_outcome::<O>(call, &answer)?
                };
                inner.charge_answer(call, &operation, bytes)?;
                return Ok(answer);
            }
        };
        if O::EFFECT == Effect::Irrevocable && prepared.irrevocable.is_none() {
            prepared.irrevocable = Some("this operation has no undo".to_owned());
        }
        let effect = if prepared.irrevocable.is_some() { Effect::Irrevocable } else { Effect::Change };
        let phase = inner.progress().phase;
        let mut step = Step::of(phase, &operation, effect).map_err(written::<O>)?;
        step.before = Some(serde_json::to_value(&prepared.undo).map_err(written::<O>)?);
        step.irrevocable_because.clone_from(&prepared.irrevocable);
        if effect == Effect::Change {
            step.undo = Some(operation.describe_undo(&prepared.undo));
        }
        inner.admit_step(call, &operation, step, Some(&prepared.undo))?;

        let mut intent = intent(call, &operation, effect, &resource)?;
        intent.before = Some(raw::<O>(&prepared.undo)?);
        intent.irrevocable_because.clone_from(&prepared.irrevocable);
        if inner.mode == Mode::Rehearse {
            let answer = Ok(operation.rehearse(&prepared, &backend));
            let bytes = inner.note_simulated::<O>(intent, &answer)?;
            inner.charge_answer(call, &operation, bytes)?;
            return Ok(answer);
        }
        let context = undo_context(&inner.run, &intent);
        intent.sealed =
            prepared.secret.as_ref().map(|secret| inner.seal::<O>(&context, secret)).transpose()?;

        // From here on the guest may stop waiting (a time-out drops this future), the effect may not stop
        // half-way: it runs to its journaled outcome.
        let running = Arc::clone(&inner.under_way).read_owned().await;
        let inner = Arc::clone(inner);
        let effect = Finish::new(async move {
            // Preparing may have taken long; what is on record as intended is intended in time.
            let at = Timestamp::now();
            inner.in_force(at, call, &operation, &resource)?;
            let made = Made { intent: intent.clone(), happened: None };
            inner.intend(at, &operation, intent).await?;
            inner.progress().made.push(made);
            let permit = Permit { operation: &operation, before: Some(&prepared) };
            let answer = inner.perform(&*backend, permit).await;
            inner.came_to_pass(call, &operation, &answer);
            let bytes = inner.note_outcome::<O>(call, &answer)?;
            inner.charge_answer(call, &operation, bytes)?;
            drop(running);
            Ok(answer)
        });
        effect.await.unwrap_or(Err(Fault::Interrupted { operation: O::NAME }))
    }

    /// Makes an intent durable. The journal's own word: nothing is on record after what took its authority away, nor
    /// before the time that the journal has come to.
    async fn intend<O: Operation>(&self, at: Timestamp, operation: &O, intent: Intent) -> Result<(), Fault> {
        let call = intent.call;
        let record = Record { run: self.run, at, event: Event::Intent(intent) };
        match self.journal.intend(record).await {
            Ok(()) => Ok(()),
            Err(StartError::Journal(error)) => Err(error.into()),
            Err(StartError::Withdrawn(withdrawn)) => {
                self.refuse_for(call, operation, Fault::Withdrawn(withdrawn))
            }
            Err(error @ StartError::Clock { .. }) => {
                self.refuse_for(call, operation, Fault::Clock(error.to_string()))
            }
            Err(_) => Err(Fault::Interrupted { operation: O::NAME }),
        }
    }

    /// The effect itself, unless an offline test wants it to fail here.
    async fn perform<O: Operation>(
        &self,
        backend: &O::Backend,
        permit: Permit<'_, O>,
    ) -> Result<O::Outcome, Failure> {
        if Rules::is_ambient(O::INTERFACE) || self.mode == Mode::Rehearse || !self.estate.fails() {
            return O::perform(backend, permit).await;
        }
        let asked = {
            let mut progress = self.progress();
            progress.performed += 1;
            progress.performed
        };
        match self.estate.injected(asked) {
            None => O::perform(backend, permit).await,
            Some(injected) => {
                if injected.answer_lost {
                    O::perform(backend, permit).await?;
                }
                Err(injected.failure.clone())
            }
        }
    }

    /// Remembers how a change ended. A step of the plan that did not come to pass was not taken: what was approved to
    /// follow it stands on what it would have left, and would work on what somebody else left there instead.
    fn came_to_pass<O: Operation>(&self, call: u64, operation: &O, answer: &Result<O::Outcome, Failure>) {
        let mut progress = self.progress();
        let happened = match answer {
            Ok(_) => Some(true),
            Err(failure) if failure.is_definite() => {
                progress.steps -= 1;
                Some(false)
            }
            Err(_) => {
                progress.unknown = Some(format!("{} on {}", O::NAME, operation.resource()));
                None
            }
        };
        if let Some(made) = progress.made.iter_mut().rev().find(|made| made.intent.call == call) {
            made.happened = happened;
        }
    }

    /// Counts an answer of so many bytes, which the guest does not have yet.
    fn charge_answer<O: Operation>(&self, call: u64, operation: &O, bytes: u64) -> Result<(), Fault> {
        let answered = {
            let mut progress = self.progress();
            progress.answered = progress.answered.saturating_add(bytes);
            progress.answered
        };
        within(Limit::OneAnswer, bytes, self.limits.one_answer.as_u64())
            .and_then(|()| within(Limit::Answers, answered, self.limits.answers.as_u64()))
            .or_else(|fault| self.refuse_for(call, operation, fault))
    }

    /// Puts on record that this call is refused, and why.
    fn refuse_for<O: Operation>(&self, call: u64, operation: &O, fault: Fault) -> Result<(), Fault> {
        let resource = operation.resource();
        self.deny(call, O::NAME, resource.as_str(), raw::<O>(operation)?, &fault.to_string())?;
        Err(fault)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // The data is counters and a list: whole after a panic elsewhere.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_call(&self) -> Result<u64, Fault> {
        let mut progress = self.progress();
        progress.calls += 1;
        within(Limit::HostCalls, progress.calls, self.limits.host_calls)?;
        Ok(progress.calls)
    }

    /// Whether there still is authority: its time is not over, and nobody took it away.
    fn holds(&self, at: Timestamp) -> Result<(), Fault> {
        let now = Instant::now();
        if let Some(window) = &self.window {
            window.holds(at, now)?;
        }
        match self.watch.as_ref().map(|watch| watch.look(now)).transpose()?.flatten() {
            Some(withdrawn) => Err(Fault::Withdrawn(withdrawn)),
            None => Ok(()),
        }
    }

    /// The same, with the refusal of this call on record.
    fn in_force<O: Operation>(
        &self,
        at: Timestamp,
        call: u64,
        operation: &O,
        resource: &Resource,
    ) -> Result<(), Fault> {
        let Err(fault) = self.holds(at) else { return Ok(()) };
        self.deny(call, O::NAME, resource.as_str(), raw::<O>(operation)?, &fault.to_string())?;
        Err(fault)
    }

    /// What can be decided from the operation alone.
    fn admit<O: Operation>(
        &self,
        at: Timestamp,
        call: u64,
        operation: &O,
        resource: &Resource,
    ) -> Result<(), Fault> {
        let interface = O::INTERFACE;
        self.in_force(at, call, operation, resource)?;
        let mut reason = self.rules.permits(interface, resource).err();
        if reason.is_none()
            && O::EFFECT == Effect::Disclose
            && self.mode == Mode::Live
            && !self.rules.accepts_disclosure(interface, resource)
        {
            reason = Some(
                "it hands out secret material, which the rule does not accept (`disclose = true`)".to_owned(),
            );
        }
        if let Some(reason) = reason {
            self.deny(call, O::NAME, resource.as_str(), raw::<O>(operation)?, &reason)?;
            return Err(Fault::OutOfScope {
                operation: O::NAME.to_owned(),
                resource: resource.to_string(),
                reason,
            });
        }
        let changes = matches!(O::EFFECT, Effect::Change | Effect::Irrevocable);
        if changes && self.progress().phase != Phase::Run {
            self.deny(
                call,
                O::NAME,
                resource.as_str(),
                raw::<O>(operation)?,
                "only reading is allowed in this phase",
            )?;
            return Err(Fault::ReadOnly { operation: O::NAME.to_owned(), resource: resource.to_string() });
        }
        Ok(())
    }

    /// What can be decided only once it is known what the operation would do: whether its effect is accepted, and
    /// whether the plan has it next, on the state that was found.
    fn admit_step<O: Operation>(
        &self,
        call: u64,
        operation: &O,
        step: Step,
        found: Option<&O::Undo>,
    ) -> Result<(), Fault> {
        match self.take_step::<O>(step, found) {
            Ok(()) => Ok(()),
            Err(fault) => self.refuse_for(call, operation, fault),
        }
    }

    fn take_step<O: Operation>(&self, step: Step, found: Option<&O::Undo>) -> Result<(), Fault> {
        if step.effect == Effect::Irrevocable
            && self.mode == Mode::Live
            && !self.rules.accepts_irrevocable(step.interface(), &step.resource)
        {
            let why = step.irrevocable_because.as_deref().unwrap_or("it has no undo");
            let reason = format!(
                "it cannot be taken back ({why}), which the rule does not accept (`irrevocable = true`)"
            );
            return Err(Fault::OutOfScope {
                operation: step.operation,
                resource: step.resource.to_string(),
                reason,
            });
        }
        let mut progress = self.progress();
        // The plan comes before the limits: that the world changed since it was approved is what a person must know.
        if let Some(plan) = &self.plan {
            let differ = match (plan.get(progress.steps), &progress.unknown) {
                (_, Some(unknown)) => Some((
                    format!("nothing more, as it is not known whether {unknown} happened"),
                    step.words(),
                )),
                (None, None) => Some(("no further step".to_owned(), step.words())),
                (Some(expected), None) if expected.admits::<O>(&step, found) => None,
                (Some(expected), None) => Some(expected.apart(&step)),
            };
            if let Some((expected, found)) = differ {
                let (operation, resource) = (step.operation, step.resource.to_string());
                return Err(Fault::NotInPlan { operation, resource, expected, found });
            }
        }
        let changes = progress.changes + u64::from(step.effect != Effect::Disclose);
        within(Limit::Changes, changes, self.limits.changes)?;
        progress.changes = changes;
        progress.steps += 1;
        progress.observed.steps.push(step);
        Ok(())
    }
}

pub(crate) fn within(limit: Limit, used: u64, allowed: u64) -> Result<(), Fault> {
    if used > allowed { Err(Exceeded { limit, used, allowed }.into()) } else { Ok(()) }
}
