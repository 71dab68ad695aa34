//! Operations by their names, as the journal knows them.

use std::pin::Pin;

use remit_journal::{Effect, Intent, UndoResult};

use crate::operation::{effect_of_change, effect_of_observation};
use crate::{Change, Countermeasure, Fault, Observe, State, UndoGate};

/// An operation as the journal knows it: by its name, with the facts that its type states.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The operation's name, see [`crate::Operation::NAME`].
    pub name: &'static str,
    /// What it does to the world, at most; see [`crate::Prepared::irrevocable`].
    pub effect: Effect,
    /// Whether the operation needs no grant, see [`crate::Operation::AMBIENT`].
    pub ambient: bool,
    /// Whether it is an observation that reads content: see [`Observe::CONTENT`].
    pub content: bool,
    /// See [`Change::RUN_TIME`]; empty for an operation that reads.
    pub run_time: &'static [&'static str],
    /// How the change is classified, see [`Change::COUNTERMEASURE`]; none for an operation that reads.
    pub countermeasure: Option<Countermeasure>,
    reverse: Option<Reverse>,
}

/// How a recorded change is undone or compared with the live state.
#[derive(Clone, Copy, Debug)]
struct Reverse {
    undo: for<'a> fn(&'a UndoGate, &'a Intent) -> Boxed<'a, Result<UndoResult, Fault>>,
    state: for<'a> fn(&'a UndoGate, &'a Intent) -> Boxed<'a, Result<State, Fault>>,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Known {
    /// The facts of an operation that reads.
    #[must_use]
    pub const fn observe<O: Observe>() -> Self {
        Self {
            name: O::NAME,
            effect: effect_of_observation::<O>(),
            ambient: O::AMBIENT,
            content: O::CONTENT && O::DISCLOSES.is_none(),
            run_time: &[],
            countermeasure: None,
            reverse: None,
        }
    }

    /// The facts of an operation that changes something.
    #[must_use]
    pub const fn change<O: Change>() -> Self {
        Self {
            name: O::NAME,
            effect: effect_of_change::<O>(),
            ambient: O::AMBIENT,
            content: false,
            run_time: O::RUN_TIME,
            countermeasure: Some(O::COUNTERMEASURE),
            reverse: Some(Reverse {
                undo: |gate, intent| Box::pin(gate.undo::<O>(intent)),
                state: |gate, intent| Box::pin(gate.state::<O>(intent)),
            }),
        }
    }

    /// Takes one recorded change back, if the live state still is what it left behind. Idempotent.
    pub async fn undo(&self, gate: &UndoGate, intent: &Intent) -> Result<UndoResult, Fault> {
        (self.reverse()?.undo)(gate, intent).await
    }

    /// Compares the live state with a recorded change: the host's own check after a run.
    pub async fn state(&self, gate: &UndoGate, intent: &Intent) -> Result<State, Fault> {
        (self.reverse()?.state)(gate, intent).await
    }

    fn reverse(&self) -> Result<Reverse, Fault> {
        self.reverse.ok_or_else(|| Fault::Record {
            operation: self.name.to_owned(),
            verb: "read",
            why: "it changes nothing, so there is nothing to undo".to_owned(),
        })
    }
}
