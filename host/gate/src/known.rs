//! Operations by their names, as the journal knows them.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use remit_journal::{Effect, Intent, UndoResult};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::operation::effect_of_observation;
use crate::{Change, Countermeasure, Fault, Observe, State, UndoGate};

/// An operation as the journal knows it: by its name, with the facts that hold for all its calls.
#[derive(Clone, Debug)]
pub struct Known {
    /// The operation's name, see [`crate::Operation::NAME`].
    pub name: Cow<'static, str>,
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
#[derive(Clone)]
enum Reverse {
    /// The operation is a type of this host.
    Typed {
        undo: for<'a> fn(&'a UndoGate, Past<'a>) -> Boxed<'a, Result<UndoResult, Fault>>,
        state: for<'a> fn(&'a UndoGate, Past<'a>) -> Boxed<'a, Result<State, Fault>>,
    },
    /// The operation is made of the intent and of something that this holds.
    Held(Arc<dyn Held>),
}

impl fmt::Debug for Reverse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reverse(..)")
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// See [`Reverse::Held`].
trait Held: Send + Sync {
    fn undo<'a>(&'a self, gate: &'a UndoGate, past: Past<'a>) -> Boxed<'a, Result<UndoResult, Fault>>;
    fn state<'a>(&'a self, gate: &'a UndoGate, past: Past<'a>) -> Boxed<'a, Result<State, Fault>>;
}

struct MadeBy<F>(F);

impl<O: Change, F: Fn(Past<'_>) -> Result<O, String> + Send + Sync> Held for MadeBy<F> {
    fn undo<'a>(&'a self, gate: &'a UndoGate, past: Past<'a>) -> Boxed<'a, Result<UndoResult, Fault>> {
        Box::pin(gate.undo(past, &self.0))
    }

    fn state<'a>(&'a self, gate: &'a UndoGate, past: Past<'a>) -> Boxed<'a, Result<State, Fault>> {
        Box::pin(gate.state(past, &self.0))
    }
}

/// A change as the journal has it.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// What was intended.
    pub intent: &'a Intent,
    /// What `perform` returned; none if that is not known.
    pub got: Option<&'a RawValue>,
}

impl<'a> From<&'a Intent> for Past<'a> {
    /// Nobody knows what it returned.
    fn from(intent: &'a Intent) -> Self {
        Self { intent, got: None }
    }
}

/// The operation that the arguments of an intent are.
fn read_back<O: DeserializeOwned>(past: Past<'_>) -> Result<O, String> {
    serde_json::from_str(past.intent.arguments.get()).map_err(|error| error.to_string())
}

impl Known {
    /// The facts of an operation that reads.
    #[must_use]
    pub const fn observe<O: Observe>() -> Self {
        Self {
            name: Cow::Borrowed(O::NAME),
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
    pub const fn change<O: Change + DeserializeOwned>() -> Self {
        Self {
            name: Cow::Borrowed(O::NAME),
            effect: if O::IRREVOCABLE.is_some() { Effect::Irrevocable } else { Effect::Change },
            ambient: O::AMBIENT,
            content: false,
            run_time: O::RUN_TIME,
            countermeasure: Some(O::COUNTERMEASURE),
            reverse: Some(Reverse::Typed {
                undo: |gate, past| Box::pin(gate.undo::<O>(past, &read_back)),
                state: |gate, past| Box::pin(gate.state::<O>(past, &read_back)),
            }),
        }
    }

    /// The facts of an operation that reads, whose name is not known before the host runs. `content` is [`Observe::CONTENT`].
    #[must_use]
    pub fn named_observe(name: String, content: bool) -> Self {
        Self {
            name: Cow::Owned(name),
            effect: Effect::Observe,
            ambient: false,
            content,
            run_time: &[],
            countermeasure: None,
            reverse: None,
        }
    }

    /// The facts of an operation that changes something, whose name is not known before the host runs. `read` makes it of a
    /// recorded intent.
    pub fn named_change<O: Change>(
        name: String,
        irrevocable: bool,
        countermeasure: Option<Countermeasure>,
        read: impl Fn(Past<'_>) -> Result<O, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            effect: if irrevocable { Effect::Irrevocable } else { Effect::Change },
            countermeasure,
            reverse: Some(Reverse::Held(Arc::new(MadeBy(read)))),
            ..Self::named_observe(name, false)
        }
    }

    /// Takes one recorded change back, if the live state still is what it left behind. Idempotent.
    pub async fn undo<'a>(&self, gate: &UndoGate, past: impl Into<Past<'a>>) -> Result<UndoResult, Fault> {
        let past = past.into();
        match self.reverse()? {
            Reverse::Typed { undo, .. } => undo(gate, past).await,
            Reverse::Held(held) => held.undo(gate, past).await,
        }
    }

    /// Compares the live state with a recorded change: the host's own check after a run.
    pub async fn state<'a>(&self, gate: &UndoGate, past: impl Into<Past<'a>>) -> Result<State, Fault> {
        let past = past.into();
        match self.reverse()? {
            Reverse::Typed { state, .. } => state(gate, past).await,
            Reverse::Held(held) => held.state(gate, past).await,
        }
    }

    fn reverse(&self) -> Result<&Reverse, Fault> {
        self.reverse.as_ref().ok_or_else(|| Fault::Record {
            operation: self.name.to_string(),
            verb: "read",
            why: "it changes nothing, so there is nothing to undo".to_owned(),
        })
    }
}
