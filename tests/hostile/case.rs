//! One case: who asks for what, who says yes, who starts it, and what others do meanwhile. Generated at random.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::drive::{REASON, Who};
use crate::script::{Script, Step, Test};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub script: Script,
    /// In TOML, as somebody would write it.
    pub scope: String,
    /// Somebody rehearses it first; with or without the scope.
    #[serde(default)]
    pub rehearse: Option<(Who, bool)>,
    pub asks: Who,
    pub how: How,
    #[serde(default)]
    pub approve: Vec<Who>,
    /// Who may start it; nobody named is who asks.
    #[serde(default)]
    pub starters: Vec<Who>,
    pub starts: Who,
    /// What somebody else does between the approval and the start, or during the run.
    #[serde(default)]
    pub meanwhile: Option<Meanwhile>,
    /// Who takes it back afterwards.
    #[serde(default)]
    pub reverts: Option<Who>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// With a plan.
    Planned,
    /// Any change within the scope.
    Open,
    /// Ahead of need.
    Standing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meanwhile {
    Rotates(String),
    /// Deletes the secret and makes it anew.
    Remakes(String),
    Edits(String),
    /// Rotates it before the host's n-th look at the store.
    RotatesAtLook(u32, String),
    Revokes,
    Freezes,
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => Just("prod/db".to_owned()),
        4 => Just("prod/api".to_owned()),
        4 => Just("dev/db".to_owned()),
        3 => Just("app/token".to_owned()),
        1 => prop::sample::select(vec![
            "prod/none", "prod", "prod/../prod/db", "Prod/DB", "secret:prod/db", "prod//db", "", "{value}", "prod/{content}",
            "prod/**",
        ])
        .prop_map(ToOwned::to_owned),
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["password", "password", "password", "key", "user", "value", "{value}", "none", ""])
        .prop_map(ToOwned::to_owned)
}

fn version() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["1", "2", "2", "3", "{current}", "{previous}", "0", "9"]).prop_map(ToOwned::to_owned)
}

fn file() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/etc/app.conf", "/etc/app.conf", "/etc/motd", "/etc/app/db.conf", "/etc/new", "/etc/app/new", "/etc/old",
        "/etc/../etc/motd", "/etc/{value}", "/root/x",
    ])
    .prop_map(ToOwned::to_owned)
}

fn folder() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["/etc", "/etc/app", "/etc/old", "/etc/new"]).prop_map(ToOwned::to_owned)
}

/// Everything that can be seen, as something to tell.
fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "plain", "{value}", "see {value}", "{content}", "{error}", "{id}", "{random}", "{reason}", "{states} {current}",
        "{names}", "{clock}",
    ])
    .prop_map(ToOwned::to_owned)
}

/// What is never the same twice, and so may differ between a rehearsal and its run.
pub const VOLATILE: [&str; 6] = ["{id}", "{started}", "{random}", "{clock}", "{value}", "{content}"];

