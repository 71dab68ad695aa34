//! What a host call is, to the gate.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;

use remit_journal::Effect;
use remit_trust::SecretBytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, Noise, Resource};

/// One call of one function of a capability, with its arguments.
///
/// Serialised, it is the journal's record of what was asked: no field may hold a secret. Operations
/// that only read implement [`Observation`] instead and get this trait from it.
pub trait Operation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// `PACKAGE/INTERFACE.FUNCTION`, as in the WIT without its version: `remit:secrets/rotate.rotate`.
    const NAME: &'static str;
    /// What it does to the world, at most; see [`Prepared::irrevocable`].
    const EFFECT: Effect;
    /// The arguments whose values are only known at run time, such as a text that quotes the run: a run may
    /// pass others than its plan. Everything else must be as planned.
    const RUN_TIME: &'static [&'static str] = &[];
    /// Whether its outcome is sealed in the journal although the rule need not say `disclose`: it is content
    /// that the operation was granted for, such as a file's.
    const SEALED: bool = false;
    /// See [`Observation::DISCLOSES`].
    const MAKE_UP: Option<MakeUp<Self::Outcome>> = None;
    /// The code that reaches the real system.
    type Backend: Send + Sync + 'static;
    /// What the guest gets. Never secret, except from a `disclose` operation, whose outcome is sealed.
    type Outcome: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The public part of what is needed to take it back.
    type Undo: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What it touches: lent where it is a field, given where it is worked out.
    fn resource(&self) -> Cow<'_, Resource>;

    /// Reads the state that `undo` would restore, and decides everything `perform` will do (a fresh
    /// value, say), so that the intent on disk says what the effect will be.
    fn prepare(
        &self,
        on: &Self::Backend,
    ) -> impl Future<Output = Result<Prepared<Self::Undo>, Failure>> + Send;

    /// What `perform` would return, for a rehearsal.
    fn simulate(&self, before: &Self::Undo) -> Self::Outcome;

    /// The same with a backend that plays changes: an operation whose effect the action can see, such as a
    /// file that it reads back, writes it down there.
    fn rehearse(&self, before: &Prepared<Self::Undo>, _: &Self::Backend) -> Self::Outcome {
        self.simulate(&before.undo)
    }

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

    /// Takes it back. Only ever called when [`Operation::state`] said [`State::After`]; the backend
    /// compares again as it writes.
    fn undo(on: &Self::Backend, by: Permit<'_, Self>) -> impl Future<Output = Result<(), Failure>> + Send
    where
        Self: Sized;

    /// What `undo` would do, for the plan: `put version 3 back`.
    fn describe_undo(&self, before: &Self::Undo) -> String;

    /// Whether what was found at the moment of the change is what was found when it was planned: the same thing in the
    /// same state. By default everything in it must be equal. An operation whose rehearsal cannot know a part, because
    /// an earlier step of the same rehearsal made the thing, says so here.
    fn is_as_planned(planned: &Self::Undo, found: &Self::Undo) -> bool {
        let json = |undo| serde_json::to_value(undo).ok();
        json(planned).is_some_and(|planned| json(found) == Some(planned))
    }
}

/// The interface of an operation, without a version: worked out once, when Remit is compiled.
pub(crate) trait Named: Operation {
    /// `remit:secrets/rotate`.
    const INTERFACE: &'static str = interface_of(Self::NAME);
}

impl<O: Operation> Named for O {}

