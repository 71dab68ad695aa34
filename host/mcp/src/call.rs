//! The calls that tools can make.

use remit_journal::{RequestId, RunId};
use remit_trust::Digest;
use remit_trust::dsse::Envelope;
use serde::Serialize;
use serde_json::{Value, json};

/// A call of the HTTP API. Those that are not here no tool can make: decisions, sessions, and orders that are no [`Wanted`].
#[derive(Debug)]
pub enum Call {
    /// The actions that are kept, a page of them.
    Actions {
        /// The last one of the page before.
        before: Option<Digest>,
        /// How many at most.
        limit: u16,
    },
    /// What an action could do.
    Inspect(Digest),
    /// Rehearses.
    Rehearse(Value),
    /// A request.
    Request(RequestId),
    /// Which policies decide about a request.
    Explain(RequestId),
    /// The newest runs that were real.
    Runs,
    /// A run.
    Run(RunId),
    /// The proof of a run.
    Proof(RunId),
    /// What a revert would undo.
    PreviewRevert(RunId),
    /// Makes a request for its signature.
    PrepareRequest(Value),
    /// Submits a request. An open one of the same principal for the same is the answer instead.
    SubmitRequest(Envelope),
    /// Makes a trigger for its signature.
    PrepareRun(Value),
    /// Submits a trigger, with what the action is given under a standing scope.
    SubmitRun(Envelope, Option<Value>),
    /// Makes an order for its signature.
    PrepareOrder {
        /// Why.
        reason: String,
        /// What.
        order: Wanted,
        /// The id of the key that will sign it.
        key: String,
    },
    /// Submits an order.
    SubmitOrder(Envelope),
}

/// An order that a tool can give: each of them stops something or takes something away.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// Takes away a request.
    RevokeRequest(RequestId),
    /// Takes away all that a principal has.
    RevokePrincipal(String),
    /// Takes away a key.
    RevokeKey(String),
    /// Takes away an action.
    RevokeAction(Digest),
    /// Takes away all authority that there is.
    RevokeAll,
    /// Stops every run.
    Freeze,
    /// Undoes the changes of a run.
    Revert {
        /// The run.
        run: RunId,
    },
}

impl Call {
    /// Whether the body is a signed document, which proves by itself who calls.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::SubmitRequest(_) | Self::SubmitRun(..) | Self::SubmitOrder(_))
    }

    /// Whether it has the header `Idempotency-Key`.
    #[must_use]
    pub fn is_once(&self) -> bool {
        matches!(self, Self::SubmitRequest(_))
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self.body() {
            Some(_) => "POST",
            None => "GET",
        }
    }

    /// The path, with its query.
    #[must_use]
    pub fn path(&self) -> String {
        let path = match self {
            Self::Actions { before, limit } => match before {
                Some(before) => format!("actions?limit={limit}&before={before}"),
                None => format!("actions?limit={limit}"),
            },
            Self::Inspect(digest) => format!("actions/{digest}"),
            Self::Rehearse(_) => "plans".to_owned(),
            Self::Request(id) => format!("requests/{id}"),
            Self::Explain(id) => format!("requests/{id}/explanation"),
            Self::Runs => "runs?live=true&limit=200".to_owned(),
            Self::Run(run) => format!("runs/{run}"),
            Self::Proof(run) => format!("runs/{run}/proof"),
            Self::PreviewRevert(run) => format!("runs/{run}/revert"),
            Self::PrepareRequest(_) => "requests/prepare".to_owned(),
            Self::SubmitRequest(_) => "requests".to_owned(),
            Self::PrepareRun(_) => "runs/prepare".to_owned(),
            Self::SubmitRun(..) => "runs".to_owned(),
            Self::PrepareOrder { .. } => "orders/prepare".to_owned(),
            Self::SubmitOrder(_) => "orders".to_owned(),
        };
        format!("/api/v1/{path}")
    }

    /// The body; none for a call that only reads.
    #[must_use]
    pub fn body(&self) -> Option<Value> {
        Some(match self {
            Self::Rehearse(body) | Self::PrepareRequest(body) | Self::PrepareRun(body) => body.clone(),
            Self::SubmitRequest(envelope) | Self::SubmitOrder(envelope) => json!(envelope),
            Self::SubmitRun(envelope, None) => json!({"document": envelope}),
            Self::SubmitRun(envelope, Some(input)) => json!({"document": envelope, "input": input}),
            Self::PrepareOrder { reason, order, key } => {
                json!({"reason": reason, "order": order, "key": key})
            }
            _ => return None,
        })
    }
}
