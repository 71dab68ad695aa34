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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// One call of each kind. A new kind does not compile before it is here.
    fn all() -> Vec<Call> {
        let (id, run) = (RequestId::new(), RunId::new());
        let digest = Digest::of(b"");
        let envelope = || {
            let text = r#"{"payload":"e30=","payloadType":"t","signatures":[{"sig":"AA=="}]}"#;
            serde_json::from_str::<Envelope>(text).unwrap()
        };
        let orders = [
            Wanted::RevokeRequest(id),
            Wanted::RevokePrincipal(String::new()),
            Wanted::RevokeKey(String::new()),
            Wanted::RevokeAction(digest),
            Wanted::RevokeAll,
            Wanted::Freeze,
            Wanted::Revert { run },
        ];
        let order = |order| Call::PrepareOrder { reason: String::new(), order, key: String::new() };
        let mut calls = vec![
            Call::Actions { before: None, limit: 1 },
            Call::Inspect(digest),
            Call::Rehearse(json!({})),
            Call::Request(id),
            Call::Explain(id),
            Call::Runs,
            Call::Run(run),
            Call::Proof(run),
            Call::PreviewRevert(run),
            Call::PrepareRequest(json!({})),
            Call::SubmitRequest(envelope()),
            Call::PrepareRun(json!({})),
            Call::SubmitRun(envelope(), None),
            Call::SubmitOrder(envelope()),
        ];
        calls.extend(orders.map(order));
        for call in &calls {
            match call {
                Call::Actions { .. } | Call::Inspect(_) | Call::Rehearse(_) | Call::Request(_) => {}
                Call::Explain(_) | Call::Runs | Call::Run(_) | Call::Proof(_) | Call::PreviewRevert(_) => {}
                Call::PrepareRequest(_) | Call::SubmitRequest(_) | Call::PrepareRun(_) => {}
                Call::SubmitRun(..) | Call::PrepareOrder { .. } | Call::SubmitOrder(_) => {}
            }
        }
        calls
    }

    /// The routes that no tool reaches, of all that a server has: adding one of them here or there is a decision.
    #[test]
    fn no_tool_reaches_what_only_people_do() {
        let description: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
        let reached = |method: &str, route: &str| {
            all().iter().any(|call| {
                let path = call.path();
                let path = path.split('?').next().unwrap_or_default();
                let same = |(part, wanted): (&str, &str)| {
                    part == wanted || wanted.starts_with('{') && part.len() > 20
                };
                call.method() == method
                    && path.split('/').count() == route.split('/').count()
                    && path.split('/').zip(route.split('/')).all(same)
            })
        };
        let mut others = Vec::new();
        for (route, methods) in description["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
                if !reached(&method, route) {
                    others.push(format!("{method} {route}"));
                }
            }
        }
        let mut others: Vec<&str> = others
            .iter()
            .filter_map(|route| Some(route.split_once("/api/v1/")?.1).filter(|_| !route.starts_with("GET")))
            .collect();
        others.sort_unstable();
        assert_eq!(
            others,
            [
                "actions/{digest}",
                "certificates",
                "decisions",
                "requests/{request}/decisions/prepare",
                "sealed-inputs/{handle}",
                "sessions",
                "sessions/prepare",
            ]
        );
        let orders: Vec<Value> =
            all().iter().filter_map(|call| Some(call.body()?["order"].clone())).collect();
        let names: Vec<String> = orders
            .iter()
            .filter_map(|order| {
                order.as_str().map(str::to_owned).or_else(|| Some(order.as_object()?.keys().next()?.clone()))
            })
            .collect();
        assert_eq!(
            names,
            [
                "revoke-request",
                "revoke-principal",
                "revoke-key",
                "revoke-action",
                "revoke-all",
                "freeze",
                "revert"
            ]
        );
    }
}
