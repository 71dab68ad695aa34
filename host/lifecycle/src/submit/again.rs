//! Rehearses again, to see whether an approved plan still is what would happen.

use remit_engine::blocking;
use remit_gate::{Fault, Limits, Plan, Scope, Step};
use remit_journal::{About, Act, LedgerEvent};
use remit_sandbox::{AdmissionError, Candidate, Stop};

use crate::authority::Identity;
use crate::plan::{MOST_CHANGES, admit, play};
use crate::{Error, Host, Input, Request, RequestState, connectors, sealed};

/// Rehearses within the scope of a request, which also allows the reads. The limit of changes is not the request's: if one
/// more change is needed now, this is another plan, and not a limit that the requester has to raise.
pub(super) async fn rehearse_again(
    host: &Host,
    by: &Identity,
    request: &Request,
    (candidate, input): (&Candidate, &Input),
    reason: &str,
) -> Result<Plan, Error> {
    let limits = Limits { changes: MOST_CHANGES, ..request.scope.limits.clone() };
    let scope = Scope { limits, ..request.scope.clone() };
    let action = blocking(|| admit(host, candidate, input, Some(&scope), request.plan()))?;
    let sealed = sealed::open(host, request.owner_of_input(by.name()), input)?;
    Ok(play(host, &action, (candidate, input, sealed), scope, by.name(), reason).await?.plan)
}

/// Whether a rehearsal was stopped because it left its scope.
pub(super) fn is_outside(error: &Error) -> bool {
    matches!(
        error,
        Error::Stop(Stop::Fault(Fault::OutOfScope { .. }))
            | Error::Admission(AdmissionError::NotGranted { .. })
    )
}

/// Rehearses again, and voids the request if the approved plan is not what would happen now.
pub(super) async fn check_plan(
    host: &Host,
    by: &Identity,
    state: &RequestState,
    plan: &Plan,
    what: (&Candidate, &Input),
) -> Result<(), Error> {
    let now = match rehearse_again(host, by, &state.request, what, &state.request.reason).await {
        Ok(now) => now,
        // The action asks for what was not approved, so this is another plan.
        Err(error) if is_outside(&error) => {
            return void(host, state, format!("rehearsed again, it is refused: {error}")).await;
        }
        // The action failed because of the state of a system, so the plan cannot be carried out until somebody changes
        // that state.
        Err(error @ Error::AfterFailure { settled: true, .. }) => {
            return void(host, state, format!("rehearsed again, it fails: {error}")).await;
        }
        // Any other failure, such as a system that does not answer, says nothing about the plan. The request stays
        // approved.
        Err(error) => return Err(error),
    };
    match difference(plan, &now) {
        Some(why) => void(host, state, format!("rehearsed again, it would do something else: {why}")).await,
        None => Ok(()),
    }
}

/// Voids a request whose connectors are not those of now: what they do was approved with them.
pub(super) async fn check_connectors(host: &Host, state: &RequestState) -> Result<(), Error> {
    let now = connectors::reached(&host.setup()?.registry, &state.request.scope);
    match connectors::difference(&state.request.connectors, &now) {
        Some(why) => void(host, state, why).await,
        None => Ok(()),
    }
}

async fn void(host: &Host, state: &RequestState, why: String) -> Result<(), Error> {
    let id = state.request.id;
    host.journal.act(&Act::now(About::Request(id), LedgerEvent::Voided { why: why.clone() })).await?;
    Err(Error::Voided { id: id.to_string(), why })
}

/// The first step in which two plans differ, in words; none if they are equal. The state before a step is part of it.
pub(super) fn difference(approved: &Plan, now: &Plan) -> Option<String> {
    let longest = approved.steps.len().max(now.steps.len());
    let at = (0..longest).find(|at| approved.steps.get(*at) != now.steps.get(*at))?;
    let nothing = || "nothing more".to_owned();
    let (was, is) = match (approved.steps.get(at), now.steps.get(at)) {
        (Some(was), Some(is)) => was.apart(is),
        (was, is) => (was.map_or_else(nothing, Step::words), is.map_or_else(nothing, Step::words)),
    };
    Some(format!("step {} was approved as {was}, and is now {is}", at + 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{POLICY, Place, wait};
    use crate::{RequestedAuthority, Status};

    #[test]
    fn the_first_step_that_differs_is_told() {
        let place = Place::new(POLICY);
        let RequestedAuthority::Run { plan: Some(plan), .. } = place.request().asks else { unreachable!() };
        assert_eq!(difference(&plan, &plan), None);
        let nothing = Plan { steps: Vec::new() };
        let step = plan.steps[0].words();
        assert_eq!(difference(&nothing, &nothing), None);
        assert_eq!(
            difference(&plan, &nothing),
            Some(format!("step 1 was approved as {step}, and is now nothing more"))
        );
        let twice = Plan { steps: vec![plan.steps[0].clone(); 2] };
        assert_eq!(
            difference(&plan, &twice),
            Some(format!("step 2 was approved as nothing more, and is now {step}"))
        );
        let mut other = twice.clone();
        other.steps[1].undo = Some("put the value of version 2 back".to_owned());
        let told = difference(&twice, &other).unwrap();
        assert!(told.starts_with("step 2 was approved as ") && told.contains("version 2 back"), "{told}");
    }

    #[test]
    fn what_left_its_scope_is_told_from_what_failed() {
        let place = Place::new(POLICY);
        let fault =
            Fault::OutOfScope { operation: "o".to_owned(), resource: "r".to_owned(), reason: "x".to_owned() };
        assert!(is_outside(&Error::Stop(Stop::Fault(fault))));
        assert!(!is_outside(&Error::Voided { id: String::new(), why: String::new() }));
        // Void is void: it stays so, and the error says why.
        let id = place.file("bot", &place.request());
        let told = wait(void(&place.host, &place.load(id), "so".to_owned())).unwrap_err();
        assert!(matches!(told, Error::Voided { why, .. } if why == "so"));
        let status = place.load(id).status(&place.rules());
        assert!(matches!(status, Status::Closed(why) if why == "it was voided: so"));
    }
}
