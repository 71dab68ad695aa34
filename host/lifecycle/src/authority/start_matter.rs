//! What policies are given of a start.

use remit_gate::{Plan, Step};
use remit_journal::Reader;
use remit_policy::PolicyRequest;

use super::matter::with;
use super::spent::{spent, spent_by_prefix};
use super::{Identity, Powers, RequestState};
use crate::Error;

/// What policies are given when a principal starts a run of a request.
pub(crate) fn matter_of_start(
    reader: &Reader,
    case: &RequestState,
    by: &Identity,
) -> Result<PolicyRequest, Error> {
    started_by(reader, case, by.name())
}

/// What policies are given of a start of this request by the principal `name`.
pub(super) fn started_by(reader: &Reader, case: &RequestState, name: &str) -> Result<PolicyRequest, Error> {
    let spent_by_starter = spent(reader, |spent| spent.by_principal(name))?;
    Ok(PolicyRequest { spent_by_starter, ..case.matter.clone() })
}

/// What a run under a standing scope comes to: who asked for the scope and who starts the run, and of powers what it was
/// observed to use. All but looks it is bound to.
pub(crate) fn matter_of_run(
    reader: &Reader,
    case: &RequestState,
    by: &Identity,
    steps: &[Step],
) -> Result<PolicyRequest, Error> {
    run_of(reader, case, by.name(), steps)
}

/// What policies are given of a run under a standing scope that the principal `name` would start.
pub(super) fn run_of(
    reader: &Reader,
    case: &RequestState,
    name: &str,
    steps: &[Step],
) -> Result<PolicyRequest, Error> {
    let plan = Plan { steps: steps.to_vec() };
    let powers = Powers::of_run(&plan, &case.request.scope);
    let spent_by_prefix = spent(reader, |spent| spent_by_prefix(spent, &powers))?;
    let matter = started_by(reader, case, name)?;
    Ok(with(&powers, PolicyRequest { standing: false, under_standing: true, spent_by_prefix, ..matter }))
}
