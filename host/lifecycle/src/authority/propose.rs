//! Asking for authority.

use jiff::{SignedDuration, Timestamp};
use remit_gate::{Fault, Scope};
use remit_journal::{About, Act, Deed, Event, Reader, RequestId, RunId, Started, Word};
use remit_policy::{Matter, Verb, Who};
use remit_sandbox::Candidate;

use super::budget::{Counted, Room, room_by_policies};
use super::documents::sign;
use super::matter::{spent, with_spent};
use super::rules::who;
use super::{Asks, Case, Identity, Request, Rules, Standing, matter};
use crate::{Error, Host, Input, rehearse};

/// The longest a request for a run may be good for.
pub(super) const MAX_TTL: SignedDuration = SignedDuration::from_hours(24);
/// The longest that a standing scope may.
const MAX_STANDING: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a request is made from, besides what it asks for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Why.
    pub reason: String,
    /// Part of which incident.
    pub incident: Option<String>,
    /// For how long from now.
    pub ttl: SignedDuration,
    /// How many runs; none for as many as its budget allows.
    pub uses: Option<u32>,
    /// Who may start it; the requester, if nobody else is named.
    pub triggers: Vec<String>,
    /// Whether it asks to go without the usual policy.
    pub break_glass: bool,
}

impl Terms {
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
}

/// Asks to run an action. It is rehearsed, within `scope` if one is given; the plan and the least scope that covers it
/// are what is asked for. With `open`, any change inside `scope` is asked for, and nothing is rehearsed.
pub async fn request_run(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    candidate: &Candidate,
    input: &Input,
    (scope, open): (Option<Scope>, bool),
    terms: Terms,
) -> Result<Case, Error> {
    terms.check(rules, MAX_TTL)?;
    // What is rehearsed is held to the scope there.
    let action = crate::plan::admit(host, candidate, input, scope.as_ref().filter(|_| open), None)?;
    crate::components::keep(host, candidate)?;
    let (plan, scope) = match (scope, open) {
        (Some(scope), true) => (None, scope),
        (None, true) => {
            return Err(Error::RequestOption { why: "without a plan it needs a scope".to_owned() });
        }
        (scope, false) => {
            let reason = &terms.reason;
            let rehearsed = rehearse(host, (rules, by), (candidate, input), scope.clone(), reason).await?;
            let plan = rehearsed.plan;
            let scope = scope.unwrap_or_else(|| plan.least_scope());
            // What it imports and did not use needs a scope that somebody wrote: found before anyone approves.
            crate::plan::admit(host, candidate, input, Some(&scope), Some(&plan))?;
            // So is what its plan does and the scope does not accept: a rehearsal shows it, a run never could.
            for step in &plan.steps {
                let (operation, resource) = (step.operation.clone(), step.resource.to_string());
                let refused = |reason| Fault::OutOfScope { operation, resource, reason };
                scope.covers(step).map_err(refused)?;
            }
            (Some(plan), scope)
        }
    };
    let asks = Asks::Run { action: crate::plan::reference(&action), input: input.value()?, plan };
    propose(host, rules, by, asks, scope, terms).await
}

/// Asks for authority ahead of need.
pub async fn request_standing(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    standing: Standing,
    scope: Scope,
    terms: Terms,
) -> Result<Case, Error> {
    terms.check(rules, MAX_STANDING)?;
    remit_capability::check(&scope)?;
    if standing.runs_per_hour == 0 {
        let why = "its budget would allow no run at all".to_owned();
        return Err(Error::RequestOption { why });
    }
    propose(host, rules, by, Asks::Standing(standing), scope, terms).await
}

