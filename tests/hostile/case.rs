//! One case: who asks for what, who says yes, who starts it, and what others do meanwhile. Generated at random.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::drive::{REASON, Who};
use super::model::Law;
use super::script::{Script, Step, Test};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub script: Script,
    /// What `{token}` is the handle of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
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
    /// The key of the imp ends in the middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Ends>,
    /// Who takes it back afterwards.
    #[serde(default)]
    pub reverts: Option<Who>,
}

/// A sealed input, and who gives it: only they may use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    pub by: Who,
    /// The value is that of this field of this version of a secret: somebody knows it, or has guessed it. Otherwise it is new.
    #[serde(default)]
    pub is: Option<(String, String, usize)>,
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
    /// Before the host's n-th call of the store.
    RotatesAt(u32, String),
    RemakesAt(u32, String),
    Revokes,
    Freezes,
}

/// When the key ends that the imp has by a certificate, and whether it then exchanges a token for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    pub before: End,
    #[serde(default)]
    pub again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Before it asks.
    Asking,
    /// Before others approve what it asked for.
    Approving,
    /// Before somebody starts it.
    Starting,
    /// Before the host's n-th call of the store from when the imp starts it.
    Call(u32),
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
    prop::sample::select(vec![
        "password", "password", "password", "key", "user", "value", "{value}", "none", "",
    ])
    .prop_map(ToOwned::to_owned)
}

fn version() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["1", "2", "2", "3", "{current}", "{previous}", "0", "9"])
        .prop_map(ToOwned::to_owned)
}

/// A secret, a field and a version that are there. Software may find out about what is under `dev`, and about nothing else.
fn there(for_software: bool) -> impl Strategy<Value = (String, String, String)> {
    let all = [
        ("dev/db", "password", "3"),
        ("dev/db", "password", "2"),
        ("prod/db", "password", "2"),
        ("app/token", "value", "1"),
    ];
    let all = all.map(|(secret, field, version)| (secret.to_owned(), field.to_owned(), version.to_owned()));
    prop::sample::select(all[..if for_software { 2 } else { 4 }].to_vec())
}

fn handle() -> impl Strategy<Value = String> {
    let zeros = format!("sealed:token:{}", "0".repeat(64));
    prop_oneof![
        16 => Just("{token}".to_owned()),
        1 => Just(zeros),
        1 => prop::sample::select(vec!["", "token", "{token}0", "sealed:token", "{value}"]).prop_map(ToOwned::to_owned),
    ]
}

/// Whether somebody knows the value that an action compares with, or puts.
fn sealed() -> impl Strategy<Value = Option<(String, String, usize)>> {
    let known = [
        ("prod/db", "password", 2),
        ("dev/db", "password", 3),
        ("prod/db", "password", 1),
        ("app/token", "value", 1),
    ];
    let known = known.map(|(secret, field, version)| (secret.to_owned(), field.to_owned(), version));
    prop::option::weighted(0.4, prop::sample::select(known.to_vec()))
}

fn file() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/etc/app.conf",
        "/etc/app.conf",
        "/etc/motd",
        "/etc/app/db.conf",
        "/etc/new",
        "/etc/app/new",
        "/etc/old",
        "/etc/../etc/motd",
        "/etc/{value}",
        "/root/x",
    ])
    .prop_map(ToOwned::to_owned)
}

fn folder() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["/etc", "/etc/app", "/etc/old", "/etc/new"]).prop_map(ToOwned::to_owned)
}

/// Everything that can be seen, as something to tell.
fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "plain",
        "{value}",
        "see {value}",
        "{content}",
        "{error}",
        "{id}",
        "{random}",
        "{reason}",
        "{states} {current}",
        "{names}",
        "{clock}",
        "{token} {same}",
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
        2 => same("{same}", "yes"),
        1 => Just(Test::Longer("{value}".to_owned(), 10)),
        1 => Just(Test::Longer("{size}".to_owned(), 1)),
        1 => Just(Test::Has("{names}".to_owned(), "new".to_owned())),
        1 => Just(Test::Has("{content}".to_owned(), "login = no".to_owned())),
        2 => prop::sample::select(VOLATILE.to_vec()).prop_map(|seen| Test::Odd(seen.to_owned())),
    ]
}

