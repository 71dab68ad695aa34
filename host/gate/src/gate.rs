//! The gate itself: one function every host call goes through.

mod record;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use remit_journal::{CallEvent, Effect, Event, Journal, Mode, Phase, Record, RunId, StartError, Watch};
use remit_trust::Sealer;
use serde_json::value::RawValue;
use tokio::sync::RwLock;

use crate::finish::Finish;
use crate::operation::Named as _;
use crate::replay::Replay;
use crate::scope::Rules;
use crate::setup::{Estate, Setup, Used, Window};
use crate::{Exceeded, Failure, Fault, Limit, Operation, Permit, Plan, Resource, Step};
pub(crate) use record::seal_context;
use record::{intent, raw, written};

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
    plan: Option<Vec<Step>>,
    window: Option<Window>,
    watch: Option<Watch>,
    estate: Estate,
    journal: Journal,
    sealer: Arc<Sealer>,
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
    logged: u64,
    observed: Plan,
}

impl Gate {
    /// A gate for one run.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self(Arc::new(Way::Real(Arc::new(Inner {
            run: setup.facts.run,
            mode: setup.mode,
            rules: setup.scope.compile(),
            estate: setup.estate.for_run(&setup.scope, setup.mode).with(setup.facts),
            limits: setup.scope.limits,
            plan: setup.plan.map(|plan| plan.changes().cloned().collect()),
            window: setup.window,
            watch: setup.watch,
            journal: setup.journal,
            sealer: setup.sealer,
            progress: Mutex::new(Progress {
                phase: Phase::Run,
                calls: 0,
                performed: 0,
                changes: 0,
                logged: 0,
                observed: Plan::default(),
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

    /// What a rehearsal saw so far: every operation but the ambient ones. Of a live run, its changes; of a replay,
    /// nothing.
    #[must_use]
    pub fn observed(&self) -> Plan {
        match &*self.0 {
            Way::Real(inner) => inner.progress().observed.clone(),
            Way::Replay(_) => Plan::default(),
        }
    }

    /// What the calls came to so far.
    #[must_use]
    pub fn used(&self) -> Used {
        match &*self.0 {
            Way::Real(inner) => {
                let progress = inner.progress();
                Used { host_calls: progress.calls, changes: progress.changes, log_bytes: progress.logged }
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
    /// The order is the product: count → window → phase → scope → preparation → accepted effect → plan →
    /// durable intent → effect → outcome. The inner error is the guest's to handle; the outer one ends
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
        tracing::debug!(run = %self.run, call, operation = O::NAME, %resource, "host call");
        let at = Timestamp::now();
        self.admit(at, call, &operation, &resource)?;
        match O::EFFECT {
            Effect::Observe | Effect::Disclose => self.observe(at, call, &operation, &resource).await,
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
            self.progress().observed.steps.push(Step::of(operation, O::EFFECT).map_err(written::<O>)?);
        }
        if O::EFFECT == Effect::Disclose {
            // Whoever learnt a secret must be on record even if the host dies right after.
            self.commit(Event::Intent(intent(call, operation, O::EFFECT, resource)?)).await?;
        } else {
            let resource = resource.as_str();
            let (operation, effect, arguments) = (O::NAME, O::EFFECT, operation);
            self.note_call::<O>(at, CallEvent::Intent { call, operation, effect, resource, arguments })?;
        }
        let answer = self.perform(backend, Permit { operation, before: None }).await;
        self.note_outcome::<O>(call, &answer)?;
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
                inner.note(Event::Intent(intent(call, &operation, O::EFFECT, &resource)?))?;
                let answer = Err(failure);
                inner.note_outcome::<O>(call, &answer)?;
                return Ok(answer);
            }
        };
        if O::EFFECT == Effect::Irrevocable && prepared.irrevocable.is_none() {
            prepared.irrevocable = Some("this operation has no undo".to_owned());
        }
        let effect = if prepared.irrevocable.is_some() { Effect::Irrevocable } else { Effect::Change };
        let mut step = Step::of(&operation, effect).map_err(written::<O>)?;
        step.irrevocable_because.clone_from(&prepared.irrevocable);
        if effect == Effect::Change {
            step.undo = Some(operation.describe_undo(&prepared.undo));
        }
        inner.admit_change(call, &operation, step)?;

        let mut intent = intent(call, &operation, effect, &resource)?;
        intent.before = Some(raw::<O>(&prepared.undo)?);
        intent.irrevocable_because.clone_from(&prepared.irrevocable);
        if inner.mode == Mode::Rehearse {
            let answer = Ok(operation.rehearse(&prepared, &backend));
            inner.note(Event::Intent(intent))?;
            inner.note_outcome::<O>(call, &answer)?;
            return Ok(answer);
        }
        intent.sealed = prepared.secret.as_ref().map(|secret| inner.seal::<O>(call, secret)).transpose()?;

        // From here on the guest may stop waiting (a time-out drops this future), the effect may not stop
        // half-way: it runs to its journaled outcome.
        let running = Arc::clone(&inner.under_way).read_owned().await;
        let inner = Arc::clone(inner);
        let effect = Finish::new(async move {
            // Preparing may have taken long; what is on record as intended is intended in time.
            let at = Timestamp::now();
            inner.in_force(at, call, &operation, &resource)?;
            let intent = Record { run: inner.run, at, event: Event::Intent(intent) };
            // The journal's own word: no change is on record after what took its authority away.
            match inner.journal.intend(intent).await {
                Ok(()) => {}
                Err(StartError::Journal(error)) => return Err(error.into()),
                Err(StartError::Withdrawn(withdrawn)) => {
                    let fault = Fault::Withdrawn(withdrawn);
                    inner.deny(
                        call,
                        O::NAME,
                        resource.as_str(),
                        raw::<O>(&operation)?,
                        &fault.to_string(),
                    )?;
                    return Err(fault);
                }
                Err(_) => return Err(Fault::Interrupted { operation: O::NAME }),
            }
            let permit = Permit { operation: &operation, before: Some(&prepared) };
            let answer = inner.perform(&*backend, permit).await;
            inner.note_outcome::<O>(call, &answer)?;
            drop(running);
            Ok(answer)
        });
        effect.await.unwrap_or(Err(Fault::Interrupted { operation: O::NAME }))
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

    /// What can be decided only once the change is prepared.
    fn admit_change<O: Operation>(&self, call: u64, operation: &O, step: Step) -> Result<(), Fault> {
        let (name, resource) = (step.operation.clone(), step.resource.to_string());
        let fault = if step.effect == Effect::Irrevocable
            && self.mode == Mode::Live
            && !self.rules.accepts_irrevocable(step.interface(), &step.resource)
        {
            let why = step.irrevocable_because.as_deref().unwrap_or("it has no undo");
            let reason = format!(
                "it cannot be taken back ({why}), which the rule does not accept (`irrevocable = true`)"
            );
            Some(Fault::OutOfScope { operation: name, resource, reason })
        } else {
            let mut progress = self.progress();
            let next = usize::try_from(progress.changes).unwrap_or(usize::MAX);
            let planned = self.plan.as_ref().map(|plan| plan.get(next));
            match planned {
                Some(None) => Some(Fault::NotInPlan {
                    operation: name,
                    resource,
                    expected: "no further change".to_owned(),
                }),
                Some(Some(expected)) if !expected.admits(&step, O::RUN_TIME) => Some(Fault::NotInPlan {
                    operation: name,
                    resource,
                    expected: format!(
                        "{} on {} with {}",
                        expected.operation, expected.resource, expected.arguments
                    ),
                }),
                _ => match within(Limit::Changes, progress.changes + 1, self.limits.changes) {
                    Err(fault) => Some(fault),
                    Ok(()) => {
                        progress.changes += 1;
                        progress.observed.steps.push(step);
                        None
                    }
                },
            }
        };
        match fault {
            None => Ok(()),
            Some(fault) => {
                let resource = operation.resource();
                self.deny(call, O::NAME, resource.as_str(), raw::<O>(operation)?, &fault.to_string())?;
                Err(fault)
            }
        }
    }
}

pub(crate) fn within(limit: Limit, used: u64, allowed: u64) -> Result<(), Fault> {
    if used > allowed { Err(Exceeded { limit, used, allowed }.into()) } else { Ok(()) }
}
