//! The gate itself: what every host call goes through.

use std::sync::Arc;

use jiff::Timestamp;
use remit_journal::Phase;
use remit_trust::{SecretText, ValueHandle};
use tracing::Instrument as _;

use crate::live::Live;
use crate::progress::Made;
use crate::replay::Replay;
use crate::setup::{SealedValues, Setup, Used};
use crate::{Change, Failure, Fault, Observe, Operation, Plan};

/// The one way from an action to the outside. Cheap to clone; all clones are the same gate.
#[derive(Clone)]
pub struct Gate(Way);

/// Where a call's answer comes from. A replay has neither backends nor a journal to write: it cannot touch
/// anything, whatever it is asked.
#[derive(Clone)]
enum Way {
    Live(Arc<Live>),
    Replay(Arc<Replay>),
}

/// Of a host call, for traces: which kind of thing it is about, and never which.
fn span<O: Operation>(operation: &O) -> tracing::Span {
    tracing::trace_span!("host-call", operation = operation.name(), kind = operation.resource().kind())
}

impl Gate {
    /// A gate for one run.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self(Way::Live(Arc::new(Live::new(setup))))
    }

    /// A gate that answers from the record of a run.
    #[must_use]
    pub fn replay(replay: Replay) -> Self {
        Self(Way::Replay(Arc::new(replay)))
    }

    /// Performs an operation that reads, if everything says yes.
    ///
    /// The order is the product: count → window → scope → of a disclosure: which thing → accepted effect → plan → intent
    /// (durable for a disclosure) → effect → of a disclosure: the same thing → outcome → size of the answer. The inner
    /// error is the guest's to handle; the outer one ends its run. In a replay nothing of this happens: the record answers.
    pub async fn observe<O: Observe>(&self, operation: O) -> Result<Result<O::Outcome, Failure>, Fault> {
        match &self.0 {
            Way::Live(live) => {
                let span = span(&operation);
                live.observe(&operation).instrument(span).await
            }
            Way::Replay(replay) => replay.answer(&operation),
        }
    }

    /// Performs an operation that changes something, if everything says yes.
    ///
    /// The order is the product: count → window → scope → phase → preparation → accepted effect → plan and prior state →
    /// limits → window again → durable intent → effect → outcome → size of the answer. The errors are as in
    /// [`Gate::observe`].
    pub async fn change<O: Change>(&self, operation: O) -> Result<Result<O::Outcome, Failure>, Fault> {
        match &self.0 {
            Way::Live(live) => {
                let span = span(&operation);
                live.change(operation).instrument(span).await
            }
            Way::Replay(replay) => replay.answer(&operation),
        }
    }

    /// Journals a call whose arguments have no canonical form, and says so to the guest.
    pub fn refuse(&self, operation: &str, argument: &str, why: &str) -> Result<Failure, Fault> {
        let shown: String = argument.escape_debug().take(200).collect();
        match &self.0 {
            Way::Live(live) => live.refuse_arguments(operation, &shown, why)?,
            Way::Replay(replay) => replay.refuse(operation, &shown, why)?,
        }
        Ok(Failure::Invalid(why.to_owned()))
    }

    /// Enters a phase; in [`Phase::Verify`] nothing can be changed.
    pub fn enter(&self, phase: Phase) -> Result<(), Fault> {
        match &self.0 {
            Way::Live(live) => {
                live.progress.enter(phase);
                live.recorder.note(phase.into())
            }
            Way::Replay(replay) => replay.enter(phase),
        }
    }

    /// Waits until every effect under way has its outcome journaled. Called after the guest is gone and
    /// before anything is decided about its run.
    pub async fn settle(&self) {
        if let Way::Live(live) = &self.0 {
            live.settle().await;
        }
    }

    /// Whether the run still has authority. In a replay it had it when it was recorded.
    pub fn still_in_force(&self) -> Result<(), Fault> {
        match &self.0 {
            Way::Live(live) => live.holds(Timestamp::now()),
            Way::Replay(_) => Ok(()),
        }
    }

    /// Counts `bytes` of log against the scope.
    pub fn charge_log(&self, bytes: u64) -> Result<(), Fault> {
        match &self.0 {
            Way::Live(live) => live.progress.charge_log(bytes),
            Way::Replay(replay) => replay.charge_log(bytes),
        }
    }

    /// The value of a sealed input of this run, or of one that was generated for it; none if it has none with this handle. A
    /// replay has no values: the record answers its calls.
    #[must_use]
    pub fn sealed_value(&self, handle: &ValueHandle) -> Option<SecretText> {
        self.live().and_then(|live| live.estate.sealed_value(handle))
    }

    /// Every such value that this run has until now; of a replay, none.
    #[must_use]
    pub fn sealed_values(&self) -> SealedValues {
        self.live().map(|live| live.estate.sealed_values()).unwrap_or_default()
    }

    /// Whether this run has what `O` works on. In a replay: whether the record has such a call next.
    #[must_use]
    pub fn offers<O: Operation>(&self) -> bool {
        match &self.0 {
            Way::Live(live) => live.estate.of::<O>(O::NAME).is_ok(),
            Way::Replay(replay) => replay.is_next(O::NAME),
        }
    }

    /// Whether the action was given a secret or content. From then on its own messages may contain it. In a replay they
    /// are not passed on.
    #[must_use]
    pub fn was_told(&self) -> bool {
        match &self.0 {
            Way::Live(live) => live.recorder.was_told(),
            Way::Replay(_) => false,
        }
    }

    /// How much the calls used so far.
    #[must_use]
    pub fn used(&self) -> Used {
        match &self.0 {
            Way::Live(live) => live.progress.used(),
            Way::Replay(replay) => replay.used(),
        }
    }

    /// What a rehearsal saw so far: every operation but the ambient ones. Of a live run, all that was more than a look;
    /// of a replay, nothing.
    #[must_use]
    pub fn observed(&self) -> Plan {
        self.live().map(|live| live.progress.observed()).unwrap_or_default()
    }

    /// What a live run changed or may have changed so far, in order. Complete once the gate is
    /// [settled](Gate::settle).
    #[must_use]
    pub fn made(&self) -> Vec<Made> {
        self.live().map(|live| live.progress.made()).unwrap_or_default()
    }

    /// What calls failed with so far, in order; of a replay, nothing.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        self.live().map(|live| live.progress.failures()).unwrap_or_default()
    }

    /// The next step of its plan that a live run did not take, in words. None if it took all of them, or has no plan. A change
    /// that failed was not taken; one of which nobody knows whether it happened was.
    #[must_use]
    pub fn left_of_plan(&self) -> Option<String> {
        self.live().and_then(|live| live.progress.left())
    }

    /// In a replay, the first thing on record that the action did not ask for again; none if it asked for
    /// all.
    #[must_use]
    pub fn unasked(&self) -> Option<String> {
        match &self.0 {
            Way::Live(_) => None,
            Way::Replay(replay) => replay.left(),
        }
    }

    fn live(&self) -> Option<&Live> {
        match &self.0 {
            Way::Live(live) => Some(live),
            Way::Replay(_) => None,
        }
    }
}
