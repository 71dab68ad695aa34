//! Tools that change something. Each prepares a document, looks whether it is what was asked for, signs it and submits it.

use std::sync::Arc;

use jiff::SignedDuration;
use remit_client::{ClientError, ToSign, WantedAuthority, WantedRequest, WantedStart, revokes};
use remit_gate::Scope;
use remit_journal::{Basis, RequestId, RunId};
use remit_lifecycle::{
    Document, Input, Order, OrderKind, Prepared, Request, RequestView, RequestedAuthority, Trigger,
};
use remit_trust::{Digest, KeyId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answers::{Ordered, RequestAnswer, Reverted, Started, after};
use crate::reach::{Reach, ask};
use crate::read::{request, scope};
use crate::table::{Failure, Outcome};
use crate::{Call, Wanted};

fn an_hour() -> SignedDuration {
    SignedDuration::from_hours(1)
}

fn one() -> u32 {
    1
}

/// What is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Propose {
    /// The digest of the action.
    #[schemars(with = "String")]
    action: Digest,
    /// What it is given: JSON that fits `manifest.input`.
    input: Value,
    /// Names of values that it is given sealed, besides: a person chose them for this client, and you do not see them.
    #[serde(default)]
    sealed: Vec<String>,
    /// Why. People decide by it: say what is wrong, how you know, and what this repairs.
    reason: String,
    /// Part of which incident.
    #[serde(default)]
    incident: Option<String>,
    /// What it may touch. If it is left out, no more than its plan needs.
    #[serde(default)]
    #[schemars(schema_with = "scope")]
    scope: Option<Scope>,
    /// For how long from now, such as `1h` or `30m`: at most 24h.
    #[serde(default = "an_hour", deserialize_with = "remit_text::duration::deserialize")]
    #[schemars(with = "String")]
    ttl: SignedDuration,
    /// How many runs it is for.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    uses: u32,
    /// Who may start runs, by name. If it is left out, you.
    #[serde(default)]
    triggers: Vec<String>,
}

/// Lets a document be made, parsed and compared with what was wanted.
async fn prepared<D: Document>(
    reach: &impl Reach,
    call: Call,
    key: &KeyId,
    is_it: impl FnOnce(&D) -> Result<(), String>,
) -> Outcome<Prepared<D>> {
    let to_sign: ToSign = ask(reach, call).await?;
    let prepared = to_sign.received::<D>(key, &reach.at().log)?;
    is_it(&prepared.document).map_err(ClientError::Altered)?;
    Ok(prepared)
}

pub(crate) async fn propose<R: Reach>(reach: Arc<R>, asked: Propose) -> Outcome<RequestAnswer> {
    let key = reach.key()?;
    let input = reach.seal(&asked.input, &asked.sealed)?;
    let body = json!({
        "key": key.to_string(),
        "action": asked.action.to_string(),
        "input": input,
        "scope": asked.scope,
        "reason": asked.reason,
        "incident": asked.incident,
        "ttl": format!("{:#}", asked.ttl),
        "uses": asked.uses,
        "triggers": asked.triggers,
    });
    let wanted = WantedRequest {
        asks: WantedAuthority::Run { action: asked.action, input: &input, without_plan: false },
        scope: asked.scope.as_ref(),
        reason: &asked.reason,
        incident: asked.incident.as_deref(),
        triggers: &asked.triggers,
        ttl: asked.ttl,
        uses: asked.uses,
        break_glass: false,
    };
    let is_it = |made: &Request| match wanted.differs(made) {
        Some(what) => Err(format!("in the request, {what} would be another")),
        None => Ok(()),
    };
    let prepared = prepared(&*reach, Call::PrepareRequest(body), &key, is_it).await?;
    let view: RequestView = ask(&*reach, Call::SubmitRequest(reach.sign(&prepared)?)).await?;
    Ok(RequestAnswer::of(view.received()?, reach.at()))
}

/// Which request is taken back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdraw {
    /// The whole name of the request: `req-…`.
    #[schemars(with = "String")]
    request: RequestId,
    /// Why.
    reason: String,
}

