//! Starts of runs under a request. Everything is checked at the last moment, with the bytes that run.

use std::sync::Arc;

use jiff::Timestamp;
use remit_engine::blocking;
use remit_gate::{Limits, Plan, Scope};
use remit_journal::{ActionRef, Reader, RequestId, RunId};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use remit_sandbox::Candidate;
use remit_trust::KeyId;
use remit_trust::dsse::Envelope;

use super::again::{check_connectors, check_plan, is_outside, rehearse_again};
use super::request::{RequestOptions, prepare_for_longest};
use crate::authority::{
    Accepted, Counted, Identity, JITTER, MAX_TTL, Powers, Prepared, Trigger, check_reason, check_reviewed,
    covers, grant, has_room, policy_request_of_standing_run, policy_request_of_start, refused,
    room_by_policies,
};
use crate::plan::{admit, reference};
use crate::run::{Started, begin};
use crate::turn::Turn;
use crate::{
    Error, Host, Input, Request, RequestState, RequestedAuthority, Rules, StandingScope, Status, components,
    rehearse, sealed,
};

/// The result of a trigger.
#[derive(Debug)]
pub enum Start {
    /// A run was started.
    Started(Started),
    /// The run's plan is not inside the standing scope: a request of its own is ready to be signed and submitted.
    Outside {
        /// The request for what the run would do.
        request: Box<Prepared<Request>>,
        /// Which part of the plan is not inside the scope.
        why: String,
    },
}

/// Makes a trigger that starts a run, for its signature. For a request for a run, `what` may be given to check that it is
/// what was requested. For a standing scope, `what` is what runs, and it and `reason` must be given.
pub fn prepare_start(
    host: &Host,
    by: &KeyId,
    id: RequestId,
    what: Option<(&Candidate, &Input)>,
    reason: Option<&str>,
) -> Result<Prepared<Trigger>, Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(&reader, by)?;
        let state = ready(&reader, &rules, &by, id)?;
        let refuse = |why: String| Err(Error::NotReady { id: id.to_string(), why });
        let (action, input, reason) = match (&state.request.asks, what, reason) {
            (RequestedAuthority::Run { .. }, _, Some(_)) => {
                return refuse("it is no standing scope: the request itself says what runs".to_owned());
            }
            (RequestedAuthority::Run { action, input, .. }, what, None) => {
                let input = Input::of(input)?;
                if let Some((candidate, given)) = what {
                    if candidate.digest() != action.digest {
                        return refuse(format!(
                            "it is for {} {} ({}), this component is {}: distrust its source if it should not have changed",
                            action.name,
                            action.version,
                            action.digest,
                            candidate.digest()
                        ));
                    }
                    if given.digest() != input.digest() {
                        return refuse("it is for another input".to_owned());
                    }
                }
                (action.digest, input.digest(), None)
            }
            (RequestedAuthority::Standing(standing), Some((candidate, input)), Some(reason)) => {
                check_reason(reason)?;
                covered_action(host, id, standing, (candidate, input))?;
                components::keep(host, candidate)?;
                (candidate.digest(), input.digest(), Some(reason.to_owned()))
            }
            (RequestedAuthority::Standing(_), ..) => {
                return refuse(
                    "it is a standing scope: also name the action and its input, and give a reason"
                        .to_owned(),
                );
            }
        };
        let trigger = Trigger {
            request: state.digest,
            id,
            log: rules.log.clone(),
            run: RunId::new(),
            action,
            input,
            principal: by.name().to_owned(),
            at: Timestamp::now(),
            reason,
        };
        Prepared::new(trigger, &by)
    })
}

