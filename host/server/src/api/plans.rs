//! Rehearsals.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use remit_gate::Scope;
use remit_lifecycle::{Input, rehearse as play};
use remit_trust::Digest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use super::actions::heavy;
use super::sessions::signer;
use crate::app::App;
use crate::exchange::{Json, json, to_end};
use crate::problem::Answer;
use crate::who::Caller;

/// What is rehearsed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "rehearse")]
pub(crate) struct Rehearse {
    /// The digest of the action, which is kept here already.
    #[schemars(with = "String")]
    action: Digest,
    /// What it is given.
    input: Value,
    /// What it may look at. Without it: whatever the action imports, if the policies allow that.
    #[serde(default)]
    #[schemars(schema_with = "scope")]
    scope: Option<Scope>,
    /// Why, for the record.
    #[serde(default)]
    reason: String,
}

/// The shape of a scope.
pub(crate) fn scope(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"$ref": "#/components/schemas/scope"})
}

pub(crate) async fn rehearse(
    State(app): State<App>,
    caller: Caller,
    Json(what): Json<Rehearse>,
) -> Answer<Response> {
    let turn = heavy(&app).await?;
    let by = signer(&app, &caller, None)?;
    let (candidate, input) = (app.host.component(what.action)?, Input::of(&what.input)?);
    let host = app.host.clone();
    let plan = to_end(&app, async move {
        let _turn = turn;
        play(&host, &by, (&candidate, &input), what.scope, &what.reason).await
    });
    json(StatusCode::OK, &plan.await??)
}
