//! A call of a connector as the host knows it: what it is filled from, what may come of a request, and what is on record of it.

use std::sync::Arc;

use remit_gate::{Failure, SealedValues};
use remit_trust::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Function;
use crate::template::Template;

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

impl Phase {
    /// The name of the connector's function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Prepare => "prepare",
            Self::Perform => "perform",
            Self::State => "state",
            Self::Undo => "undo",
        }
    }

    /// The requests of a function by which it may change something, one of them once.
    #[must_use]
    pub fn writes(self, function: &Function) -> &[Template] {
        match self {
            Self::Perform => function.change(),
            Self::Undo => function.undo(),
            Self::Observe | Self::Prepare | Self::State => &[],
        }
    }
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
    /// The journaled result of `perform`; `Null` where there is none.
    pub got: Value,
    /// The values whose handles are in the arguments.
    pub sealed: Arc<SealedValues>,
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
    /// Whether it was the one change of the call.
    pub change: bool,
    /// The status of the answer; none if there was no answer.
    pub status: Option<u16>,
    /// The digest of the body that was sent, with placeholders and handles in place of secrets; none of a request without a body.
    pub request: Option<Digest>,
    /// The digest of the answer's body as the connector saw it.
    pub answer: Option<Digest>,
}
