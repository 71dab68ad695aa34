//! Every power that a request would give, whether its plan uses it or not. Approvers and policies get this one list, so that
//! they cannot see different things.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use remit_capability::BUILT_IN;
use remit_gate::{Allow, Effect, Limits, Pattern, Plan, Scope, Step};
use remit_journal::ConnectorRef;
use serde::{Deserialize, Serialize};

/// What a power does, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessKind {
    /// Reads metadata, such as whether a file exists.
    Observe,
    /// Reads content, such as a file's.
    Read,
    /// Changes something so that the host can take it back.
    Change,
    /// Changes something in a way that the host cannot undo.
    Irrevocable,
    /// Returns a secret to the action.
    Disclose,
}

impl AccessKind {
    fn of(step: &Step) -> Self {
        match step.effect {
            Effect::Observe if step.content => Self::Read,
            Effect::Observe => Self::Observe,
            Effect::Change => Self::Change,
            Effect::Irrevocable => Self::Irrevocable,
            Effect::Disclose => Self::Disclose,
        }
    }

    /// Whether it only reads. A scope allows reads, and no plan binds them.
    fn reads(self) -> bool {
        matches!(self, Self::Observe | Self::Read)
    }

    fn changes(self) -> bool {
        matches!(self, Self::Change | Self::Irrevocable)
    }
}

impl fmt::Display for AccessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Observe => "observe",
            Self::Read => "read content",
            Self::Change => "change",
            Self::Irrevocable => "CANNOT BE UNDONE",
            Self::Disclose => "HANDS OUT SECRETS",
        })
    }
}

/// One kind of access that a request would give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    /// The kind of access.
    pub does: AccessKind,
    /// The interface that gives it: `remit:secrets/rotate`.
    pub capability: String,
    /// The resources that it covers.
    pub resource: Pattern,
    /// How many steps of the plan use it.
    pub steps: u64,
    /// How often a run may use it at most.
    pub at_most: u64,
}

/// Every power that a request would give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Powers {
    /// The powers, each once, those with the least effect first.
    pub all: Vec<Power>,
    /// Whether there is a plan, so that every step is known.
    pub planned: bool,
    /// The limits of a run.
    pub limits: Limits,
}

/// The kinds of resources that this host knows.
pub(crate) fn kinds() -> BTreeSet<&'static str> {
    BUILT_IN.granted().filter_map(|interface| interface.kind.as_deref()).collect()
}

/// What a rule of a scope gives on each of its resources. Connectors can do what they declare. An interface that neither this
/// host nor a connector has counts as one that can do everything that the rule accepts, because a later host may know it.
fn gives(allow: &Allow, connectors: &[ConnectorRef]) -> BTreeSet<AccessKind> {
    let (name, _) = allow.interface();
    let served: Vec<(Effect, bool)> = connectors
        .iter()
        .flat_map(|connector| &connector.interfaces)
        .filter(|served| served.name.split('@').next() == Some(name))
        // A read that is given a sealed value tells something of it: whoever chooses the value can test a guess.
        .flat_map(|served| served.effects.iter().map(|effect| (*effect, !served.sealed.is_empty())))
        .collect();
    let own = BUILT_IN.granted().find(|interface| interface.name == name);
    let operations = match own {
        Some(own) => own.operations.iter().map(|operation| (operation.effect, operation.content)).collect(),
        None => served,
    };
    if operations.is_empty() {
        let accepted = [(allow.irrevocable, AccessKind::Irrevocable), (allow.disclose, AccessKind::Disclose)];
        let accepted = accepted.into_iter().filter(|(accepts, _)| *accepts).map(|(_, does)| does);
        return [AccessKind::Read, AccessKind::Change].into_iter().chain(accepted).collect();
    }
    let mut all = BTreeSet::new();
    for (effect, content) in operations {
        match effect {
            Effect::Observe if content => all.extend([AccessKind::Observe, AccessKind::Read]),
            Effect::Observe => all.extend([AccessKind::Observe]),
            Effect::Change => {
                all.insert(AccessKind::Change);
                // A change whose prior state cannot be recorded is irrevocable.
                all.extend(allow.irrevocable.then_some(AccessKind::Irrevocable));
            }
            Effect::Irrevocable => all.extend(allow.irrevocable.then_some(AccessKind::Irrevocable)),
            Effect::Disclose => all.extend(allow.disclose.then_some(AccessKind::Disclose)),
        }
    }
    // Each of the other powers includes observing.
    if all.len() > 1 {
        all.remove(&AccessKind::Observe);
    }
    all
}

