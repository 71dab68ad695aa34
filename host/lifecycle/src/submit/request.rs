//! Requests for authority.

use jiff::{SignedDuration, Timestamp};
use remit_engine::blocking;
use remit_gate::{Fault, Scope};
use remit_journal::{About, Act, LedgerEvent, Reader, RequestId};
use remit_policy::{PolicyAction, PolicyRequest};
use remit_sandbox::Candidate;
use remit_trust::KeyId;
use remit_trust::dsse::Envelope;

use super::again::{difference, rehearse_again};
use crate::authority::{
    Accepted, Identity, MAX_STANDING, MAX_TTL, Prepared, Room, check_reason, check_reviewed, may_be_valid,
    policy_request, refused, waits,
};
use crate::plan::{admit, reference};
use crate::turn::Turn;
use crate::{
    Error, Host, Input, Request, RequestState, RequestedAuthority, Rules, StandingScope, Status, components,
    connectors, rehearse, sealed,
};

/// The options of a request, other than what it asks for.
#[derive(Clone, Debug)]
pub struct RequestOptions {
    /// Why the requester needs it, in their own words.
    pub reason: String,
    /// The incident that the request belongs to; none if it belongs to no incident.
    pub incident: Option<String>,
    /// How long the request is valid, from when it is made.
    pub ttl: SignedDuration,
    /// How many runs may start under it; none if only the budget of the standing scope limits them.
    pub uses: Option<u32>,
    /// The names of the principals that may start runs; empty for the requester alone.
    pub triggers: Vec<String>,
    /// Whether the quorum of `[break-glass]` decides about it instead of the policies.
    pub break_glass: bool,
}

/// Makes a request for a run, for its signature. The action is rehearsed, within `scope` if one is given, and the plan is
/// requested with `scope`, or with the least scope that covers it. With `open`, the request is for any change inside
/// `scope`, and nothing is rehearsed.
pub async fn prepare_run_request(
    host: &Host,
    by: &KeyId,
    candidate: &Candidate,
    input: &Input,
    (scope, open): (Option<Scope>, bool),
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let rules = host.rules()?;
    let identity = blocking(|| rules.identify(&*host.journal.reader()?, by))?;
    options.check(&rules, MAX_TTL)?;
    let action = blocking(|| {
        // A rehearsal checks the imports against the scope itself.
        let action = admit(host, candidate, input, scope.as_ref().filter(|_| open), None)?;
        components::keep(host, candidate)?;
        Ok::<_, Error>(action)
    })?;
    let (plan, scope) = match (scope, open) {
        (Some(scope), true) => (None, scope),
        (None, true) => {
            return Err(Error::RequestOption { why: "without a plan it needs a scope".to_owned() });
        }
        (scope, false) => {
            let plan = rehearse(host, by, (candidate, input), scope.clone(), &options.reason).await?.plan;
            let scope = scope.unwrap_or_else(|| plan.least_scope());
            (Some(plan), scope)
        }
    };
    let asks = RequestedAuthority::Run { action: reference(&action), input: input.value()?, plan };
    prepare_observed(host, &rules, &identity, asks, scope, options)
}

/// Makes a request for a standing scope, for its signature.
pub fn prepare_standing_request(
    host: &Host,
    by: &KeyId,
    standing: StandingScope,
    scope: Scope,
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let rules = host.rules()?;
    let by = blocking(|| rules.identify(&*host.journal.reader()?, by))?;
    options.check(&rules, MAX_STANDING)?;
    prepare(host, &rules, &by, RequestedAuthority::Standing(standing), scope, options)
}

/// Makes a request for a plan that this host has just observed.
fn prepare_observed(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    asks: RequestedAuthority,
    scope: Scope,
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let prepared = prepare(host, rules, by, asks, scope, options)?;
    host.observed.note(prepared.digest());
    Ok(prepared)
}

/// Makes a request that is valid for as long as the policies allow to this principal, so that it can wait for an approver
/// over night.
pub(super) fn prepare_for_longest(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    asks: &RequestedAuthority,
    scope: &Scope,
    options: &RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let of = |hours| {
        let options =
            RequestOptions { ttl: SignedDuration::from_hours(hours).min(options.ttl), ..options.clone() };
        prepare_observed(host, rules, by, asks.clone(), scope.clone(), options)
    };
    for hours in [24, 12, 8, 4, 2] {
        match of(hours) {
            // Perhaps because it is valid for too long.
            Err(Error::Forbidden { .. }) => {}
            prepared => return prepared,
        }
    }
    of(1)
}