pub(crate) async fn withdraw<R: Reach>(reach: Arc<R>, asked: Withdraw) -> Outcome<RequestAnswer> {
    let view = request(&*reach, asked.request).await?;
    let basis = Basis::Request(asked.request);
    let order = order::<Value>(&*reach, Wanted::RevokeRequest(asked.request), asked.reason, |made| {
        if made.principal != view.request.requester {
            return Err(Failure::usage(
                format!("{} asked for {}, and not you", view.request.requester, asked.request),
                "leave it: only who asked takes a request back. `revoke` takes it away, if policies let you",
            ));
        }
        Ok(revokes(&made.order, &basis))
    });
    order.await?;
    Ok(RequestAnswer::of(request(&*reach, asked.request).await?, reach.at()))
}

/// What is started.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRun {
    /// The whole name of the approved request: `req-…`.
    #[schemars(with = "String")]
    request: RequestId,
    /// Under a standing scope: the digest of the action.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    action: Option<Digest>,
    /// Under a standing scope: what the action is given.
    #[serde(default)]
    input: Option<Value>,
    /// Under a standing scope: names of values that it is given sealed, besides.
    #[serde(default)]
    sealed: Vec<String>,
    /// Under a standing scope: why.
    #[serde(default)]
    reason: Option<String>,
}