/// The pattern that matches only the resource of a step.
#[expect(clippy::expect_used, reason = "every canonical resource is a pattern without wildcards")]
fn exactly(step: &Step) -> Pattern {
    Pattern::new(step.resource.as_str()).expect("a canonical resource is a pattern")
}

type Steps = BTreeMap<(AccessKind, String, Pattern), u64>;

fn steps(plan: Option<&Plan>) -> Steps {
    let mut all = Steps::new();
    for step in plan.into_iter().flat_map(|plan| &plan.steps) {
        *all.entry((AccessKind::of(step), step.interface().to_owned(), exactly(step))).or_default() += 1;
    }
    all
}

impl Powers {
    /// The powers of a request: the union of its plan, if it has one, and its scope.
    #[must_use]
    pub fn of(plan: Option<&Plan>, scope: &Scope, connectors: &[ConnectorRef]) -> Self {
        Self::union(plan, scope, |allow| gives(allow, connectors))
    }

    /// The powers of a run that is bound by its plan: whatever is more than a read is a step of the plan, and the scope
    /// adds reads.
    #[must_use]
    pub(crate) fn of_run(plan: &Plan, scope: &Scope, connectors: &[ConnectorRef]) -> Self {
        Self::union(Some(plan), scope, |allow| {
            gives(allow, connectors).into_iter().filter(|does| does.reads()).collect()
        })
    }

    /// The powers of a rehearsal: it reads whatever the scope names, and changes nothing. It plays a disclosure whether or
    /// not the rule accepts one, and so tells the shape of the secret: policies see that as a disclosure.
    #[must_use]
    pub(crate) fn of_rehearsal(scope: &Scope, connectors: &[ConnectorRef]) -> Self {
        Self::union(None, scope, |allow| {
            let mut all = gives(&Allow { disclose: true, ..allow.clone() }, connectors);
            let reads = all.iter().all(|does| does.reads());
            all.retain(|does| !does.changes());
            // What changes or discloses is one to look by, and so is a rule that accepts too little for a run.
            if !reads || all.is_empty() {
                all.insert(AccessKind::Observe);
            }
            all
        })
    }

    fn union(plan: Option<&Plan>, scope: &Scope, gives: impl Fn(&Allow) -> BTreeSet<AccessKind>) -> Self {
        let mut all = steps(plan);
        for allow in &scope.allow {
            for does in gives(allow) {
                for resource in &allow.resources {
                    let key = |does| (does, allow.interface().0.to_owned(), resource.clone());
                    // The rule for an irrevocable change of the plan also gives the change itself, which is no more power.
                    let more = match does {
                        AccessKind::Observe => [
                            AccessKind::Read,
                            AccessKind::Change,
                            AccessKind::Irrevocable,
                            AccessKind::Disclose,
                        ]
                        .as_slice(),
                        AccessKind::Change => &[AccessKind::Irrevocable],
                        _ => &[],
                    };
                    let used = |does: &AccessKind| all.get(&key(*does)).is_some_and(|steps| *steps > 0);
                    if !more.iter().any(used) {
                        all.entry(key(does)).or_default();
                    }
                }
            }
        }
        let limits = scope.limits.clone();
        let all = all.into_iter().map(|((does, capability, resource), steps)| {
            let may = if does.changes() { limits.changes } else { limits.host_calls };
            let at_most = if steps > 0 && !does.reads() { steps } else { may.max(1) };
            Power { does, capability, resource, steps, at_most }
        });
        Self { all: all.collect(), planned: plan.is_some(), limits }
    }

    /// The powers that the plan does not use; all of them, if there is no plan.
    pub fn unused(&self) -> impl Iterator<Item = &Power> {
        self.all.iter().filter(|power| power.steps == 0)
    }

    /// The resources on which a run may do this.
    pub(crate) fn on(&self, does: AccessKind) -> BTreeSet<Pattern> {
        self.all.iter().filter(|power| power.does == does).map(|power| power.resource.clone()).collect()
    }

    /// The resources on which a run may do more than read.
    pub(crate) fn touches(&self) -> BTreeSet<&Pattern> {
        self.all.iter().filter(|power| !power.does.reads()).map(|power| &power.resource).collect()
    }

