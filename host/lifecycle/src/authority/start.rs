//! From an approved request to a run: everything is looked at again, at the last moment, from the bytes that run.

use jiff::Timestamp;
use remit_gate::{Effect, Limits, Scope, Step};
use remit_journal::{ActionRef, Reader, RequestId, RunId};
use remit_policy::{PolicyAction, PolicyRequest, Subject};
use remit_sandbox::Candidate;
use remit_trust::KeyId;
use remit_trust::dsse::Envelope;

use super::again::{is_outside, rehearse_again, still_so};
use super::budget::{has_room, room_by_policies};
use super::covers::covers;
use super::documents::{Document as _, Trigger};
use super::grant::grant;
use super::order::has_reason;
use super::propose::{MAX_TTL, RequestOptions, prepare_for_longest, unreviewed};
use super::signed::{Accepted, JITTER, Prepared, is_made_at};
use super::spent::Counted;
use super::start_matter::{matter_of_run, matter_of_start};
use super::turn::Turn;
use super::{Asks, Identity, Powers, Request, RequestState, Rules, StandingScope, Status};
use crate::host::blocking;
use crate::plan::admit;
use crate::run::{Started, begin};
use crate::{Error, Host, Input, components, rehearse};

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

/// Makes what is signed to start a run. `what` runs: of a request for a run, only if that is it; of a standing scope it must
/// be given, and so must `reason`.
pub fn prepare_start(
    host: &Host,
    by: &KeyId,
    id: RequestId,
    what: Option<(&Candidate, &Input)>,
    reason: Option<&str>,
) -> Result<Prepared<Trigger>, Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(by)?;
        let case = ready(&reader, &rules, &by, id)?;
        let refuse = |why: String| Err(Error::NotReady { id: id.to_string(), why });
        let (action, input, reason) = match (&case.request.asks, what, reason) {
            (Asks::Run { .. }, _, Some(_)) => {
                return refuse("it is no standing scope: it says itself what runs".to_owned());
            }
            (Asks::Run { action, input, .. }, what, None) => {
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
            (Asks::Standing(standing), Some((candidate, input)), Some(reason)) => {
                has_reason(reason)?;
                is_covered(host, id, standing, (candidate, input))?;
                components::keep(host, candidate)?;
                (candidate.digest(), input.digest(), Some(reason.to_owned()))
            }
            (Asks::Standing(_), ..) => {
                return refuse(
                    "it is a standing scope: name the action and its input too, and say why".to_owned(),
                );
            }
        };
        let trigger = Trigger {
            request: case.digest,
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

/// Takes a signed trigger, looks at everything again, and starts the run. `what` is the component and the input, where the
/// caller has them: of a request for a run they are on record, of a standing scope the input must be given. The run goes on
/// by itself from then on, whether or not anybody waits for its end.
///
/// On answer the start is on record, and durable no later than the run's first change: one who must not tell of a run that a
/// crash forgets waits for `host.journal.flush()`.
pub async fn submit_start(
    host: &Host,
    signed: &Envelope,
    what: Option<(&Candidate, &Input)>,
) -> Result<Start, Error> {
    let look = || {
        let rules = host.rules()?;
        let reader = host.journal.reader()?;
        let trigger = Accepted::<Trigger>::check(&rules, &reader, signed)?;
        is_made_at(&trigger.document, trigger.document.run.made())?;
        if reader.find(&trigger.document.run.to_string()).is_ok() {
            trigger.is_new([trigger.digest])?;
        }
        let case = ready(&reader, &rules, &trigger.by, trigger.document.id)?;
        if case.digest != trigger.document.request {
            let why = "it is for another request of that name".to_owned();
            return Err(Error::NotAccepted { what: Trigger::NAME, why });
        }
        Ok::<_, Error>((trigger, case))
    };
    let (trigger, case) = blocking(look)?;
    let kept;
    let candidate = match what {
        Some((candidate, _)) => candidate,
        None => {
            kept = blocking(|| components::find(host, trigger.document.action))?;
            &kept
        }
    };
    let input = match (&case.request.asks, what) {
        (Asks::Run { input, .. }, _) => Input::of(input)?,
        (Asks::Standing(_), Some((_, input))) => input.clone(),
        (Asks::Standing(_), None) => {
            let why = "the input is missing, of which it has the digest".to_owned();
            return Err(Error::NotAccepted { what: Trigger::NAME, why });
        }
    };
    if (trigger.document.action, trigger.document.input) != (candidate.digest(), input.digest()) {
        let why = "it is for another action or another input".to_owned();
        return Err(Error::NotAccepted { what: Trigger::NAME, why });
    }
    let what = (candidate, &input);
    if let Asks::Standing(standing) = &case.request.asks {
        return start_standing(host, &trigger, &case, standing, what, look).await;
    }
    if trigger.document.reason.is_some() {
        let why = "a request for a run says itself why".to_owned();
        return Err(Error::NotAccepted { what: Trigger::NAME, why });
    }
    if let Some(plan) = case.request.plan() {
        still_so(host, &trigger.by, &case, plan, what).await?;
    }
    let turn = Turn::take(host, "start.lock", &host.starts).await?;
    let grant = blocking(|| {
        // Approvals, revocations and budgets are read now, while nothing else can start.
        let (trigger, case) = look()?;
        let rules = host.rules()?;
        let reader = host.journal.reader()?;
        let matter = matter_of_start(&reader, &case, &trigger.by)?;
        may_start(&reader, &rules, &trigger.by.who(), &matter, &case.request.powers(), &case)?;
        let scope = case.request.scope.clone();
        let plan = case.request.plan().cloned();
        grant(&reader, &case, &trigger, (scope, plan), turn)
    })?;
    Ok(Start::Started(begin(host, candidate, &input, grant).await?))
}

/// Starts a run under a standing scope, if what it would do is inside.
async fn start_standing(
    host: &Host,
    trigger: &Accepted<Trigger>,
    case: &RequestState,
    standing: &StandingScope,
    (candidate, input): (&Candidate, &Input),
    look: impl Fn() -> Result<(Accepted<Trigger>, RequestState), Error>,
) -> Result<Start, Error> {
    let reason = trigger.document.reason.as_deref().unwrap_or_default();
    has_reason(reason)?;
    let action = blocking(|| is_covered(host, case.request.id, standing, (candidate, input)))?;
    // Within the scope that was approved; what leaves it is the matter of the one who asks, if the policies let them look.
    let again = rehearse_again(host, &trigger.by, &case.request, (candidate, input), reason).await;
    let (plan, outside) = match again {
        Ok(plan) => (plan, None),
        Err(error) if is_outside(&error) => {
            let asked = rehearse(host, &trigger.by.key, (candidate, input), None, reason).await?;
            (asked.plan, Some(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    let changes = plan.changes().count() as u64;
    let turn = Turn::take(host, "start.lock", &host.starts).await?;
    let inside = blocking(|| {
        let (trigger, case) = look()?;
        let rules = host.rules()?;
        let reader = host.journal.reader()?;
        let matter = matter_of_run(&reader, &case, &trigger.by, &plan.steps)?;
        let inside = match outside {
            Some(why) => Err(why),
            None => inside(&reader, &case, standing, &plan.steps)?,
        };
        let powers = Powers::of_run(&plan, &case.request.scope);
        let who = trigger.by.who();
        let may = || may_start(&reader, &rules, &who, &matter, &powers, &case).map_err(|why| why.to_string());
        match inside.and_then(|()| may()) {
            Err(why) => Ok(Err(why)),
            Ok(()) => {
                let limits = Limits { changes, ..case.request.scope.limits.clone() };
                let scope = Scope { limits, ..case.request.scope.clone() };
                grant(&reader, &case, &trigger, (scope, Some(plan.clone())), turn).map(Ok)
            }
        }
    })?;
    match inside {
        Ok(grant) => Ok(Start::Started(begin(host, candidate, input, grant).await?)),
        Err(why) => {
            let rules = host.rules()?;
            let options = RequestOptions {
                reason: reason.to_owned(),
                incident: None,
                ttl: MAX_TTL,
                uses: Some(1),
                triggers: Vec::new(),
                break_glass: false,
            };
            let scope = plan.least_scope();
            let asks = Asks::Run { action, input: input.value()?, plan: Some(plan) };
            blocking(|| components::keep(host, candidate))?;
            let request = prepare_for_longest(host, &rules, &trigger.by, &asks, &scope, &options)?;
            Ok(Start::Outside { request: Box::new(request), why })
        }
    }
}

/// Whether a standing scope is for this action, with this input; how the action is called.
fn is_covered(
    host: &Host,
    id: RequestId,
    standing: &StandingScope,
    (candidate, input): (&Candidate, &Input),
) -> Result<ActionRef, Error> {
    let action = admit(host, candidate, input, None, None)?;
    let (published, action) =
        (action.publisher.as_ref().map(ToString::to_string), crate::plan::reference(&action));
    covers(&standing.action, &action, published.as_deref())
        .map_err(|why| Error::NotReady { id: id.to_string(), why })?;
    Ok(action)
}

/// Everything that can be said without looking at the component.
fn ready(reader: &Reader, rules: &Rules, by: &Identity, id: RequestId) -> Result<RequestState, Error> {
    let now = Timestamp::now();
    // A clock that was set back would give expired authority new life.
    if let Some(newest) = reader.highest()?
        && now + JITTER < newest
    {
        return Err(Error::Clock { now, newest });
    }
    by.stands(reader)?;
    let case = RequestState::load(reader, rules, id)?;
    may_use(reader, rules, by.name(), &case)?;
    Ok(case)
}

/// Whether a request is as far that this principal could use it now.
pub(super) fn may_use(reader: &Reader, rules: &Rules, name: &str, case: &RequestState) -> Result<(), Error> {
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

/// Checks that the policies let this principal start the run.
pub(super) fn may_start(
    reader: &Reader,
    rules: &Rules,
    by: &Subject,
    matter: &PolicyRequest,
    powers: &Powers,
    case: &RequestState,
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

/// Whether a plan is inside a standing scope, now.
fn inside(
    reader: &Reader,
    case: &RequestState,
    standing: &StandingScope,
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
    matches!(step.effect, Effect::Change | Effect::Irrevocable)
}
