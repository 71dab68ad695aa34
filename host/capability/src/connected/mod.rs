//! Interfaces that connectors serve: the host has no types for them before it runs.
//!
//! A call is a [`Look`] or an [`Act`]: operations like any other, for one gate. Their arguments are JSON by the WIT types that
//! the action imports, and what serves them is a [`Connector`].

mod link;
mod operation;
mod served;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use remit_engine::{Signature, Signatures, Type};
use remit_gate::{
    Authority, Countermeasure, Effect, Estate, Failure, Prepared, Resource, SealedValues, State,
};
use remit_journal::ConnectorRef;
use remit_trust::SecretBytes;
use serde_json::Value;
use serde_json::value::RawValue;

pub use link::link;
pub use operation::{Act, Found, Look};
pub use served::{Served, is_weaker};
pub(crate) use served::{interfaces, known, of_record};

/// What serves interfaces: a component that can send requests to one origin. Nothing it says is trusted, but what
/// [`Connector::function`] says of a function was admitted with it.
pub trait Connector: Debug + Send + Sync {
    /// Which connector it is, as requests and records name it.
    fn reference(&self) -> &ConnectorRef;

    /// The interfaces that it serves, by name and version.
    fn interfaces(&self) -> &BTreeMap<String, Signatures>;

    /// The facts of a function: `remit:tokens/revoke.revoke`.
    fn function(&self, operation: &str) -> Option<Facts<'_>>;

    /// Reads, and returns a result of the function's type.
    fn observe<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Value>;

    /// Reads what a change needs, and decides all that it will do.
    fn prepare<'a>(&'a self, call: &'a Call, played: Vec<Played>) -> Boxed<'a, Prepared<Found>>;

    /// Makes the change, and returns a result of the function's type.
    fn perform<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        by: Authority<'a>,
    ) -> Boxed<'a, Value>;

    /// Compares the live state with what was prepared.
    fn state<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        got: Option<&'a RawValue>,
    ) -> Boxed<'a, State>;

    /// Takes the change back.
    fn undo<'a>(
        &'a self,
        call: &'a Call,
        before: &'a Prepared<Found>,
        got: Option<&'a RawValue>,
        by: Authority<'a>,
    ) -> Boxed<'a, ()>;
}

/// A boxed future that can fail.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What an admitted connector declares of a function.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What a call of it does to the system, at most.
    pub effect: Effect,
    /// The kind of its resource.
    pub kind: &'a str,
    /// Why no call of it can be taken back, if its effect is irrevocable.
    pub irrevocable_because: Option<&'a str>,
    /// The parameters that are handles of sealed inputs.
    pub sealed: &'a [String],
    /// The kind of countermeasure that it is.
    pub countermeasure: Option<Countermeasure>,
    /// Whether the system compares what is there as it writes.
    pub compares: bool,
}

/// One call of a function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The name of the operation: `remit:tokens/revoke.revoke`.
    pub operation: Arc<str>,
    /// What it touches. Its path begins with the name of the connector's instance.
    pub resource: Resource,
    /// The arguments: a JSON object by the names of the parameters, canonical.
    pub arguments: Box<RawValue>,
    /// The sealed inputs and generated values that it names, as far as this run has them.
    pub sealed: Arc<SealedValues>,
    /// What was sent for it until now.
    pub sent: Requests,
}

/// The requests that were sent for one call: JSON, in order.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<std::sync::Mutex<Vec<Value>>>);

impl Requests {
    /// Adds what was sent.
    pub fn note(&self, sent: impl IntoIterator<Item = Value>) {
        self.all().extend(sent);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// All of them, as they are put on record; none if nothing was sent.
    fn on_record(&self) -> Option<Box<RawValue>> {
        let all = self.all();
        if all.is_empty() { None } else { serde_json::value::to_raw_value(&*all).ok() }
    }
}

/// A change of a rehearsal that did not happen.
#[derive(Clone, Debug)]
pub struct Played {
    /// The name of its operation.
    pub operation: Arc<str>,
    /// Its arguments.
    pub arguments: Box<RawValue>,
    /// What its preparation found and decided.
    pub undo: Value,
}

/// What the calls of one run share: the changes that its rehearsal played. It reaches nothing.
#[derive(Debug, Default)]
pub struct Rehearsal(std::sync::Mutex<Vec<(String, Played)>>);

impl Rehearsal {
    /// Adds it to an estate, each run's own.
    #[must_use]
    pub fn serve(estate: Estate) -> Estate {
        estate.with_per_run(Self::default(), |_, _, _| Some(Self::default()))
    }

    fn of(&self, resource: &Resource) -> Vec<Played> {
        let all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let instance = instance(resource);
        all.iter().filter(|(of, _)| of == instance).map(|(_, played)| played.clone()).collect()
    }

    fn play(&self, resource: &Resource, played: Played) {
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.push((instance(resource).to_owned(), played));
    }
}

/// The instance of a connector that serves a resource.
#[must_use]
pub fn instance(resource: &Resource) -> &str {
    resource.path().split('/').next().unwrap_or_default()
}

/// A part of a prepared change that is secret, with what the host keeps beside it.
pub type Secret = Option<SecretBytes>;

/// Why an interface cannot be served by connectors: a function that is not of the form that they have.
pub fn check_form(functions: &Signatures) -> Result<(), String> {
    functions.0.iter().try_for_each(|(name, signature)| {
        form(signature).map(drop).map_err(|why| format!("its function `{name}` {why}"))
    })
}

/// The type of what a function returns if it does not fail.
fn form(Signature { parameters, result }: &Signature) -> Result<Option<&Type>, String> {
    if !matches!(parameters.first(), Some((_, Type::String))) {
        return Err("does not have a text as its first parameter, the path of its resource".to_owned());
    }
    match result {
        Some(Type::Result(ok, Some(error))) if is_failure(error) => Ok(ok.as_deref()),
        _ => Err("does not return a `result` with the `failure` of remit:types/errors".to_owned()),
    }
}

fn is_failure(error: &Type) -> bool {
    let cases = ["denied", "not-found", "conflict", "invalid", "unavailable"];
    let Type::Variant(of) = error else { return false };
    of.len() == cases.len()
        && of.iter().zip(cases).all(|((name, of), case)| name == case && *of == Some(Type::String))
}
