//! Requests, and what people say of them.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use remit_gate::Scope;
use remit_journal::RequestId;
use remit_lifecycle::{
    ActionSelector, Approval, Decision, Error, Hours, Input, Request, RequestFilter, RequestOptions,
    RequestState, RequestView, StandingScope, prepare_run_request, submit_decision as decide, submit_request,
    submit_request_once,
};
use remit_trust::Digest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::block_in_place;

use super::actions::heavy;
use super::plans::scope;
use super::sessions::{Signed, signer, to_sign};
use crate::app::App;
use crate::exchange::{Json, Params, json, page_size, to_end};
use crate::problem::{Answer, Problem};
use crate::rate::Toll;
use crate::who::Caller;

/// Which requests are listed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// Also those that give no authority any more; for people, the orders about this host too.
    all: bool,
    /// Only those that wait for approval or give authority.
    live: bool,
    /// Only those that were made at this time or later.
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    /// Only those in this state: `waiting`, `approved`, `used`, `closed`, `expired`, `forbidden`.
    state: Option<String>,
    /// Only those for actions of this name.
    action: Option<String>,
    /// Only those that this principal asked for, or may start.
    principal: Option<String>,
    /// Only those that were made before this one: `next` of the page before.
    #[schemars(with = "Option<String>")]
    before: Option<RequestId>,
    /// At most so many.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
}

pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(asked): Params<Filter>,
) -> Answer<Response> {
    let filter = RequestFilter {
        all: asked.all,
        live: asked.live,
        states: asked.state.into_iter().collect(),
        since: asked.since,
        action: asked.action,
        principal: asked.principal,
        before: asked.before,
        most: Some(page_size(asked.limit)?),
        among: None,
    };
    block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        // One that cannot be read any more gives no authority.
        let filter = app.host.among(&reader, &rules, filter)?;
        let (mut found, _) = filter.list(&reader, &rules, |request| caller.sees(request))?;
        if caller.is_person().is_err() {
            found.orders.clear();
        }
        json(StatusCode::OK, &found)
    })
}

pub(crate) async fn show(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Response> {
    block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        let case = caller.request(&reader, &rules, &id)?;
        json(StatusCode::OK, &RequestView::of(&reader, &rules, &case)?)
    })
}

pub(crate) async fn explain(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
) -> Answer<Response> {
    block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        let case = caller.request(&reader, &rules, &id)?;
        json(StatusCode::OK, &remit_lifecycle::explain(&reader, &rules, &case)?)
    })
}

/// What is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "prepare-request")]
pub(crate) struct Prepare {
    /// The id of the key that will sign it. If it is left out, the key that opened the session.
    #[serde(default)]
    key: Option<String>,
    /// The digest of the action, which is kept here already.
    #[schemars(with = "String")]
    action: Digest,
    /// What it is given; not of a standing scope.
    #[serde(default)]
    input: Option<Value>,
    /// What it may touch. Without it, of a run: no more than its plan needs.
    #[serde(default)]
    #[schemars(schema_with = "scope")]
    scope: Option<Scope>,
    /// Asks for any change inside the scope, instead of a plan.
    #[serde(default)]
    without_plan: bool,
    /// Asks for authority ahead of need.
    #[serde(default)]
    standing: Option<Standing>,
    /// Why.
    reason: String,
    /// Part of which incident.
    #[serde(default)]
    incident: Option<String>,
    /// For how long from now, such as `1h`: at most 24h, a standing scope at most 30 days.
    #[serde(default = "an_hour", deserialize_with = "remit_text::duration::deserialize")]
    #[schemars(with = "String")]
    ttl: SignedDuration,
    /// How many runs it is for; not of a standing scope.
    #[serde(default)]
    uses: Option<u32>,
    /// Who may start runs. If it is left out, the requester.
    #[serde(default)]
    triggers: Vec<String>,
    /// Asks to go without the usual policy.
    #[serde(default)]
    break_glass: bool,
}

fn an_hour() -> SignedDuration {
    SignedDuration::from_hours(1)
}

/// What a standing scope is good for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "prepare-standing")]
pub(crate) struct Standing {
    /// Every version of the action in this range that its publisher signs, instead of this one alone: `^1.2`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    versions: Option<semver::VersionReq>,
    /// When runs may start, such as `mon-fri 22:00-06:00`, in UTC. If it is left out, always.
    #[serde(default)]
    hours: Vec<String>,
    /// How many runs may start within an hour.
    runs_per_hour: u32,
    /// How many changes they may make within an hour, all together.
    changes_per_hour: u64,
}