    /// How often a run may use these powers: as often as the plan does, or as the limits allow if the plan does not use one of
    /// them.
    pub(crate) fn count(&self, is: impl Fn(AccessKind) -> bool) -> u64 {
        let these = || self.all.iter().filter(|power| is(power.does));
        let planned: u64 = these().map(|power| power.steps).sum();
        let unused = these().filter(|power| power.steps == 0).map(|power| power.at_most).max();
        planned.max(unused.unwrap_or(0))
    }

    /// How many changes a run can make, revertible and irrevocable together.
    pub(crate) fn changes(&self) -> u64 {
        self.count(AccessKind::changes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use remit_gate::{Phase, Resource};
    use remit_journal::ConnectedInterface;
    use remit_trust::Digest;

    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text, "scope.toml").unwrap()
    }

    fn rule(capability: &str, resource: &str, more: &str) -> String {
        format!("[[allow]]\ncapability = \"{capability}\"\nresources = [\"{resource}\"]\n{more}\n")
    }

    fn step(operation: &str, effect: Effect, resource: &str) -> Step {
        Step {
            phase: Phase::Run,
            operation: operation.to_owned(),
            effect,
            content: operation == "remit:files/read.read",
            resource: Resource::try_from(resource.to_owned()).unwrap(),
            arguments: serde_json::json!({}),
            before: None,
            undo: None,
            irrevocable_because: None,
            caution: None,
        }
    }

    fn rotation() -> Plan {
        Plan {
            steps: vec![
                step("remit:secrets/inspect.metadata", Effect::Observe, "secret:prod/db"),
                step("remit:secrets/rotate.rotate", Effect::Change, "secret:prod/db"),
            ],
        }
    }

    fn words(powers: &Powers) -> Vec<String> {
        powers
            .all
            .iter()
            .map(|power| format!("{} {} {} {}", power.does, power.capability, power.resource, power.steps))
            .collect()
    }

    #[test]
    fn the_least_scope_adds_nothing_to_its_plan() {
        let mut plan = rotation();
        plan.steps.push(step("remit:secrets/rotate.rotate", Effect::Irrevocable, "secret:prod/new"));
        plan.steps.push(step("remit:secrets/reveal.reveal", Effect::Disclose, "secret:prod/db"));
        plan.steps.push(step("remit:files/write.put", Effect::Change, "file:etc/app"));
        plan.steps.push(step("remit:files/read.look", Effect::Observe, "file:etc/app"));
        plan.steps.push(step("remit:files/read.read", Effect::Observe, "file:etc/app"));
        let powers = Powers::of(Some(&plan), &plan.least_scope(), &[]);
        assert_eq!(powers.unused().count(), 0, "{:?}", words(&powers));
        assert_eq!((powers.changes(), powers.count(|does| does == AccessKind::Change)), (3, 2));
        assert_eq!(powers.count(|does| does == AccessKind::Irrevocable), 1);
        assert_eq!(powers.count(|does| does == AccessKind::Disclose), 1);
        assert_eq!(powers.count(AccessKind::reads), 3);
    }

    #[test]
    fn a_step_is_as_often_as_the_plan_has_it_and_a_look_as_the_limits_allow() {
        let mut plan = rotation();
        plan.steps.push(step("remit:secrets/rotate.rotate", Effect::Change, "secret:prod/db"));
        plan.steps.push(step("remit:files/read.read", Effect::Observe, "file:etc/app"));
        let limits = "[limits]\nchanges = 7\nhost_calls = 50\n".to_owned();
        let more = rule("remit:secrets/rotate", "secret:prod/other", "");
        let powers = Powers::of(Some(&plan), &scope(&(limits + &more)), &[]);
        let at_most = powers.all.iter().map(|power| power.at_most);
        let told: Vec<_> = words(&powers).into_iter().zip(at_most).collect();
        let told: Vec<_> = told.iter().map(|(words, at_most)| (words.as_str(), *at_most)).collect();
        assert_eq!(
            told,
            [
                ("observe remit:secrets/inspect secret:prod/db 1", 50),
                ("read content remit:files/read file:etc/app 1", 50),
                ("change remit:secrets/rotate secret:prod/db 2", 2),
                ("change remit:secrets/rotate secret:prod/other 0", 7),
            ]
        );
    }

