//! What an action was observed to ask for.

use remit_journal::Effect;
use serde::{Deserialize, Serialize};

use crate::{Allow, Limits, OnFailure, Operation, Pattern, Resource, Scope};

/// The operations of a rehearsal, in order. Made by the gate, never by the action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Every call but the ambient ones.
    pub steps: Vec<Step>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// [`Operation::NAME`].
    pub operation: String,
    /// The effect this call has: `irrevocable` also where a change could not be prepared for undo.
    pub effect: Effect,
    /// What it touches.
    pub resource: Resource,
    /// Its arguments.
    pub arguments: serde_json::Value,
    /// How it would be taken back; none for reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Why it cannot be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irrevocable_because: Option<String>,
}

impl Step {
    pub(crate) fn of<O: Operation>(operation: &O, effect: Effect) -> Result<Self, serde_json::Error> {
        Ok(Self {
            operation: O::NAME.to_owned(),
            effect,
            resource: operation.resource().into_owned(),
            arguments: serde_json::to_value(operation)?,
            undo: None,
            irrevocable_because: None,
        })
    }

    /// Whether a run may do `other` where this was approved: the same, but for the arguments that its
    /// operation marks as run-time values.
    pub(crate) fn admits(&self, other: &Self, run_time: &[&str]) -> bool {
        let fixed = |arguments: &serde_json::Value| {
            let mut arguments = arguments.clone();
            if let Some(object) = arguments.as_object_mut() {
                object.retain(|name, _| !run_time.contains(&name.as_str()));
            }
            arguments
        };
        self.operation == other.operation
            && self.effect == other.effect
            && self.resource == other.resource
            && fixed(&self.arguments) == fixed(&other.arguments)
    }

    /// The interface the operation belongs to.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.operation.rsplit_once('.').map_or(&self.operation, |(interface, _)| interface)
    }
}

impl Plan {
    /// The steps that change something, in order.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step.effect, Effect::Change | Effect::Irrevocable))
    }

    /// The least scope that covers the plan: each resource by name, no wildcard.
    ///
    /// # Panics
    /// Never: a canonical resource is a pattern.
    #[must_use]
    #[expect(clippy::expect_used, reason = "every canonical resource is a pattern without wildcards")]
    pub fn least_scope(&self) -> Scope {
        let mut allow: Vec<Allow> = Vec::new();
        for step in &self.steps {
            let pattern = Pattern::new(step.resource.as_str()).expect("a canonical resource is a pattern");
            let irrevocable = step.effect == Effect::Irrevocable;
            let disclose = step.effect == Effect::Disclose;
            let same = |a: &&mut Allow| {
                a.capability == step.interface() && a.irrevocable == irrevocable && a.disclose == disclose
            };
            match allow.iter_mut().find(same) {
                Some(entry) if entry.resources.contains(&pattern) => {}
                Some(entry) => entry.resources.push(pattern),
                None => allow.push(Allow {
                    capability: step.interface().to_owned(),
                    resources: vec![pattern],
                    irrevocable,
                    disclose,
                }),
            }
        }
        let changes = self.changes().count() as u64;
        Scope { on_failure: OnFailure::Revert, allow, limits: Limits { changes, ..Limits::default() } }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_marked_may_differ_from_the_plan() {
        let step = |arguments: serde_json::Value| Step {
            operation: "remit:tickets/comment.comment".to_owned(),
            effect: Effect::Change,
            resource: Resource::new("ticket", "ops/7").unwrap(),
            arguments,
            undo: None,
            irrevocable_because: None,
        };
        let planned = step(serde_json::json!({"to": "ops", "text": "run 1"}));
        let text = step(serde_json::json!({"to": "ops", "text": "run 2"}));
        let to = step(serde_json::json!({"to": "all", "text": "run 1"}));
        let more = step(serde_json::json!({"to": "ops", "text": "run 1", "urgent": true}));
        assert!(planned.admits(&planned, &[]) && planned.admits(&text, &["text"]));
        for (other, run_time) in [(&text, &[][..]), (&to, &["text"]), (&more, &["text"])] {
            assert!(!planned.admits(other, run_time), "{other:?}");
        }
    }
}