fn prepare(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    asks: RequestedAuthority,
    scope: Scope,
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let now = Timestamp::now();
    let request = Request {
        id: RequestId::new(),
        log: rules.log.clone(),
        requester: by.name().to_owned(),
        asks,
        connectors: connectors::reached(&host.setup()?.registry, &scope),
        scope,
        reason: options.reason,
        incident: options.incident,
        triggers: if options.triggers.is_empty() { vec![by.name().to_owned()] } else { options.triggers },
        not_before: now,
        not_after: now.saturating_add(options.ttl).unwrap_or(now),
        uses: options.uses,
        rules: rules.digest,
        break_glass: options.break_glass,
    };
    blocking(|| check(host, rules, &*host.journal.reader()?, by, &request))?;
    Prepared::new(request, by)
}

/// Accepts a signed request after the same checks, and puts it on record. A plan that this process has not observed
/// itself is rehearsed again: only what the host observed counts as a plan.
pub async fn submit_request(host: &Host, signed: &Envelope) -> Result<RequestState, Error> {
    submit(host, signed, false).await
}

/// The same for a requester that may ask a second time because it does not know whether it has asked. If it has an open request
/// for the same, that one is returned, and nothing is put on record.
pub async fn submit_request_once(host: &Host, signed: &Envelope) -> Result<RequestState, Error> {
    submit(host, signed, true).await
}

async fn submit(host: &Host, signed: &Envelope, once: bool) -> Result<RequestState, Error> {
    let accept = || {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let accepted = Accepted::<Request>::check(&rules, &reader, signed)?;
        let request = &accepted.document;
        accepted.check_made_at(request.id.made())?;
        if request.rules != rules.digest {
            return Err(refused::<Request>("the rules were changed since it was prepared"));
        }
        check(host, &rules, &reader, &accepted.by, request)?;
        if !reader.acts(About::Request(request.id))?.is_empty() {
            accepted.check_new([accepted.digest])?;
        }
        Ok(accepted)
    };
    let open = |request: &Request| {
        if once { same_open(&*host.journal.reader()?, &*host.rules()?, request) } else { Ok(None) }
    };
    let accepted = blocking(accept)?;
    let request = &accepted.document;
    if let Some(open) = blocking(|| open(request))? {
        return Ok(open);
    }
    if let RequestedAuthority::Run { action, input, plan: Some(plan) } = &request.asks
        && !host.observed.is_noted(accepted.digest)
    {
        // Nobody has approved it yet, so that who asks must be one who may rehearse it.
        blocking(|| crate::plan::may_rehearse(host, &*host.rules()?, &accepted.by, action, &request.scope))?;
        let input = Input::of(input)?;
        let candidate = blocking(|| components::find(host, action.digest))?;
        let what = (&candidate, &input);
        let now = rehearse_again(host, &accepted.by, request, what, &request.reason).await?;
        if let Some(why) = difference(plan, &now) {
            return Err(refused::<Request>(format!("its plan is not what this host observes: {why}")));
        }
    }
    // Checked again while no other process can submit: two requests with one identifier would make every audit fail.
    let turn = Turn::take(host, "submit.lock", &host.submissions).await?;
    let accepted = blocking(accept)?;
    if let Some(open) = blocking(|| open(&accepted.document))? {
        return Ok(open);
    }
    let id = accepted.document.id;
    let statement = accepted.statement(&accepted.document.reason);
    host.journal.act(&Act::now(About::Request(id), LedgerEvent::Requested(statement))).await?;
    drop(turn);
    blocking(|| RequestState::load(&*host.journal.reader()?, &*host.rules()?, id))
}

/// An open request of the same requester for the same: everything but its identifier and its time is equal.
fn same_open(reader: &Reader, rules: &Rules, request: &Request) -> Result<Option<RequestState>, Error> {
    let now = Timestamp::now();
    for id in reader.requests()?.into_iter().rev().filter(|id| may_be_valid(*id, now)) {
        let Ok(state) = RequestState::load(reader, rules, id) else { continue };
        let Request { id, not_before, not_after, .. } = *state.request;
        let same = Request { id, not_before, not_after, ..request.clone() } == *state.request;
        if same && matches!(state.status(rules), Status::Waiting(_) | Status::Approved) {
            return Ok(Some(state));
        }
    }
    Ok(None)
}

