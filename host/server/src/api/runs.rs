//! Runs: started, listed, followed, proven.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_core::Stream;
use jiff::Timestamp;
use remit_journal::{RequestId, RunId, RunSummary, Span};
use remit_lifecycle::{
    Error, Input, RunFilter, StoryView, Timeline, Trigger, prepare_start, preview_revert, submit_start,
};
use remit_trust::Digest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::block_in_place;

use super::actions::heavy;
use super::sessions::{Signed, ToSign, signer, to_sign};
use crate::app::App;
use crate::exchange::{Json, Params, json, page_size, to_end};
use crate::problem::{Answer, Problem};
use crate::rate::Toll;
use crate::who::Caller;

/// Which runs are listed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// Only those in this state: `succeeded`, `failed`, `refused`, `reverted`, `held`, `in-doubt`, `rehearsed`, `unfinished`.
    state: Option<String>,
    /// Only those that started at this time or later.
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    /// Only those of actions of this name.
    action: Option<String>,
    /// Only those that this principal asked for or started.
    principal: Option<String>,
    /// Only those that were real: no rehearsals.
    live: bool,
    /// Only those that started before this one: `next` of the page before.
    #[schemars(with = "Option<String>")]
    before: Option<RunId>,
    /// At most so many.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
}

/// A page of runs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "page-of-runs")]
pub(crate) struct Page {
    /// The runs, newest first.
    #[schemars(schema_with = "summaries")]
    runs: Vec<RunSummary>,
    /// For `before`, to get the next page; none after the last.
    #[schemars(with = "Option<String>")]
    next: Option<RunId>,
}

fn summaries(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"$ref": "#/components/schemas/run-summary"}})
}

pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(asked): Params<Filter>,
) -> Answer<Response> {
    let size = page_size(asked.limit)?;
    let filter = RunFilter {
        states: asked.state.into_iter().collect(),
        since: asked.since,
        action: asked.action,
        principal: asked.principal,
        live: asked.live,
    };
    let (runs, next) = block_in_place(|| {
        let reader = app.host.journal.reader()?;
        let span = Span { before: asked.before, since: asked.since, most: size };
        reader.page(span, |run| caller.sees_run(run) && filter.selects_by(run))
    })?;
    json(StatusCode::OK, &Page { runs, next })
}

pub(crate) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
) -> Answer<Response> {
    block_in_place(|| {
        let reader = app.host.journal.reader()?;
        let run = caller.run(&reader, &name)?.run;
        let records = reader.run(&run)?;
        let story = Timeline::of(run, &records)?;
        json(StatusCode::OK, &StoryView::of(run, &story, &records))
    })
}

/// How a revert would go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Going {
    /// Whether it would skip what cannot be undone, instead of stopping there.
    #[serde(default)]
    keep_going: bool,
}

pub(crate) async fn preview(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(going): Params<Going>,
    caller: Caller,
) -> Answer<Response> {
    let run = caller.run(&*app.host.journal.reader()?, &name)?.run;
    json(StatusCode::OK, &preview_revert(&app.host, run, going.keep_going).await?.view(run, true))
}

pub(crate) async fn prove(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
) -> Answer<Response> {
    block_in_place(|| {
        let reader = app.host.journal.reader()?;
        let run = caller.run(&reader, &name)?.run;
        let home = &app.host.home;
        json(StatusCode::OK, &reader.prove(&run, &home.signer(&home.load()?)?)?)
    })
}

/// What is to be started.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "prepare-run")]
pub(crate) struct Prepare {
    /// The id of the key that will sign it. If it is left out, the key that opened the session.
    #[serde(default)]
    key: Option<String>,
    /// The request under which it starts.
    #[schemars(with = "String")]
    request: RequestId,
    /// Under a standing scope: the action, by its digest.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    action: Option<Digest>,
    /// Under a standing scope: what it is given.
    #[serde(default)]
    input: Option<Value>,
    /// Under a standing scope: why.
    #[serde(default)]
    reason: Option<String>,
}

pub(crate) async fn prepare(
    State(app): State<App>,
    caller: Caller,
    Json(asked): Json<Prepare>,
) -> Answer<Response> {
    let by = signer(&app, &caller, asked.key.as_deref())?;
    let what = match (asked.action, &asked.input) {
        (None, None) => None,
        (Some(action), Some(input)) => Some((app.host.component(action)?, Input::of(input)?)),
        _ => return Err(Problem::usage("under a standing scope, name both `action` and `input`")),
    };
    let what = what.as_ref().map(|(candidate, input)| (candidate, input));
    to_sign(&prepare_start(&app.host, &by, asked.request, what, asked.reason.as_deref())?)
}