const fn interface_of(operation: &'static str) -> &'static str {
    let mut dot = operation.len();
    while dot > 0 {
        dot -= 1;
        if operation.as_bytes()[dot] == b'.' {
            return operation.split_at(dot).0;
        }
    }
    operation
}

/// An operation that reads. It gets no permit, so nothing a backend guards is within its reach.
pub trait Observation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// See [`Operation::NAME`].
    const NAME: &'static str;
    /// Set where the outcome is secret material: the effect is then `disclose` rather than `observe`, and this makes
    /// what a rehearsal is told instead.
    const DISCLOSES: Option<MakeUp<Self::Outcome>> = None;
    /// See [`Operation::SEALED`].
    const SEALED: bool = false;
    /// See [`Operation::Backend`].
    type Backend: Send + Sync + 'static;
    /// See [`Operation::Outcome`].
    type Outcome: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// See [`Operation::resource`].
    fn resource(&self) -> Cow<'_, Resource>;

    /// Reads.
    fn observe(&self, on: &Self::Backend) -> impl Future<Output = Result<Self::Outcome, Failure>> + Send;
}

/// Makes of a secret outcome one of the same shape that tells nothing of it.
pub type MakeUp<T> = fn(T, &Noise) -> T;

/// What an [`Observation`] has to undo.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub enum Nothing {}

impl<T: Observation> Operation for T {
    const NAME: &'static str = T::NAME;
    const EFFECT: Effect = if T::DISCLOSES.is_some() { Effect::Disclose } else { Effect::Observe };
    const SEALED: bool = T::SEALED;
    const MAKE_UP: Option<MakeUp<Self::Outcome>> = T::DISCLOSES;
    type Backend = T::Backend;
    type Outcome = T::Outcome;
    type Undo = Nothing;

    fn resource(&self) -> Cow<'_, Resource> {
        Observation::resource(self)
    }

    async fn prepare(&self, _: &Self::Backend) -> Result<Prepared<Nothing>, Failure> {
        Err(Failure::Invalid(format!("{} changes nothing", T::NAME)))
    }

    fn simulate(&self, before: &Nothing) -> Self::Outcome {
        match *before {}
    }

    async fn perform(on: &Self::Backend, by: Permit<'_, Self>) -> Result<Self::Outcome, Failure> {
        by.operation.observe(on).await
    }

    async fn state(&self, before: &Prepared<Nothing>, _: &Self::Backend) -> Result<State, Failure> {
        match before.undo {}
    }

    async fn undo(_: &Self::Backend, by: Permit<'_, Self>) -> Result<(), Failure> {
        match by.before {
            Some(before) => match before.undo {},
            None => Err(Failure::Invalid(format!("{} has nothing to undo", T::NAME))),
        }
    }

    fn describe_undo(&self, before: &Nothing) -> String {
        match *before {}
    }
}

/// What [`Operation::prepare`] found.
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
    /// As it was before the change.
    Before,
    /// As the change left it.
    After,
    /// Neither: what differs, without any value.
    Other(String),
}

/// The right to perform one journaled operation, once, now.
///
/// Only the gate makes one. It can be neither cloned nor kept: it borrows from the call it belongs to.
/// `perform` reads its arguments from here, and so from what was written.
pub struct Permit<'call, O: Operation> {
    pub(crate) operation: &'call O,
    pub(crate) before: Option<&'call Prepared<O::Undo>>,
}

impl<'call, O: Operation> Permit<'call, O> {
    /// The operation as journaled.
    #[must_use]
    pub fn operation(&self) -> &'call O {
        self.operation
    }

    /// What [`Operation::prepare`] recorded before it.
    ///
    /// # Panics
    /// Never for a change: the gate journals its preparation first.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the gate builds every change's permit from its preparation")]
    pub fn before(&self) -> &'call Prepared<O::Undo> {
        self.before.expect("a change has been prepared")
    }

    /// What a backend asks for before it changes anything.
    #[must_use]
    pub fn authority(&self) -> Authority<'_> {
        Authority { operation: O::NAME, _call: std::marker::PhantomData }
    }
}

impl<O: Operation> fmt::Debug for Permit<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", O::NAME)
    }
}

/// Proof, as an argument, that a backend is called under a [`Permit`].
#[derive(Debug)]
pub struct Authority<'permit> {
    operation: &'static str,
    _call: std::marker::PhantomData<&'permit ()>,
}

impl Authority<'_> {
    /// The operation that is being performed, for the backend's logs.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }
}
