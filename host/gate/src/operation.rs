//! What a host call is to the gate, and the right to change something: types that only the gate makes.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use remit_journal::Effect;
use remit_trust::SecretBytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{Failure, Noise, Resource};

/// One call of one function of a capability, with its arguments: either an [`Observe`] or a [`Change`].
///
/// Serialised, it is the journal's record of what was asked: no field of that may hold a secret.
///
/// What is the same for all calls of an operation of this host is a constant. The gate asks the method beside it, which an
/// operation overrides whose facts are not known before the host runs: a call of a connector.
pub trait Operation: Serialize + Send + Sync + 'static {
    /// `PACKAGE/INTERFACE.FUNCTION`, as in the WIT without its version: `remit:secrets/rotate.rotate`. Of operations that
    /// have their names from elsewhere, the words for all of them.
    const NAME: &'static str;
    /// Whether it reaches nothing but its own run. Such an operation needs no rule of a scope and is in no plan.
    const AMBIENT: bool = false;
    /// [`Reads`] or [`Changes`]: no operation is both.
    type Kind: Kind;
    /// The code that reaches the real system.
    type Backend: Send + Sync + 'static;
    /// What the guest gets. Never secret, except where [`Observe::DISCLOSES`] is set.
    type Outcome: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What it touches: borrowed where it is a field, owned where it is computed.
    fn resource(&self) -> Cow<'_, Resource>;

    /// See [`Operation::NAME`].
    fn name(&self) -> &str {
        Self::NAME
    }

    /// The interface of the operation, without a version: its name up to the last dot.
    fn interface(&self) -> &str {
        const { interface_of(Self::NAME) }
    }

    /// What was sent for it until now, for the record of its outcome: JSON without secrets; none if the backend does not say.
    fn sent(&self) -> Option<Box<RawValue>> {
        None
    }
}

/// Whether an operation reads or changes: [`Reads`] or [`Changes`], and nothing else.
pub trait Kind: sealed::Sealed {}

/// The kind of each [`Observe`].
#[derive(Debug)]
pub enum Reads {}

/// The kind of each [`Change`].
#[derive(Debug)]
pub enum Changes {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Reads {}
    impl Sealed for super::Changes {}
}

impl Kind for Reads {}
impl Kind for Changes {}

const fn interface_of(operation: &'static str) -> &'static str {
    let mut rest = operation.as_bytes();
    while let [before @ .., last] = rest {
        if *last == b'.' {
            return operation.split_at(before.len()).0;
        }
        rest = before;
    }
    operation
}

/// An operation that reads. It gets no permit, so it cannot call what a backend guards with [`crate::Authority`].
pub trait Observe: Operation<Kind = Reads> {
    /// Set if the outcome is secret. The effect is then `disclose` rather than `observe`, and this makes the outcome
    /// that a rehearsal returns instead.
    const DISCLOSES: Option<MakeUp<Self::Outcome>> = None;
    /// Whether its outcome is sealed in the journal although the rule need not say `disclose`: it is content
    /// that the operation was granted for, such as a file's.
    const SEALED: bool = false;
    /// Whether policies and approvers see it as reading content. That is so if its outcome is content, and if it tells
    /// something of content.
    const CONTENT: bool = Self::SEALED;

    /// See [`Observe::SEALED`].
    fn sealed(&self) -> bool {
        Self::SEALED
    }

    /// See [`Observe::CONTENT`].
    fn content(&self) -> bool {
        Self::CONTENT
    }

    /// Which thing a call that discloses would hand out, such as which secret of its path: a part of the approved step, and
    /// compared at the moment it is handed out. Whatever fails here hands out nothing, and is no step. By default only the
    /// arguments say which.
    fn identify(
        &self,
        on: &Self::Backend,
    ) -> impl Future<Output = Result<serde_json::Value, Failure>> + Send {
        let _ = on;
        std::future::ready(Ok(serde_json::Value::Object(serde_json::Map::new())))
    }

    /// Reads from the backend and returns the outcome.
    fn observe(&self, on: &Self::Backend) -> impl Future<Output = Result<Self::Outcome, Failure>> + Send;
}

/// Makes an outcome of the same shape as a secret one that reveals nothing of it.
pub type MakeUp<T> = fn(T, &Noise) -> T;

/// An operation that changes something.
pub trait Change: Operation<Kind = Changes> {
    /// Why no call of it can be taken back, if that is so. See also [`Prepared::irrevocable`].
    const IRREVOCABLE: Option<&'static str> = None;
    /// The kind of countermeasure that it is, for exports. [`crate::Known`] has it by the operation's name.
    const COUNTERMEASURE: Countermeasure;
    /// The arguments whose values are only known at run time, such as a text that quotes the run: a run may
    /// pass others than its plan. Everything else must be as planned.
    const RUN_TIME: &'static [&'static str] = &[];
    /// The public part of what is needed to take it back.
    type Undo: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Reads the state that `undo` would restore, and decides everything `perform` will do (a fresh
    /// value, say), so that the intent on disk says what the effect will be.
    fn prepare(
        &self,
        on: &Self::Backend,
    ) -> impl Future<Output = Result<Prepared<Self::Undo>, Failure>> + Send;

    /// What `perform` would return, for a rehearsal. If the action can see the effect later in the same run, such as a
    /// file that it reads back, this also records the effect in the backend of the rehearsal.
    fn rehearse(&self, before: &Prepared<Self::Undo>, on: &Self::Backend) -> Self::Outcome;

    /// Does it. Only ever called with a durable intent, which the permit carries.
    fn perform(
        on: &Self::Backend,
        by: Permit<'_, Self>,
    ) -> impl Future<Output = Result<Self::Outcome, Failure>> + Send
    where
        Self: Sized;

    /// Compares the live state with what was recorded. This one method serves the host's check after
    /// a run, the compare before an undo, and the decision about an operation in doubt.
    fn state(
        &self,
        before: &Prepared<Self::Undo>,
        on: &Self::Backend,
    ) -> impl Future<Output = Result<State, Failure>> + Send;

    /// Takes it back. Only ever called when [`Change::state`] said [`State::After`] and the change is not irrevocable;
    /// the backend compares again as it writes.
    fn undo(on: &Self::Backend, by: Permit<'_, Self>) -> impl Future<Output = Result<(), Failure>> + Send
    where
        Self: Sized;

    /// What is left to do where [`Change::state`] said [`State::Before`]: a host that was killed in an undo, or in a change that failed, may
    /// have taken the change back, and not told whoever follows the state. Returns whether there was anything; doing it again must do no
    /// harm. By default there is nothing.
    fn finish_undo(
        on: &Self::Backend,
        by: Permit<'_, Self>,
    ) -> impl Future<Output = Result<bool, Failure>> + Send
    where
        Self: Sized,
    {
        let _ = (on, by);
        std::future::ready(Ok(false))
    }

    /// What `undo` would do, for the plan: `put version 3 back`.
    fn describe_undo(&self, before: &Self::Undo) -> String;

    /// What whoever approves it should know of it, beside how it is taken back; none if there is nothing.
    fn caution(&self, before: &Self::Undo) -> Option<Cow<'static, str>> {
        let _ = before;
        None
    }

    /// See [`Change::IRREVOCABLE`].
    fn irrevocable(&self) -> Option<&str> {
        Self::IRREVOCABLE
    }

    /// Whether what was found at the moment of the change is what was found when it was planned: the same thing in the
    /// same state. By default everything in it must be equal. An operation whose rehearsal cannot know a part, because
    /// an earlier step of the same rehearsal made the thing, says so here.
    fn is_as_planned(planned: &Self::Undo, found: &Self::Undo) -> bool {
        let json = |undo| serde_json::to_value(undo).ok();
        json(planned).is_some_and(|planned| json(found) == Some(planned))
    }
}

/// The effect of an observation.
pub(crate) const fn effect_of_observation<O: Observe>() -> Effect {
    if O::DISCLOSES.is_some() { Effect::Disclose } else { Effect::Observe }
}

/// The effect of a change, unless its preparation says that this call has no undo.
pub(crate) fn effect_of_change<O: Change>(operation: &O) -> Effect {
    if operation.irrevocable().is_some() { Effect::Irrevocable } else { Effect::Change }
}

/// A kind of countermeasure, as MITRE D3FEND and OCSF's Remediation Activity have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Countermeasure {
    /// Separates something from the rest: access is blocked, and can be given again.
    Isolate = 1,
    /// Removes something for good.
    Evict = 2,
    /// Brings something back to a state it had.
    Restore = 3,
    /// Makes a later attack harder: a new key, a safer setting.
    Harden = 4,
    /// Finds out what there is, and keeps it.
    Detect = 5,
}

