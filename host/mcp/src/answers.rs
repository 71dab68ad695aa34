//! What tools answer. A model reads it: it is short, and says what comes next.

use jiff::Timestamp;
use remit_journal::{RunId, RunState};
use remit_lifecycle::{ChangeState, RequestView, RequestedAuthority, Timeline};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::reach::At;
use crate::schema::documented;

macro_rules! as_documented {
    ($($(#[$doc:meta])* $name:ident: $shape:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Deserialize, Serialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) Value);

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $shape.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                documented($shape)
            }
        }
    )+};
}

as_documented! {
    /// What an action could do.
    Inspected: "answer-of-inspect";
    /// What was observed in a rehearsal.
    Rehearsed: "answer-of-plan";
    /// Which policies decide.
    Explanation: "answer-of-policy-explain";
    /// A plan.
    Plan: "a-plan";
    /// A change that was undone, or could not be.
    UndoStep: "undo-step";
}

/// An action that is kept at the host.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(crate) struct KeptAction {
    /// The digest of its component: what other tools call it.
    digest: String,
    /// The name in its manifest.
    name: String,
    /// The version in its manifest.
    version: String,
    /// What it repairs, in its author's words; none if its manifest does not say.
    summary: Option<String>,
}

/// A page of actions.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(crate) struct Actions {
    /// The actions.
    actions: Vec<KeptAction>,
    /// For `before`, to get the next page; none after the last.
    next: Option<String>,
}

/// A decision about a request.
#[derive(Serialize, JsonSchema)]
struct Said {
    /// Who decided.
    principal: String,
    /// When.
    #[schemars(with = "String")]
    at: Timestamp,
    /// Why, in their words.
    reason: String,
    /// Whether it counts as an approval.
    counts: bool,
    /// Why it does not count.
    why_not: Option<String>,
}

/// A request, and where it stands.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RequestAnswer {
    /// Its name.
    request: String,
    /// `waiting`, `approved`, `used`, `closed`, `expired` or `forbidden`.
    status: String,
    /// The same in a few words, with what is missing.
    stands: String,
    /// What to do now.
    next_step: String,
    /// Where a person looks at it and decides. Give them this address; it lets nobody in by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_url: Option<String>,
    /// Its digest: what an approval is for.
    digest: String,
    /// The action, by name and version.
    action: String,
    /// The digest of the action; none if it is for a range of versions.
    action_digest: Option<String>,
    /// What the action is given; none of a standing scope.
    input: Option<Value>,
    /// What it would change, or reads if it changes nothing.
    target: Vec<String>,
    /// Who asked.
    requester: String,
    /// Why.
    reason: String,
    /// Who may start runs under it.
    triggers: Vec<String>,
    /// Until when it is good.
    #[schemars(with = "String")]
    not_after: Timestamp,
    /// How many runs may start under it; none for as many as its budgets allow.
    uses: Option<u32>,
    /// How many have started.
    started: u32,
    /// The approvals that are missing.
    missing: Vec<String>,
    /// What was said of it.
    approvals: Vec<Said>,
    /// How it differs from the last run of this action.
    differs: Vec<String>,
    /// What it would do, step by step; none if it asks for any change inside its scope.
    plan: Option<Plan>,
}

