//! Host calls of a live run or a rehearsal: decided, journaled, performed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use remit_journal::{Effect, Event, Intent, Mode, Phase, StartError, Watch};
use tokio::sync::RwLock;

use crate::finish::Finish;
use crate::operation::{effect_of_change, effect_of_observation};
use crate::progress::Progress;
use crate::recorder::{Recorder, intent, raw, written};
use crate::scope::Rules;
use crate::setup::{Estate, Generated, Setup, Window};
use crate::{Change, Failure, Fault, MakeUp, Noise, Observe, Operation, Permit, Resource, Step};

/// What a call came to: the guest's answer, or (outside) the end of its run.
pub(crate) type Answer<O> = Result<Result<<O as Operation>::Outcome, Failure>, Fault>;

pub(crate) struct Live {
    mode: Mode,
    rules: Rules,
    window: Option<Window>,
    watch: Option<Watch>,
    pub(crate) estate: Estate,
    /// The source of made-up answers in a rehearsal.
    noise: Noise,
    pub(crate) recorder: Recorder,
    pub(crate) progress: Progress,
    /// Held for reading by every effect under way, so that [`Live::settle`] can wait for them even when
    /// the guest that asked is gone.
    under_way: Arc<RwLock<()>>,
}

impl Live {
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { facts, mode, scope, plan, window, watch, estate, journal, sealer } = setup;
        Self {
            mode,
            rules: scope.compile(),
            window,
            watch,
            noise: Noise::new(&facts.seed),
            recorder: Recorder::new(facts.run, journal, sealer),
            estate: estate.for_run(&facts, &scope, mode).with(facts).with(Generated::default()),
            progress: Progress::new(scope.limits, plan),
            under_way: Arc::default(),
        }
    }

    /// Waits until every effect under way has its outcome journaled.
    pub(crate) async fn settle(&self) {
        drop(self.under_way.write().await);
    }

    /// Checks that the run's authority has not expired and was not revoked.
    pub(crate) fn holds(&self, at: Timestamp) -> Result<(), Fault> {
        let now = Instant::now();
        if let Some(window) = &self.window {
            window.holds(at, now)?;
        }
        match self.watch.as_ref().map(|watch| watch.look(now)).transpose()?.flatten() {
            Some(withdrawn) => Err(Fault::Withdrawn(withdrawn)),
            None => Ok(()),
        }
    }

    /// Journals a call whose arguments have no canonical form.
    pub(crate) fn refuse_arguments(&self, operation: &str, shown: &str, why: &str) -> Result<(), Fault> {
        let call = self.progress.count_call().map_err(|(_, fault)| fault)?;
        self.recorder.deny(call, operation, shown, serde_json::value::RawValue::NULL.to_owned(), why)
    }

    pub(crate) async fn observe<O: Observe>(&self, operation: &O) -> Answer<O> {
        let resource = &*operation.resource();
        let (at, call) = self.admit(operation, resource, effect_of_observation::<O>())?;
        let backend = self.estate.of::<O>(operation.name())?;
        if let Some(make_up) = O::DISCLOSES {
            return self.disclose(call, operation, resource, backend, make_up).await;
        }
        // Only a rehearsal is asked for what it saw.
        if self.mode == Mode::Rehearse && !O::AMBIENT {
            let mut step = Step::of(self.progress.phase(), operation, Effect::Observe)
                .map_err(written(operation.name()))?;
            step.content = operation.content();
            self.progress.saw(step);
        }
        self.recorder.observes(at, call, operation, resource)?;
        let answer = self.injecting::<O>(operation.observe(backend)).await;
        let bytes = self.recorder.outcome(call, operation, &answer, operation.sealed())?;
        self.charge(call, operation, &answer, bytes)?;
        self.notes(operation, resource, &answer);
        Ok(answer)
    }

    /// Hands out secret material, as a step of the plan; in a rehearsal, something of the same shape that is made up.
    async fn disclose<O: Observe>(
        &self,
        call: u64,
        operation: &O,
        resource: &Resource,
        backend: &O::Backend,
        make_up: MakeUp<O::Outcome>,
    ) -> Answer<O> {
        let intent = intent(call, operation, Effect::Disclose, resource)?;
        // What is not there hands out nothing and is no step: if somebody makes it later, nobody approved to disclose it.
        let thing = match operation.identify(backend).await {
            Ok(thing) => thing,
            Err(failure) => return self.fails(operation, intent, failure),
        };
        let mut step = Step::of(self.progress.phase(), operation, Effect::Disclose)
            .map_err(written(operation.name()))?;
        step.before = Some(thing.clone());
        self.accepts(&step)
            .and_then(|()| self.progress.take(step, Step::admits))
            .or_else(|fault| self.refuse(call, operation, resource, fault))?;
        if self.mode == Mode::Rehearse {
            let place = format!("{} {}", operation.name(), intent.arguments);
            let answer = self.injecting::<O>(operation.observe(backend)).await;
            let answer = answer.map(|real| make_up(real, &self.noise.at(&place)));
            let bytes = self.recorder.simulated::<O>(intent, &answer, true)?;
            self.charge(call, operation, &answer, bytes)?;
            self.notes(operation, resource, &answer);
            return Ok(answer);
        }
        // It must be on record that the action got the secret, even if the host dies right after.
        match self.recorder.intend(Timestamp::now(), intent).await {
            Ok(()) => {}
            Err(error) => return self.not_intended(call, operation, resource, error),
        }
        let mut answer = self.injecting::<O>(operation.observe(backend)).await;
        // Between the two looks it was the same thing, and so it was when it was read.
        if answer.is_ok() && operation.identify(backend).await.as_ref() != Ok(&thing) {
            answer = Err(Failure::Conflict(format!("{resource} was changed while it was read")));
        }
        let bytes = self.recorder.outcome(call, operation, &answer, true)?;
        self.charge(call, operation, &answer, bytes)?;
        self.notes(operation, resource, &answer);
        Ok(answer)
    }

    /// Records a call that failed before it touched or handed out anything. The attempt is on record, and the guest may
    /// handle it.
    fn fails<O: Operation>(&self, operation: &O, intent: Intent, failure: Failure) -> Answer<O> {
        let (call, answer) = (intent.call, Err(failure));
        let bytes = if self.mode == Mode::Rehearse {
            self.recorder.simulated::<O>(intent, &answer, false)?
        } else {
            self.recorder.note(Event::Intent(intent))?;
            self.recorder.outcome(call, operation, &answer, false)?
        };
        self.charge(call, operation, &answer, bytes)?;
        Ok(answer)
    }

    pub(crate) async fn change<O: Change>(self: &Arc<Self>, operation: O) -> Answer<O> {
        let resource = operation.resource().into_owned();
        let (_, call) = self.admit(&operation, &resource, effect_of_change(&operation))?;
        let backend = self.estate.get::<O>(operation.name())?;
        let mut prepared = match operation.prepare(&backend).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                let intent = intent(call, &operation, effect_of_change(&operation), &resource)?;
                return self.fails(&operation, intent, failure);
            }
        };
        if let (Some(why), None) = (operation.irrevocable(), &prepared.irrevocable) {
            prepared.irrevocable = Some(why.to_owned());
        }
        let effect = if prepared.irrevocable.is_some() { Effect::Irrevocable } else { Effect::Change };
        let mut step =
            Step::of(self.progress.phase(), &operation, effect).map_err(written(operation.name()))?;
        step.before = Some(serde_json::to_value(&prepared.undo).map_err(written(operation.name()))?);
        step.irrevocable_because.clone_from(&prepared.irrevocable);
        step.caution = operation.caution(&prepared.undo).map(Cow::into_owned);
        if effect == Effect::Change {
            step.undo = Some(operation.describe_undo(&prepared.undo));
        }
        self.accepts(&step)
            .and_then(|()| {
                self.progress.take(step, |planned, step| planned.admits_change::<O>(step, &prepared.undo))
            })
            .or_else(|fault| self.refuse(call, &operation, &resource, fault))?;

        let mut intent = intent(call, &operation, effect, &resource)?;
        intent.before = Some(raw(operation.name(), &prepared.undo)?);
        intent.irrevocable_because.clone_from(&prepared.irrevocable);
        if self.mode == Mode::Rehearse {
            let answer = Ok(operation.rehearse(&prepared, &backend));
            let bytes = self.recorder.simulated::<O>(intent, &answer, false)?;
            self.charge(call, &operation, &answer, bytes)?;
            self.notes(&operation, &resource, &answer);
            return Ok(answer);
        }
        if let Some(secret) = &prepared.secret {
            intent.sealed = Some(self.recorder.seal_undo(&intent, secret)?);
        }

        // From here on the guest may stop waiting (a time-out drops this future), the effect may not stop
        // half-way: it runs to its journaled outcome.
        let name = operation.name().to_owned();
        let running = Arc::clone(&self.under_way).read_owned().await;
        let live = Arc::clone(self);
        let effect = Finish::new(async move {
            // Preparing may have taken long; what is on record as intended is intended in time.
            let at = Timestamp::now();
            live.holds(at).or_else(|fault| live.refuse(call, &operation, &resource, fault))?;
            match live.recorder.intend(at, intent.clone()).await {
                Ok(()) => live.progress.begins(intent),
                Err(error) => return live.not_intended(call, &operation, &resource, error),
            }
            let permit = Permit { operation: &operation, before: &prepared };
            let answer = live.injecting::<O>(O::perform(&backend, permit)).await;
            live.progress.ends(call, &answer);
            let bytes = live.recorder.outcome(call, &operation, &answer, false)?;
            live.charge(call, &operation, &answer, bytes)?;
            live.notes(&operation, &resource, &answer);
            drop(running);
            Ok(answer)
        });
        effect.await.unwrap_or(Err(Fault::Interrupted { operation: name }))
    }

    /// The effect itself, unless an offline test wants it to fail here.
    async fn injecting<O: Operation>(
        &self,
        perform: impl Future<Output = Result<O::Outcome, Failure>>,
    ) -> Result<O::Outcome, Failure> {
        if O::AMBIENT || self.mode == Mode::Rehearse {
            return perform.await;
        }
        match self.estate.injected(|| self.progress.count_performed()) {
            None => perform.await,
            Some(injected) => {
                if injected.answer_lost {
                    perform.await?;
                }
                Err(injected.failure.clone())
            }
        }
    }

    /// Counts a call and decides what can be decided from the operation alone: when, and the call's number.
    fn admit<O: Operation>(
        &self,
        operation: &O,
        resource: &Resource,
        effect: Effect,
    ) -> Result<(Timestamp, u64), Fault> {
        let call = match self.progress.count_call() {
            Ok(call) => call,
            Err((call, fault)) => return self.refuse(call, operation, resource, fault),
        };
        // Without its resource: a name that the action chose may hold what it was told.
        tracing::debug!(run = %self.recorder.run(), call, operation = operation.name(), "host call");
        let at = Timestamp::now();
        match self.may(at, operation, resource, effect) {
            Ok(()) => Ok((at, call)),
            Err(fault) => self.refuse(call, operation, resource, fault),
        }
    }

    fn may<O: Operation>(
        &self,
        at: Timestamp,
        operation: &O,
        resource: &Resource,
        effect: Effect,
    ) -> Result<(), Fault> {
        self.holds(at)?;
        if !O::AMBIENT {
            let allowed = self.rules.permits(operation.interface(), resource);
            allowed.map_err(|reason| out_of_scope(operation.name(), resource, reason))?;
            self.comes_after(operation, resource)?;
        }
        let changes = matches!(effect, Effect::Change | Effect::Irrevocable);
        if changes && self.progress.phase() != Phase::Run {
            return Err(Fault::ReadOnly {
                operation: operation.name().to_owned(),
                resource: resource.to_string(),
            });
        }
        Ok(())
    }

    /// Whether the run has done, on the same path, all that the scope demands before this. What failed is not done, and what another run
    /// did is not this run's.
    fn comes_after<O: Operation>(&self, operation: &O, resource: &Resource) -> Result<(), Fault> {
        let mut demanded = self.rules.required_before(operation.interface());
        match demanded.find(|first| !self.progress.has_done_first(first, resource.path())) {
            None => Ok(()),
            Some(first) => {
                let reason = format!(
                    "the scope demands {first} of {} before it, and this run has not done that successfully",
                    resource.path()
                );
                Err(out_of_scope(operation.name(), resource, reason))
            }
        }
    }

    /// Notes that a call succeeded, if others have to come after it.
    fn notes<O: Operation>(&self, operation: &O, resource: &Resource, answer: &Result<O::Outcome, Failure>) {
        if answer.is_ok() && self.rules.is_required(operation.interface()) {
            self.progress.does_first(operation.interface(), resource.path());
        }
    }

    /// Whether the scope accepts that a step cannot be taken back, or hands out a secret. A rehearsal shows it all the same.
    fn accepts(&self, step: &Step) -> Result<(), Fault> {
        if self.mode != Mode::Live {
            return Ok(());
        }
        let (interface, resource) = (step.interface(), &step.resource);
        let reason = match step.effect {
            Effect::Irrevocable if !self.rules.accepts_irrevocable(interface, resource) => {
                let why = step.irrevocable_because.as_deref().unwrap_or("it has no undo");
                format!(
                    "it cannot be taken back ({why}), which the rule does not accept (`irrevocable = true`)"
                )
            }
            Effect::Disclose if !self.rules.accepts_disclosure(interface, resource) => {
                "it hands out secret material, which the rule does not accept (`disclose = true`)".to_owned()
            }
            _ => return Ok(()),
        };
        Err(out_of_scope(&step.operation, resource, reason))
    }

    /// Counts an answer, which the guest does not have yet.
    fn charge<O: Operation>(
        &self,
        call: u64,
        operation: &O,
        answer: &Result<O::Outcome, Failure>,
        bytes: u64,
    ) -> Result<(), Fault> {
        let charged = self.progress.charge_answer(answer, bytes);
        charged.or_else(|fault| self.refuse(call, operation, &operation.resource(), fault))
    }

    /// Puts on record that this call is refused, and why.
    fn refuse<O: Operation, T>(
        &self,
        call: u64,
        operation: &O,
        resource: &Resource,
        fault: Fault,
    ) -> Result<T, Fault> {
        let said;
        let reason = match &fault {
            Fault::OutOfScope { reason, .. } => reason,
            Fault::ReadOnly { .. } => "only reading is allowed in this phase",
            other => {
                said = other.to_string();
                &said
            }
        };
        self.recorder.deny(
            call,
            operation.name(),
            resource.as_str(),
            raw(operation.name(), operation)?,
            reason,
        )?;
        Err(fault)
    }

    /// Why an intent is not on record: the journal is broken, or it refuses this run.
    fn not_intended<O: Operation, T>(
        &self,
        call: u64,
        operation: &O,
        resource: &Resource,
        error: StartError,
    ) -> Result<T, Fault> {
        let fault = match error {
            StartError::Journal(error) => return Err(error.into()),
            StartError::Withdrawn(withdrawn) => Fault::Withdrawn(withdrawn),
            StartError::Clock { .. } => Fault::Clock(error.to_string()),
            _ => return Err(Fault::Interrupted { operation: operation.name().to_owned() }),
        };
        self.refuse(call, operation, resource, fault)
    }
}

fn out_of_scope(operation: &str, resource: &Resource, reason: String) -> Fault {
    Fault::OutOfScope { operation: operation.to_owned(), resource: resource.to_string(), reason }
}
