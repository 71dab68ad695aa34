//! What policies are given of a request: counts and names, taken from what was signed and from the journal, never from
//! the requester.

use remit_gate::Scope;
use remit_journal::{ActionRef, Reader};
use remit_policy::{PolicyRequest, Subject};

use super::powers::{Does, Powers};
use super::rules::who;
use super::spent::{spent, spent_by_prefix};
use super::{Asks, Identity, Request, Rules, StandingScope, Which};
use crate::Error;

impl Request {
    /// Every power that it would give: the union of its plan and its scope.
    #[must_use]
    pub fn powers(&self) -> Powers {
        Powers::of(self.plan(), &self.scope)
    }
}

/// What powers are to policies; the rest as in `matter`.
pub(super) fn with(powers: &Powers, matter: PolicyRequest) -> PolicyRequest {
    PolicyRequest {
        has_plan: powers.planned,
        observe: powers.count(|does| matches!(does, Does::Observe | Does::Read)),
        content: powers.count(|does| does == Does::Read),
        change: powers.count(|does| does == Does::Change),
        irrevocable: powers.count(|does| does == Does::Irrevocable),
        disclose: powers.count(|does| does == Does::Disclose),
        changes: powers.changes(),
        may_observe: powers.on(Does::Observe),
        may_read: powers.on(Does::Read),
        may_change: powers.on(Does::Change),
        may_destroy: powers.on(Does::Irrevocable),
        may_disclose: powers.on(Does::Disclose),
        ..matter
    }
}

/// What policies are given of a request.
pub(crate) fn matter(reader: &Reader, rules: &Rules, request: &Request) -> Result<PolicyRequest, Error> {
    let powers = request.powers();
    let requester = rules.principals.get(&request.requester).map_or_else(
        // One who is no principal any more is of no kind that any policy allows anything.
        || Subject { name: request.requester.clone(), kind: "unknown".to_owned(), groups: Vec::new() },
        who,
    );
    let (name, version, digest) = match &request.asks {
        Asks::Run { action, .. } | Asks::Standing(StandingScope { action: Which::Digest(action), .. }) => {
            (action.name.clone(), action.version.clone(), action.digest.to_string())
        }
        Asks::Standing(StandingScope { action: Which::Published { name, versions, .. }, .. }) => {
            (name.clone(), versions.to_string(), String::new())
        }
    };
    let (spent_by_requester, spent_by_action, spent_by_prefix) = spent(reader, |spent| {
        (spent.by_principal(&request.requester), spent.by_action(&name), spent_by_prefix(spent, &powers))
    })?;
    let matter = PolicyRequest {
        spent_by_requester,
        spent_by_action,
        spent_by_prefix,
        requester,
        action_name: name,
        action_version: version,
        action_digest: digest,
        incident: request.incident.clone(),
        environment: rules.environment.clone(),
        standing: matches!(request.asks, Asks::Standing(_)),
        break_glass: request.break_glass,
        ttl_seconds: request.not_after.duration_since(request.not_before).as_secs().unsigned_abs(),
        uses: request.uses.map_or(u64::from(u32::MAX), u64::from),
        ..PolicyRequest::default()
    };
    Ok(with(&powers, matter))
}

/// What policies are given of a rehearsal. It can read whatever its scope names. There is no request yet.
pub(crate) fn matter_of_rehearsal(
    reader: &Reader,
    rules: &Rules,
    by: &Identity,
    action: &ActionRef,
    scope: &Scope,
) -> Result<PolicyRequest, Error> {
    let (spent_by_requester, spent_by_action) =
        spent(reader, |spent| (spent.by_principal(by.name()), spent.by_action(&action.name)))?;
    let matter = PolicyRequest {
        requester: by.who(),
        action_name: action.name.clone(),
        action_version: action.version.clone(),
        action_digest: action.digest.to_string(),
        environment: rules.environment.clone(),
        spent_by_requester,
        spent_by_starter: spent_by_requester,
        spent_by_action,
        uses: 1,
        ..PolicyRequest::default()
    };
    Ok(with(&Powers::of_rehearsal(scope), matter))
}