/// Without files in most: software may not rehearse reading them. And seldom a secret told, where nobody can be.
fn step(files: bool, tells: bool) -> impl Strategy<Value = Step> {
    let content = prop_oneof![Just("login = no\n".to_owned()), text()];
    let on_files = prop_oneof![
        3 => file().prop_map(Step::Read),
        6 => (file(), content).prop_map(|(file, content)| Step::Write(file, content)),
        1 => (file(), text()).prop_map(|(file, text)| Step::Append(file, text)),
        1 => folder().prop_map(Step::List),
        1 => file().prop_map(Step::Stat),
        2 => file().prop_map(Step::Remove),
        1 => (file(), file()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => folder().prop_map(Step::MakeFolder),
        1 => folder().prop_map(Step::RemoveFolder),
    ];
    let calls = prop_oneof![
        5 => secret().prop_map(Step::Inspect),
        14 => (secret(), prop::option::weighted(0.3, field())).prop_map(|(secret, field)| Step::Rotate(secret, field)),
        3 => (secret(), field(), handle()).prop_map(|(secret, field, handle)| Step::Store(secret, field, handle)),
        4 => (there(false), handle()).prop_map(|((secret, field, _), handle)| Step::Store(secret, field, handle)),
        2 => (secret(), field(), version(), handle())
            .prop_map(|(secret, field, version, handle)| Step::Compare(secret, field, version, handle)),
        4 => (there(!files), handle())
            .prop_map(|((secret, field, version), handle)| Step::Compare(secret, field, version, handle)),
        6 => (secret(), version()).prop_map(|(secret, version)| Step::Disable(secret, version)),
        3 => (secret(), version()).prop_map(|(secret, version)| Step::Destroy(secret, version)),
        if tells { 8 } else { 2 } => (secret(), field(), version()).prop_map(|(secret, field, version)| Step::Reveal(secret, field, version)),
        2 => text().prop_map(Step::Log),
        4 => Just(Step::Facts),
        1 => Just(Step::Random),
        1 => Just(Step::Clock),
        1 => text().prop_map(Step::Print),
        2 => (text(), text()).prop_map(|(name, value)| Step::Put(name, value)),
        1 => prop_oneof![1 => text().prop_map(Step::Fail), 3 => Just(Step::Facts)],
    ];
    let call = prop_oneof![30 => calls, if files { 15 } else { 1 } => on_files];
    call.prop_recursive(2, 8, 3, |inner| {
        let steps = || prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            5 => (test(), steps(), steps()).prop_map(|(test, then, or)| Step::If(test, then, or)),
            1 => (1..4_u32, steps()).prop_map(|(times, steps)| Step::Repeat(times, steps)),
        ]
    })
}

fn script(tells: bool) -> impl Strategy<Value = Script> {
    let both = move |files| {
        let steps = move |most| prop::collection::vec(step(files, tells), 0..most);
        (any::<bool>(), steps(6), any::<bool>(), steps(4), prop::bool::weighted(0.2))
    };
    prop_oneof![2 => both(false), 1 => both(true)].prop_map(|(facts, mut run, later, mut verify, any)| {
        if !any {
            verify.retain(only_looks);
        }
        if facts {
            run.insert(0, Step::Facts);
        }
        if later {
            verify.insert(0, Step::Facts);
        }
        Script { run, verify, token: None }
    })
}

/// What `verify` may do, though it need not hold to it.
fn only_looks(step: &Step) -> bool {
    match step {
        Step::Rotate(..)
        | Step::Store(..)
        | Step::Disable(..)
        | Step::Destroy(..)
        | Step::Write(..)
        | Step::Append(..)
        | Step::Remove(_)
        | Step::Rename(..)
        | Step::MakeFolder(_)
        | Step::RemoveFolder(_) => false,
        Step::If(_, then, or) => then.iter().chain(or).all(only_looks),
        Step::Repeat(_, steps) => steps.iter().all(only_looks),
        _ => true,
    }
}

/// The interfaces that the guest imports: each needs a rule for it to be let in at all.
const INTERFACES: [&str; 9] = [
    "secrets/inspect",
    "secrets/rotate",
    "secrets/disable",
    "secrets/destroy",
    "secrets/reveal",
    "files/read",
    "files/write",
    "secrets/put",
    COMPARE,
];

const COMPARE: &str = "secrets/compare";

/// One rule of a scope, if it is one: files need none.
fn rule(interface: &str, resources: &[String], (irrevocable, disclose): (bool, bool)) -> String {
    let (kind, _) = interface.split_once('/').expect("two parts");
    let listed: Vec<String> = resources.iter().map(|resource| format!("\"{resource}\"")).collect();
    let listed = match (listed.is_empty(), kind) {
        (false, _) => listed.join(", "),
        (true, "files") => return String::new(),
        // Where software may find out about it.
        (true, _) if interface == COMPARE => "\"secret:dev/none\"".to_owned(),
        (true, _) => "\"secret:nowhere/x\"".to_owned(),
    };
    let flag = match interface {
        "secrets/destroy" if irrevocable => "irrevocable = true\n",
        "secrets/reveal" if disclose => "disclose = true\n",
        _ => "",
    };
    format!("[[allow]]\ncapability = \"remit:{interface}\"\nresources = [{listed}]\n{flag}")
}

