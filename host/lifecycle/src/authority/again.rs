//! Rehearsed again: whether a plan still is what would happen.

use remit_gate::{Fault, Limits, Plan, Scope, Step};
use remit_journal::{About, Act, LedgerEvent};
use remit_sandbox::{AdmissionError, Candidate, Stop};

use super::{Identity, Request, RequestState};
use crate::host::blocking;
use crate::plan::{MOST_CHANGES, admit, play};
use crate::{Error, Host, Input};

/// Rehearses within an approved scope: what it allows to look at, it allows here too. How many changes are played is not
/// limited by it: one more than was approved is another plan, and not a limit to be raised.
pub(super) async fn rehearse_again(
    host: &Host,
    by: &Identity,
    request: &Request,
    (candidate, input): (&Candidate, &Input),
    reason: &str,
) -> Result<Plan, Error> {
    let approved = &request.scope;
    let limits = Limits { changes: MOST_CHANGES, ..approved.limits.clone() };
    let scope = Scope { limits, ..approved.clone() };
    let action = blocking(|| admit(host, candidate, input, Some(&scope), request.plan()))?;
    Ok(play(host, &action, (candidate, input), scope, by.name(), reason).await?.plan)
}

/// Whether a rehearsal was stopped because it left its scope.
pub(super) fn is_outside(error: &Error) -> bool {
    matches!(
        error,
        Error::Stop(Stop::Fault(Fault::OutOfScope { .. }))
            | Error::Admission(AdmissionError::NotGranted { .. })
    )
}

/// Rehearses again: what was approved must be what would happen now.
pub(super) async fn still_so(
    host: &Host,
    by: &Identity,
    case: &RequestState,
    plan: &Plan,
    what: (&Candidate, &Input),
) -> Result<(), Error> {
    let now = match rehearse_again(host, by, &case.request, what, &case.request.reason).await {
        Ok(now) => now,
        // It asks for what was not approved, so this is another plan. A failure because a system does not answer says
        // nothing about the plan: the request can be tried again.
        Err(error) if is_outside(&error) => {
            return void(host, case, format!("rehearsed again, it is refused: {error}")).await;
        }
        // What was approved cannot be done in the present state either, until someone changes that state.
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

async fn void(host: &Host, case: &RequestState, why: String) -> Result<(), Error> {
    let id = case.request.id;
    host.journal.act(&Act::now(About::Request(id), LedgerEvent::Voided { why: why.clone() })).await?;
    Err(Error::Voided { id: id.to_string(), why })
}

/// The first step in which two plans differ, in words. What was there before is a part of it.
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