/// Accepts a signed trigger, makes every check again, and starts the run. `what` is the component and the input, if the
/// caller has them. For a request for a run they are on record; for a standing scope the input must be given. The run
/// continues by itself from then on, whether or not anybody waits for its end.
///
/// When this returns, the start is on record. It is durable no later than the run's first change: a caller that must not
/// report a run which is lost in a crash waits for `host.journal.flush()`.
pub async fn submit_start(
    host: &Host,
    signed: &Envelope,
    what: Option<(&Candidate, &Input)>,
) -> Result<Start, Error> {
    let accept = || accept(host, signed);
    let kept;
    let ((rules, trigger, state), candidate) = match what {
        Some((candidate, _)) => (blocking(accept)?, candidate),
        None => {
            let (accepted, found) = blocking(|| {
                let accepted = accept()?;
                let found = components::find(host, accepted.1.document.action)?;
                Ok::<_, Error>((accepted, found))
            })?;
            kept = found;
            (accepted, &kept)
        }
    };
    let input = match (&state.request.asks, what) {
        (RequestedAuthority::Run { input, .. }, _) => Input::of(input)?,
        (RequestedAuthority::Standing(_), Some((_, input))) => input.clone(),
        (RequestedAuthority::Standing(_), None) => {
            return Err(refused::<Trigger>(
                "it has only the digest of the input, so the input must be given too",
            ));
        }
    };
    if (trigger.document.action, trigger.document.input) != (candidate.digest(), input.digest()) {
        return Err(refused::<Trigger>("it is for another action or another input"));
    }
    let what = (candidate, &input);
    check_connectors(host, &state).await?;
    if let RequestedAuthority::Standing(standing) = &state.request.asks {
        return start_standing(host, &trigger, &state, standing, what, accept).await;
    }
    if trigger.document.reason.is_some() {
        return Err(refused::<Trigger>("it gives a reason, and the request for the run has one itself"));
    }
    if let Some(plan) = state.request.plan() {
        check_plan(host, &trigger.by, &state, plan, what).await?;
    }
    let sealed = sealed::open(host, state.request.owner_of_input(trigger.by.name()), &input)?;
    let turn = if shares_budget(&rules, &state) {
        Turn::take(host, "start.lock", &host.starts).await?
    } else {
        Turn::take_here(host.starts_of(state.request.id)).await
    };
    let grant = || {
        // Approvals, revocations and budgets are read now, while no other run can start that shares a budget.
        let (rules, trigger, state) = accept()?;
        let reader = host.journal.reader()?;
        let start = policy_request_of_start(&reader, &state.policy_request, trigger.by.name())?;
        check_start(&reader, &rules, &trigger.by.who(), &start, &state.request.powers(), &state)?;
        grant(&reader, &state, &trigger, state.request.scope.clone(), state.request.plan().cloned())
    };
    Ok(Start::Started(begin(host, candidate, (&input, sealed), grant, turn).await?))
}

/// Whether another start may use up what this one counts on, between its last look and its record. Such starts wait for each other.
/// The runs that a request itself allows are counted by the journal when the start is written.
///
/// It answers the same whenever it is asked about one request: a request is good under one version of the rules.
fn shares_budget(rules: &Rules, state: &RequestState) -> bool {
    let request = &state.request;
    // Of two break-glass runs, the second waits for the review of the first.
    request.break_glass
        || matches!(request.asks, RequestedAuthority::Standing(_))
        || rules.policies.have_budgets()
}

/// Checks a signed trigger against the journal and the rules as they are now, and returns these rules.
fn accept(host: &Host, signed: &Envelope) -> Result<(Arc<Rules>, Accepted<Trigger>, RequestState), Error> {
    let (rules, reader) = (host.rules()?, host.journal.reader()?);
    let trigger = Accepted::<Trigger>::check(&rules, &reader, signed)?;
    trigger.check_made_at(trigger.document.run.made())?;
    if reader.find(&trigger.document.run.to_string()).is_ok() {
        trigger.check_new([trigger.digest])?;
    }
    let state = ready(&reader, &rules, &trigger.by, trigger.document.id)?;
    if state.digest != trigger.document.request {
        return Err(refused::<Trigger>("the request of this identifier is another one"));
    }
    // What a trigger says, its signer says. A request for a run is for the action that people looked at, and for no other.
    if let RequestedAuthority::Run { action, input, .. } = &state.request.asks
        && (trigger.document.action, trigger.document.input) != (action.digest, Input::of(input)?.digest())
    {
        return Err(refused::<Trigger>("it is for another action, or another input, than its request"));
    }
    Ok((rules, trigger, state))
}

