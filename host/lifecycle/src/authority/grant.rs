//! What a run goes under.

use jiff::Timestamp;
use remit_gate::{Facts, Plan, Scope};
use remit_journal::{Authority, Basis, GrantRef, Reader, RestsOn, RunId, SignedRef};
use remit_trust::Digest;
use serde_json::value::RawValue;

use super::documents::Trigger;
use super::signed::Accepted;
use super::turn::Turn;
use super::{Identity, RequestState};
use crate::Error;

/// What a run goes under, put together from the request, its approvals and the word that starts it. There is no other
/// way to one.
pub(crate) struct Grant {
    pub(crate) scope: Scope,
    pub(crate) plan: Option<Plan>,
    pub(crate) facts: Facts,
    /// The name of the principal that made the request.
    pub(crate) principal: String,
    /// The name of the principal that starts the run.
    pub(crate) started_by: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) on_record: GrantRef,
    /// Held until the run is on record, so that no two starts count the same budget.
    pub(crate) turn: Turn,
}

impl Grant {
    /// The run whose start it is for.
    pub(crate) fn run(&self) -> RunId {
        self.facts.run
    }
}

/// Puts it together, once everything was looked at.
pub(super) fn grant(
    reader: &Reader,
    case: &RequestState,
    trigger: &Accepted<Trigger>,
    (scope, plan): (Scope, Option<Plan>),
    turn: Turn,
) -> Result<Grant, Error> {
    let request = &case.request;
    let reason = trigger.document.reason.as_ref().unwrap_or(&request.reason);
    let facts = Facts { run: trigger.document.run, ..crate::plan::facts(reason)? };
    let authority = Authority {
        request: request.id,
        approvals: case.approvals.iter().filter(|given| given.counts.is_ok()).map(envelope).collect(),
        trigger: trigger.envelope.clone(),
        break_glass: request.break_glass,
        rests_on: rests_on(reader, &trigger.by, case, trigger.document.action)?,
    };
    Ok(Grant {
        scope,
        plan,
        facts,
        principal: request.requester.clone(),
        started_by: trigger.by.name().to_owned(),
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
fn rests_on(
    reader: &Reader,
    by: &Identity,
    case: &RequestState,
    action: Digest,
) -> Result<Vec<RestsOn>, Error> {
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
