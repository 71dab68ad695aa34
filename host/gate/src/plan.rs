//! What an action was observed to ask for.

use remit_journal::{Effect, Intent, Phase};
use serde::{Deserialize, Serialize};

use crate::{Allow, Change, Limits, OnFailure, Operation, Pattern, Resource, Scope};

/// The operations of a rehearsal, in order, of `run` and of `verify`. Made by the gate, never by the action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Every call but the ambient ones.
    pub steps: Vec<Step>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The export of the action that made the call.
    #[serde(default = "run", skip_serializing_if = "is_run")]
    pub phase: Phase,
    /// The name of the operation, see [`Operation::NAME`].
    pub operation: String,
    /// The effect this call has: `irrevocable` also where a change could not be prepared for undo.
    pub effect: Effect,
    /// Whether it is a read that hands out content, such as a file's: see [`crate::Observe::SEALED`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content: bool,
    /// The resource of the call.
    pub resource: Resource,
    /// The arguments of the operation.
    pub arguments: serde_json::Value,
    /// What was there: the public part of what takes it back; of a disclosure, which thing it hands out. None for other
    /// reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// How the change would be undone; none for reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Why it cannot be undone; none if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irrevocable_because: Option<String>,
    /// What else whoever approves it should know; none if there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
}

const fn run() -> Phase {
    Phase::Run
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_run(phase: &Phase) -> bool {
    *phase == Phase::Run
}

impl Step {
    pub(crate) fn of<O: Operation>(
        phase: Phase,
        operation: &O,
        effect: Effect,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            phase,
            operation: operation.name().to_owned(),
            effect,
            content: false,
            resource: operation.resource().into_owned(),
            arguments: serde_json::to_value(operation)?,
            before: None,
            undo: None,
            irrevocable_because: None,
            caution: None,
        })
    }

    /// Whether it is more than a look: what a run may do only as a step of its plan.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.effect != Effect::Observe
    }

    /// Whether it changes something, undoable or not.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self.effect, Effect::Change | Effect::Irrevocable)
    }

    /// Whether a run may disclose `other` where this was approved: the same of the same thing in the same phase.
    pub(crate) fn admits(&self, other: &Self) -> bool {
        self.before == other.before && self.admits_call(other, &[])
    }

    /// Whether a run may do the change `other` where this was approved: the same in the same phase, on the same state of
    /// the same thing, but for the arguments that its operation marks as run-time values.
    pub(crate) fn admits_change<O: Change>(&self, other: &Self, found: &O::Undo) -> bool {
        let planned = self.before.clone().map(serde_json::from_value::<O::Undo>);
        planned.is_some_and(|planned| planned.is_ok_and(|planned| O::is_as_planned(&planned, found)))
            && self.admits_call(other, O::RUN_TIME)
    }

    /// What a record says was asked for, to look it up in a scope.
    #[must_use]
    pub fn on_record(intent: &Intent, resource: Resource) -> Self {
        Self {
            phase: Phase::Run,
            operation: intent.operation.clone(),
            effect: intent.effect,
            content: false,
            resource,
            arguments: serde_json::from_str(intent.arguments.get()).unwrap_or_default(),
            before: None,
            undo: None,
            irrevocable_because: None,
            caution: None,
        }
    }

    /// Whether this step is what a record says was done, in that phase; `run_time` as [`Change::RUN_TIME`].
    #[must_use]
    pub fn is_of(&self, phase: Phase, intent: &Intent, run_time: &[&str]) -> bool {
        Resource::try_from(intent.resource.clone()).is_ok_and(|resource| {
            self.admits_call(&Self { phase, ..Self::on_record(intent, resource) }, run_time)
        })
    }

    fn admits_call(&self, other: &Self, run_time: &[&str]) -> bool {
        let fixed = |arguments: &serde_json::Value| {
            let mut arguments = arguments.clone();
            if let Some(object) = arguments.as_object_mut() {
                object.retain(|name, _| !run_time.contains(&name.as_str()));
            }
            arguments
        };
        self.phase == other.phase
            && self.operation == other.operation
            && self.effect == other.effect
            && self.resource == other.resource
            && fixed(&self.arguments) == fixed(&other.arguments)
    }

    /// The step in words: `remit:secrets/rotate.rotate on secret:prod/db with {…} [put the value of version 2 back]`.
    #[must_use]
    pub fn words(&self) -> String {
        let phase = if self.phase == Phase::Run { String::new() } else { format!(" in {}", self.phase) };
        let undo = self.undo.as_ref().or(self.irrevocable_because.as_ref());
        let undo = undo.map(|undo| format!(" [{undo}]")).unwrap_or_default();
        format!("{} on {} with {}{phase}{undo}", self.operation, self.resource, plain(&self.arguments))
    }

    /// Two steps that differ, in words; with what each found there, if nothing else tells them apart.
    #[must_use]
    pub fn apart(&self, other: &Self) -> (String, String) {
        let words = [self.words(), other.words()];
        if words[0] != words[1] {
            let [own, others] = words;
            return (own, others);
        }
        let found = |step: &Self| {
            let before = step.before.as_ref().map_or_else(|| "nothing".to_owned(), plain);
            format!("{}, found as {before}", words[0])
        };
        (found(self), found(other))
    }

    /// The interface the operation belongs to.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.operation.rsplit_once('.').map_or(&self.operation, |(interface, _)| interface)
    }
}

