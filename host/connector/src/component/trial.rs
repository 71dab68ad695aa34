//! A connector in the hands of its author: the same component, exchange and checks as in a home, without one.

use std::fmt;
use std::sync::Arc;

use remit_capability::connected::{Call, Connector as _, Found, Played, Requests};
use remit_engine::Engine;
use remit_gate::{Failure, Prepared, Resource, SealedValues, State};
use remit_trust::canonical;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{AdmissionError, Candidate, Connected};
use crate::{Description, Entry, Origin, Phase};

/// A connector that is tried: nobody signed it, nothing is journaled, and no action reaches it. What it changes is of a fixture, or
/// of the origin that its author named for a recording.
pub struct Trial(Connected);

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trial of {:?}", self.0)
    }
}

/// The result of a phase.
#[derive(Debug)]
pub enum Tried {
    /// Of `observe` and `perform`.
    Returned(Value),
    /// Of `prepare`.
    Prepared(Prepared<Found>),
    /// Of `state`.
    State(State),
    /// Of `undo`.
    Undone,
}

impl Trial {
    /// Admits a component that need not be signed.
    pub fn new(
        engine: &Arc<Engine>,
        candidate: Candidate,
        entry: &Entry,
        origin: Arc<Origin>,
    ) -> Result<Self, AdmissionError> {
        Connected::of(engine, candidate, String::new(), entry, origin).map(Self)
    }

    /// The same component for another entry.
    pub fn at(&self, entry: &Entry, origin: Arc<Origin>) -> Result<Self, Failure> {
        self.0.at(entry, origin).map(Self)
    }

    /// The call of a function with these arguments, in the form that an action's call has; or what is wrong with it. Of a sealed
    /// parameter, the argument is a handle.
    pub fn call(
        &self,
        function: &str,
        arguments: &Map<String, Value>,
        sealed: SealedValues,
    ) -> Result<Call, String> {
        let (interface, name) = function.rsplit_once('.').unwrap_or((function, ""));
        let mut served = self.0.interfaces().iter();
        let served = served.find(|(known, _)| known.split('@').next() == Some(interface));
        let signature = served.and_then(|(_, functions)| functions.0.get(name));
        let (Some(of), Some(signature)) = (self.description().function(function), signature) else {
            let known: Vec<&str> = self.description().functions().map(|(name, _)| name).collect();
            return Err(format!("the connector has no `{function}`, only: {}", known.join(", ")));
        };
        let parameters = &signature.parameters;
        if let Some(other) = arguments.keys().find(|name| !parameters.iter().any(|(known, _)| known == *name))
        {
            return Err(format!("{function} has no parameter `{other}`"));
        }
        let mut written = Map::new();
        for (name, ty) in parameters {
            let value = arguments.get(name).unwrap_or(&Value::Null);
            let value = ty.from_json(value).and_then(|value| ty.to_json(&value));
            written.insert(name.clone(), value.map_err(|misfit| format!("{name}: {misfit}"))?);
        }
        let path = parameters.first().and_then(|(name, _)| written.get(name)).and_then(Value::as_str);
        let resource =
            Resource::new(of.kind(), path.unwrap_or_default()).map_err(|error| error.to_string())?;
        let text = canonical(&written).ok().and_then(|text| String::from_utf8(text).ok());
        let arguments = text.and_then(|text| RawValue::from_string(text).ok());
        let arguments = arguments.ok_or("the arguments have no canonical JSON")?;
        Ok(Call {
            operation: function.into(),
            resource,
            arguments,
            sealed: Arc::new(sealed),
            sent: Requests::default(),
        })
    }

    /// Its description.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// Where its requests go.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Compiles it, if that was not done yet.
    pub async fn compile(&self) -> Result<(), Failure> {
        self.0.compile().await
    }

    /// One phase of a call. All but the first two need what was prepared; `got` is what `perform` returned.
    pub async fn phase(
        &self,
        phase: Phase,
        call: &Call,
        played: Vec<Played>,
        before: Option<&Prepared<Found>>,
        got: Option<&RawValue>,
    ) -> Result<Tried, Failure> {
        let of = &self.0;
        let unprepared =
            || Failure::Invalid(format!("`{}` comes after a `prepare` that went well", phase.name()));
        let before = before.ok_or_else(unprepared);
        Ok(match phase {
            Phase::Observe => Tried::Returned(of.observe(call, played).await?),
            Phase::Prepare => Tried::Prepared(of.prepare(call, played).await?),
            Phase::Perform => Tried::Returned(of.make(call, before?).await?),
            Phase::State => Tried::State(of.state(call, before?, got).await?),
            Phase::Undo => {
                of.take_back(call, before?, got).await?;
                Tried::Undone
            }
        })
    }
}
