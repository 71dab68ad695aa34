//! What a gate is made from, and what it counts.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use remit_journal::{Journal, Mode, RunId, Watch};
use remit_trust::{Sealer, SecretText, ValueHandle};
use serde::{Deserialize, Serialize};

use crate::{Failure, Fault, Operation, Plan, Scope};

/// The real systems a host can reach, one backend of each type. Only the gate looks inside.
#[derive(Clone, Default)]
pub struct Estate {
    backends: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
    per_run: BTreeMap<TypeId, ForRun>,
    injected: Option<Injected>,
    /// The values of the run's sealed inputs.
    sealed: Arc<SealedValues>,
    /// How many calls were counted towards it.
    counted: Arc<AtomicU64>,
}

/// Values that a run uses and its action never sees. The action has only their handles.
pub type SealedValues = BTreeMap<ValueHandle, SecretText>;

/// The values that the host generated for one run. They are in memory only: what a change needs of one to be taken back is in
/// its own sealed undo data.
#[derive(Debug, Default)]
pub struct Generated(Mutex<Vec<SecretText>>);

impl Generated {
    /// Keeps a value until the run ends.
    pub fn keep(&self, value: SecretText) -> ValueHandle {
        let mut values = self.values();
        values.push(value);
        ValueHandle::Generated(values.len() as u64)
    }

    fn get(&self, number: u64) -> Option<SecretText> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.values().get(index).cloned()
    }

    fn values(&self) -> MutexGuard<'_, Vec<SecretText>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Derives the backend of one run from the shared one; none if the run has no part in it.
type ForRun = Arc<dyn Fn(&(dyn Any + Send + Sync), &Facts, &Scope, Mode) -> Option<Shared> + Send + Sync>;
type Shared = Arc<dyn Any + Send + Sync>;

/// A failure that an action's offline test asks for. It can only make a call fail, never let one through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// At which call of a live run, counted from 1 over all but the ambient ones.
    pub at: u64,
    /// The failure that the action gets.
    pub failure: Failure,
    /// Whether the call is performed all the same: only its answer is lost.
    pub answer_lost: bool,
}

impl Estate {
    /// Adds a backend, replacing one of the same type.
    #[must_use]
    pub fn with<B: Send + Sync + 'static>(mut self, backend: B) -> Self {
        self.backends.insert(TypeId::of::<B>(), Arc::new(backend));
        self
    }

    /// Adds a backend from which `for_run` derives one for each run: limited to its scope, simulating the changes of a
    /// rehearsal; or none, if the run has no part in it. An undo uses `backend` itself.
    #[must_use]
    pub fn with_per_run<B: Send + Sync + 'static>(
        self,
        backend: B,
        for_run: fn(&B, &Scope, Mode) -> Option<B>,
    ) -> Self {
        self.deriving(backend, move |own: &B, _, scope, mode| for_run(own, scope, mode))
    }

    /// The same for a backend whose changes name the run that made them.
    #[must_use]
    pub fn with_per_named_run<B: Send + Sync + 'static>(
        self,
        backend: B,
        for_run: fn(&B, &Facts, Mode) -> Option<B>,
    ) -> Self {
        self.deriving(backend, move |own: &B, facts, _, mode| for_run(own, facts, mode))
    }

    fn deriving<B: Send + Sync + 'static>(
        mut self,
        backend: B,
        for_run: impl Fn(&B, &Facts, &Scope, Mode) -> Option<B> + Send + Sync + 'static,
    ) -> Self {
        let erased = move |any: &(dyn Any + Send + Sync), facts: &Facts, scope: &Scope, mode: Mode| {
            let own = for_run(any.downcast_ref::<B>()?, facts, scope, mode)?;
            Some(Arc::new(own) as Shared)
        };
        self.per_run.insert(TypeId::of::<B>(), Arc::new(erased));
        self.with(backend)
    }

    /// Adds the values of a run's sealed inputs.
    #[must_use]
    pub fn with_sealed_values(mut self, inputs: SealedValues) -> Self {
        self.sealed = Arc::new(inputs);
        self
    }

    /// The value of a handle; none if the run has none with this handle.
    pub(crate) fn sealed_value(&self, handle: &ValueHandle) -> Option<SecretText> {
        match handle {
            ValueHandle::Input(_) => self.sealed.get(handle).cloned(),
            ValueHandle::Generated(number) => self.generated()?.get(*number),
        }
    }

    /// Every value that the run has.
    pub(crate) fn sealed_values(&self) -> SealedValues {
        let mut all = SealedValues::clone(&self.sealed);
        let generated = self.generated().map(|generated| generated.values().clone()).unwrap_or_default();
        all.extend((1..).map(ValueHandle::Generated).zip(generated));
        all
    }

    fn generated(&self) -> Option<&Generated> {
        self.backends.get(&TypeId::of::<Generated>())?.downcast_ref()
    }

    /// The backends of one run.
    pub(crate) fn for_run(mut self, facts: &Facts, scope: &Scope, mode: Mode) -> Self {
        for (id, make) in std::mem::take(&mut self.per_run) {
            let made = self.backends.remove(&id).and_then(|shared| make(&*shared, facts, scope, mode));
            if let Some(own) = made {
                self.backends.insert(id, own);
            }
        }
        self
    }

    /// The same systems, with one call that fails.
    #[must_use]
    pub fn failing(mut self, injected: Injected) -> Self {
        self.injected = Some(injected);
        self
    }

    /// How many of the calls that [`Injected::at`] counts were made so far. While it is less than that, no failure was
    /// injected.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// The failure that is injected at a call, whose number is `count`; none if there is none. Calls are only counted where
    /// one is to fail.
    pub(crate) fn injected(&self, count: impl FnOnce() -> u64) -> Option<&Injected> {
        let injected = self.injected.as_ref()?;
        let at = count();
        self.counted.fetch_max(at, Ordering::Relaxed);
        (injected.at == at).then_some(injected)
    }

    /// The backend of an operation of this name, borrowed.
    pub(crate) fn of<O: Operation>(&self, operation: &str) -> Result<&O::Backend, Fault> {
        self.backends
            .get(&TypeId::of::<O::Backend>())
            .and_then(|any| any.downcast_ref())
            .ok_or_else(|| Fault::NoBackend { operation: operation.to_owned() })
    }

    /// The backend of an operation, for a task that may outlive the caller.
    pub(crate) fn get<O: Operation>(&self, operation: &str) -> Result<Arc<O::Backend>, Fault> {
        self.backends
            .get(&TypeId::of::<O::Backend>())
            .and_then(|any| Arc::clone(any).downcast().ok())
            .ok_or_else(|| Fault::NoBackend { operation: operation.to_owned() })
    }
}