/// JSON with its keys in order: what is the same looks the same.
fn plain(value: &serde_json::Value) -> String {
    let canonical = remit_trust::canonical(value).ok().and_then(|text| String::from_utf8(text).ok());
    canonical.unwrap_or_else(|| value.to_string())
}

impl Plan {
    /// The steps that change something, in order.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.is_change())
    }

    /// The steps that are more than a look, in order: what a run under this plan may do besides looking.
    pub fn bound(&self) -> impl Iterator<Item = &Step> + Clone {
        self.steps.iter().filter(|step| step.is_bound())
    }

    /// Whether it only looks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.bound().next().is_none()
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
        Scope {
            on_failure: OnFailure::Revert,
            restore_after: None,
            page_after: None,
            require: Vec::new(),
            allow,
            limits: Limits { changes, ..Limits::default() },
        }
    }
}

impl Scope {
    /// The least scope of a plan, under the terms of this one: what does not fit into a standing scope is asked for on its own, and is
    /// then not done in another order, nor does it stand for longer.
    #[must_use]
    pub fn least_for(&self, plan: &Plan) -> Self {
        let least = plan.least_scope();
        let uses = |interface: &str| least.allow.iter().any(|allow| allow.capability == interface);
        let require = self.require.iter().filter(|rule| uses(&rule.before)).cloned().collect();
        Self { restore_after: self.restore_after, page_after: self.page_after, require, ..least }
    }

    /// Whether a step of a plan is inside; why not, if it is not.
    pub fn covers(&self, step: &Step) -> Result<(), String> {
        let rules = self.compile();
        let (interface, resource) = (step.interface(), &step.resource);
        rules.permits(interface, resource)?;
        match step.effect {
            Effect::Irrevocable if !rules.accepts_irrevocable(interface, resource) => {
                Err("it cannot be taken back, which the rule does not accept".to_owned())
            }
            Effect::Disclose if !rules.accepts_disclosure(interface, resource) => {
                Err("it hands out secret material, which the rule does not accept".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_marked_may_differ_from_the_plan() {
        let step = |arguments: serde_json::Value| Step {
            phase: Phase::Run,
            operation: "remit:tickets/comment.comment".to_owned(),
            effect: Effect::Change,
            content: false,
            resource: Resource::new("ticket", "ops/7").unwrap(),
            arguments,
            before: None,
            undo: None,
            irrevocable_because: None,
            caution: None,
        };
        let planned = step(serde_json::json!({"to": "ops", "text": "run 1"}));
        let text = step(serde_json::json!({"to": "ops", "text": "run 2"}));
        let to = step(serde_json::json!({"to": "all", "text": "run 1"}));
        let more = step(serde_json::json!({"to": "ops", "text": "run 1", "urgent": true}));
        assert!(planned.admits_call(&planned, &[]) && planned.admits_call(&text, &["text"]));
        let verify = Step { phase: Phase::Verify, ..planned.clone() };
        for (other, run_time) in [(&text, &[][..]), (&to, &["text"]), (&more, &["text"]), (&verify, &[][..])]
        {
            assert!(!planned.admits_call(other, run_time), "{other:?}");
        }
    }
}
