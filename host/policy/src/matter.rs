//! What is asked about: who, what, and of which request.

use std::collections::BTreeSet;

use remit_gate::Pattern;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::paths::{holder, touched, within};

/// The kinds of principals.
pub(crate) const KINDS: [&str; 3] = ["human", "agent", "service"];

/// A principal, as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// Its name.
    pub name: String,
    /// `human`, `agent` or `service`.
    pub kind: String,
    /// The groups it is in.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// What a principal wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Rehearse an action: nothing changes, but the action looks at real systems.
    Rehearse,
    /// Ask for authority.
    Propose,
    /// Say yes or no to a request.
    Approve,
    /// Start a run under a request.
    Trigger,
    /// Take authority away.
    Revoke,
    /// Take back what a run did.
    Revert,
    /// Stop everything, or let it go on.
    Freeze,
    /// Close the book on a run that went without the usual policy.
    Review,
    /// Say what became of a call in doubt.
    Resolve,
}

impl Verb {
    /// The name of the action in policies.
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

/// A request, as policies see it: `resource` in a policy. It tells of every power that the request would give, used or
/// not. Numbers beyond `i64::MAX` are that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "facts, each of its own, by the names that policies use")]
pub struct Matter {
    /// Who asks.
    pub requester: Who,
    /// The action, as the component names itself.
    pub action_name: String,
    /// Its version; of a standing scope for a publisher's action, the range.
    pub action_version: String,
    /// Its digest; empty for a publisher's action.
    pub action_digest: String,
    /// Part of which incident.
    pub incident: Option<String>,
    /// What the home calls itself: `production`.
    pub environment: Option<String>,
    /// Whether it asks for authority ahead of need.
    pub standing: bool,
    /// Whether it is a run under such authority.
    pub under_standing: bool,
    /// Whether it asks to go without the usual policy.
    pub break_glass: bool,
    /// Whether what it would do is known step by step; otherwise counts are what its scope allows at most.
    pub has_plan: bool,
    /// Operations that read.
    pub observe: u64,
    /// Operations among them that read content: of files.
    pub content: u64,
    /// Changes that can be taken back.
    pub change: u64,
    /// Changes that cannot.
    pub irrevocable: u64,
    /// Operations that hand out secrets.
    pub disclose: u64,
    /// All changes of one run together.
    pub changes: u64,
    /// What it may change so that it can be taken back.
    pub may_change: BTreeSet<Pattern>,
    /// What it may change for good.
    pub may_destroy: BTreeSet<Pattern>,
    /// Of what it may hand out secrets.
    pub may_disclose: BTreeSet<Pattern>,
    /// Of what it may read the content.
    pub may_read: BTreeSet<Pattern>,
    /// What it may merely look at.
    pub may_observe: BTreeSet<Pattern>,
    /// Changes in the last hour by runs that its requester asked for or started.
    pub spent_by_requester: u64,
    /// The same of whoever starts it; none before somebody does.
    pub spent_by_starter: u64,
    /// Changes that runs of the same action made in the last hour.
    pub spent_by_action: u64,
    /// Changes made in the last hour under the first part of the path of what it may touch, where they are most.
    pub spent_by_prefix: u64,
    /// For how long it is good.
    pub ttl_seconds: u64,
    /// How many runs it allows.
    pub uses: u64,
}

fn principal(name: &str) -> Value {
    json!({"type": "Remit::Principal", "id": name})
}

impl Who {
    /// It and its groups as Cedar's entities.
    fn entities(&self) -> Vec<Value> {
        let group = |name: &String| json!({"type": "Remit::Group", "id": name});
        let mut entities = vec![json!({
            "uid": principal(&self.name),
            "attrs": {"kind": self.kind},
            "parents": self.groups.iter().map(group).collect::<Vec<_>>(),
        })];
        entities.extend(self.groups.iter().map(|g| json!({"uid": group(g), "attrs": {}, "parents": []})));
        entities
    }
}

impl Matter {
    /// What it touches or may touch: all but what it only looks at or reads.
    pub fn touches(&self) -> impl Iterator<Item = &Pattern> {
        self.may_change.iter().chain(&self.may_destroy).chain(&self.may_disclose)
    }

    /// How many resources that is. One pattern with a wildcard is more than any number.
    #[must_use]
    pub fn target_count(&self) -> u64 {
        let all: BTreeSet<&Pattern> = self.touches().collect();
        if all.iter().all(|pattern| pattern.exact().is_some()) { all.len() as u64 } else { u64::MAX }
    }

    /// It, and the paths that it has to do with.
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

/// Paths as Cedar's entities, each in the one that holds it.
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

/// Everything that a decision is made about, as Cedar's entities; `named` are the paths that policies name. One of a
/// name is kept: they are the same.
pub(crate) fn entities(
    who: &Who,
    matter: Option<&Matter>,
    approvals: &[Who],
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

/// What is so at the moment, as Cedar's context.
pub(crate) fn context(now: jiff::Timestamp, approvals: &[Who]) -> Value {
    let at = now.to_zoned(jiff::tz::TimeZone::UTC);
    json!({
        "time": now.as_second(),
        "hour": at.hour(),
        "weekday": at.weekday().to_monday_one_offset(),
        "approvals": approvals.iter().map(|who| json!({"__entity": principal(&who.name)})).collect::<Vec<_>>(),
        "approvalCount": approvals.iter().map(|who| &who.name).collect::<BTreeSet<_>>().len(),
    })
}