impl RequestOptions {
    fn check(&self, rules: &Rules, longest: SignedDuration) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::RequestOption { why });
        if self.ttl <= SignedDuration::ZERO || self.ttl > longest {
            let hours = longest.as_hours();
            let longest = if hours > 24 { format!("{} days", hours / 24) } else { format!("{hours}h") };
            return refuse(format!("it must be valid for more than 0 and at most {longest}"));
        }
        if self.uses == Some(0) {
            return refuse("it would allow no run at all (uses = 0)".to_owned());
        }
        check_reason(&self.reason)?;
        if let Some(name) = self.triggers.iter().find(|name| rules.principals.get(name).is_none()) {
            return refuse(format!("`{}`, which may start it, is no principal", name.escape_debug()));
        }
        Ok(())
    }

    /// The options that a request was made with.
    fn of(request: &Request) -> Self {
        Self {
            reason: request.reason.clone(),
            incident: request.incident.clone(),
            ttl: request.not_after.duration_since(request.not_before),
            uses: request.uses,
            triggers: request.triggers.clone(),
            break_glass: request.break_glass,
        }
    }
}

/// Makes every check of a request but that of its signature: when it is prepared, and again when it is submitted.
fn check(host: &Host, rules: &Rules, reader: &Reader, by: &Identity, request: &Request) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::RequestOption { why: why.to_owned() });
    let options = RequestOptions::of(request);
    if request.triggers.is_empty() {
        return refuse("nobody may start it");
    }
    match &request.asks {
        RequestedAuthority::Run { action, input, plan } => {
            options.check(rules, MAX_TTL)?;
            if request.uses.is_none() {
                return refuse("it does not say how many runs may start under it");
            }
            let candidate = components::find(host, action.digest)?;
            // An import that the rehearsal did not use must be covered by the scope that was given. This is checked
            // before anyone approves.
            let scope = Some(&request.scope);
            let input = Input::of(input)?;
            let admitted = admit(host, &candidate, &input, scope, plan.as_ref())?;
            // Refused now, and not when it has been approved.
            sealed::open(host, &request.requester, &input)?;
            if reference(&admitted) != *action {
                return refuse("the action has another name or version");
            }
            // The scope must also cover what the plan does: a rehearsal shows every step, but a run could not make one
            // outside the scope.
            for step in plan.iter().flat_map(|plan| &plan.steps) {
                let (operation, resource) = (step.operation.clone(), step.resource.to_string());
                let refused = |reason| Fault::OutOfScope { operation, resource, reason };
                request.scope.covers(step).map_err(refused)?;
            }
        }
        RequestedAuthority::Standing(standing) => {
            options.check(rules, MAX_STANDING)?;
            host.setup()?.registry.check(&request.scope)?;
            if standing.runs_per_hour == 0 {
                return refuse("its budget would allow no run at all");
            }
            if request.uses.is_some() || request.break_glass {
                return refuse(
                    "a standing scope has a budget, so it has no number of runs, and it cannot be break-glass",
                );
            }
        }
    }
    let now = connectors::reached(&host.setup()?.registry, &request.scope);
    if let Some(why) = connectors::difference(&request.connectors, &now) {
        return refuse(&why);
    }
    by.stands(reader)?;
    let policy_request = policy_request(reader, rules, request, by.who().proof)?;
    let now = Timestamp::now();
    let verdict = rules.policies.may(&by.who(), PolicyAction::Propose, Some(&policy_request), now, &[]);
    let forbidden = |what, why| Err(Error::Forbidden { who: by.name().to_owned(), what, why });
    if !verdict.allowed {
        return forbidden("ask for this", verdict.words());
    }
    if request.break_glass {
        if rules.principals.break_glass().is_none() {
            return refuse("there is no break-glass here: principals.toml has no [break-glass]");
        }
        check_reviewed(reader, by.name())?;
    } else if let Err(error) = rules.policies.requirements(&policy_request, now) {
        // No approver needs to look at a request that no approval could make valid.
        return forbidden("get this", error.to_string());
    } else if let Some(why) = never_starts(reader, rules, request, &policy_request)? {
        return forbidden("get this", why);
    }
    Ok(())
}

/// Why the budgets in the policies let nobody start the request while it is valid; none if somebody can. Checked before
/// approvers look at it.
fn never_starts(
    reader: &Reader,
    rules: &Rules,
    request: &Request,
    policy_request: &PolicyRequest,
) -> Result<Option<String>, Error> {
    if policy_request.standing {
        return Ok(None);
    }
    let mut last = None;
    for wait in waits(reader, rules, request, policy_request, &[])? {
        match wait {
            (_, Room::From(at), _) if at < request.not_after => return Ok(None),
            (name, room, why) => {
                last = Some(format!("{name} could not start it while it is valid: {why}; {room}"));
            }
        }
    }
    Ok(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