/// Asks for as long as the policies let this one ask: what a standing scope does not cover at night waits for the people
/// of the morning.
pub(super) async fn propose_for_longest(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    asks: Asks,
    scope: Scope,
    terms: Terms,
) -> Result<Case, Error> {
    for hours in [24, 12, 8, 4, 2] {
        let terms = Terms { ttl: SignedDuration::from_hours(hours).min(terms.ttl), ..terms.clone() };
        match propose(host, rules, by, asks.clone(), scope.clone(), terms).await {
            // Perhaps for its length; nothing was signed.
            Err(Error::Forbidden { .. }) => {}
            asked => return asked,
        }
    }
    propose(host, rules, by, asks, scope, Terms { ttl: SignedDuration::from_hours(1), ..terms }).await
}

pub(super) async fn propose(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    asks: Asks,
    scope: Scope,
    terms: Terms,
) -> Result<Case, Error> {
    let now = Timestamp::now();
    let request = Request {
        id: RequestId::new(),
        log: rules.log.clone(),
        requester: by.name().to_owned(),
        asks,
        scope,
        reason: terms.reason,
        incident: terms.incident,
        triggers: if terms.triggers.is_empty() { vec![by.name().to_owned()] } else { terms.triggers },
        not_before: now,
        not_after: now.saturating_add(terms.ttl).unwrap_or(now),
        uses: terms.uses,
        rules: rules.digest,
        break_glass: terms.break_glass,
    };
    let reader = host.journal.reader()?;
    by.stands(&reader)?;
    let matter = matter(&reader, rules, &request)?;
    let verdict = rules.policies.may(&by.who(), Verb::Propose, Some(&matter), now, &[]);
    if !verdict.allowed {
        return Err(Error::Forbidden {
            who: by.name().to_owned(),
            what: "ask for this",
            why: verdict.words(),
        });
    }
    if request.break_glass {
        if rules.principals.break_glass().is_none() {
            return Err(Error::RequestOption {
                why: "nobody may go without the usual policy here: principals.toml has no [break-glass]"
                    .to_owned(),
            });
        }
        if let Some(run) = unreviewed(&reader, by.name())? {
            return Err(Error::Unreviewed { who: by.name().to_owned(), run });
        }
    } else if let Err(error) = rules.policies.requirements(&matter, now) {
        // Nobody need look at what no approval would help.
        return Err(Error::Forbidden { who: by.name().to_owned(), what: "get this", why: error.to_string() });
    } else if let Some(why) = never_starts(&reader, rules, &request, &matter)? {
        return Err(Error::Forbidden { who: by.name().to_owned(), what: "get this", why });
    }
    let id = request.id;
    let (document, _) = sign(&request, by)?;
    let word = Word {
        principal: by.name().to_owned(),
        key: by.key.to_string(),
        reason: request.reason.clone(),
        document,
    };
    host.journal.act(&Act::now(About::Request(id), Deed::Requested(word))).await?;
    Case::load(&*host.journal.reader()?, rules, id)
}

/// Why no budget of the policies will let anybody start this while it is good, if so: found before people look at it.
fn never_starts(
    reader: &Reader,
    rules: &Rules,
    request: &Request,
    matter: &Matter,
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
    matter: &Matter,
    approvers: &[Who],
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
                let verdict =
                    rules.policies.may(&who, Verb::Trigger, Some(&matter), Timestamp::now(), approvers);
                all.push((name.clone(), room, verdict.words()));
            }
            None => return Ok(Vec::new()),
        }
    }
    Ok(all)
}

/// Why a request that may be used could not start now, of each who may start it: a budget of the policies is spent.
pub fn waiting_for_room(reader: &Reader, rules: &Rules, case: &Case) -> Result<Vec<String>, Error> {
    if case.request.break_glass || matches!(case.request.asks, Asks::Standing(_)) {
        return Ok(Vec::new());
    }
    let waits = waits(reader, rules, &case.request, &case.matter, &case.approvers())?;
    Ok(waits.into_iter().map(|(name, room, why)| format!("{name}: {why}; {room}")).collect())
}

/// A run of this principal that went without the usual policy, and that nobody has reviewed.
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
        if let Deed::Reviewed { run, .. } = act.deed {
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
