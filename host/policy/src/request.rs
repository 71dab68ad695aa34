//! What a decision is about: the principal, what it wants to do, and the request.

use std::collections::BTreeSet;

use remit_gate::Pattern;
use remit_trust::issuers::Proof;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::paths::{holder, touched, within};

/// The kinds of principals.
pub(crate) const KINDS: [&str; 3] = ["human", "agent", "service"];

/// A principal, as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The name of the principal.
    pub name: String,
    /// `human`, `agent` or `service`.
    pub kind: String,
    /// The names of its groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The person who operates it; none for a person, and for software of nobody in particular.
    #[serde(default)]
    pub operator: Option<Box<Subject>>,
    /// How it proved to be the one.
    #[serde(default)]
    pub proof: Proof,
}

/// What a principal wants to do; the Cedar action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyAction {
    /// Rehearse an action: nothing changes, but the action reads real systems.
    Rehearse,
    /// Make a request for authority.
    Propose,
    /// Approve or deny a request.
    Approve,
    /// Start a run under a request.
    Trigger,
    /// Revoke authority that was given.
    Revoke,
    /// Undo the changes of a run.
    Revert,
    /// Freeze or unfreeze the host.
    Freeze,
    /// Review a run that was started without the usual policy.
    Review,
    /// Resolve a call in doubt.
    Resolve,
}

impl PolicyAction {
    /// The name of the Cedar action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rehearse => "rehearse",
            Self::Propose => "propose",
            Self::Approve => "approve",
            Self::Trigger => "trigger",
            Self::Revoke => "revoke",
            Self::Revert => "revert",
            Self::Freeze => "freeze",
            Self::Review => "review",
            Self::Resolve => "resolve",
        }
    }
}

/// A request, as policies see it: `resource` in a policy. It has every power that the request would give, used or not.
/// Numbers above `i64::MAX` count as `i64::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "facts, each of its own, by the names that policies use")]
pub struct PolicyRequest {
    /// The name of the requester.
    pub requester: Subject,
    /// The name of the action, as the component gives it.
    pub action_name: String,
    /// The version of the action; in a standing scope for a publisher's action, the range of versions.
    pub action_version: String,
    /// The digest of the action; empty for a publisher's action.
    pub action_digest: String,
    /// The incident that the request belongs to.
    pub incident: Option<String>,
    /// The environment that the home is configured for: `production`.
    pub environment: Option<String>,
    /// Whether it asks for a standing scope.
    pub standing: bool,
    /// Whether it is a run under a standing scope.
    pub under_standing: bool,
    /// Whether it asks to run without the usual policy (break glass).
    pub break_glass: bool,
    /// Whether it has a plan. Without one, the counts are the maximum that its scope allows.
    pub has_plan: bool,
    /// The number of operations that read.
    pub observe: u64,
    /// The number of those that read content, such as that of files.
    pub content: u64,
    /// The number of changes that can be undone.
    pub change: u64,
    /// The number of changes that cannot be undone.
    pub irrevocable: u64,
    /// The number of operations that give secrets to the action.
    pub disclose: u64,
    /// The number of all changes of one run.
    pub changes: u64,
    /// The resource patterns of changes that can be undone.
    pub may_change: BTreeSet<Pattern>,
    /// The resource patterns of changes that cannot be undone.
    pub may_destroy: BTreeSet<Pattern>,
    /// The resource patterns of secrets that it may give to the action.
    pub may_disclose: BTreeSet<Pattern>,
    /// The resource patterns whose content it may read.
    pub may_read: BTreeSet<Pattern>,
    /// The resource patterns that it may observe without reading content.
    pub may_observe: BTreeSet<Pattern>,
    /// Changes in the last hour by runs that its requester asked for or started.
    pub spent_by_requester: u64,
    /// The same for the principal who starts it; none before it is started.
    pub spent_by_starter: u64,
    /// Changes that runs of the same action made in the last hour.
    pub spent_by_action: u64,
    /// Changes in the last hour below the first path segment of a resource that it may touch; the highest such count.
    pub spent_by_prefix: u64,
    /// How long it is valid.
    pub ttl_seconds: u64,
    /// After how long the host undoes the changes of a run by itself; none if it does not.
    pub restore_after_seconds: Option<u64>,
    /// How many runs it allows.
    pub uses: u64,
}

fn principal(name: &str) -> Value {
    json!({"type": "Remit::Principal", "id": name})
}

impl Subject {
    /// The principal and its groups as Cedar entities.
    fn entities(&self) -> Vec<Value> {
        let group = |name: &String| json!({"type": "Remit::Group", "id": name});
        let mut attrs = json!({"kind": self.kind});
        if let Some(operator) = &self.operator {
            attrs["operator"] = json!({"__entity": principal(&operator.name)});
        }
        let mut entities = vec![json!({
            "uid": principal(&self.name),
            "attrs": attrs,
            "parents": self.groups.iter().map(group).collect::<Vec<_>>(),
        })];
        entities.extend(self.operator.iter().flat_map(|operator| operator.entities()));
        entities.extend(self.groups.iter().map(|g| json!({"uid": group(g), "attrs": {}, "parents": []})));
        entities
    }
}

