//! Asking for authority.

use jiff::{SignedDuration, Timestamp};
use remit_gate::{Fault, Scope};
use remit_journal::{About, Act, Event, LedgerEvent, Reader, RequestId, RunId, Started};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use remit_sandbox::Candidate;
use remit_trust::KeyId;
use remit_trust::dsse::Envelope;

use super::again::{difference, rehearse_again};
use super::budget::{Room, room_by_policies};
use super::documents::Document as _;
use super::rules::who;
use super::signed::{Accepted, Prepared, is_made_at};
use super::spent::{Counted, spent, with_spent};
use super::turn::Turn;
use super::{Asks, Identity, Request, RequestState, Rules, StandingScope, matter};
use crate::host::blocking;
use crate::{Error, Host, Input, rehearse};

/// The longest time that a request for a run may be valid.
pub(super) const MAX_TTL: SignedDuration = SignedDuration::from_hours(24);
/// The longest that a standing scope may.
const MAX_STANDING: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The options of a request, besides what it asks for.
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
    /// Whether it asks to go without the usual policy.
    pub break_glass: bool,
}

/// Makes what is signed to ask for a run. The action is rehearsed, within `scope` if one is given; the plan and the least
/// scope that covers it are what is asked for. With `open`, any change inside `scope` is asked for, and nothing is rehearsed.
pub async fn prepare_run_request(
    host: &Host,
    by: &KeyId,
    candidate: &Candidate,
    input: &Input,
    (scope, open): (Option<Scope>, bool),
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let rules = host.rules()?;
    let identity = rules.identify(by)?;
    options.check(&rules, MAX_TTL)?;
    let action = blocking(|| {
        // What is rehearsed is held to the scope there.
        let action = crate::plan::admit(host, candidate, input, scope.as_ref().filter(|_| open), None)?;
        crate::components::keep(host, candidate)?;
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
    let asks = Asks::Run { action: crate::plan::reference(&action), input: input.value()?, plan };
    prepare_observed(host, &rules, &identity, asks, scope, options)
}

/// Makes what is signed to ask for authority ahead of need.
pub fn prepare_standing_request(
    host: &Host,
    by: &KeyId,
    standing: StandingScope,
    scope: Scope,
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let rules = host.rules()?;
    let by = rules.identify(by)?;
    options.check(&rules, MAX_STANDING)?;
    prepare(host, &rules, &by, Asks::Standing(standing), scope, options)
}

/// Makes a request for a plan that this host has just observed.
fn prepare_observed(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    asks: Asks,
    scope: Scope,
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let prepared = prepare(host, rules, by, asks, scope, options)?;
    host.observed.note(prepared.digest());
    Ok(prepared)
}

/// Asks for as long as the policies let this one ask: what a standing scope does not cover at night waits for the people
/// of the morning.
pub(super) fn prepare_for_longest(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    asks: &Asks,
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
            // Perhaps for its length.
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
    asks: Asks,
    scope: Scope,
    options: RequestOptions,
) -> Result<Prepared<Request>, Error> {
    let now = Timestamp::now();
    let request = Request {
        id: RequestId::new(),
        log: rules.log.clone(),
        requester: by.name().to_owned(),
        asks,
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
    let rules = host.rules()?;
    let look = || {
        let reader = host.journal.reader()?;
        let accepted = Accepted::<Request>::check(&rules, &reader, signed)?;
        let request = &accepted.document;
        is_made_at(request, request.id.made())?;
        if request.rules != rules.digest {
            let why = "the rules were changed since it was prepared".to_owned();
            return Err(Error::NotAccepted { what: Request::NAME, why });
        }
        check(host, &rules, &reader, &accepted.by, request)?;
        if !reader.acts(About::Request(request.id))?.is_empty() {
            accepted.is_new([accepted.digest])?;
        }
        Ok(accepted)
    };
    let accepted = blocking(look)?;
    let request = &accepted.document;
    if let Asks::Run { action, input, plan: Some(plan) } = &request.asks
        && !host.observed.is_noted(accepted.digest)
    {
        // Nobody has approved it yet, so that who asks must be one who may rehearse it.
        blocking(|| crate::plan::may_rehearse(host, &rules, &accepted.by, action, &request.scope))?;
        let input = Input::of(input)?;
        let candidate = blocking(|| crate::components::find(host, action.digest))?;
        let what = (&candidate, &input);
        let now = rehearse_again(host, &accepted.by, request, what, &request.reason).await?;
        if let Some(why) = difference(plan, &now) {
            let why = format!("its plan is not what this host observes: {why}");
            return Err(Error::NotAccepted { what: Request::NAME, why });
        }
    }
    // Every audit would find a second request with the same id, so this is checked again while no other process can
    // submit.
    let turn = Turn::take(host, "submit.lock", &host.submissions).await?;
    let accepted = blocking(look)?;
    let id = accepted.document.id;
    let statement = accepted.word(&accepted.document.reason);
    host.journal.act(&Act::now(About::Request(id), LedgerEvent::Requested(statement))).await?;
    drop(turn);
    blocking(|| RequestState::load(&*host.journal.reader()?, &rules, id))
}

impl RequestOptions {
    fn check(&self, rules: &Rules, longest: SignedDuration) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::RequestOption { why });
        if self.ttl <= SignedDuration::ZERO || self.ttl > longest {
            let hours = longest.as_hours();
            let longest = if hours > 24 { format!("{} days", hours / 24) } else { format!("{hours}h") };
            return refuse(format!("it must be good for more than 0 and at most {longest}"));
        }
        if self.uses == Some(0) {
            return refuse("it would allow no run at all (uses = 0)".to_owned());
        }
        if self.reason.trim().is_empty() {
            return refuse("it has no reason".to_owned());
        }
        if let Some(name) = self.triggers.iter().find(|name| rules.principals.get(name).is_none()) {
            return refuse(format!("`{}`, who is to start it, is no principal", name.escape_debug()));
        }
        Ok(())
    }

    /// The options of a request that was made already.
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

/// Every check of a request but for its signature: made when it is prepared, and again when it is submitted.
fn check(host: &Host, rules: &Rules, reader: &Reader, by: &Identity, request: &Request) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::RequestOption { why: why.to_owned() });
    let options = RequestOptions::of(request);
    if request.triggers.is_empty() {
        return refuse("nobody may start it");
    }
    match &request.asks {
        Asks::Run { action, input, plan } => {
            options.check(rules, MAX_TTL)?;
            if request.uses.is_none() {
                return refuse("it does not say how many runs it is for");
            }
            let candidate = crate::components::find(host, action.digest)?;
            // An import that the rehearsal did not use must be covered by the scope that was given. This is checked
            // before anyone approves.
            let scope = Some(&request.scope);
            let admitted = crate::plan::admit(host, &candidate, &Input::of(input)?, scope, plan.as_ref())?;
            if crate::plan::reference(&admitted) != *action {
                return refuse("the action is not called like this");
            }
            // The scope must also cover what the plan does: a rehearsal shows every step, but a run could not make one
            // outside the scope.
            for step in plan.iter().flat_map(|plan| &plan.steps) {
                let (operation, resource) = (step.operation.clone(), step.resource.to_string());
                let refused = |reason| Fault::OutOfScope { operation, resource, reason };
                request.scope.covers(step).map_err(refused)?;
            }
        }
        Asks::Standing(standing) => {
            options.check(rules, MAX_STANDING)?;
            remit_capability::check(&request.scope)?;
            if standing.runs_per_hour == 0 {
                return refuse("its budget would allow no run at all");
            }
            if request.uses.is_some() || request.break_glass {
                return refuse(
                    "a standing scope has a budget, and no number of runs; nor can it go without the usual policy",
                );
            }
        }
    }
    by.stands(reader)?;
    let matter = matter(reader, rules, request)?;
    let now = Timestamp::now();
    let verdict = rules.policies.may(&by.who(), PolicyAction::Propose, Some(&matter), now, &[]);
    let forbidden = |what, why| Err(Error::Forbidden { who: by.name().to_owned(), what, why });
    if !verdict.allowed {
        return forbidden("ask for this", verdict.words());
    }
    if request.break_glass {
        if rules.principals.break_glass().is_none() {
            return refuse(
                "nobody may go without the usual policy here: principals.toml has no [break-glass]",
            );
        }
        if let Some(run) = unreviewed(reader, by.name())? {
            return Err(Error::Unreviewed { who: by.name().to_owned(), run });
        }
    } else if let Err(error) = rules.policies.requirements(&matter, now) {
        // No approver needs to look at a request that no approval could make valid.
        return forbidden("get this", error.to_string());
    } else if let Some(why) = never_starts(reader, rules, request, &matter)? {
        return forbidden("get this", why);
    }
    Ok(())
}