pub(crate) async fn prepare(
    State(app): State<App>,
    caller: Caller,
    Json(asked): Json<Prepare>,
) -> Answer<Response> {
    let by = signer(&app, &caller, asked.key.as_deref())?;
    let candidate = app.host.component(asked.action)?;
    let options = RequestOptions {
        reason: asked.reason,
        incident: asked.incident,
        ttl: asked.ttl,
        uses: if asked.standing.is_some() { asked.uses } else { Some(asked.uses.unwrap_or(1)) },
        triggers: asked.triggers,
        break_glass: asked.break_glass,
    };
    match (asked.standing, asked.input) {
        (Some(standing), None) => {
            let Some(scope) = asked.scope else {
                return Err(Problem::usage("a standing scope needs `scope`"));
            };
            let hours = standing
                .hours
                .iter()
                .map(|hours| hours.parse::<Hours>().map_err(|why| Problem::usage(format!("`hours`: {why}"))));
            let standing = StandingScope {
                action: ActionSelector::of(
                    &app.host.setup()?.publishers,
                    &candidate,
                    standing.versions.as_ref(),
                )?,
                hours: hours.collect::<Answer<_>>()?,
                runs_per_hour: standing.runs_per_hour,
                changes_per_hour: standing.changes_per_hour,
            };
            to_sign(&remit_lifecycle::prepare_standing_request(&app.host, &by, standing, scope, options)?)
        }
        (None, Some(input)) => {
            let turn = heavy(&app).await?;
            let input = Input::of(&input)?;
            let how = (asked.scope, asked.without_plan);
            let host = app.host.clone();
            let prepared = to_end(&app, async move {
                let _turn = turn;
                prepare_run_request(&host, &by, &candidate, &input, how, options).await
            });
            to_sign(&prepared.await??)
        }
        _ => Err(Problem::usage("a run has `input`, a standing scope has `standing`: exactly one of them")),
    }
}

/// The answer about a request that is on record.
fn state(app: &App, status: StatusCode, case: &RequestState) -> Answer<Response> {
    block_in_place(|| {
        json(status, &RequestView::of(&*app.host.journal.reader()?, &*app.host.rules()?, case)?)
    })
}

/// The answer to a document that was accepted; the same to one that was accepted before, so that a client whose
/// answer was lost can ask again.
fn accepted(app: &App, done: Result<RequestState, Error>, id: RequestId) -> Answer<Response> {
    match done {
        Ok(case) => state(app, StatusCode::CREATED, &case),
        Err(Error::OnRecord { .. }) => {
            let case =
                block_in_place(|| RequestState::load(&*app.host.journal.reader()?, &*app.host.rules()?, id))?;
            state(app, StatusCode::OK, &case)
        }
        Err(error) => Err(error.into()),
    }
}

/// The header of a client that may ask a second time because it does not know whether it has asked
/// (draft-ietf-httpapi-idempotency-key-header).
const ONCE: &str = "idempotency-key";

/// Whether a call has [`ONCE`]. What it says does not matter: whether it is the same is seen in what is asked for.
fn is_once(headers: &HeaderMap) -> Answer<bool> {
    let mut all = headers.get_all(ONCE).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(false),
        (Some(key), None) if (1..=255).contains(&key.len()) && key.to_str().is_ok() => Ok(true),
        _ => Err(Problem::usage("the header Idempotency-Key must be there once, with 1 to 255 characters")),
    }
}

pub(crate) async fn submit(
    State(app): State<App>,
    toll: Toll,
    headers: HeaderMap,
    Json(signed): Json<Signed>,
) -> Answer<Response> {
    let once = is_once(&headers)?;
    let (envelope, claimed) = signed.read::<Request>(&app, toll)?;
    let turn = heavy(&app).await?;
    let host = app.host.clone();
    let done = to_end(&app, async move {
        let _turn = turn;
        if once {
            submit_request_once(&host, &envelope).await
        } else {
            submit_request(&host, &envelope).await
        }
    });
    match done.await? {
        // Asked for before.
        Ok(case) if case.request.id != claimed.id => state(&app, StatusCode::OK, &case),
        done => accepted(&app, done, claimed.id),
    }
}

/// What a principal decides.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "prepare-decision")]
pub(crate) struct Decide {
    /// The id of the key that will sign it. If it is left out, the key that opened the session.
    #[serde(default)]
    key: Option<String>,
    /// True to approve, false to deny.
    approve: bool,
    /// Why; to deny, it must be said.
    #[serde(default)]
    reason: String,
    /// The digest of the request that the principal looked at.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    digest: Option<Digest>,
}

pub(crate) async fn prepare_decision(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    Json(decide): Json<Decide>,
) -> Answer<Response> {
    let by = signer(&app, &caller, decide.key.as_deref())?;
    let id = {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        caller.request(&reader, &rules, &id)?.request.id
    };
    let decision = Decision { approve: decide.approve, reason: decide.reason, expect: decide.digest };
    to_sign(&remit_lifecycle::prepare_decision(&app.host, &by, id, &decision)?)
}

pub(crate) async fn submit_decision(
    State(app): State<App>,
    toll: Toll,
    Json(signed): Json<Signed>,
) -> Answer<Response> {
    let (envelope, claimed) = signed.read::<Approval>(&app, toll)?;
    let host = app.host.clone();
    let done = to_end(&app, async move { decide(&host, &envelope).await });
    accepted(&app, done.await?, claimed.id)
}