/// What a script names, by the interface that it needs for it.
fn named(steps: &[Step], names: &mut Vec<(&'static str, String)>) {
    let secret = |name: &String| format!("secret:{name}");
    let file = |name: &String| format!("file:{}", name.trim_start_matches('/'));
    for step in steps {
        match step {
            Step::Inspect(name) => names.push((INTERFACES[0], secret(name))),
            Step::Rotate(name, _) => names.push((INTERFACES[1], secret(name))),
            Step::Disable(name, _) => names.push((INTERFACES[2], secret(name))),
            Step::Destroy(name, _) => names.push((INTERFACES[3], secret(name))),
            Step::Reveal(name, ..) => names.push((INTERFACES[4], secret(name))),
            Step::Store(name, ..) => names.push((INTERFACES[7], secret(name))),
            Step::Compare(name, ..) => names.push((COMPARE, secret(name))),
            Step::Read(name) | Step::List(name) | Step::Stat(name) => names.push((INTERFACES[5], file(name))),
            Step::Write(name, _)
            | Step::Append(name, _)
            | Step::Remove(name)
            | Step::MakeFolder(name)
            | Step::RemoveFolder(name) => {
                names.extend([(INTERFACES[5], file(name)), (INTERFACES[6], file(name))]);
            }
            Step::Rename(from, to) => {
                for name in [from, to] {
                    names.extend([(INTERFACES[5], file(name)), (INTERFACES[6], file(name))]);
                }
            }
            Step::If(_, then, or) => {
                named(then, names);
                named(or, names);
            }
            Step::Repeat(_, steps) => named(steps, names),
            _ => {}
        }
    }
}

/// Somebody's idea of a scope.
fn patterns(interface: &'static str) -> impl Strategy<Value = Vec<String>> {
    let lists: Vec<Vec<&str>> = if interface == COMPARE {
        vec![vec![], vec![], vec!["secret:dev/db"], vec!["secret:dev/*"], vec!["secret:prod/db"]]
    } else if interface.starts_with("files") {
        vec![
            vec![],
            vec![],
            vec!["file:etc/app.conf"],
            vec!["file:etc/app.conf", "file:etc/motd"],
            vec!["file:etc", "file:etc/**"],
            vec!["file:etc/new", "file:etc/old"],
        ]
    } else {
        vec![
            vec!["secret:prod/db"],
            vec!["secret:prod/db"],
            vec!["secret:prod/db", "secret:prod/api"],
            vec!["secret:dev/db"],
            vec!["secret:prod/*"],
            vec!["secret:**"],
            vec![],
            vec!["secret:*/db", "secret:app/**"],
        ]
    };
    prop::sample::select(lists).prop_map(|list| list.into_iter().map(ToOwned::to_owned).collect())
}

#[derive(Clone, Debug)]
struct Idea {
    patterns: Vec<Vec<String>>,
    /// What the script names, rather than these; but for the one at this place.
    fits: Option<usize>,
    changes: u64,
    hold: bool,
    flags: (bool, bool),
}

/// `disclose`: how often it accepts that secrets are told.
fn idea(disclose: f64) -> impl Strategy<Value = Idea> {
    let all: Vec<_> = INTERFACES.iter().map(|interface| patterns(interface).boxed()).collect();
    // Mostly the whole script fits; now and then all but for one interface.
    let fits =
        prop_oneof![2 => Just(None), 8 => Just(Some(usize::MAX)), 1 => (0..INTERFACES.len()).prop_map(Some)];
    let changes = prop::sample::select(vec![1, 2, 6, 6, 20]);
    let flags = (prop::bool::weighted(0.7), prop::bool::weighted(disclose));
    (all, fits, changes, prop::bool::weighted(0.15), flags)
        .prop_map(|(patterns, fits, changes, hold, flags)| Idea { patterns, fits, changes, hold, flags })
}

/// The scope, and whether all that it may read is what software may read.
fn scope(script: &Script, idea: &Idea) -> (String, bool) {
    let mut names = Vec::new();
    named(&script.run, &mut names);
    named(&script.verify, &mut names);
    names.sort();
    names.dedup();
    // Only what a scope can name.
    names.retain(|(_, name)| {
        let (_, path) = name.split_once(':').expect("it has a kind");
        !path.is_empty()
            && path.split('/').all(|part| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.')
                    && part != ".."
            })
    });
    let on_failure = if idea.hold { "hold" } else { "revert" };
    let mut text = format!("on_failure = \"{on_failure}\"\n[limits]\nchanges = {}\n", idea.changes);
    let mut for_software = true;
    for (at, interface) in INTERFACES.iter().enumerate() {
        let fitting =
            || names.iter().filter(|(of, _)| of == interface).map(|(_, name)| name.clone()).collect();
        let patterns: Vec<String> = match idea.fits {
            Some(but) if but != at => fitting(),
            _ => idea.patterns[at].clone(),
        };
        for_software &= match *interface {
            "files/read" => patterns.is_empty(),
            COMPARE => patterns.iter().all(|pattern| pattern.starts_with("secret:dev/")),
            _ => true,
        };
        text += &rule(interface, &patterns, idea.flags);
    }
    (text, for_software)
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::Bot), 1 => Just(Who::Imp), 4 => Just(Who::Alice)]
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        2 => secret().prop_map(Meanwhile::Rotates),
        2 => secret().prop_map(Meanwhile::Remakes),
        2 => Just(Meanwhile::Edits("app.conf".to_owned())),
        5 => (0..20_u32, secret()).prop_map(|(call, secret)| Meanwhile::RotatesAt(call, secret)),
        3 => (0..20_u32, secret()).prop_map(|(call, secret)| Meanwhile::RemakesAt(call, secret)),
        1 => Just(Meanwhile::Revokes),
        1 => Just(Meanwhile::Freezes),
    ]
}