    #[test]
    fn a_power_that_a_step_of_the_plan_includes_is_not_told_again() {
        // One rule gives what cannot be undone, the other a look, both at the same.
        let two = |operation: &str| {
            rule(operation, "secret:prod/db", "irrevocable = true") + &rule(operation, "secret:prod/db", "")
        };
        let gives = |allow: &Allow| {
            BTreeSet::from([if allow.irrevocable { AccessKind::Irrevocable } else { AccessKind::Observe }])
        };
        let told =
            |plan: &Plan| words(&Powers::union(Some(plan), &scope(&two("remit:secrets/destroy")), gives));
        let destroy = step("remit:secrets/destroy.destroy", Effect::Irrevocable, "secret:prod/db");
        let destroys = "CANNOT BE UNDONE remit:secrets/destroy secret:prod/db";
        assert_eq!(told(&Plan { steps: vec![destroy] }), [format!("{destroys} 1")]);
        // A power that no step uses includes nothing.
        let look = "observe remit:secrets/destroy secret:prod/db 0".to_owned();
        assert_eq!(told(&Plan { steps: Vec::new() }), [look, format!("{destroys} 0")]);
    }

    #[test]
    fn a_wider_scope_is_more_power() {
        let plan = rotation();
        let limits = "[limits]\nchanges = 7\nhost_calls = 50\n";
        let least = rule("remit:secrets/inspect", "secret:prod/db", "")
            + &rule("remit:secrets/rotate", "secret:prod/db", "");
        for (more, unused, changes, irrevocable, disclose) in [
            (String::new(), &[][..], 1, 0, 0),
            (
                rule("remit:secrets/rotate", "secret:**", ""),
                &["change remit:secrets/rotate secret:** 0"],
                7,
                0,
                0,
            ),
            (
                rule("remit:secrets/rotate", "secret:prod/other", ""),
                &["change remit:secrets/rotate secret:prod/other 0"],
                7,
                0,
                0,
            ),
            (
                rule("remit:secrets/rotate", "secret:prod/db", "irrevocable = true"),
                &["CANNOT BE UNDONE remit:secrets/rotate secret:prod/db 0"],
                7,
                7,
                0,
            ),
            (
                rule("remit:secrets/reveal", "secret:prod/db", "disclose = true"),
                &["HANDS OUT SECRETS remit:secrets/reveal secret:prod/db 0"],
                1,
                0,
                50,
            ),
            // Which accept nothing, and so give nothing.
            (rule("remit:secrets/reveal", "secret:**", ""), &[], 1, 0, 0),
            (rule("remit:secrets/destroy", "secret:**", ""), &[], 1, 0, 0),
            (
                rule("remit:secrets/inspect", "secret:**", "irrevocable = true\ndisclose = true"),
                &["observe remit:secrets/inspect secret:** 0"],
                1,
                0,
                0,
            ),
            (
                rule("remit:files/read", "file:etc/**", ""),
                &["read content remit:files/read file:etc/** 0"],
                1,
                0,
                0,
            ),
            // Of a later host.
            (
                rule("remit:tickets/close", "ticket:ops/*", "irrevocable = true"),
                &[
                    "read content remit:tickets/close ticket:ops/* 0",
                    "change remit:tickets/close ticket:ops/* 0",
                    "CANNOT BE UNDONE remit:tickets/close ticket:ops/* 0",
                ],
                7,
                7,
                0,
            ),
        ] {
            let powers = Powers::of(Some(&plan), &scope(&format!("{limits}{least}{more}")), &[]);
            let found: Vec<String> =
                words(&powers).into_iter().filter(|words| words.ends_with(" 0")).collect();
            assert_eq!(found, unused, "{more}");
            assert_eq!(powers.changes(), changes, "{more}");
            assert_eq!(powers.count(|does| does == AccessKind::Irrevocable), irrevocable, "{more}");
            assert_eq!(powers.count(|does| does == AccessKind::Disclose), disclose, "{more}");
            // A run is bound by its plan, but for what it looks at.
            let run = Powers::of_run(&plan, &scope(&format!("{limits}{least}{more}")), &[]);
            assert_eq!(run.changes(), 1, "{more}");
            assert!(run.unused().all(|power| power.does.reads()), "{more}");
            assert_eq!(run.touches(), BTreeSet::from([&Pattern::new("secret:prod/db").unwrap()]), "{more}");
        }
    }

