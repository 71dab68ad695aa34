//! From an approved request to a run: everything is looked at again, at the last moment, from the bytes that run.

use std::fs::{File, TryLockError};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use remit_gate::{Facts, Fault, Limits, Plan, Scope, Step};
use remit_journal::{
    About, Act, ActionRef, Authority, Basis, GrantRef, LedgerEvent, Reader, RequestId, RestsOn, RunId,
    SignedRef,
};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use remit_sandbox::{AdmissionError, Candidate, Stop};
use remit_trust::Digest;
use serde_json::value::RawValue;
use tokio::sync::OwnedMutexGuard;

use super::budget::{Counted, has_room, room_by_policies};
use super::documents::{Trigger, sign};
use super::matter::{matter_of_run, matter_of_start};
use super::propose::{MAX_TTL, Terms, propose_for_longest, unreviewed};
use super::{Asks, Case, Identity, Powers, Rules, Standing, Status, Which};
use crate::plan::{MOST_CHANGES, admit, play};
use crate::run::{Finished, perform};
use crate::{Error, Host, Input, components, rehearse};

/// By how much two readings of one clock may disagree before somebody has set it.
const JITTER: SignedDuration = SignedDuration::from_secs(2);

/// What a run goes under, put together from the request, its approvals and the word that starts it. There is no other
/// way to one.
pub(crate) struct Grant {
    pub(crate) scope: Scope,
    pub(crate) plan: Option<Plan>,
    pub(crate) facts: Facts,
    /// Who asked for it.
    pub(crate) principal: String,
    /// Who starts it.
    pub(crate) started_by: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) on_record: GrantRef,
    /// Held until the run is on record, so that no two starts count the same budget.
    pub(crate) turn: StartTurn,
}

/// Whose turn it is to start a run: first within this process, then among all that have the home open.
pub(crate) struct StartTurn {
    _everywhere: File,
    _here: OwnedMutexGuard<()>,
}

/// What became of a start under a standing scope.
#[derive(Debug)]
pub enum Under {
    /// It ran.
    Ran(Box<Finished>),
    /// It is not inside, and became a request of its own.
    Asked {
        /// That request.
        case: Box<Case>,
        /// What was not inside.
        why: String,
    },
}

/// Runs what was asked for and approved. With `given`, only if that is it.
pub async fn execute(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    id: RequestId,
    given: Option<(&Candidate, &Input)>,
) -> Result<Finished, Error> {
    let reader = host.journal.reader()?;
    let case = ready(&reader, rules, by, id)?;
    let Asks::Run { action, input, plan } = &case.request.asks else {
        return Err(Error::NotReady {
            id: id.to_string(),
            why: "it is a standing scope: name the action and its input too".to_owned(),
        });
    };
    let input = Input::of(input)?;
    let kept;
    let candidate = match given {
        Some((candidate, _)) => candidate,
        None => {
            kept = components::find(host, action.digest)?;
            &kept
        }
    };
    let other = |why: String| Err(Error::NotReady { id: id.to_string(), why });
    if candidate.digest() != action.digest {
        return other(format!(
            "it is for {} {} ({}), this component is {}: distrust its source if it should not have changed",
            action.name,
            action.version,
            action.digest,
            candidate.digest()
        ));
    }
    if given.is_some_and(|(_, given)| given.digest() != input.digest()) {
        return other("it is for another input".to_owned());
    }
    if let Some(plan) = plan {
        still_so(host, by, &case, plan, (candidate, &input)).await?;
    }
    let turn = turn(host).await?;
    // Approvals, revocations and budgets as they are now, with nobody else starting meanwhile.
    let reader = host.journal.reader()?;
    let case = ready(&reader, rules, by, id)?;
    let powers = case.request.powers();
    may_start(&reader, rules, &by.who(), &matter_of_start(&reader, &case, by)?, &powers, &case)?;
    let scope = case.request.scope.clone();
    let plan = case.request.plan().cloned();
    let request = case.request.requester.clone();
    let grant = grant(&reader, rules, by, &case, (scope, plan), (candidate, &input), request, turn)?;
    perform(host, candidate, &input, grant).await
}