impl RequestAnswer {
    /// `view` is as [`RequestView::received`] returns it.
    pub(crate) fn of(view: RequestView, at: &At) -> Self {
        let stands = view.headline();
        let request = view.request;
        let id = request.id;
        let next_step = match &*view.status {
            "waiting" => {
                "Wait for people: give them `approval_url`, or the name of the request for `remit approve`. Look again with \
                 `get_request`; do not propose it again."
                    .to_owned()
            }
            "approved" if !view.waits_for_room.is_empty() => {
                format!("It can start later: {}.", view.waits_for_room.join("; "))
            }
            "approved" => format!("`start_run` starts it, for {}.", request.triggers.join(", ")),
            "used" => "Its runs have started: `get_run` with this request tells of the newest.".to_owned(),
            _ => "It gives no authority. If the repair is still needed, and nobody said no, rehearse and propose it again."
                .to_owned(),
        };
        let (action_digest, input, plan) = match &request.asks {
            RequestedAuthority::Run { action, input, plan } => {
                let plan = plan.as_ref().and_then(|plan| serde_json::to_value(plan).ok()).map(Plan);
                (Some(action.digest.to_string()), Some(input.clone()), plan)
            }
            RequestedAuthority::Standing(standing) => match &standing.action {
                remit_lifecycle::ActionSelector::Digest(action) => {
                    (Some(action.digest.to_string()), None, None)
                }
                remit_lifecycle::ActionSelector::Published { .. } => (None, None, None),
            },
        };
        Self {
            request: id.to_string(),
            status: view.status,
            stands,
            next_step,
            approval_url: at.url.as_ref().map(|url| format!("{url}/requests/{id}")),
            digest: view.digest.to_string(),
            action: request.action_words(),
            action_digest,
            input,
            target: view.target,
            requester: request.requester,
            reason: request.reason,
            triggers: request.triggers,
            not_after: request.not_after,
            uses: request.uses,
            started: view.started,
            missing: view
                .missing
                .iter()
                .filter(|needed| needed.missing > 0)
                .map(remit_lifecycle::Needed::words)
                .collect(),
            approvals: view
                .approvals
                .into_iter()
                .map(|said| Said {
                    principal: said.principal,
                    at: said.at,
                    reason: said.reason,
                    counts: said.counts,
                    why_not: said.why_not,
                })
                .collect(),
            differs: view.differs,
            plan,
        }
    }
}

/// A change of a run.
#[derive(Serialize, JsonSchema)]
struct Change {
    /// The operation.
    operation: String,
    /// What was changed.
    resource: String,
    /// `stands`, `undone`, `failed`, `did-not-happen`, `in-doubt`, or `simulated`.
    #[schemars(with = "String")]
    standing: ChangeState,
}

/// A run, and how it stands.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunAnswer {
    /// Its name.
    #[schemars(with = "String")]
    run: RunId,
    /// `succeeded`, `failed`, `refused`, `reverted`, `held`, `in-doubt` or `rehearsed`; none while it goes on.
    #[schemars(with = "Option<String>")]
    state: Option<RunState>,
    /// Why, in one sentence.
    detail: Option<String>,
    /// What to do now.
    next_step: &'static str,
    /// The request that it ran under; none for a rehearsal.
    request: Option<String>,
    /// The action, by name and version.
    action: String,
    /// The digest of the action.
    action_digest: String,
    /// What the action was given.
    input: Value,
    /// Who asked for it.
    principal: String,
    /// Why.
    reason: String,
    /// When it started.
    #[schemars(with = "String")]
    started: Timestamp,
    /// When it ended; none while it goes on.
    #[schemars(with = "Option<String>")]
    ended: Option<Timestamp>,
    /// What the action returned; none if it returned nothing, or something that only people may read.
    output: Option<Value>,
    /// Its changes, each with how it stands now.
    changes: Vec<Change>,
    /// How many of its calls the host refused.
    refused: usize,
    /// When the host undoes the changes by itself; none if it does not.
    #[schemars(with = "Option<String>")]
    restore_at: Option<Timestamp>,
}

/// What to do about a run in this state.
pub(crate) fn after(state: Option<RunState>) -> &'static str {
    match state {
        None => "It goes on. Ask `get_run` again in a while; it goes on without you, too.",
        Some(RunState::Succeeded) => {
            "It is done. `verify_run` proves what it did; then report it. `revert` undoes it, should that be needed."
        }
        Some(RunState::Failed | RunState::Refused) => {
            "None of its changes stands. `read_timeline` tells why; report it before you try something else."
        }
        Some(RunState::Reverted) => "Its changes were undone. `read_timeline` tells why; report it.",
        Some(RunState::Held | RunState::InDoubt) => {
            "A person must decide. Report it now, with `detail`, and start nothing more for the same."
        }
        Some(RunState::Rehearsed) => {
            "It was a rehearsal: nothing was changed. `propose` asks for the real run."
        }
    }
}

