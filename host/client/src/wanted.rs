//! What was wanted of a server, to compare with what it prepared. A server that was taken over would let its clients sign
//! something else.

use jiff::SignedDuration;
use remit_gate::Scope;
use remit_journal::{Basis, RequestId};
use remit_lifecycle::{Hours, OrderKind, Request, RequestedAuthority, Trigger};
use remit_trust::Digest;
use serde_json::Value;

/// What a request was wanted for.
#[derive(Clone, Copy, Debug)]
pub enum WantedAuthority<'a> {
    /// A run.
    Run {
        /// The digest of the action.
        action: Digest,
        /// What the action is given.
        input: &'a Value,
        /// Whether any change inside the scope is wanted, instead of a plan.
        without_plan: bool,
    },
    /// A standing scope.
    Standing {
        /// When runs may start.
        hours: &'a [Hours],
        /// How many runs may start within an hour.
        runs_per_hour: u32,
        /// How many changes they may make within an hour.
        changes_per_hour: u64,
    },
}

/// A request as it was wanted.
#[derive(Clone, Copy, Debug)]
pub struct WantedRequest<'a> {
    /// What for.
    pub asks: WantedAuthority<'a>,
    /// The scope; none for the least that covers the plan.
    pub scope: Option<&'a Scope>,
    /// Why.
    pub reason: &'a str,
    /// Part of which incident.
    pub incident: Option<&'a str>,
    /// Who may start runs; empty for the requester alone.
    pub triggers: &'a [String],
    /// For how long.
    pub ttl: SignedDuration,
    /// How many runs it is for; not looked at for a standing scope.
    pub uses: u32,
    /// Whether it goes without the usual policy.
    pub break_glass: bool,
}

impl WantedRequest<'_> {
    /// What of a request is not as it was wanted; none if all of it is. The plan is the server's observation.
    #[must_use]
    pub fn differs(&self, made: &Request) -> Option<&'static str> {
        let is_same = match (&made.asks, self.asks) {
            (
                RequestedAuthority::Run { action, input, plan },
                WantedAuthority::Run { action: wanted, input: given, without_plan },
            ) => (action.digest, input) == (wanted, given) && plan.is_none() == without_plan,
            (
                RequestedAuthority::Standing(standing),
                WantedAuthority::Standing { hours, runs_per_hour, changes_per_hour },
            ) => {
                let budgets = (standing.runs_per_hour, standing.changes_per_hour);
                standing.hours == hours && budgets == (runs_per_hour, changes_per_hour)
            }
            _ => false,
        };
        let is_scope = match (self.scope, made.plan()) {
            (Some(scope), _) => made.scope == *scope,
            (None, Some(plan)) => made.scope == plan.least_scope(),
            (None, None) => false,
        };
        let own = [made.requester.clone()];
        let triggers = if self.triggers.is_empty() { &own[..] } else { self.triggers };
        let is_standing = matches!(self.asks, WantedAuthority::Standing { .. });
        [
            (is_same, "the action, its input or its hours"),
            (is_scope, "the scope"),
            (made.reason == self.reason, "the reason"),
            (made.incident.as_deref() == self.incident, "the incident"),
            (made.triggers == triggers, "who may start it"),
            (made.not_after.duration_since(made.not_before) == self.ttl, "how long it is valid"),
            (is_standing || made.uses == Some(self.uses), "how many runs may start"),
            (made.break_glass == self.break_glass, "whether it is break-glass"),
        ]
        .into_iter()
        .find_map(|(is_same, what)| (!is_same).then_some(what))
    }
}

/// A start as it was wanted.
#[derive(Clone, Copy, Debug)]
pub struct WantedStart {
    /// The request under which the run starts.
    pub id: RequestId,
    /// The digest of that request, computed from what was shown.
    pub request: Digest,
    /// The digest of the action.
    pub action: Digest,
    /// The digest of its canonical input.
    pub input: Digest,
}

impl WantedStart {
    /// Whether this is what a trigger starts.
    #[must_use]
    pub fn is(&self, made: &Trigger) -> bool {
        (made.id, made.request) == (self.id, self.request)
            && (made.action, made.input) == (self.action, self.input)
    }
}

/// Whether an order takes away what depends on this basis; of a principal its keys and identities besides, and nothing else,
/// whatever a server adds.
#[must_use]
pub fn revokes(order: &OrderKind, basis: &Basis) -> bool {
    let OrderKind::Revoke(bases) = order else { return false };
    bases.split_first().is_some_and(|(first, others)| {
        let are_keys = others.iter().all(|other| matches!(other.basis, Basis::Key(_) | Basis::Identity(_)));
        first.basis == *basis && (others.is_empty() || matches!(basis, Basis::Principal(_)) && are_keys)
    })
}