/// What starts a run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "start-run")]
pub(crate) struct Start {
    /// The signed trigger.
    document: Signed,
    /// Under a standing scope: what the action is given, which the trigger has the digest of.
    #[serde(default)]
    input: Option<Value>,
}

impl Start {
    /// A trigger of a request for a run, which says all that is needed.
    pub(crate) fn of(document: Signed) -> Self {
        Self { document, input: None }
    }
}

/// A run that was started.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "started-run")]
pub(crate) struct Started {
    /// Its name.
    #[schemars(with = "String")]
    run: RunId,
}

pub(crate) async fn start(State(app): State<App>, toll: Toll, Json(start): Json<Start>) -> Answer<Response> {
    if *app.stopping.borrow() {
        let why = "the server is about to stop, and starts nothing more";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::stopping", why).retry_after(10));
    }
    let (envelope, trigger) = start.document.read::<Trigger>(&app, toll)?;
    let what = match &start.input {
        Some(input) => Some((app.host.component(trigger.action)?, Input::of(input)?)),
        None => None,
    };
    let turn = heavy(&app).await?;
    let host = app.host.clone();
    let begun = to_end(&app, async move {
        let _turn = turn;
        let what = what.as_ref().map(|(candidate, input)| (candidate, input));
        let start = submit_start(&host, &envelope, what).await?;
        // Whoever is told of a run finds it after a crash, too.
        host.journal.flush().await?;
        Ok::<_, Error>(start)
    })
    .await?;
    match begun {
        Ok(remit_lifecycle::Start::Started(started)) => {
            json(StatusCode::ACCEPTED, &Started { run: started.run })
        }
        Ok(remit_lifecycle::Start::Outside { request, why }) => {
            let prepared = serde_json::to_value(ToSign::from(&*request)).map_err(Error::from)?;
            let why = format!("{} does not cover this: {why}", trigger.id);
            let help = "it can be asked for instead: sign `prepared`, and submit it as a request";
            Err(Problem::new(StatusCode::CONFLICT, "refused::outside", why).help(help).prepared(prepared))
        }
        // The answer was lost, and the client asks again.
        Err(Error::OnRecord { .. }) => json(StatusCode::ACCEPTED, &Started { run: trigger.run }),
        Err(error) => Err(error.into()),
    }
}

/// How long a stream may say nothing.
const SILENCE: Duration = Duration::from_secs(15);
/// How many records of a run are in memory for one who follows it.
const AT_ONCE: usize = 50;

pub(crate) async fn follow(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
) -> Answer<Response> {
    let run = caller.run(&*app.host.journal.reader()?, &name)?.run;
    let Ok(room) = app.streams.clone().try_acquire_owned() else {
        let why = "as many streams are open as this server lets";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::room", why).retry_after(10));
    };
    let stream = records(app, caller, run, room);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(SILENCE)).into_response())
}

/// The records of a run, each as an event with its number as id, until the run has come to an end, or the caller's key does not
/// count any more.
fn records(
    app: App,
    caller: Caller,
    run: RunId,
    room: tokio::sync::OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let _room = room;
        let mut written = app.records.clone();
        let mut stopping = app.stopping.clone();
        let mut told = 0;
        loop {
            written.mark_unchanged();
            let turn = app.turns.take().await;
            let read = block_in_place(|| {
                app.host.identify(&caller.0.key)?;
                let reader = app.host.journal.reader()?;
                Ok::<_, Error>((reader.summary(run)?.state, reader.run_since(&run, told, AT_ONCE)?))
            });
            drop(turn);
            let Ok((state, records)) = read else { return };
            let more = records.len() == AT_ONCE;
            for (seq, record) in records {
                told = seq;
                let Ok(text) = serde_json::to_string(&record) else { return };
                yield Ok(Event::default().id(seq.to_string()).event(record.event.kind()).data(remit_text::json_text(&text)));
            }
            if more {
                continue;
            }
            if state.is_some() {
                return;
            }
            tokio::select! {
                changed = written.changed() => if changed.is_err() { return },
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }
}