    #[test]
    fn without_a_plan_it_is_all_that_the_scope_allows() {
        let text = "[limits]\nchanges = 4\n".to_owned()
            + &rule("remit:secrets/rotate", "secret:dev/*", "")
            + &rule("remit:secrets/destroy", "secret:dev/old", "irrevocable = true");
        let powers = Powers::of(None, &scope(&text), &[]);
        assert!(!powers.planned && powers.unused().count() == 2);
        assert_eq!((powers.changes(), powers.count(|does| does == AccessKind::Irrevocable)), (4, 4));
        assert_eq!(powers.on(AccessKind::Change), BTreeSet::from([Pattern::new("secret:dev/*").unwrap()]));
        assert_eq!(powers.touches().len(), 2);
        let looks = Powers::of(None, &scope(&rule("remit:secrets/inspect", "secret:**", "")), &[]);
        assert_eq!((looks.changes(), looks.touches().len(), looks.count(AccessKind::reads)), (0, 0, 1_000));
        // One that may change nothing at all by its limit is still shown as what its rules say.
        let none = Powers::of(
            None,
            &scope(&("[limits]\nchanges = 0\n".to_owned() + &rule("remit:secrets/rotate", "secret:x", ""))),
            &[],
        );
        assert_eq!(none.changes(), 1);
    }

    /// What a connector declares is what its rule gives; a read that is given a sealed value hands out content, because whoever
    /// chooses the value can test a guess. An interface that nobody has can do all that its rule accepts.
    #[test]
    fn a_connector_has_the_powers_that_it_declares() {
        let serves = |name: &str, effects: &[Effect], sealed: &[&str]| ConnectedInterface {
            name: format!("remit:tokens/{name}@0.1.0"),
            kind: "token".to_owned(),
            effects: effects.to_vec(),
            sealed: sealed
                .iter()
                .map(|function| ((*function).to_owned(), vec!["value".to_owned()]))
                .collect(),
        };
        let connector = ConnectorRef {
            instance: "corp".to_owned(),
            component: crate::testing::action(),
            publisher: String::new(),
            origin: "https://tokens.example".to_owned(),
            config: Digest::of(b"{}"),
            interfaces: vec![
                serves("inspect", &[Effect::Observe], &[]),
                serves("find", &[Effect::Observe], &["find"]),
                serves("revoke", &[Effect::Observe, Effect::Change, Effect::Irrevocable], &[]),
            ],
        };
        let of = |name: &str, more: &str| {
            let rule = rule(&format!("remit:tokens/{name}"), "token:corp/*", more);
            let powers = Powers::of(None, &scope(&rule), std::slice::from_ref(&connector));
            powers.all.iter().map(|power| power.does).collect::<BTreeSet<_>>()
        };
        assert_eq!(of("inspect", "irrevocable = true"), BTreeSet::from([AccessKind::Observe]));
        assert_eq!(of("find", ""), BTreeSet::from([AccessKind::Read]));
        assert_eq!(of("revoke", ""), BTreeSet::from([AccessKind::Change]));
        let both = BTreeSet::from([AccessKind::Change, AccessKind::Irrevocable]);
        assert_eq!(of("revoke", "irrevocable = true"), both);
        assert_eq!(of("later", ""), BTreeSet::from([AccessKind::Read, AccessKind::Change]));
    }

    #[test]
    fn a_rehearsal_looks_and_tells_the_shape_of_a_secret() {
        let text = rule("remit:secrets/rotate", "secret:**", "irrevocable = true")
            + &rule("remit:secrets/reveal", "secret:**", "")
            + &rule("remit:files/write", "file:etc/**", "");
        let powers = Powers::of_rehearsal(&scope(&text), &[]);
        let reveals = powers.all.iter().filter(|power| power.capability == "remit:secrets/reveal");
        assert_eq!(
            reveals.map(|power| power.does).collect::<Vec<_>>(),
            [AccessKind::Observe, AccessKind::Disclose]
        );
        assert_eq!(powers.all.iter().filter(|power| power.does == AccessKind::Observe).count(), 3);
        assert_eq!((powers.all.len(), powers.changes()), (4, 0), "{:?}", words(&powers));
        let read = Powers::of_rehearsal(&scope(&rule("remit:files/read", "file:etc/**", "")), &[]);
        assert_eq!(words(&read), ["read content remit:files/read file:etc/** 0"]);
    }

    #[test]
    fn the_kinds_are_those_of_the_table() {
        assert_eq!(kinds(), BTreeSet::from(["database-role", "evidence", "file", "secret", "workload"]));
    }
}