impl Countermeasure {
    /// OCSF's `activity_id` of class 7001.
    #[must_use]
    pub fn id(self) -> u64 {
        self as u64
    }

    /// OCSF's `activity_name` of class 7001.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Isolate => "Isolate",
            Self::Evict => "Evict",
            Self::Restore => "Restore",
            Self::Harden => "Harden",
            Self::Detect => "Detect",
        }
    }
}

/// What [`Change::prepare`] found, which is needed to undo the change.
#[derive(Debug)]
pub struct Prepared<U> {
    /// Written to the journal as it is.
    pub undo: U,
    /// Written to the journal sealed; see [`remit_trust::Sealer`].
    pub secret: Option<SecretBytes>,
    /// Why this call cannot be taken back, although its kind usually can. The gate then treats it as
    /// `irrevocable`.
    pub irrevocable: Option<String>,
}

/// The live state, compared with a recorded change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The live state is as it was before the change.
    Before,
    /// The live state is as the change left it.
    After,
    /// The live state is neither: how it differs, without any value.
    Other(String),
}

/// The right to perform one journaled operation, once, now.
///
/// Only the gate makes one. It can be neither cloned nor kept: it borrows from the call it belongs to.
/// `perform` reads its arguments from here, and so from what was written.
pub struct Permit<'call, O: Change> {
    pub(crate) operation: &'call O,
    pub(crate) before: &'call Prepared<O::Undo>,
}

impl<'call, O: Change> Permit<'call, O> {
    /// The operation as journaled.
    #[must_use]
    pub fn operation(&self) -> &'call O {
        self.operation
    }

    /// What [`Change::prepare`] returned for this call.
    #[must_use]
    pub fn before(&self) -> &'call Prepared<O::Undo> {
        self.before
    }

    /// The proof of permission that a backend asks for before it changes anything.
    #[must_use]
    pub fn authority(&self) -> Authority<'_> {
        Authority { operation: self.operation.name(), _call: PhantomData }
    }
}

impl<O: Change> fmt::Debug for Permit<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.operation.name())
    }
}

/// Proof, as an argument, that a backend is called under a [`Permit`].
#[derive(Debug)]
pub struct Authority<'permit> {
    operation: &'permit str,
    _call: PhantomData<&'permit ()>,
}

impl Authority<'_> {
    /// The operation that is being performed, for the backend's logs.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.operation
    }
}
