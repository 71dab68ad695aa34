//! One phase of one call of a connector: what it may send, and what it sent.

use std::sync::Arc;

use remit_gate::{Failure, SealedInputs};
use remit_trust::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Description, Origin, Placeholders, Request, Response};

/// A function of the connector's export, which decides what may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Reads for the action.
    Observe,
    /// Reads before a change.
    Prepare,
    /// Makes the change: one request of `change`.
    Perform,
    /// Reads after a change.
    State,
    /// Takes the change back: one request of `undo`.
    Undo,
}

/// The call that templates are filled from.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The name of the function: `remit:tokens/tokens.revoke`.
    pub function: String,
    /// The path of the journaled resource, with the name of the instance.
    pub path: String,
    /// The journaled arguments: an object by the names of the parameters.
    pub arguments: Value,
    /// The journaled `undo` of the preparation, an object; `Null` where there is none yet.
    pub undo: Value,
    /// The sealed inputs of the run.
    pub sealed: Arc<SealedInputs>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The connector is told, and goes on.
    Failure(Failure),
    /// The request is not one that this phase may send: the phase ends with this failure, and the connector is not asked any
    /// more. Nothing was sent for it.
    Breach(Failure),
}

/// One request that was sent, for the outcome's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The template that it matched, as the description has it.
    pub template: String,
    /// The status of the answer; none if there was no answer.
    pub status: Option<u16>,
    /// The digest of the body that was sent, with placeholders in place of secrets; none of a request without a body.
    pub request: Option<Digest>,
    /// The digest of the answer's body as the connector saw it.
    pub answer: Option<Digest>,
}

/// One phase of one call. When it is dropped, nothing more is sent.
#[derive(Debug)]
pub struct Exchange {
    _unfinished: (),
}

impl Exchange {
    /// Begins a phase; its time runs from now. `placeholders` are those of the call's earlier phases: `Arc::default()` in the first.
    ///
    /// Fails with `invalid` if the arguments do not fill the function's templates, such as a path with another number of segments.
    pub fn new(
        _description: Arc<Description>,
        _origin: Arc<Origin>,
        _phase: Phase,
        _call: Call,
        _placeholders: Arc<Placeholders>,
    ) -> Result<Self, Failure> {
        unimplemented!()
    }

    /// Sends a request if it may be sent, and waits for the answer.
    pub fn send(&self, _request: Request) -> Result<Response, NoAnswer> {
        unimplemented!()
    }

    /// What was sent until now, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        unimplemented!()
    }

    /// The breach that ended the phase. It is the outcome, whatever the connector says.
    #[must_use]
    pub fn breach(&self) -> Option<Failure> {
        unimplemented!()
    }

    /// Text by the connector (a log line, an error) without secrets and placeholders: each is shown as `…`.
    #[must_use]
    pub fn masked(&self, _text: &str) -> String {
        unimplemented!()
    }

    /// Whether text by the connector (a result, `undo`, `describe`) has a secret or a placeholder in it. Then it is not used.
    #[must_use]
    pub fn has_secret(&self, _text: &str) -> bool {
        unimplemented!()
    }
}