impl std::fmt::Debug for Estate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Estate({} backends)", self.backends.len())
    }
}

/// What an action may know of its own run; the backend of the ambient operations.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The run's identifier.
    pub run: RunId,
    /// When the run started.
    pub started: Timestamp,
    /// The reason given for it.
    pub reason: String,
    /// What the guest's randomness grows from; also in the journal's header of the run.
    pub seed: [u8; 32],
}

/// When a grant may be used: between two moments of the wall clock, and for no longer than the time from now to the second
/// one, measured by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    not_before: Timestamp,
    not_after: Timestamp,
    /// `not_after` on the monotonic clock, which cannot be set back.
    end: Option<Instant>,
}

impl Window {
    /// No call is admitted before `not_before` (setting the clock back does not revive a grant), nor from `not_after` on.
    #[must_use]
    pub fn new(not_before: Timestamp, not_after: Timestamp) -> Self {
        let left = not_after.duration_since(Timestamp::now()).try_into().unwrap_or_default();
        Self { not_before, not_after, end: Instant::now().checked_add(left) }
    }

    /// Whether this moment, by the wall clock and by the monotonic one, is inside.
    pub(crate) fn holds(&self, at: Timestamp, now: Instant) -> Result<(), Fault> {
        if at >= self.not_after || self.end.is_some_and(|end| now >= end) {
            Err(Fault::Expired(self.not_after))
        } else if at < self.not_before {
            Err(Fault::NotYet(self.not_before))
        } else {
            Ok(())
        }
    }
}

/// The parts that a gate is made from.
pub struct Setup {
    /// What the action may know of its own run.
    pub facts: Facts,
    /// Whether changes happen or are simulated.
    pub mode: Mode,
    /// The scope that every call must be inside of.
    pub scope: Scope,
    /// The approved plan. Without one, any change inside the scope is admitted.
    pub plan: Option<Plan>,
    /// When the grant may be used; a rehearsal has no window.
    pub window: Option<Window>,
    /// Reports when the grant of the run, or what it depends on, is revoked. None for a run that depends on nothing.
    pub watch: Option<Watch>,
    /// The real systems that the run can reach.
    pub estate: Estate,
    /// The journal to which every call is written before it is made.
    pub journal: Journal,
    /// Seals what is secret in the journal.
    pub sealer: Arc<Sealer>,
}

/// How much the host calls of a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Host calls of any kind.
    pub host_calls: u64,
    /// Changes, undoable or not.
    pub changes: u64,
    /// Bytes of log lines.
    pub log_bytes: u64,
    /// What the host returned to the action, in bytes.
    pub answers: u64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn either_clock_ends_a_window_and_only_one_begins_it() {
        let (at, now, hour) = (Timestamp::now(), Instant::now(), SignedDuration::from_hours(1));
        let window = Window::new(at, at + hour);
        window.holds(at, now).unwrap();
        window.holds(at + hour - SignedDuration::from_secs(1), now + Duration::from_secs(3_599)).unwrap();
        for (at, now) in [(at + hour, now), (at, now + Duration::from_secs(3_601))] {
            assert!(matches!(window.holds(at, now), Err(Fault::Expired(_))));
        }
        let before = window.holds(at - SignedDuration::from_nanos(1), now);
        assert!(matches!(before, Err(Fault::NotYet(_))));
    }
}
