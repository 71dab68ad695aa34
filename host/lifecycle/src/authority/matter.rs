//! What policies are told of a request: counts and names, taken from what was signed and from the journal, never from
//! the one who asks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use remit_gate::{Effect, Scope, Step};
use remit_journal::{Reader, Spent};
use remit_policy::{Matter, Who};

use super::rules::who;
use super::{Asks, Case, Request, Rules, Standing, Which};
use crate::Error;

/// What a matter touches: a plan says it exactly, a scope at most.
struct Reach {
    effects: BTreeMap<Effect, u64>,
    targets: BTreeSet<String>,
    changes: u64,
    has_plan: bool,
}

impl Reach {
    fn of(request: &Request) -> Self {
        match request.plan() {
            Some(plan) => Self::of_steps(&plan.steps),
            None => Self::of_scope(&request.scope),
        }
    }

    fn of_steps(steps: &[Step]) -> Self {
        let mut effects = BTreeMap::new();
        for step in steps {
            *effects.entry(step.effect).or_default() += 1;
        }
        let touched = steps.iter().filter(|step| step.effect != Effect::Observe);
        Self {
            effects,
            targets: touched.map(|step| step.resource.to_string()).collect(),
            changes: steps.iter().filter(|step| is_change(step.effect)).count() as u64,
            has_plan: true,
        }
    }

    fn of_scope(scope: &Scope) -> Self {
        let changes = scope.limits.changes;
        let mut effects = BTreeMap::from([(Effect::Change, changes)]);
        for allow in &scope.allow {
            if allow.irrevocable {
                effects.insert(Effect::Irrevocable, changes.max(1));
            }
            if allow.disclose {
                effects.insert(Effect::Disclose, 1);
            }
        }
        let targets = scope.allow.iter().flat_map(|allow| &allow.resources).map(ToString::to_string);
        Self { effects, targets: targets.collect(), changes, has_plan: false }
    }
}

fn is_change(effect: Effect) -> bool {
    matches!(effect, Effect::Change | Effect::Irrevocable)
}

/// What policies are told of a request.
pub(crate) fn matter(reader: &Reader, rules: &Rules, request: &Request) -> Result<Matter, Error> {
    let reach = Reach::of(request);
    let requester = rules.principals.get(&request.requester).map_or_else(
        // One who is no principal any more is of no kind that any policy allows anything.
        || Who { name: request.requester.clone(), kind: "unknown".to_owned(), groups: Vec::new() },
        who,
    );
    let (name, version, digest) = match &request.asks {
        Asks::Run { action, .. } | Asks::Standing(Standing { action: Which::Digest(action), .. }) => {
            (action.name.clone(), action.version.clone(), action.digest.to_string())
        }
        Asks::Standing(Standing { action: Which::Published { name, versions, .. }, .. }) => {
            (name.clone(), versions.to_string(), String::new())
        }
    };
    let (spent_by_requester, spent_by_action, spent_by_prefix) = spent(reader, |spent| {
        (spent.by_principal(&request.requester), spent.by_action(&name), spent_by_prefix(spent, &reach))
    })?;
    let effect = |effect| reach.effects.get(&effect).copied().unwrap_or(0);
    Ok(Matter {
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
        under_standing: false,
        break_glass: request.break_glass,
        has_plan: reach.has_plan,
        observe: effect(Effect::Observe),
        change: effect(Effect::Change),
        irrevocable: effect(Effect::Irrevocable),
        disclose: effect(Effect::Disclose),
        targets: reach.targets.into_iter().collect(),
        changes: reach.changes,
        ttl_seconds: request.not_after.duration_since(request.not_before).as_secs().unsigned_abs(),
        uses: request.uses.map_or(u64::from(u32::MAX), u64::from),
    })
}

/// What a run under a standing scope comes to: the same, but for what it was observed to do.
pub(crate) fn matter_of_run(reader: &Reader, case: &Case, steps: &[Step]) -> Result<Matter, Error> {
    let reach = Reach::of_steps(steps);
    let effect = |effect| reach.effects.get(&effect).copied().unwrap_or(0);
    Ok(Matter {
        standing: false,
        under_standing: true,
        has_plan: true,
        spent_by_prefix: spent(reader, |spent| spent_by_prefix(spent, &reach))?,
        observe: effect(Effect::Observe),
        change: effect(Effect::Change),
        irrevocable: effect(Effect::Irrevocable),
        disclose: effect(Effect::Disclose),
        targets: reach.targets.into_iter().collect(),
        changes: reach.changes,
        ..case.matter.clone()
    })
}

/// The first part of a resource's path, with its kind: `secret:prod`. Of a pattern that begins with a wildcard, all.
fn prefix(target: &str) -> &str {
    let end = target.find('/').unwrap_or(target.len());
    let first = &target[..end];
    if first.contains('*') { "" } else { first }
}

/// What live runs that started within the last hour changed, or still may.
pub(super) fn spent<T>(reader: &Reader, read: impl FnOnce(&Spent) -> T) -> Result<T, Error> {
    Ok(reader.spent(SignedDuration::from_hours(1), read)?)
}

/// The most that was spent under the first part of any target's path.
fn spent_by_prefix(spent: &Spent, reach: &Reach) -> u64 {
    reach.targets.iter().map(|target| spent.under(prefix(target))).max().unwrap_or(0)
}
