//! Orders: authority is taken away, everything is stopped, a run is taken back, resolved or reviewed.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use remit_journal::{RequestId, RunId};
use remit_lifecycle::{
    Actor, Error, ExtendedView, Host, Order, OrderKind, Target, Verdict, extend, prepare_extend,
    prepare_freeze, prepare_resolve, prepare_revert, prepare_review, prepare_revoke, resolve, revert,
    submit_order,
};
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, KeyId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sessions::{Signed, signer, to_sign};
use crate::app::App;
use crate::exchange::{Json, json, to_end};
use crate::problem::Answer;
use crate::rate::Toll;
use crate::who::Caller;

/// What is to be ordered.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "prepare-order")]
pub(crate) struct Prepare {
    /// The id of the key that will sign it. If it is left out, the key that opened the session.
    #[serde(default)]
    key: Option<String>,
    /// Why.
    reason: String,
    /// What.
    order: Wanted,
}

/// An order, by name.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "wanted-order")]
enum Wanted {
    /// Take away a request, and what was granted by its approval.
    RevokeRequest(#[schemars(with = "String")] RequestId),
    /// Take away all that a principal asked for or approved so far, and every key it has.
    RevokePrincipal(String),
    /// Take a key away, by its id.
    RevokeKey(String),
    /// Take away an action, by the digest of its component.
    RevokeAction(#[schemars(with = "String")] Digest),
    /// Take away a connector, by the digest of its component.
    RevokeConnector(#[schemars(with = "String")] Digest),
    /// Take away all authority that exists now.
    RevokeAll,
    /// Stop every run, and let none start.
    Freeze,
    /// Let runs start again.
    Unfreeze,
    /// Mark a run as reviewed that went without the usual policy.
    Review(#[schemars(with = "String")] RunId),
    /// Take the changes of a run back.
    Revert {
        /// The run.
        #[schemars(with = "String")]
        run: RunId,
        /// Whether to go on with earlier changes when one cannot be taken back.
        #[serde(default)]
        keep_going: bool,
    },
    /// Let the changes of a run stand for longer, before the host undoes them by itself. Only a person can.
    Extend {
        /// The run.
        #[schemars(with = "String")]
        run: RunId,
        /// When the host undoes its changes, to the second.
        #[schemars(with = "String")]
        until: Timestamp,
    },
    /// Say what became of a call in doubt.
    Resolve {
        /// The run.
        #[schemars(with = "String")]
        run: RunId,
        /// The number of the call. It can be left out where only one is in doubt.
        #[serde(default)]
        call: Option<u64>,
        /// Whether it took effect.
        happened: bool,
    },
}

pub(crate) async fn prepare(
    State(app): State<App>,
    caller: Caller,
    Json(asked): Json<Prepare>,
) -> Answer<Response> {
    let by = signer(&app, &caller, asked.key.as_deref())?;
    let (host, reason) = (&app.host, asked.reason);
    let target = match asked.order {
        Wanted::Freeze => return to_sign(&prepare_freeze(host, &by, true, &reason)?),
        Wanted::Unfreeze => return to_sign(&prepare_freeze(host, &by, false, &reason)?),
        Wanted::Review(run) => return to_sign(&prepare_review(host, &by, run, &reason)?),
        Wanted::Revert { run, keep_going } => {
            return to_sign(&prepare_revert(host, &by, run, keep_going, Some(&reason))?);
        }
        Wanted::Extend { run, until } => {
            return to_sign(&prepare_extend(host, &by, run, until, &reason)?);
        }
        Wanted::Resolve { run, call, happened } => {
            let verdict = Verdict { call, happened, reason };
            return to_sign(&prepare_resolve(host, &by, run, &verdict).await?);
        }
        Wanted::RevokeRequest(id) => Target::Request(id),
        Wanted::RevokePrincipal(name) => Target::Principal(name),
        Wanted::RevokeKey(id) => Target::Key(id.parse::<KeyId>()?.to_string()),
        Wanted::RevokeAction(digest) => Target::Action(digest),
        Wanted::RevokeConnector(digest) => Target::Connector(digest),
        Wanted::RevokeAll => Target::All,
    };
    to_sign(&prepare_revoke(host, &by, target, &reason)?)
}

/// An order that was done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "done-order")]
pub(crate) struct Done {
    /// What was ordered, as it was signed.
    order: Value,
    /// The runs that stop at their next call because of it.
    #[schemars(with = "Vec<String>")]
    stopping: Vec<RunId>,
    /// Of a run that was taken back, resolved or extended: how that went, as in `answer-of-revert`.
    result: Option<Value>,
}

pub(crate) async fn submit(
    State(app): State<App>,
    toll: Toll,
    Json(signed): Json<Signed>,
) -> Answer<Response> {
    let (envelope, order) = signed.read::<Order>(&app, toll)?;
    let host = app.host.clone();
    json(StatusCode::OK, &to_end(&app, async move { perform(&host, envelope, order).await }).await??)
}

async fn perform(host: &Host, envelope: Envelope, order: Order) -> Answer<Done> {
    let told = serde_json::to_value(&order.order).map_err(Error::from)?;
    let actor = |envelope| Actor::Principal(Box::new(envelope));
    let result = match order.order {
        OrderKind::Revert { run, keep_going } => {
            let reverted = revert(host, &actor(envelope), run, keep_going).await?;
            serde_json::to_value(reverted.view(run, false)).map_err(Error::from)?
        }
        OrderKind::Extend { run, until } => {
            extend(host, &actor(envelope), run, until, &order.reason).await?;
            serde_json::to_value(ExtendedView { run, until }).map_err(Error::from)?
        }
        OrderKind::Resolve { run, call, happened } => {
            let verdict = Verdict { call: Some(call), happened, reason: order.reason };
            serde_json::to_value(resolve(host, &actor(envelope), run, &verdict).await?)
                .map_err(Error::from)?
        }
        // What can only be done where nothing else goes on is refused there.
        _ => {
            let stopping = submit_order(host, &envelope).await?.stopping;
            return Ok(Done { order: told, stopping, result: None });
        }
    };
    Ok(Done { order: told, stopping: Vec::new(), result: Some(result) })
}