/// Starts a run under a standing scope, if what it would do is inside.
async fn start_standing(
    host: &Host,
    trigger: &Accepted<Trigger>,
    state: &RequestState,
    standing: &StandingScope,
    (candidate, input): (&Candidate, &Input),
    accept: impl Fn() -> Result<(Arc<Rules>, Accepted<Trigger>, RequestState), Error>,
) -> Result<Start, Error> {
    let reason = trigger.document.reason.as_deref().unwrap_or_default();
    check_reason(reason)?;
    let action = blocking(|| covered_action(host, state.request.id, standing, (candidate, input)))?;
    // The action is rehearsed within the approved scope. If it leaves that scope, it is rehearsed once more within what the
    // policies let this principal look at, to make a request of its own.
    let again = rehearse_again(host, &trigger.by, &state.request, (candidate, input), reason).await;
    let (plan, outside) = match again {
        Ok(plan) => (plan, None),
        Err(error) if is_outside(&error) => {
            let rehearsal = rehearse(host, &trigger.by.key, (candidate, input), None, reason).await?;
            (rehearsal.plan, Some(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    let sealed = sealed::open(host, state.request.owner_of_input(trigger.by.name()), input)?;
    let turn = Turn::take(host, "start.lock", &host.starts).await?;
    let inside = blocking(|| {
        let (rules, trigger, state) = accept()?;
        let reader = host.journal.reader()?;
        let request = (&state.policy_request, &state.request.scope, &*state.request.connectors);
        let start = policy_request_of_standing_run(&reader, request, trigger.by.name(), &plan.steps)?;
        let inside = match outside {
            Some(why) => Err(why),
            None => inside(&reader, &state, standing, &plan)?,
        };
        let powers = Powers::of_run(&plan, &state.request.scope, &state.request.connectors);
        let allowed = inside.and_then(|()| {
            check_start(&reader, &rules, &trigger.by.who(), &start, &powers, &state)
                .map_err(|error| error.to_string())
        });
        match allowed {
            Err(why) => Ok(Err(why)),
            Ok(()) => {
                let limits = Limits { changes: changes(&plan), ..state.request.scope.limits.clone() };
                let scope = Scope { limits, ..state.request.scope.clone() };
                grant(&reader, &state, &trigger, scope, Some(plan.clone())).map(Ok)
            }
        }
    })?;
    match inside {
        Ok(grant) => Ok(Start::Started(begin(host, candidate, (input, sealed), || Ok(grant), turn).await?)),
        Err(why) => {
            drop(turn);
            let rules = host.rules()?;
            let options = RequestOptions {
                reason: reason.to_owned(),
                incident: None,
                ttl: MAX_TTL,
                uses: Some(1),
                triggers: Vec::new(),
                break_glass: false,
            };
            let scope = state.request.scope.least_for(&plan);
            let asks = RequestedAuthority::Run { action, input: input.value()?, plan: Some(plan) };
            blocking(|| components::keep(host, candidate))?;
            let request = prepare_for_longest(host, &rules, &trigger.by, &asks, &scope, &options)?;
            Ok(Start::Outside { request: Box::new(request), why })
        }
    }
}

/// Checks that a standing scope is for this action, and returns the action's name, version and digest.
fn covered_action(
    host: &Host,
    id: RequestId,
    standing: &StandingScope,
    (candidate, input): (&Candidate, &Input),
) -> Result<ActionRef, Error> {
    let admitted = admit(host, candidate, input, None, None)?;
    let publisher = admitted.publisher.as_ref().map(ToString::to_string);
    let action = reference(&admitted);
    covers(&standing.action, &action, publisher.as_deref())
        .map_err(|why| Error::NotReady { id: id.to_string(), why })?;
    Ok(action)
}

/// Loads a request, and makes every check that needs no component.
fn ready(reader: &Reader, rules: &Rules, by: &Identity, id: RequestId) -> Result<RequestState, Error> {
    let now = Timestamp::now();
    // If the clock was set back, expired authority would be valid again.
    if let Some(newest) = reader.highest()?
        && now + JITTER < newest
    {
        return Err(Error::Clock { now, newest });
    }
    by.stands(reader)?;
    let state = RequestState::load(reader, rules, id)?;
    check_usable(reader, rules, by.name(), &state)?;
    Ok(state)
}

/// Checks that this principal could start a run under the request now. Policies are not asked.
pub(super) fn check_usable(
    reader: &Reader,
    rules: &Rules,
    name: &str,
    state: &RequestState,
) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::NotReady { id: state.request.id.to_string(), why });
    let now = Timestamp::now();
    match state.status(rules) {
        Status::Approved => {}
        Status::Waiting(lacks) => {
            let missing: Vec<String> = lacks
                .needs
                .iter()
                .filter(|(_, missing)| *missing > 0)
                .map(|(need, missing)| format!("{missing} of {need} (policy {})", need.policy))
                .collect();
            let without_effect = state.approvals.iter().filter_map(|given| {
                let why = given.counts.as_ref().err()?;
                Some(format!("; the approval by {} {why}", given.approval.principal))
            });
            let without_effect: String = without_effect.collect();
            return refuse(format!("approvals are missing: {}{without_effect}", missing.join(", ")));
        }
        Status::Used => {
            let started = state.started.unwrap_or_default();
            return refuse(format!("it is used up: {started} run(s) have started"));
        }
        Status::Expired => return refuse(format!("it expired at {}", state.request.not_after)),
        Status::Closed(why) | Status::Forbidden(why) => return refuse(why),
    }
    if now < state.request.not_before {
        return Err(Error::Clock { now, newest: state.request.not_before });
    }
    if !state.request.triggers.iter().any(|trigger| trigger == name) {
        return refuse(format!("{name} may not start it, only {}", state.request.triggers.join(", ")));
    }
    if state.request.break_glass { check_reviewed(reader, &state.request.requester) } else { Ok(()) }
}

/// Checks that the policies let this principal start the run. They are not asked about a break-glass run.
pub(super) fn check_start(
    reader: &Reader,
    rules: &Rules,
    by: &Subject,
    start: &PolicyRequest,
    powers: &Powers,
    state: &RequestState,
) -> Result<(), Error> {
    if state.request.break_glass {
        return Ok(());
    }
    let approvers = state.approvers();
    let verdict = rules.policies.may(by, PolicyAction::Trigger, Some(start), Timestamp::now(), &approvers);
    if verdict.allowed {
        return Ok(());
    }
    let requester = &state.request.requester;
    let of = Counted { requester, starter: &by.name, action: &start.action_name, powers };
    let why = match room_by_policies(reader, rules, by, start, &of, &approvers)? {
        Some(room) => format!("{}; {room}", verdict.words()),
        None => verdict.words(),
    };
    Err(Error::Forbidden { who: by.name.clone(), what: "start this", why })
}

fn changes(plan: &Plan) -> u64 {
    plan.changes().count() as u64
}

/// Whether a plan is inside a standing scope now; if not, why.
fn inside(
    reader: &Reader,
    state: &RequestState,
    standing: &StandingScope,
    plan: &Plan,
) -> Result<Result<(), String>, Error> {
    let now = Timestamp::now();
    if !standing.hours.is_empty() && !standing.hours.iter().any(|hours| hours.contain(now)) {
        let hours: Vec<String> = standing.hours.iter().map(ToString::to_string).collect();
        return Ok(Err(format!("it is valid {} (UTC), and it is {now}", hours.join(", "))));
    }
    let scope = &state.request.scope;
    for step in &plan.steps {
        if let Err(why) = scope.covers(step) {
            return Ok(Err(format!("{} on {}: {why}", step.operation, step.resource)));
        }
    }
    let wanted = changes(plan);
    if wanted > scope.limits.changes {
        return Ok(Err(format!("it would make {wanted} changes, the scope allows {}", scope.limits.changes)));
    }
    has_room(reader, state, standing, wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
