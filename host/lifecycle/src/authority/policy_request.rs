//! The facts about a request that policies decide on. Counts and names come from signed documents and from the journal,
//! never from what the requester claims.

use remit_gate::{Plan, Scope, Step};
use remit_journal::{ActionRef, ConnectorRef, Reader};
use remit_policy::{PolicyConnector, PolicyRequest, Subject};
use remit_trust::issuers::Proof;

use super::powers::{AccessKind, Powers};
use super::rules::subject;
use super::spent::{spent, spent_by_prefix};
use super::{ActionSelector, Identity, Request, RequestedAuthority, Rules, StandingScope};
use crate::Error;

/// Fills in what the powers are to policies. The other facts stay as they are in `request`.
fn with_powers(powers: &Powers, request: PolicyRequest) -> PolicyRequest {
    PolicyRequest {
        has_plan: powers.planned,
        observe: powers.count(|does| matches!(does, AccessKind::Observe | AccessKind::Read)),
        content: powers.count(|does| does == AccessKind::Read),
        change: powers.count(|does| does == AccessKind::Change),
        irrevocable: powers.count(|does| does == AccessKind::Irrevocable),
        disclose: powers.count(|does| does == AccessKind::Disclose),
        changes: powers.changes(),
        may_observe: powers.on(AccessKind::Observe),
        may_read: powers.on(AccessKind::Read),
        may_change: powers.on(AccessKind::Change),
        may_destroy: powers.on(AccessKind::Irrevocable),
        may_disclose: powers.on(AccessKind::Disclose),
        ..request
    }
}

fn connectors(of: &[ConnectorRef]) -> Vec<PolicyConnector> {
    let told = |ConnectorRef { instance, origin, publisher, .. }: &ConnectorRef| PolicyConnector {
        instance: instance.clone(),
        origin: origin.clone(),
        publisher: publisher.clone(),
    };
    of.iter().map(told).collect()
}

/// The policy request of a request, whose requester proved to be the one in this way.
pub(crate) fn policy_request(
    reader: &Reader,
    rules: &Rules,
    request: &Request,
    proof: Proof,
) -> Result<PolicyRequest, Error> {
    let powers = request.powers();
    let requester = rules.principals.get(&request.requester).map_or_else(
        // The requester is no principal any more. No policy allows anything to this kind.
        || Subject { name: request.requester.clone(), kind: "unknown".to_owned(), ..Subject::default() },
        |principal| Subject { proof, ..subject(&rules.principals, principal) },
    );
    let (action_name, action_version, action_digest) = match &request.asks {
        RequestedAuthority::Run { action, .. }
        | RequestedAuthority::Standing(StandingScope { action: ActionSelector::Digest(action), .. }) => {
            (action.name.clone(), action.version.clone(), action.digest.to_string())
        }
        RequestedAuthority::Standing(StandingScope {
            action: ActionSelector::Published { name, versions, .. },
            ..
        }) => (name.clone(), versions.to_string(), String::new()),
    };
    let (spent_by_requester, spent_by_action, spent_by_prefix) = spent(reader, |spent| {
        let by_requester = spent.by_principal(&request.requester);
        (by_requester, spent.by_action(&action_name), spent_by_prefix(spent, &powers))
    })?;
    let policy_request = PolicyRequest {
        spent_by_requester,
        spent_by_action,
        spent_by_prefix,
        requester,
        action_name,
        action_version,
        action_digest,
        connectors: connectors(&request.connectors),
        incident: request.incident.clone(),
        environment: rules.environment.clone(),
        standing: matches!(request.asks, RequestedAuthority::Standing(_)),
        break_glass: request.break_glass,
        ttl_seconds: request.not_after.duration_since(request.not_before).as_secs().unsigned_abs(),
        restore_after_seconds: request.scope.restore_after.map(|after| after.as_secs().unsigned_abs()),
        uses: request.uses.map_or(u64::from(u32::MAX), u64::from),
        ..PolicyRequest::default()
    };
    Ok(with_powers(&powers, policy_request))
}

/// The policy request of a rehearsal, for which there is no request yet. A rehearsal can read whatever its scope names.
pub(crate) fn policy_request_of_rehearsal(
    reader: &Reader,
    rules: &Rules,
    by: &Identity,
    action: &ActionRef,
    (scope, reached): (&Scope, &[ConnectorRef]),
) -> Result<PolicyRequest, Error> {
    let (spent_by_requester, spent_by_action) =
        spent(reader, |spent| (spent.by_principal(by.name()), spent.by_action(&action.name)))?;
    let policy_request = PolicyRequest {
        requester: by.who(),
        action_name: action.name.clone(),
        action_version: action.version.clone(),
        action_digest: action.digest.to_string(),
        environment: rules.environment.clone(),
        connectors: connectors(reached),
        spent_by_requester,
        spent_by_starter: spent_by_requester,
        spent_by_action,
        uses: 1,
        ..PolicyRequest::default()
    };
    Ok(with_powers(&Powers::of_rehearsal(scope, reached), policy_request))
}

/// The policy request of a start by the principal `starter`, from that of the request.
pub(crate) fn policy_request_of_start(
    reader: &Reader,
    request: &PolicyRequest,
    starter: &str,
) -> Result<PolicyRequest, Error> {
    let spent_by_starter = spent(reader, |spent| spent.by_principal(starter))?;
    Ok(PolicyRequest { spent_by_starter, ..request.clone() })
}

/// The policy request of a run under a standing scope, started by the principal `starter`, from that of the scope. The run is bound to `steps`
/// for everything but reads, so policies are given the powers of these steps, and not those of the whole scope.
pub(crate) fn policy_request_of_standing_run(
    reader: &Reader,
    (request, scope, connectors): (&PolicyRequest, &Scope, &[ConnectorRef]),
    starter: &str,
    steps: &[Step],
) -> Result<PolicyRequest, Error> {
    let powers = Powers::of_run(&Plan { steps: steps.to_vec() }, scope, connectors);
    let spent_by_prefix = spent(reader, |spent| spent_by_prefix(spent, &powers))?;
    let start = policy_request_of_start(reader, request, starter)?;
    Ok(with_powers(
        &powers,
        PolicyRequest { standing: false, under_standing: true, spent_by_prefix, ..start },
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