/// Why no budget of the policies will let anybody start this while it is good, if so: found before people look at it.
fn never_starts(
    reader: &Reader,
    rules: &Rules,
    request: &Request,
    matter: &PolicyRequest,
) -> Result<Option<String>, Error> {
    if matter.standing {
        return Ok(None);
    }
    let mut last = None;
    for wait in waits(reader, rules, request, matter, &[])? {
        match wait {
            (_, Room::From(at), _) if at < request.not_after => return Ok(None),
            (name, room, why) => {
                last = Some(format!("{name} could not start it while it is good: {why}; {room}"));
            }
        }
    }
    Ok(last)
}

/// Which budget of the policies keeps each of those from starting it now who may; nothing if one of them is not kept.
pub(super) fn waits(
    reader: &Reader,
    rules: &Rules,
    request: &Request,
    matter: &PolicyRequest,
    approvers: &[Subject],
) -> Result<Vec<(String, Room, String)>, Error> {
    let powers = request.powers();
    let mut all = Vec::new();
    for name in &request.triggers {
        let Some(principal) = rules.principals.get(name) else { continue };
        let who = who(principal);
        let of = Counted {
            requester: &request.requester,
            starter: name,
            action: &matter.action_name,
            powers: &powers,
        };
        let matter = spent(reader, |spent| with_spent(matter.clone(), spent, &of))?;
        match room_by_policies(reader, rules, &who, &matter, &of, approvers)? {
            Some(room) => {
                let verdict = rules.policies.may(
                    &who,
                    PolicyAction::Trigger,
                    Some(&matter),
                    Timestamp::now(),
                    approvers,
                );
                all.push((name.clone(), room, verdict.words()));
            }
            None => return Ok(Vec::new()),
        }
    }
    Ok(all)
}