/// It is waited for that: seldom.
fn ends() -> impl Strategy<Value = Option<Ends>> {
    let before = prop_oneof![
        1 => Just(End::Asking),
        2 => Just(End::Approving),
        2 => Just(End::Starting),
        3 => (0..20_u32).prop_map(End::Call),
    ];
    prop::option::weighted(0.25, (before, any::<bool>()).prop_map(|(before, again)| Ends { before, again }))
}

pub fn case(law: Law) -> impl Strategy<Value = Case> {
    let how = prop_oneof![5 => Just(How::Planned), 2 => Just(How::Open), 2 => Just(How::Standing)];
    let approve = prop_oneof![
        1 => Just(Vec::new()),
        1 => Just(vec![Who::Bob]),
        12 => Just(vec![Who::Bob, Who::Carol]),
        1 => Just(vec![Who::Bob, Who::Bob, Who::Alice]),
        1 => prop::collection::vec(prop::sample::select(Who::ALL.to_vec()), 0..4),
    ];
    let starts = prop_oneof![6 => Just(None), 1 => who().prop_map(Some)];
    let starters = prop_oneof![6 => Just(Vec::new()), 1 => prop::collection::vec(who(), 1..3)];
    (
        script(law.disclosure.is_some()),
        idea(if law.disclosure.is_some() { 0.8 } else { 0.1 }),
        prop::option::weighted(0.3, (who(), any::<bool>())),
        (who(), how, approve, starters, starts, prop::bool::weighted(0.8)),
        prop::option::weighted(0.25, meanwhile()),
        (
            prop::option::weighted(0.5, prop::sample::select(Who::ALL.to_vec())),
            prop::option::weighted(0.1, who()),
            sealed(),
            ends(),
        ),
    )
        .prop_map(
            |(
                script,
                idea,
                rehearse,
                (asks, how, approve, starters, starts, reads),
                meanwhile,
                (reverts, by, is, ends),
            )| {
                // Nobody rotates what is not there.
                let exists = |secret: &String| {
                    ["prod/db", "prod/api", "dev/db", "app/token"].contains(&secret.as_str())
                };
                let meanwhile = meanwhile.filter(|done| match done {
                    Meanwhile::Rotates(secret)
                    | Meanwhile::Remakes(secret)
                    | Meanwhile::RotatesAt(_, secret)
                    | Meanwhile::RemakesAt(_, secret) => exists(secret),
                    _ => true,
                });
                let (scope, for_software) = scope(&script, &idea);
                // Mostly one who may.
                let asks = if reads && !for_software { Who::Alice } else { asks };
                let starts = starts.unwrap_or(asks);
                let uses = serde_json::to_string(&script).is_ok_and(|text| text.contains("{token}"));
                let owner = if how == How::Standing { starts } else { asks };
                let sealed = uses.then(|| Sealed { by: by.unwrap_or(owner), is });
                // Only of a key that the imp uses.
                let ends = ends.filter(|ends| match ends.before {
                    End::Asking | End::Approving | End::Starting => asks == Who::Imp,
                    End::Call(_) => starts == Who::Imp,
                });
                Case {
                    script,
                    sealed,
                    scope,
                    rehearse,
                    asks,
                    how,
                    approve,
                    starters,
                    starts,
                    meanwhile,
                    ends,
                    reverts,
                }
            },
        )
}