impl PolicyRequest {
    /// The patterns of resources that it may change or whose secrets it may receive.
    pub fn touches(&self) -> impl Iterator<Item = &Pattern> {
        self.may_change.iter().chain(&self.may_destroy).chain(&self.may_disclose)
    }

    /// The number of these resources. A pattern with a wildcard counts as `i64::MAX`.
    #[must_use]
    pub fn target_count(&self) -> u64 {
        let all: BTreeSet<&Pattern> = self.touches().collect();
        if all.iter().all(|pattern| pattern.exact().is_some()) { all.len() as u64 } else { u64::MAX }
    }

    /// The request and its paths as Cedar entities.
    fn entities(&self, named: &BTreeSet<String>) -> Vec<Value> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let paths = |all: &BTreeSet<String>| -> Vec<Value> {
            all.iter().map(|path| json!({"__entity": place(path)})).collect()
        };
        let touches = touched(self.touches(), named);
        let within_all = within(self.touches(), named);
        let reads_within = within(&self.may_read, named);
        let may = |patterns: &BTreeSet<Pattern>| touched(patterns, named);
        let by_effect = [
            ("mayChange", may(&self.may_change)),
            ("mayDestroy", may(&self.may_destroy)),
            ("mayDisclose", may(&self.may_disclose)),
            ("mayRead", may(&self.may_read)),
            ("mayObserve", may(&self.may_observe)),
            ("within", within_all),
            ("readsWithin", reads_within),
        ];
        let mut attrs = json!({
            "requester": {"__entity": principal(&self.requester.name)},
            "requesterProof": self.requester.proof,
            "actionName": self.action_name,
            "actionVersion": self.action_version,
            "actionDigest": self.action_digest,
            "standing": self.standing,
            "underStanding": self.under_standing,
            "breakGlass": self.break_glass,
            "hasPlan": self.has_plan,
            "observe": number(self.observe),
            "content": number(self.content),
            "change": number(self.change),
            "irrevocable": number(self.irrevocable),
            "disclose": number(self.disclose),
            "changes": number(self.changes),
            "targetCount": number(self.target_count()),
            "spentByRequester": number(self.spent_by_requester),
            "spentByStarter": number(self.spent_by_starter),
            "spentByAction": number(self.spent_by_action),
            "spentByPrefix": number(self.spent_by_prefix),
            "ttlSeconds": number(self.ttl_seconds),
            "uses": number(self.uses),
        });
        for (name, value) in [("incident", &self.incident), ("environment", &self.environment)] {
            if let Some(value) = value {
                attrs[name] = json!(value);
            }
        }
        if let Some(seconds) = self.restore_after_seconds {
            attrs["restoreAfterSeconds"] = json!(number(seconds));
        }
        let mut mentioned = named.clone();
        for (name, all) in &by_effect {
            attrs[*name] = json!(paths(all));
            mentioned.extend(all.iter().cloned());
        }
        let parents: Vec<Value> = touches.iter().map(|path| place(path)).collect();
        let request =
            json!({"uid": {"type": "Remit::Request", "id": "this"}, "attrs": attrs, "parents": parents});
        std::iter::once(request).chain(places(mentioned)).collect()
    }
}

fn place(path: &str) -> Value {
    json!({"type": "Remit::Path", "id": path})
}

/// Paths as Cedar entities, each a child of the path that contains it.
fn places(mut all: BTreeSet<String>) -> impl Iterator<Item = Value> {
    let mut holders: Vec<String> = all.iter().cloned().collect();
    while let Some(path) = holders.pop() {
        if let Some(holder) = holder(&path)
            && all.insert(holder.to_owned())
        {
            holders.push(holder.to_owned());
        }
    }
    all.into_iter().map(|path| {
        let parents: Vec<Value> = holder(&path).map(place).into_iter().collect();
        json!({"uid": place(&path), "attrs": {}, "parents": parents})
    })
}

/// All Cedar entities for a decision. `named` are the paths that policies name. Of equal entities one is kept.
pub(crate) fn entities(
    who: &Subject,
    matter: Option<&PolicyRequest>,
    approvals: &[Subject],
    named: &BTreeSet<String>,
) -> Value {
    let mut entities: Vec<Value> = who.entities();
    for other in approvals.iter().chain(matter.map(|matter| &matter.requester)) {
        entities.extend(other.entities());
    }
    entities.push(json!({"uid": {"type": "Remit::Host", "id": "this"}, "attrs": {}, "parents": []}));
    entities.extend(matter.into_iter().flat_map(|matter| matter.entities(named)));
    let mut seen = BTreeSet::new();
    entities.retain(|entity| seen.insert(entity["uid"].to_string()));
    Value::Array(entities)
}

/// The Cedar context of a decision about what a principal wants to do.
pub(crate) fn context(who: &Subject, now: jiff::Timestamp, approvals: &[Subject]) -> Value {
    let at = now.to_zoned(jiff::tz::TimeZone::UTC);
    json!({
        "proof": who.proof,
        "time": now.as_second(),
        "hour": at.hour(),
        "weekday": at.weekday().to_monday_one_offset(),
        "approvals": approvals.iter().map(|who| json!({"__entity": principal(&who.name)})).collect::<Vec<_>>(),
        "approvalCount": approvals.iter().map(|who| &who.name).collect::<BTreeSet<_>>().len(),
    })
}