pub(crate) async fn start_run<R: Reach>(reach: Arc<R>, asked: StartRun) -> Outcome<Started> {
    #[derive(Deserialize)]
    struct Begun {
        run: RunId,
    }
    let key = reach.key()?;
    let view = request(&*reach, asked.request).await?;
    let given = match asked.input {
        Some(input) => Some(reach.seal(&input, &asked.sealed)?),
        None if asked.sealed.is_empty() => None,
        None => {
            return Err(Failure::usage(
                "`sealed` is there, and no `input`",
                "give both, under a standing scope only",
            ));
        }
    };
    let (action, input, given) = match (&view.request.asks, asked.action, given) {
        (RequestedAuthority::Run { action, input, .. }, None, None) => {
            (action.digest, Input::of(input)?, None)
        }
        (RequestedAuthority::Run { .. }, ..) => {
            return Err(Failure::usage(
                format!("{} is for one action with one input", asked.request),
                "leave `action` and `input` out",
            ));
        }
        (RequestedAuthority::Standing(_), Some(action), Some(input)) => {
            (action, Input::of(&input)?, Some(input))
        }
        (RequestedAuthority::Standing(_), ..) => {
            return Err(Failure::usage(
                format!("{} is a standing scope", asked.request),
                "also give `action`, `input` and `reason`",
            ));
        }
    };
    let mut body = json!({"key": key.to_string(), "request": asked.request, "reason": asked.reason});
    if let Some(given) = &given {
        body["action"] = action.to_string().into();
        body["input"] = given.clone();
    }
    let wanted = WantedStart { id: asked.request, request: view.digest, action, input: input.digest() };
    let is_it = |made: &Trigger| {
        let same = wanted.is(made) && made.reason == asked.reason;
        if same { Ok(()) } else { Err(format!("it starts something else than {}", asked.request)) }
    };
    let prepared = prepared(&*reach, Call::PrepareRun(body), &key, is_it).await?;
    let signed = reach.sign(&prepared)?;
    match ask::<Begun>(&*reach, Call::SubmitRun(signed, given)).await {
        Ok(Begun { run }) => Ok(Started { run, next_step: after(None) }),
        Err(ClientError::Problem(problem)) if problem.prepared.is_some() => {
            let failure = Failure::from(ClientError::Problem(problem));
            Err(failure.help("`propose` the same action and input: people decide about what the standing scope does not cover"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Lets an order be made, looks at it, signs and submits it. Returns what became of it, and the runs that stop.
async fn order<T: for<'de> Deserialize<'de>>(
    reach: &impl Reach,
    wanted: Wanted,
    reason: String,
    is_it: impl FnOnce(&Order) -> Outcome<bool>,
) -> Outcome<(Option<T>, Vec<RunId>)> {
    #[derive(Deserialize)]
    struct Done<T> {
        stopping: Vec<RunId>,
        result: Option<T>,
    }
    let key = reach.key()?;
    let call = Call::PrepareOrder { reason: reason.clone(), order: wanted, key: key.to_string() };
    let same_reason = |made: &Order| {
        if made.reason == reason { Ok(()) } else { Err("it gives another reason".to_owned()) }
    };
    let prepared = prepared(reach, call, &key, same_reason).await?;
    if !is_it(&prepared.document)? {
        return Err(ClientError::Altered("it orders something else".to_owned()).into());
    }
    let done: Done<T> = ask(reach, Call::SubmitOrder(reach.sign(&prepared)?)).await?;
    Ok((done.result, done.stopping))
}

/// What is taken away.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Target {
    /// A request, by its whole name.
    Request(#[schemars(with = "String")] RequestId),
    /// A principal: all that it asked for or approved so far, and every key it has.
    Principal(String),
    /// A key, by its whole id.
    Key(String),
    /// An action, by its digest.
    Action(#[schemars(with = "String")] Digest),
    /// All authority that there is now.
    All,
}

/// What is taken away, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// What: one of these.
    what: Target,
    /// Why.
    reason: String,
}

pub(crate) async fn revoke<R: Reach>(reach: Arc<R>, asked: Revoke) -> Outcome<Ordered> {
    let (wanted, basis) = match asked.what {
        Target::Request(id) => (Wanted::RevokeRequest(id), Basis::Request(id)),
        Target::Principal(name) => (Wanted::RevokePrincipal(name.clone()), Basis::Principal(name)),
        Target::Key(id) => (Wanted::RevokeKey(id.clone()), Basis::Key(id)),
        Target::Action(digest) => (Wanted::RevokeAction(digest), Basis::Action(digest.to_string())),
        Target::All => (Wanted::RevokeAll, Basis::All),
    };
    let is_it = |made: &Order| Ok(revokes(&made.order, &basis));
    let (_, stopping) = order::<Value>(&*reach, wanted, asked.reason, is_it).await?;
    Ok(Ordered { done: "revoke", stopping, next_step: "It counts from now on. Report it." })
}

/// Why everything is stopped.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Freeze {
    /// Why.
    reason: String,
}

pub(crate) async fn freeze<R: Reach>(reach: Arc<R>, asked: Freeze) -> Outcome<Ordered> {
    let is_it = |made: &Order| Ok(matches!(made.order, OrderKind::Freeze));
    let (_, stopping) = order::<Value>(&*reach, Wanted::Freeze, asked.reason, is_it).await?;
    let next_step = "Tell people now: only they unfreeze the host (`remit unfreeze`).";
    Ok(Ordered { done: "freeze", stopping, next_step })
}

/// Which run's changes are undone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revert {
    /// The whole name of the run: `run-…`.
    #[schemars(with = "String")]
    run: RunId,
    /// `preview` of an answer without it. If it is left out, nothing is undone.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    preview: Option<Digest>,
    /// Why. It must be given with `preview`.
    #[serde(default)]
    reason: Option<String>,
}

pub(crate) async fn revert<R: Reach>(reach: Arc<R>, asked: Revert) -> Outcome<Reverted> {
    let run = asked.run;
    let shown: Value = ask(&*reach, Call::PreviewRevert(run)).await?;
    let digest = Digest::of(&remit_trust::canonical(&shown).map_err(ClientError::from)?);
    let Some(preview) = asked.preview else {
        let mut shown: Reverted = serde_json::from_value(shown).map_err(ClientError::from)?;
        shown.preview = Some(digest.to_string());
        shown.next_step =
            "Nothing was undone. If this is right, call `revert` again with `preview` and `reason`.";
        return Ok(shown);
    };
    if preview != digest {
        return Err(Failure::usage(
            "what would be undone now is not what that preview showed",
            "call `revert` without `preview`, and look at it again",
        ));
    }
    let Some(reason) = asked.reason else {
        return Err(Failure::usage("an order has a reason", "call it again with `reason`"));
    };
    let is_it = |made: &Order| Ok(made.order == OrderKind::Revert { run, keep_going: false });
    let (result, _) = order::<Reverted>(&*reach, Wanted::Revert { run }, reason, is_it).await?;
    let Some(mut done) = result else {
        return Err(ClientError::Altered("it does not say what was undone".to_owned()).into());
    };
    done.next_step = match &*done.state {
        "reverted" => "Every change was undone. Report it.",
        _ => "Not every change could be undone. A person must decide: report it with these steps.",
    };
    Ok(done)
}