impl From<Timeline> for RunAnswer {
    fn from(story: Timeline) -> Self {
        Self {
            run: story.run,
            state: story.state,
            detail: story.detail,
            next_step: after(story.state),
            request: story.authority.and_then(|authority| authority.request).map(|id| id.to_string()),
            action: format!("{} {}", story.action.name, story.action.version),
            action_digest: story.action.digest.to_string(),
            input: story.input,
            principal: story.principal,
            reason: story.reason,
            started: story.started,
            ended: story.ended,
            output: story.output,
            changes: story
                .changed
                .into_iter()
                .map(|change| Change {
                    operation: change.operation,
                    resource: change.resource,
                    standing: change.standing,
                })
                .collect(),
            refused: story.refused.len(),
            restore_at: story.restore_at,
        }
    }
}

/// A line of a run's story.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StoryLine {
    /// The number of its record.
    pub(crate) seq: u64,
    /// When.
    #[schemars(with = "String")]
    pub(crate) at: Timestamp,
    /// What happened, in one or two words.
    pub(crate) what: String,
    /// The rest. What an action logged is its own words.
    pub(crate) detail: String,
}

/// A part of a run's story.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StoryAnswer {
    /// The run.
    #[schemars(with = "String")]
    pub(crate) run: RunId,
    /// Its state; none while it goes on.
    #[schemars(with = "Option<String>")]
    pub(crate) state: Option<RunState>,
    /// The lines, oldest first.
    pub(crate) lines: Vec<StoryLine>,
    /// For `after`, to read on; none if there is no more now.
    pub(crate) next: Option<u64>,
}

/// What a proof shows.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Verified {
    /// The run.
    #[schemars(with = "String")]
    pub(crate) run: RunId,
    /// Its last state; none while it goes on.
    #[schemars(with = "Option<String>")]
    pub(crate) state: Option<RunState>,
    /// How many records the run had. Each is in the log, and none is missing.
    pub(crate) records: u64,
    /// The name of the log.
    pub(crate) log: String,
    /// How many records the log had.
    pub(crate) log_size: u64,
    /// The log's public key, with which the proof was checked.
    pub(crate) log_key: String,
    /// What to do now.
    pub(crate) next_step: &'static str,
}

/// A run that was started.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Started {
    /// The run.
    #[schemars(with = "String")]
    pub(crate) run: RunId,
    /// What to do now.
    pub(crate) next_step: &'static str,
}

/// An order that was carried out.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Ordered {
    /// What was ordered: `revoke` or `freeze`.
    pub(crate) done: &'static str,
    /// The runs that stop at their next call because of it.
    #[schemars(with = "Vec<String>")]
    pub(crate) stopping: Vec<RunId>,
    /// What to do now.
    pub(crate) next_step: &'static str,
}

/// What a revert undid, or would.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(crate) struct Reverted {
    /// The run.
    run: String,
    /// Whether nothing was undone, because this only shows what would be.
    dry_run: bool,
    /// The state that the run has now, or would have.
    pub(crate) state: String,
    /// Each change that was undone, or could not be.
    steps: Vec<UndoStep>,
    /// What was not tried.
    left: Vec<String>,
    /// Of a dry run: for `preview`, to undo exactly this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) preview: Option<String>,
    /// What to do now.
    #[serde(skip_deserializing)]
    pub(crate) next_step: &'static str,
}

/// What to do after a proof.
pub(crate) fn after_proof(state: Option<RunState>) -> &'static str {
    match state {
        None => "The run goes on: verify it again when it has ended.",
        Some(_) => {
            "The proof holds. Report the run by its name and state; who doubts it can check with the same key."
        }
    }
}