/// Why a request that may be used could not start now, of each who may start it: a budget of the policies is spent.
pub fn waiting_for_room(reader: &Reader, rules: &Rules, case: &RequestState) -> Result<Vec<String>, Error> {
    if case.request.break_glass || matches!(case.request.asks, Asks::Standing(_)) {
        return Ok(Vec::new());
    }
    let waits = waits(reader, rules, &case.request, &case.matter, &case.approvers())?;
    Ok(waits.into_iter().map(|(name, room, why)| format!("{name}: {why}; {room}")).collect())
}

/// A break-glass run of this principal that nobody has reviewed yet.
pub(super) fn unreviewed(reader: &Reader, who: &str) -> Result<Option<RunId>, Error> {
    let mut found = None;
    each_unreviewed(reader, |run, started| {
        if started.principal == who {
            found = Some(run);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// All of them, of whomever, the newest first.
pub(crate) fn unreviewed_runs(reader: &Reader) -> Result<Vec<RunId>, Error> {
    let mut all = Vec::new();
    each_unreviewed(reader, |run, _| {
        all.push(run);
        true
    })?;
    Ok(all)
}

/// Visits each, the newest first, until `visit` says false.
fn each_unreviewed(reader: &Reader, mut visit: impl FnMut(RunId, &Started) -> bool) -> Result<(), Error> {
    let mut reviewed = Vec::new();
    for (_, act) in reader.acts(About::Host)? {
        if let LedgerEvent::Reviewed { run, .. } = act.event {
            reviewed.push(run);
        }
    }
    reader.newest_runs(|_, record| match &record.event {
        Event::Started(started)
            if started.grant.as_ref().and_then(|g| g.authority.as_ref()).is_some_and(|a| a.break_glass)
                && !reviewed.contains(&record.run) =>
        {
            visit(record.run, started)
        }
        _ => true,
    })?;
    Ok(())
}