fn test() -> impl Strategy<Value = Test> {
    let same = |one: &str, other: &str| Just(Test::Same(one.to_owned(), other.to_owned())).boxed();
    prop_oneof![
        4 => same("{reason}", "rehearsal"),
        2 => same("{reason}", REASON),
        2 => same("{phase}", "verify"),
        3 => Just(Test::Failed),
        1 => same("{kind}", "conflict"),
        1 => same("{kind}", "not-found"),
        2 => same("{states}", "ee"),
        1 => same("{states}", "eee"),
        2 => same("{current}", "3"),
        1 => Just(Test::Longer("{value}".to_owned(), 10)),
        1 => Just(Test::Longer("{size}".to_owned(), 1)),
        1 => Just(Test::Has("{names}".to_owned(), "new".to_owned())),
        1 => Just(Test::Has("{content}".to_owned(), "login = no".to_owned())),
        2 => prop::sample::select(VOLATILE.to_vec()).prop_map(|seen| Test::Odd(seen.to_owned())),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let content = prop_oneof![Just("login = no\n".to_owned()), text()];
    let call = prop_oneof![
        6 => secret().prop_map(Step::Inspect),
        8 => (secret(), prop::option::of(field())).prop_map(|(secret, field)| Step::Rotate(secret, field)),
        3 => (secret(), version()).prop_map(|(secret, version)| Step::Disable(secret, version)),
        2 => (secret(), version()).prop_map(|(secret, version)| Step::Destroy(secret, version)),
        6 => (secret(), field(), version()).prop_map(|(secret, field, version)| Step::Reveal(secret, field, version)),
        2 => text().prop_map(Step::Log),
        4 => Just(Step::Facts),
        1 => Just(Step::Random),
        1 => Just(Step::Clock),
        1 => text().prop_map(Step::Print),
        3 => file().prop_map(Step::Read),
        4 => (file(), content).prop_map(|(file, content)| Step::Write(file, content)),
        1 => (file(), text()).prop_map(|(file, text)| Step::Append(file, text)),
        1 => folder().prop_map(Step::List),
        1 => file().prop_map(Step::Stat),
        2 => file().prop_map(Step::Remove),
        1 => (file(), file()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => folder().prop_map(Step::MakeFolder),
        1 => folder().prop_map(Step::RemoveFolder),
        2 => (text(), text()).prop_map(|(name, value)| Step::Put(name, value)),
        1 => text().prop_map(Step::Fail),
    ];
    call.prop_recursive(2, 8, 3, |inner| {
        let steps = || prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            5 => (test(), steps(), steps()).prop_map(|(test, then, or)| Step::If(test, then, or)),
            1 => (1..4_u32, steps()).prop_map(|(times, steps)| Step::Repeat(times, steps)),
        ]
    })
}

fn script() -> impl Strategy<Value = Script> {
    let steps = |most| prop::collection::vec(step(), 0..most);
    (any::<bool>(), steps(6), any::<bool>(), steps(4)).prop_map(|(facts, mut run, later, mut verify)| {
        if facts {
            run.insert(0, Step::Facts);
        }
        if later {
            verify.insert(0, Step::Facts);
        }
        Script { run, verify }
    })
}

/// A rule of a scope for a capability. The guest imports every interface: each needs a rule to be let in at all.
fn rule(capability: &'static str, flag: &'static str) -> impl Strategy<Value = String> {
    let patterns = prop::sample::select(vec![
        "\"secret:prod/db\"",
        "\"secret:prod/db\"",
        "\"secret:prod/db\", \"secret:prod/api\"",
        "\"secret:dev/db\"",
        "\"secret:prod/*\"",
        "\"secret:**\"",
        "\"secret:nowhere/x\"",
        "\"secret:*/db\", \"secret:app/**\"",
    ]);
    (patterns, any::<bool>()).prop_map(move |(patterns, flagged)| {
        let flag = if flagged && !flag.is_empty() { format!("{flag} = true\n") } else { String::new() };
        format!("[[allow]]\ncapability = \"remit:secrets/{capability}\"\nresources = [{patterns}]\n{flag}")
    })
}

fn files(capability: &'static str) -> impl Strategy<Value = String> {
    let patterns = prop::sample::select(vec![
        "",
        "\"file:etc/app.conf\"",
        "\"file:etc/app.conf\", \"file:etc/motd\"",
        "\"file:etc\", \"file:etc/**\"",
        "\"file:etc/new\", \"file:etc/old\"",
    ]);
    patterns.prop_map(move |patterns| {
        if patterns.is_empty() {
            return String::new();
        }
        format!("[[allow]]\ncapability = \"remit:files/{capability}\"\nresources = [{patterns}]\n")
    })
}

pub fn scope() -> impl Strategy<Value = String> {
    let head = (prop::sample::select(vec![1, 2, 3, 6]), prop::bool::weighted(0.15));
    let rules = (
        rule("inspect", ""),
        rule("rotate", ""),
        rule("disable", ""),
        rule("destroy", "irrevocable"),
        rule("reveal", "disclose"),
    );
    (head, rules, files("read"), files("write")).prop_map(|((changes, hold), rules, read, write)| {
        let on_failure = if hold { "hold" } else { "revert" };
        format!(
            "on_failure = \"{on_failure}\"\n[limits]\nchanges = {changes}\n{}{}{}{}{}{read}{write}",
            rules.0, rules.1, rules.2, rules.3, rules.4
        )
    })
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::Bot), 1 => Just(Who::Imp), 2 => Just(Who::Alice)]
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        2 => secret().prop_map(Meanwhile::Rotates),
        1 => Just(Meanwhile::Remakes("prod/db".to_owned())),
        2 => Just(Meanwhile::Edits("app.conf".to_owned())),
        4 => (0..14_u32, Just("prod/db".to_owned())).prop_map(|(look, secret)| Meanwhile::RotatesAtLook(look, secret)),
        1 => Just(Meanwhile::Revokes),
        1 => Just(Meanwhile::Freezes),
    ]
}

pub fn case() -> impl Strategy<Value = Case> {
    let how = prop_oneof![5 => Just(How::Planned), 2 => Just(How::Open), 2 => Just(How::Standing)];
    let approve = prop_oneof![
        1 => Just(Vec::new()),
        1 => Just(vec![Who::Alice]),
        3 => Just(vec![Who::Alice, Who::Bob]),
        1 => Just(vec![Who::Bob, Who::Bob]),
        1 => prop::collection::vec(prop::sample::select(Who::ALL.to_vec()), 0..4),
    ];
    let starts = prop_oneof![6 => Just(None), 1 => who().prop_map(Some)];
    let starters = prop_oneof![6 => Just(Vec::new()), 1 => prop::collection::vec(who(), 1..3)];
    (
        script(),
        scope(),
        prop::option::weighted(0.3, (who(), any::<bool>())),
        (who(), how, approve, starters, starts),
        prop::option::weighted(0.25, meanwhile()),
        prop::option::weighted(0.5, prop::sample::select(Who::ALL.to_vec())),
    )
        .prop_map(|(script, scope, rehearse, (asks, how, approve, starters, starts), meanwhile, reverts)| {
            // Nobody rotates what is not there.
            let there = |secret: &String| ["prod/db", "prod/api", "dev/db", "app/token"].contains(&secret.as_str());
            let meanwhile = meanwhile.filter(|done| match done {
                Meanwhile::Rotates(secret) => there(secret),
                _ => true,
            });
            Case { script, scope, rehearse, asks, how, approve, starters, starts: starts.unwrap_or(asks), meanwhile, reverts }
        })
}