/// Runs an action under a standing scope, if what it would do is inside; asks for it, if it is not.
pub async fn execute_standing(
    host: &Host,
    rules: &Rules,
    by: &Identity,
    id: RequestId,
    (candidate, input): (&Candidate, &Input),
    reason: &str,
) -> Result<Under, Error> {
    let reader = host.journal.reader()?;
    let case = ready(&reader, rules, by, id)?;
    let Asks::Standing(standing) = &case.request.asks else {
        return Err(Error::NotReady {
            id: id.to_string(),
            why: "it is no standing scope: it says itself what runs".to_owned(),
        });
    };
    let action = admit(host, candidate, input, None, None)?;
    let published = action.publisher.as_ref().map(ToString::to_string);
    covers(&standing.action, &crate::plan::reference(&action), published.as_deref())
        .map_err(|why| Error::NotReady { id: id.to_string(), why })?;
    // Within the scope that was approved; what leaves it is the matter of the one who asks, if the policies let them look.
    let (plan, outside) = match again(host, by, &case, (candidate, input), reason).await {
        Ok(plan) => (plan, None),
        Err(error) if is_outside(&error) => {
            let asked = rehearse(host, (rules, by), (candidate, input), None, reason).await?;
            (asked.plan, Some(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    let changes = plan.changes().count() as u64;
    let limits = Limits { changes, ..case.request.scope.limits.clone() };
    let scope = Scope { limits, ..case.request.scope.clone() };
    let turn = turn(host).await?;
    let reader = host.journal.reader()?;
    let case = ready(&reader, rules, by, id)?;
    let matter = matter_of_run(&reader, &case, by, &plan.steps)?;
    let inside = match outside {
        Some(why) => Err(why),
        None => inside(&reader, &case, standing, &plan.steps)?,
    };
    let powers = Powers::of_run(&plan, &case.request.scope);
    let inside = inside.and_then(|()| {
        may_start(&reader, rules, &by.who(), &matter, &powers, &case).map_err(|why| why.to_string())
    });
    if let Err(why) = inside {
        drop(turn);
        components::keep(host, candidate)?;
        let terms = Terms {
            reason: reason.to_owned(),
            incident: None,
            ttl: MAX_TTL,
            uses: Some(1),
            triggers: Vec::new(),
            break_glass: false,
        };
        let scope = plan.least_scope();
        // Nobody need approve what could never be let in.
        admit(host, candidate, input, Some(&scope), Some(&plan))?;
        let asks =
            Asks::Run { action: crate::plan::reference(&action), input: input.value()?, plan: Some(plan) };
        let case = propose_for_longest(host, rules, by, asks, scope, terms).await?;
        return Ok(Under::Asked { case: Box::new(case), why });
    }
    let name = case.request.requester.clone();
    let mut grant = grant(&reader, rules, by, &case, (scope, Some(plan)), (candidate, input), name, turn)?;
    reason.clone_into(&mut grant.facts.reason);
    Ok(Under::Ran(Box::new(perform(host, candidate, input, grant).await?)))
}

/// Everything that can be said without looking at the component.
fn ready(reader: &Reader, rules: &Rules, by: &Identity, id: RequestId) -> Result<Case, Error> {
    let now = Timestamp::now();
    // A clock that was set back would give expired authority new life.
    if let Some(newest) = reader.highest()?
        && now + JITTER < newest
    {
        return Err(Error::Clock { now, newest });
    }
    by.stands(reader)?;
    let case = Case::load(reader, rules, id)?;
    may_use(reader, rules, by.name(), &case)?;
    Ok(case)
}

/// Whether a request is as far that this principal could use it now.
pub(super) fn may_use(reader: &Reader, rules: &Rules, name: &str, case: &Case) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::NotReady { id: case.request.id.to_string(), why });
    let now = Timestamp::now();
    match case.status(rules) {
        Status::Approved => {}
        Status::Waiting(lacks) => {
            let missing: Vec<String> = lacks
                .needs
                .iter()
                .filter(|(_, missing)| *missing > 0)
                .map(|(need, missing)| format!("{missing} of {need} (policy {})", need.policy))
                .collect();
            let passed: Vec<String> = case
                .approvals
                .iter()
                .filter_map(|given| {
                    let why = given.counts.as_ref().err()?;
                    Some(format!("the approval by {} {why}", given.approval.principal))
                })
                .collect();
            let passed = if passed.is_empty() { String::new() } else { format!("; {}", passed.join("; ")) };
            return refuse(format!("approvals are missing: {}{passed}", missing.join(", ")));
        }
        Status::Used => return refuse(format!("it is used up: {} run(s) have started", case.started)),
        Status::Expired => return refuse(format!("its time was over at {}", case.request.not_after)),
        Status::Closed(why) | Status::Forbidden(why) => return refuse(why),
    }
    if now < case.request.not_before {
        return Err(Error::Clock { now, newest: case.request.not_before });
    }
    if !case.request.triggers.iter().any(|trigger| trigger == name) {
        return refuse(format!("{name} may not start it, only {}", case.request.triggers.join(", ")));
    }
    if case.request.break_glass
        && let Some(run) = unreviewed(reader, &case.request.requester)?
    {
        return Err(Error::Unreviewed { who: case.request.requester.clone(), run });
    }
    Ok(())
}

/// Rehearses within an approved scope: what it allows to look at, it allows here too. How many changes are played is not
/// limited by it: one more than was approved is another plan, and not a limit to be raised.
async fn again(
    host: &Host,
    by: &Identity,
    case: &Case,
    (candidate, input): (&Candidate, &Input),
    reason: &str,
) -> Result<Plan, Error> {
    let approved = &case.request.scope;
    let limits = Limits { changes: MOST_CHANGES, ..approved.limits.clone() };
    let scope = Scope { limits, ..approved.clone() };
    let action = admit(host, candidate, input, Some(&scope), case.request.plan())?;
    Ok(play(host, &action, (candidate, input), scope, by.name(), reason).await?.plan)
}

/// Whether a rehearsal was stopped because it left its scope.
fn is_outside(error: &Error) -> bool {
    matches!(
        error,
        Error::Stop(Stop::Fault(Fault::OutOfScope { .. }))
            | Error::Admission(AdmissionError::NotGranted { .. })
    )
}

/// Rehearses again: what was approved must be what would happen now.
async fn still_so(
    host: &Host,
    by: &Identity,
    case: &Case,
    plan: &Plan,
    what: (&Candidate, &Input),
) -> Result<(), Error> {
    let now = match again(host, by, case, what, &case.request.reason).await {
        Ok(now) => now,
        // It asks for what was not approved: that is another plan. That it fails, because a system does not answer,
        // says nothing of the plan: it may be tried again.
        Err(error) if is_outside(&error) => {
            return void(host, case, format!("rehearsed again, it is refused: {error}")).await;
        }
        // Nor can what was approved be done to what is there now, until somebody changes that.
        Err(error @ Error::AfterFailure { settled: true, .. }) => {
            return void(host, case, format!("rehearsed again, it does not get to its end: {error}")).await;
        }
        Err(error) => return Err(error),
    };
    if let Some(why) = difference(plan, &now) {
        return void(host, case, format!("rehearsed again, it would do something else: {why}")).await;
    }
    Ok(())
}

async fn void(host: &Host, case: &Case, why: String) -> Result<(), Error> {
    let id = case.request.id;
    host.journal.act(&Act::now(About::Request(id), LedgerEvent::Voided { why: why.clone() })).await?;
    Err(Error::Voided { id: id.to_string(), why })
}

/// The first step in which two plans differ, in words. What was there before is a part of it.
fn difference(approved: &Plan, now: &Plan) -> Option<String> {
    let longest = approved.steps.len().max(now.steps.len());
    let at = (0..longest).find(|at| approved.steps.get(*at) != now.steps.get(*at))?;
    let nothing = || "nothing more".to_owned();
    let (was, is) = match (approved.steps.get(at), now.steps.get(at)) {
        (Some(was), Some(is)) => was.apart(is),
        (was, is) => (was.map_or_else(nothing, Step::words), is.map_or_else(nothing, Step::words)),
    };
    Some(format!("step {} was approved as {was}, and is now {is}", at + 1))
}

/// Whether the policies let this principal start it, with what they are told of the start.
pub(super) fn may_start(
    reader: &Reader,
    rules: &Rules,
    by: &Subject,
    matter: &PolicyRequest,
    powers: &Powers,
    case: &Case,
) -> Result<(), Error> {
    if case.request.break_glass {
        return Ok(());
    }
    let verdict =
        rules.policies.may(by, PolicyAction::Trigger, Some(matter), Timestamp::now(), &case.approvers());
    if verdict.allowed {
        return Ok(());
    }
    let requester = &case.request.requester;
    let of = Counted { requester, starter: &by.name, action: &matter.action_name, powers };
    let why = match room_by_policies(reader, rules, by, matter, &of, &case.approvers())? {
        Some(room) => format!("{}; {room}", verdict.words()),
        None => verdict.words(),
    };
    Err(Error::Forbidden { who: by.name.clone(), what: "start this", why })
}

/// One start at a time on a home: from looking at the budgets until the run is on record.
async fn turn(host: &Host) -> Result<StartTurn, Error> {
    // Whoever waits for the system's lock keeps a thread, so at most one of this process does, on a thread for that.
    let here = Arc::clone(&host.starts).lock_owned().await;
    let path = host.home.path().join("start.lock");
    let lock = move || -> Result<File, Error> {
        let failed = |error: std::io::Error| Error::kept(&path, &error);
        let file = remit_file::lock(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => file.lock().map_err(failed).map(|()| file),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    };
    let everywhere = tokio::task::spawn_blocking(lock)
        .await
        .map_err(|error| Error::kept(host.home.path(), &error.into()))??;
    Ok(StartTurn { _everywhere: everywhere, _here: here })
}

#[expect(clippy::too_many_arguments, reason = "each is another thing, all come together here once")]
fn grant(
    reader: &Reader,
    rules: &Rules,
    by: &Identity,
    case: &Case,
    (scope, plan): (Scope, Option<Plan>),
    (candidate, input): (&Candidate, &Input),
    principal: String,
    turn: StartTurn,
) -> Result<Grant, Error> {
    let request = &case.request;
    let facts = crate::plan::facts(&request.reason)?;
    let trigger = Trigger {
        request: case.digest,
        log: rules.log.clone(),
        run: facts.run,
        action: candidate.digest(),
        input: input.digest(),
        principal: by.name().to_owned(),
        at: Timestamp::now(),
    };
    let (trigger, _) = sign(&trigger, by)?;
    let authority = Authority {
        request: request.id,
        approvals: case.approvals.iter().filter(|given| given.counts.is_ok()).map(envelope).collect(),
        trigger,
        break_glass: request.break_glass,
        rests_on: rests_on(reader, by, case, candidate.digest())?,
    };
    Ok(Grant {
        scope,
        plan,
        facts,
        principal,
        started_by: by.name().to_owned(),
        not_before: request.not_before,
        not_after: request.not_after,
        on_record: GrantRef {
            digest: case.digest,
            uses: request.uses.unwrap_or(u32::MAX),
            signed: Some(SignedRef {
                envelope: case.envelope.clone(),
                not_before: request.not_before,
                not_after: request.not_after,
            }),
            authority: Some(authority),
        },
        turn,
    })
}

fn envelope(given: &super::Given) -> Box<RawValue> {
    given.envelope.clone()
}

/// All that must not be taken away while the run goes on.
fn rests_on(reader: &Reader, by: &Identity, case: &Case, action: Digest) -> Result<Vec<RestsOn>, Error> {
    let mut rests_on = case.own_bases();
    let mut add = |basis, since| rests_on.push(RestsOn { basis, since });
    for given in case.approvals.iter().filter(|given| given.counts.is_ok()) {
        add(Basis::Principal(given.approval.principal.clone()), given.seq);
        add(Basis::Key(given.key.to_string()), given.seq);
    }
    let now = reader.size()?;
    add(Basis::Principal(by.name().to_owned()), now);
    add(Basis::Key(by.key.to_string()), now);
    add(Basis::Action(action.to_string()), case.seq);
    rests_on.sort_by_key(|on| (on.basis.clone(), on.since));
    rests_on.dedup();
    Ok(rests_on)
}

/// Whether a standing scope is for this action, by the publisher whose key has this id.
pub(super) fn covers(which: &Which, action: &ActionRef, by: Option<&str>) -> Result<(), String> {
    match which {
        Which::Digest(wanted) if wanted.digest == action.digest => Ok(()),
        Which::Digest(wanted) => {
            Err(format!("it is for {} {} ({})", wanted.name, wanted.version, wanted.digest))
        }
        Which::Published { publisher, name, versions } => {
            let version = semver::Version::parse(&action.version).ok();
            let same = by == Some(publisher)
                && action.name == *name
                && version.is_some_and(|version| versions.matches(&version));
            if same {
                Ok(())
            } else {
                Err(format!(
                    "it is for {name} {versions} by the publisher {}",
                    publisher.get(..12).unwrap_or("")
                ))
            }
        }
    }
}

/// Whether a plan is inside a standing scope, now.
fn inside(
    reader: &Reader,
    case: &Case,
    standing: &Standing,
    steps: &[Step],
) -> Result<Result<(), String>, Error> {
    let now = Timestamp::now();
    if !standing.hours.is_empty() && !standing.hours.iter().any(|hours| hours.contain(now)) {
        let hours: Vec<String> = standing.hours.iter().map(ToString::to_string).collect();
        return Ok(Err(format!("it is good for {} (UTC), and it is {now}", hours.join(", "))));
    }
    for step in steps {
        if let Err(why) = case.request.scope.covers(step) {
            return Ok(Err(format!("{} on {}: {why}", step.operation, step.resource)));
        }
    }
    let wanted = steps.iter().filter(|step| is_change(step)).count() as u64;
    if wanted > case.request.scope.limits.changes {
        return Ok(Err(format!(
            "it would make {wanted} changes, the scope allows {}",
            case.request.scope.limits.changes
        )));
    }
    has_room(reader, case, standing, wanted)
}

fn is_change(step: &Step) -> bool {
    use remit_gate::Effect;
    matches!(step.effect, Effect::Change | Effect::Irrevocable)
}

/// The run whose start a grant is for.
impl Grant {
    pub(crate) fn run(&self) -> RunId {
        self.facts.run
    }
}
