//! Tools that look.

use std::sync::Arc;

use remit_client::{ClientError, Story};
use remit_journal::{Proof, Proven, RequestId, RunId};
use remit_lifecycle::{RequestView, Timeline, log_key};
use remit_trust::Digest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Call;
use crate::answers::{
    Actions, Explanation, Inspected, Rehearsed, RequestAnswer, RunAnswer, StoryAnswer, StoryLine, Verified,
};
use crate::reach::{Reach, ask};
use crate::schema::documented;
use crate::table::{Failure, Outcome};

fn a_page() -> u16 {
    50
}

/// Which actions are listed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListActions {
    /// `next` of the page before.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    before: Option<Digest>,
    /// At most so many.
    #[serde(default = "a_page")]
    #[schemars(range(min = 1, max = 200))]
    limit: u16,
}

pub(crate) async fn list_actions<R: Reach>(reach: Arc<R>, asked: ListActions) -> Outcome<Actions> {
    Ok(ask(&*reach, Call::Actions { before: asked.before, limit: asked.limit }).await?)
}

/// Which action.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneAction {
    /// The digest of the action: `sha256:…`, as `list_actions` has it.
    #[schemars(with = "String")]
    action: Digest,
}

pub(crate) async fn describe_action<R: Reach>(reach: Arc<R>, asked: OneAction) -> Outcome<Inspected> {
    Ok(ask(&*reach, Call::Inspect(asked.action)).await?)
}

/// What is rehearsed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rehearse {
    /// The digest of the action.
    #[schemars(with = "String")]
    action: Digest,
    /// What it is given: JSON that fits `manifest.input`.
    input: Value,
    /// Names of values that it is given sealed, besides: a person chose them for this client, and you do not see them.
    #[serde(default)]
    sealed: Vec<String>,
    /// What it may look at. If it is left out: whatever the action imports, as far as policies let it.
    #[serde(default)]
    #[schemars(schema_with = "scope")]
    scope: Option<Value>,
    /// Why, for the record.
    #[serde(default)]
    reason: String,
}

/// The shape of a scope.
pub(crate) fn scope(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    documented("scope")
}

pub(crate) async fn rehearse<R: Reach>(reach: Arc<R>, asked: Rehearse) -> Outcome<Rehearsed> {
    let Rehearse { action, input, sealed, scope, reason } = asked;
    let input = reach.seal(&input, &sealed)?;
    let body = json!({"action": action.to_string(), "input": input, "scope": scope, "reason": reason});
    Ok(ask(&*reach, Call::Rehearse(body)).await?)
}

/// Which request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneRequest {
    /// The whole name of the request: `req-…`.
    #[schemars(with = "String")]
    request: RequestId,
}

/// A request, with all that follows from what is signed computed here.
pub(crate) async fn request(reach: &impl Reach, id: RequestId) -> Outcome<RequestView> {
    let view = ask::<RequestView>(reach, Call::Request(id)).await?.received()?;
    if view.request.id == id {
        return Ok(view);
    }
    Err(ClientError::Altered(format!("it is {}, and not {id}", view.request.id)).into())
}

pub(crate) async fn get_request<R: Reach>(reach: Arc<R>, asked: OneRequest) -> Outcome<RequestAnswer> {
    Ok(RequestAnswer::of(request(&*reach, asked.request).await?, reach.at()))
}

pub(crate) async fn explain_policy<R: Reach>(reach: Arc<R>, asked: OneRequest) -> Outcome<Explanation> {
    Ok(ask(&*reach, Call::Explain(asked.request)).await?)
}

async fn story(reach: &impl Reach, run: RunId) -> Outcome<Timeline> {
    let story: Story = ask(reach, Call::Run(run)).await?;
    if story.run != run {
        return Err(ClientError::Altered(format!("it is {}, and not {run}", story.run)).into());
    }
    Ok(Timeline::of(run, &story.records)?)
}

/// Which run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunOrRequest {
    /// The whole name of the run: `run-…`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    run: Option<RunId>,
    /// Instead of the run: the request, for the newest run under it.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    request: Option<RequestId>,
}

pub(crate) async fn get_run<R: Reach>(reach: Arc<R>, asked: RunOrRequest) -> Outcome<RunAnswer> {
    #[derive(Deserialize)]
    struct Runs {
        runs: Vec<Listed>,
    }
    #[derive(Deserialize)]
    struct Listed {
        run: RunId,
        request: Option<RequestId>,
    }
    let run = match (asked.run, asked.request) {
        (Some(run), None) => run,
        (None, Some(request)) => {
            let Runs { runs } = ask(&*reach, Call::Runs).await?;
            let found = runs.iter().find(|listed| listed.request == Some(request));
            let Some(found) = found else {
                return Err(Failure::usage(
                    format!("no run has started under {request} that you may see"),
                    "`get_request` tells where the request stands",
                ));
            };
            found.run
        }
        _ => {
            return Err(Failure::usage("give `run` or `request`: exactly one of them", "call it again"));
        }
    };
    Ok(story(&*reach, run).await?.into())
}

/// Which part of which run's story.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadTimeline {
    /// The whole name of the run: `run-…`.
    #[schemars(with = "String")]
    run: RunId,
    /// Only lines after the record with this number: `next` of the answer before.
    #[serde(default)]
    after: u64,
    /// At most so many lines.
    #[serde(default = "a_page")]
    #[schemars(range(min = 1, max = 200))]
    limit: u16,
}

pub(crate) async fn read_timeline<R: Reach>(reach: Arc<R>, asked: ReadTimeline) -> Outcome<StoryAnswer> {
    if !(1..=200).contains(&asked.limit) {
        return Err(Failure::usage(
            format!("`limit` is {}, and must be 1 to 200", asked.limit),
            "call it again",
        ));
    }
    let story = story(&*reach, asked.run).await?;
    let mut rest = story.lines.into_iter().filter(|line| line.seq > asked.after);
    let lines: Vec<StoryLine> = rest
        .by_ref()
        .take(usize::from(asked.limit))
        .map(|line| StoryLine {
            seq: line.seq,
            at: line.at,
            what: line.what,
            detail: line.detail.to_string(),
        })
        .collect();
    let next = rest.next().and(lines.last()).map(|line| line.seq);
    Ok(StoryAnswer { run: story.run, state: story.state, lines, next })
}

/// Which run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneRun {
    /// The whole name of the run: `run-…`.
    #[schemars(with = "String")]
    run: RunId,
}

pub(crate) async fn verify_run<R: Reach>(reach: Arc<R>, asked: OneRun) -> Outcome<Verified> {
    let proof: Box<RawValue> = ask(&*reach, Call::Proof(asked.run)).await?;
    let key = &reach.at().log_key;
    match Proof::parse(proof.get())?.check(&log_key(key)?)? {
        Proven::Run { run, log, size, count, state, .. } if run == asked.run => Ok(Verified {
            run,
            state,
            records: count,
            log,
            log_size: size,
            log_key: key.clone(),
            next_step: crate::answers::after_proof(state),
        }),
        _ => Err(ClientError::Altered("the proof is of something else".to_owned()).into()),
    }
}
