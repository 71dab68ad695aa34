//! The policies that Remit ships, said as a table; policies that are none; and what must never make a yes.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use remit_gate::Pattern;
use remit_policy::{
    Policies, PolicyAction, PolicyError, PolicyRequest, SCHEMA, Subject, shipped_files, test,
};
use remit_trust::issuers::Proof;

const KINDS: [&str; 2] = ["file", "secret"];

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn who(name: &str, kind: &str) -> Subject {
    Subject { name: name.to_owned(), kind: kind.to_owned(), ..Subject::default() }
}

fn patterns(all: &[&str]) -> BTreeSet<Pattern> {
    all.iter().map(|text| Pattern::new(text).unwrap()).collect()
}

fn request() -> PolicyRequest {
    PolicyRequest {
        requester: who("bot", "agent"),
        has_plan: true,
        change: 1,
        changes: 1,
        may_change: patterns(&["secret:users/eve"]),
        ..PolicyRequest::default()
    }
}

fn parse(text: &str) -> Result<Arc<Policies>, PolicyError> {
    Policies::parse(BTreeMap::from([("house.cedar".to_owned(), text.to_owned())]), KINDS)
}

/// The shipped policies with a file of the house's beside them.
fn with(text: &str) -> Result<Arc<Policies>, PolicyError> {
    let mut files: BTreeMap<_, _> =
        shipped_files().iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    files.insert("house.cedar".to_owned(), text.to_owned());
    Policies::parse(files, KINDS)
}

fn needs(policies: &Policies, matter: &PolicyRequest) -> Vec<String> {
    let mut all: Vec<String> =
        policies.requirements(matter, NOW).unwrap().iter().map(ToString::to_string).collect();
    all.sort();
    all
}

fn may(policies: &Policies, one: &Subject, verb: PolicyAction, matter: Option<&PolicyRequest>) -> bool {
    policies.may(one, verb, matter, NOW, &[]).allowed
}

#[test]
fn the_shipped_policies_say_who_may_what() {
    let policies = Policies::shipped(KINDS).unwrap();
    let (human, agent, service) = (who("dana", "human"), who("bot", "agent"), who("cron", "service"));
    let asks = request();
    // By a human; by the agent that asked; by a service.
    for (verb, expected) in [
        (PolicyAction::Propose, [true, true, true]),
        (PolicyAction::Approve, [true, false, false]),
        (PolicyAction::Trigger, [true, true, true]),
        (PolicyAction::Revoke, [true, true, false]),
        (PolicyAction::Revert, [true, false, false]),
        (PolicyAction::Resolve, [true, false, false]),
        (PolicyAction::Review, [true, false, false]),
    ] {
        let found = [&human, &agent, &service].map(|one| may(&policies, one, verb, Some(&asks)));
        assert_eq!(found, expected, "{verb:?} of a request");
    }
    for verb in [
        PolicyAction::Revoke,
        PolicyAction::Revert,
        PolicyAction::Freeze,
        PolicyAction::Resolve,
        PolicyAction::Review,
    ] {
        let found = [&human, &agent, &service].map(|one| may(&policies, one, verb, None));
        assert_eq!(found, [true, false, false], "{verb:?} of the home");
    }
    // What is asked of the wrong thing, or by nobody known, has no answer but no.
    assert!(!may(&policies, &human, PolicyAction::Approve, None));
    assert!(!may(&policies, &human, PolicyAction::Freeze, Some(&asks)));
    assert!(!may(&policies, &who("x", "person"), PolicyAction::Approve, Some(&asks)));
    assert!(!may(&policies, &Subject::default(), PolicyAction::Approve, Some(&asks)));
}

#[test]
fn the_shipped_policies_say_how_many() {
    let policies = Policies::shipped(KINDS).unwrap();
    let look = PolicyRequest { change: 0, changes: 0, observe: 3, ..request() };
    for (name, matter, expected) in [
        ("a look", look.clone(), &["0 principals"][..]),
        ("a change", request(), &["1 human"]),
        ("irrevocable", PolicyRequest { irrevocable: 1, ..request() }, &["1 human", "2 humans"]),
        ("no plan", PolicyRequest { has_plan: false, ..request() }, &["1 human", "2 humans"]),
        (
            "a look without a plan",
            PolicyRequest { has_plan: false, ..look.clone() },
            &["1 human", "2 humans"],
        ),
        ("a standing look", PolicyRequest { standing: true, ..look.clone() }, &["2 humans"]),
        ("standing", PolicyRequest { standing: true, ..request() }, &["1 human", "2 humans"]),
        ("secrets", PolicyRequest { disclose: 1, ..look }, &["1 human"]),
        (
            "everything",
            PolicyRequest { irrevocable: 1, standing: true, has_plan: false, ..request() },
            &["1 human", "2 humans", "2 humans"],
        ),
    ] {
        assert_eq!(needs(&policies, &matter), expected, "{name}");
    }
}

#[test]
fn the_shipped_policies_say_how_much() {
    let policies = Policies::shipped(KINDS).unwrap();
    let many = |n: usize| -> BTreeSet<Pattern> {
        (0..n).map(|n| Pattern::new(&format!("secret:users/{n}")).unwrap()).collect()
    };
    let base = request();
    for (name, matter, propose, trigger, because) in [
        ("10 targets", PolicyRequest { may_change: many(10), ..base.clone() }, true, true, "the-named-start"),
        (
            "11 targets",
            PolicyRequest { may_change: many(11), ..base.clone() },
            false,
            false,
            "at-most-ten-targets",
        ),
        ("secrets", PolicyRequest { disclose: 1, ..base.clone() }, false, false, "no-disclosure"),
        (
            "requester 20",
            PolicyRequest { spent_by_requester: 19, ..base.clone() },
            true,
            true,
            "the-named-start",
        ),
        (
            "requester 21",
            PolicyRequest { spent_by_requester: 20, ..base.clone() },
            true,
            false,
            "budget-of-a-requester",
        ),
        ("action 50", PolicyRequest { spent_by_action: 49, ..base.clone() }, true, true, "the-named-start"),
        (
            "action 51",
            PolicyRequest { spent_by_action: 50, ..base.clone() },
            true,
            false,
            "budget-of-an-action",
        ),
        ("prefix 20", PolicyRequest { spent_by_prefix: 19, ..base.clone() }, true, true, "the-named-start"),
        ("prefix 21", PolicyRequest { spent_by_prefix: 20, ..base }, true, false, "budget-of-a-prefix"),
    ] {
        let bot = who("bot", "agent");
        assert_eq!(may(&policies, &bot, PolicyAction::Propose, Some(&matter)), propose, "{name}");
        let verdict = policies.may(&bot, PolicyAction::Trigger, Some(&matter), NOW, &[]);
        assert_eq!(verdict.allowed, trigger, "{name}: {}", verdict.words());
        assert_eq!(verdict.because, [because], "{name}");
        if !trigger {
            assert!(verdict.words().starts_with("forbidden: "), "{}", verdict.words());
        }
    }
    assert!(!may(
        &policies,
        &who("dana", "human"),
        PolicyAction::Approve,
        Some(&PolicyRequest { disclose: 1, ..request() })
    ));
}

#[test]
fn attack_an_agent_approves() {
    // Not even where a policy of the house permits it.
    let policies = with(
        "permit (principal, action == Remit::Action::\"approve\", resource) when { principal.kind == \"agent\" };",
    )
    .unwrap();
    for kind in ["agent", "service", "Human", "human ", ""] {
        let verdict = policies.may(&who("helper", kind), PolicyAction::Approve, Some(&request()), NOW, &[]);
        assert!(!verdict.allowed, "{kind}");
        assert_eq!(verdict.because, ["agents-never-approve"], "{kind}");
        assert!(verdict.words().contains("software never approves"), "{}", verdict.words());
    }
}

#[test]
fn attack_ones_own_request() {
    let policies = Policies::shipped(KINDS).unwrap();
    let own = PolicyRequest { requester: who("dana", "human"), ..request() };
    let verdict = policies.may(&who("dana", "human"), PolicyAction::Approve, Some(&own), NOW, &[]);
    assert_eq!((verdict.allowed, &*verdict.because[0]), (false, "not-ones-own"));
    assert!(may(&policies, &who("erik", "human"), PolicyAction::Approve, Some(&own)));
}

/// Cedar leaves out a policy that fails, a `forbid` too: here that is a no.
#[test]
fn attack_a_policy_that_cannot_be_evaluated() {
    let policies = Policies::shipped(KINDS).unwrap();
    for matter in [
        PolicyRequest { changes: u64::MAX, spent_by_requester: u64::MAX, ..request() },
        PolicyRequest { spent_by_action: u64::MAX, ..request() },
        PolicyRequest { changes: 2, spent_by_prefix: i64::MAX.unsigned_abs(), ..request() },
    ] {
        let verdict = policies.may(&who("bot", "agent"), PolicyAction::Trigger, Some(&matter), NOW, &[]);
        assert!(!verdict.allowed);
        assert!(!verdict.errors.is_empty());
        assert!(verdict.words().contains("cannot be evaluated, so the answer is no"), "{}", verdict.words());
    }
    // One that fails beside one that permits, and one that fails beside what is needed.
    let policies = with(
        "@id(\"sum\") forbid (principal, action in [Remit::Action::\"approve\", Remit::Action::\"require\"], resource) when { resource.uses + 1 > 9223372036854775806 };",
    )
    .unwrap();
    let matter = PolicyRequest { uses: u64::MAX, ..request() };
    assert!(!may(&policies, &who("dana", "human"), PolicyAction::Approve, Some(&matter)));
    let refused = policies.requirements(&matter, NOW).unwrap_err();
    assert!(
        matches!(&refused, PolicyError::Refused(why) if why.contains("cannot be evaluated")),
        "{refused:?}"
    );
    assert!(may(&policies, &who("dana", "human"), PolicyAction::Approve, Some(&request())));
}

fn wrong(text: &str) -> (String, String) {
    match parse(text).unwrap_err() {
        PolicyError::Wrong { place, why } => (place, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attack_needs_that_are_none() {
    for said in [
        "",
        "one",
        "-1",
        "1.5",
        "human",
        "1 person",
        "1 human in",
        "1 in",
        "1 human security",
        "1 human in a b",
        "1,2",
        "99999999999999999999",
        "1 in a in b",
    ] {
        let text = format!(
            "@id(\"n\") @needs(\"{said}\") permit (principal, action == Remit::Action::\"require\", resource);"
        );
        let (place, why) = wrong(&text);
        assert_eq!(place, "house.cedar:1:10");
        assert!(why.contains(&format!("@needs(\"{said}\") is not like")), "{why}");
    }
    for (text, says) in [
        // On a forbid, on another action, on none in particular.
        (
            "@needs(\"2\") forbid (principal, action == Remit::Action::\"require\", resource);",
            "@needs belongs to",
        ),
        (
            "@needs(\"2\") permit (principal, action == Remit::Action::\"approve\", resource);",
            "@needs belongs to",
        ),
        ("@needs(\"2\") permit (principal, action, resource);", "@needs belongs to"),
        // Permits `require`, and does not say what is needed: it would be nothing.
        (
            "permit (principal, action == Remit::Action::\"require\", resource);",
            "without saying what is needed",
        ),
        (
            "permit (principal, action in [Remit::Action::\"propose\", Remit::Action::\"require\"], resource);",
            "without saying what is needed",
        ),
        (
            "permit (principal, action in Remit::Action::\"require\", resource);",
            "without saying what is needed",
        ),
        ("permit (principal, action, resource);", "without saying what is needed"),
        (
            "permit (principal, action, resource) when { action == Remit::Action::\"require\" };",
            "without saying what is needed",
        ),
        ("permit (principal == ?principal, action == Remit::Action::\"approve\", resource);", "template"),
        (
            "permit (principal in ?principal, action == Remit::Action::\"approve\", resource in ?resource);",
            "template",
        ),
    ] {
        let (place, why) = wrong(text);
        assert!(place.starts_with("house.cedar"), "{place}");
        assert!(why.contains(says), "{text}: {why}");
    }
    let twice = "@id(\"a\") forbid (principal, action, resource);";
    assert!(wrong(&format!("{twice}{twice}")).1.contains("there twice"));
    assert!(matches!(
        with(
            "@id(\"not-ones-own\") permit (principal, action == Remit::Action::\"approve\", resource) when { false };"
        ),
        Err(PolicyError::Wrong { .. })
    ));
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let head = "// the house's\nforbid (principal, action == Remit::Action::\"approve\", resource)\n";
    for (line, column) in [
        ("when { resource.colour == \"red\" };", 8),
        ("when { resource.uses == 1 && resource.colour == \"red\" };", 30),
        ("when { resource.uses > };", 24),
        ("when { resource.uses > \"1\" };", 24),
        // Optional, and not asked for with `has` before.
        ("when { resource.incident == \"INC-1\" };", 8),
    ] {
        let (place, why) = wrong(&format!("{head}{line}\n"));
        assert_eq!(place, format!("house.cedar:3:{column}"), "{line}: {why}");
        assert!(why.contains(&format!("\n  | {line}\n  | {}^", " ".repeat(column - 1))), "{why}");
    }
    for text in [
        "permit",
        "permit (principal, action == Remit::Action::\"destroy\", resource);",
        "forbid (principal is Remit::Person, action, resource);",
    ] {
        let (place, why) = wrong(text);
        assert!(place.starts_with("house.cedar:1:"), "{place}: {why}");
        assert!(why.contains('^'), "{why}");
    }
    // With letters of more than a byte before it, and at the very end.
    let (place, _) = wrong("/*\u{e4}\u{1f512}*/ permit (principal, action, resource) when { resource.x };");
    assert!(place.starts_with("house.cedar:1:"), "{place}");
    wrong("permit (principal, action, resource) when { \u{1f512}");
}

#[test]
fn needs_add_up() {
    let policies = with(
        "@id(\"four-eyes-of-security\") @needs(\"1 human in security\") permit (principal, action == Remit::Action::\"require\", resource) when { resource.environment == \"production\" };"
            .replace("resource.environment ==", "resource has environment && resource.environment ==")
            .as_str(),
    )
    .unwrap();
    assert_eq!(needs(&policies, &request()), ["1 human"]);
    let production = PolicyRequest { environment: Some("production".to_owned()), ..request() };
    assert_eq!(needs(&policies, &production), ["1 human", "1 human of security"]);
    // A forbid of `require` is a no, whatever else is needed.
    let policies = with("forbid (principal, action == Remit::Action::\"require\", resource);").unwrap();
    assert!(matches!(policies.requirements(&request(), NOW), Err(PolicyError::Refused(_))));
    // Nobody says: a no as well.
    let policies = parse("permit (principal, action == Remit::Action::\"approve\", resource);").unwrap();
    let refused = policies.requirements(&request(), NOW).unwrap_err();
    assert_eq!(refused, PolicyError::Refused("no policy says which approvals this needs".to_owned()));
}

#[test]
fn attack_the_same_approver_twice() {
    let policies = with("@id(\"s\") @needs(\"2 human in security\") permit (principal, action == Remit::Action::\"require\", resource);").unwrap();
    let all = policies.requirements(&request(), NOW).unwrap();
    let need = all.iter().find(|need| need.policy == "s").unwrap();
    let of =
        |name: &str, kind: &str, group: &str| Subject { groups: vec![group.to_owned()], ..who(name, kind) };
    let dana = of("dana", "human", "security");
    for (approvals, missing) in [
        (vec![], 2),
        (vec![dana.clone()], 1),
        (vec![dana.clone(), dana.clone(), dana.clone()], 1),
        (vec![dana.clone(), of("bot", "agent", "security")], 1),
        (vec![dana.clone(), of("erik", "human", "operations")], 1),
        (vec![dana.clone(), who("erik", "human")], 1),
        (vec![dana.clone(), of("erik", "human", "security"), dana.clone()], 0),
        (vec![dana.clone(), of("erik", "human", "security"), of("fay", "human", "security")], 0),
    ] {
        assert_eq!(need.missing(&approvals), missing, "{approvals:?}");
    }
    // In a policy, a set: counted by who they are, and given as they are.
    let policies = parse("permit (principal, action == Remit::Action::\"trigger\", resource) when { context.approvals.containsAll([Remit::Principal::\"dana\", Remit::Principal::\"erik\"]) };").unwrap();
    let bot = who("bot", "agent");
    let ask = |approvals: &[Subject]| {
        policies.may(&bot, PolicyAction::Trigger, Some(&request()), NOW, approvals).allowed
    };
    assert!(!ask(&[dana.clone(), dana.clone()]));
    assert!(ask(&[dana, who("erik", "human")]));
}

/// A `forbid` for a team that is misspelt lets everything through.
#[test]
fn whoever_is_named_must_be_there() {
    let member =
        |name: &str, kind: &str, group: &str| Subject { groups: vec![group.to_owned()], ..who(name, kind) };
    let all = [member("alice", "human", "contractors"), member("bot", "agent", "robots")];
    let permit =
        |whom: &str| format!("permit (principal {whom}, action == Remit::Action::\"freeze\", resource);");
    let needs = |text: &str| {
        format!("@needs(\"{text}\")\npermit (principal, action == Remit::Action::\"require\", resource);")
    };
    let forbid = |when: &str| {
        format!("forbid (principal, action == Remit::Action::\"approve\", resource)\nwhen {{ {when} }};")
    };
    for fine in [
        permit("== Remit::Principal::\"alice\""),
        permit("in Remit::Group::\"contractors\""),
        forbid("principal in [Remit::Group::\"contractors\", Remit::Group::\"robots\"]"),
        needs("1 human in contractors"),
        needs("9"),
        forbid("[\"human\", \"agent\"].contains(principal.kind) && resource.actionName != \"x\""),
    ] {
        parse(&fine).unwrap().check_people(&all).unwrap();
    }
    for (text, place, words) in [
        (
            permit("in Remit::Group::\"contracters\""),
            "\"contracters",
            "in the group `contracters`, so this policy never applies",
        ),
        (
            permit("== Remit::Principal::\"alic\""),
            "\"alic",
            "no principal `alic`, so this policy never applies; the principals are alice, bot",
        ),
        (forbid("resource.requester == Remit::Principal::\"eve\""), "\"eve", "no principal `eve`"),
        (forbid("context.approvals.contains(Remit::Principal::\"eve\")"), "\"eve", "no principal `eve`"),
        (
            needs("2 human in reviewrs"),
            "@needs",
            "`reviewrs`, so this policy never applies; the groups are contractors, robots",
        ),
    ] {
        let PolicyError::Wrong { place: found, why } = parse(&text).unwrap().check_people(&all).unwrap_err()
        else {
            panic!("{text}")
        };
        let before = &text[..text.find(place).unwrap()];
        let line = before.rsplit('\n').next().unwrap();
        let at = (before.matches('\n').count() + 1, line.len() + 1);
        assert_eq!(found, format!("house.cedar:{}:{}", at.0, at.1), "{text}");
        assert!(why.contains(words) && why.contains("\n  | ") && why.ends_with('^'), "{why}");
    }
    let (place, why) = wrong(&forbid("principal.kind == \"agnet\""));
    assert!(place.ends_with("2:26") && why.contains("`agnet` is no kind of principal"), "{place} {why}");
    for wrong_kind in
        ["\"Human\" != principal.kind", "[\"human\", \"bot\"].contains(resource.requester.kind)"]
    {
        assert!(wrong(&forbid(wrong_kind)).1.contains("is no kind of principal"), "{wrong_kind}");
    }
    for wrong_proof in
        ["context.proof == \"tokn\"", "[\"key\", \"id_token\"].contains(resource.requesterProof)"]
    {
        assert!(wrong(&forbid(wrong_proof)).1.contains("is no proof of who somebody is"), "{wrong_proof}");
    }
}

#[test]
fn policies_know_who_operates_software_and_how_it_proved_to_be_itself() {
    let text = r#"
        @id("software-of-security-starts")
        permit (principal, action == Remit::Action::"trigger", resource)
        when { principal has operator && principal.operator in Remit::Group::"security" };
        @id("asked-with-a-token")
        forbid (principal, action == Remit::Action::"approve", resource)
        when { resource.requesterProof == "token" && resource.requester has operator };
        @id("approve")
        permit (principal, action == Remit::Action::"approve", resource);
    "#;
    let policies = parse(text).unwrap();
    let person = |group: &str| Subject { groups: vec![group.to_owned()], ..who("alice", "human") };
    let bot = |group: &str, proof| Subject {
        operator: Some(Box::new(person(group))),
        proof,
        ..who("bot", "agent")
    };
    let asked = |requester: &Subject| PolicyRequest { requester: requester.clone(), ..request() };
    for (requester, starts, approved) in [
        (bot("security", Proof::Key), true, true),
        (bot("security", Proof::Token), true, false),
        (bot("sales", Proof::IdToken), false, true),
        (who("bot", "agent"), false, true),
    ] {
        let asked = asked(&requester);
        assert_eq!(may(&policies, &requester, PolicyAction::Trigger, Some(&asked)), starts, "{requester:?}");
        assert_eq!(may(&policies, &who("bob", "human"), PolicyAction::Approve, Some(&asked)), approved);
    }
}

/// As many names as fit on a line; and where there are none at all, that is said.
#[test]
fn the_names_that_there_are_are_told() {
    let why = |all: &[Subject], kind: &str| {
        let text =
            format!("forbid (principal, action, resource) when {{ principal in Remit::{kind}::\"eve\" }};");
        parse(&text).unwrap().check_people(all).unwrap_err().to_string()
    };
    let many = |n: usize| -> Vec<Subject> { (0..n).map(|n| who(&format!("p{n:02}"), "human")).collect() };
    assert!(why(&many(20), "Principal").contains("p18, p19 (principals.toml)"));
    assert!(why(&many(21), "Principal").contains("p18, p19, \u{2026} (principals.toml)"));
    assert!(why(&many(2), "Group").contains("; there are no groups (principals.toml)"));
}

/// A budget's no is one that time takes back; that of another policy is not.
#[test]
fn a_budget_is_told_from_other_policies() {
    let policies = Policies::shipped(KINDS).unwrap();
    for (name, is) in
        [("budget-of-a-requester", true), ("at-most-ten-targets", false), ("the-named-start", false)]
    {
        assert_eq!(policies.is_budget(name), is, "{name}");
    }
}

/// Who is refused is told by which policy; and that there is none only where there is none.
#[test]
fn a_request_without_needs_is_told_why() {
    let why = |policies: Arc<Policies>| policies.requirements(&request(), NOW).unwrap_err().to_string();
    let forbid = "@id(\"not-now\") forbid (principal, action == Remit::Action::\"require\", resource);";
    let house = with(forbid).unwrap();
    assert_eq!(house.count(), Policies::shipped(KINDS).unwrap().count() + 1);
    assert!(why(house).contains("forbidden: policy not-now"));
    let freeze = parse("permit (principal, action == Remit::Action::\"freeze\", resource);").unwrap();
    assert_eq!(freeze.count(), 1);
    assert!(why(freeze).contains("no policy says which approvals this needs"));
}

#[test]
fn what_nobody_could_give_is_told() {
    let all = [who("alice", "human"), who("bot", "agent")];
    let unmet = Policies::shipped(KINDS).unwrap().unmet(&all);
    assert_eq!(unmet.len(), 2, "{unmet:?}");
    assert!(
        unmet[0].starts_with("policy `irrevocable-needs-two` asks for 2 humans, and there is 1:"),
        "{unmet:?}"
    );
    let all = [who("alice", "human"), who("bot", "agent"), who("carol", "human")];
    assert_eq!(Policies::shipped(KINDS).unwrap().unmet(&all), Vec::<String>::new());
}

#[test]
fn the_digest_is_of_every_file() {
    let digest = Policies::shipped(KINDS).unwrap().digest();
    assert_eq!(Policies::shipped(KINDS).unwrap().digest(), digest);
    assert_ne!(
        with(
            "forbid (principal, action == Remit::Action::\"trigger\", resource) when { resource.uses > 9 };"
        )
        .unwrap()
        .digest(),
        digest
    );
    // One that never applies forbids nothing, and is no policy.
    let (_, why) = wrong("forbid (principal, action == Remit::Action::\"freeze\", resource) when { false };");
    assert!(why.contains("impossible"), "{why}");
    let folder = tempfile::tempdir().unwrap();
    assert!(
        matches!(Policies::load(folder.path(), KINDS), Err(PolicyError::File { .. })),
        "no policy is no home"
    );
    for (name, text) in shipped_files() {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "not a policy").unwrap();
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    assert_eq!(Policies::load(folder.path(), KINDS).unwrap().digest(), digest);
}

/// Whoever forbids something is not left out because of where the file lies.
#[test]
fn no_policy_is_left_out_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for (name, text) in shipped_files() {
        write(name, text);
    }
    let shipped = Policies::load(folder.path(), KINDS).unwrap().digest();
    let forbid = "forbid (principal, action == Remit::Action::\"trigger\", resource);";
    write("freeze.CEDAR", forbid);
    assert_ne!(Policies::load(folder.path(), KINDS).unwrap().digest(), shipped);

    std::fs::create_dir(folder.path().join("team")).unwrap();
    write("team/freeze.cedar", forbid);
    let PolicyError::File { file, why } = Policies::load(folder.path(), KINDS).unwrap_err() else { panic!() };
    assert!(file.ends_with("team") && why.contains("would not be read"), "{file}: {why}");

    std::fs::rename(folder.path().join("team"), folder.path().join(".team")).unwrap();
    let other = folder.path().join(OsStr::from_bytes(b"\xff.cedar"));
    std::fs::write(other, forbid).unwrap();
    let why = Policies::load(folder.path(), KINDS).unwrap_err().to_string();
    assert!(why.contains("UTF-8"), "{why}");
}

#[test]
fn what_an_editor_leaves_neither_stops_the_host_nor_is_a_policy_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, text) in shipped_files() {
        std::fs::write(at(name), text).unwrap();
    }
    let shipped = Policies::load(folder.path(), KINDS).unwrap().digest();
    // Emacs's lock leads nowhere; what macOS and vim write is no text.
    std::os::unix::fs::symlink("me@host.1:2", at(".#default.cedar")).unwrap();
    for hidden in ["._default.cedar", ".default.cedar.swp"] {
        std::fs::write(at(hidden), b"\0\x05\xff").unwrap();
    }
    let visible =
        ["forbid.cedar ", "forbid.cedar.bak", "forbid.cedar.disabled", "forbid.cedar.json", "forbid.cedar~"];
    for name in visible.iter().chain(&["readme", "LICENSE-MIT", "cases.toml", "remit.cedarschema"]) {
        std::fs::write(at(name), "forbid (principal, action, resource);").unwrap();
    }
    assert_eq!(Policies::load(folder.path(), KINDS).unwrap().digest(), shipped);
    assert_eq!(Policies::unread(folder.path()).unwrap(), visible);
    // What has a policy's name and is none stops it, at once.
    assert!(std::process::Command::new("mkfifo").arg(at("x.cedar")).status().unwrap().success());
    let why = Policies::load(folder.path(), KINDS).unwrap_err().to_string();
    assert!(why.ends_with("x.cedar: it is a pipe; a policy must be a file here"), "{why}");
}

#[test]
fn a_table_of_cases() {
    let policies = Policies::shipped(KINDS).unwrap();
    let table = "[[case]]\nname = 'right'\nwho = {name = 'dana', kind = 'human'}\nverb = 'freeze'\nexpect = 'allow'\n\
        [[case]]\nname = 'wrong'\nwho = {name = 'bot', kind = 'agent'}\nverb = 'freeze'\nexpect = 'allow'\n\
        [[case]]\nname = 'needs'\nmatter = {has_plan = true, changes = 1}\nexpect = ['1 human']\n\
        [[case]]\nname = 'more'\nmatter = {has_plan = true, changes = 1}\nexpect = ['2 human']\n";
    let found = test(&policies, table, "cases.toml").unwrap();
    assert_eq!(found.iter().map(|case| case.found.is_none()).collect::<Vec<_>>(), [true, false, true, false]);
    for bad in [
        "",
        "[[case]]\nname = 'x'\n",
        "[[case]]\nname = 'x'\nexpect = 'perhaps'\n",
        "[[case]]\nname = 'x'\nexpect = 'deny'\nwhom = 1\n",
    ] {
        assert!(matches!(test(&policies, bad, "cases.toml"), Err(PolicyError::Table { .. })), "{bad}");
    }
}

fn verbs() -> impl Strategy<Value = PolicyAction> {
    prop::sample::select(vec![
        PolicyAction::Propose,
        PolicyAction::Approve,
        PolicyAction::Trigger,
        PolicyAction::Revoke,
        PolicyAction::Revert,
        PolicyAction::Review,
        PolicyAction::Resolve,
    ])
}

/// A forbid of any sort that the schema has room for.
fn forbids() -> impl Strategy<Value = String> {
    let action = prop::sample::select(vec![
        "propose", "approve", "trigger", "require", "revoke", "revert", "review", "resolve",
    ]);
    let number = prop::sample::select(vec!["changes", "uses", "targetCount", "irrevocable", "spentByAction"]);
    let sign = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let head = prop::sample::select(vec!["when", "unless"]);
    (action, head, number, sign, 0..30_i64, any::<bool>()).prop_map(|(action, head, number, sign, than, over)| {
        // Half of them can overflow.
        let plus = if over { "resource.spentByAction + " } else { "" };
        format!(
            "forbid (principal, action == Remit::Action::\"{action}\", resource is Remit::Request) {head} {{ {plus}resource.{number} {sign} {than} }};"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn another_forbid_never_makes_a_no_a_yes(
        forbid in forbids(),
        verb in verbs(),
        kind in prop::sample::select(vec!["human", "agent", "service"]),
        own in any::<bool>(),
        numbers in proptest::collection::vec(prop_oneof![0..30_u64, Just(u64::MAX)], 4),
        disclose in 0..2_u64,
    ) {
        let (before, after) = (Policies::shipped(KINDS).unwrap(), with(&forbid).unwrap());
        let matter = PolicyRequest {
            changes: numbers[0],
            uses: numbers[1],
            spent_by_action: numbers[2],
            irrevocable: numbers[3],
            disclose,
            ..request()
        };
        let one = who(if own { "bot" } else { "other" }, if own { "agent" } else { kind });
        let (first, second) = (may(&before, &one, verb, Some(&matter)), may(&after, &one, verb, Some(&matter)));
        prop_assert!(first || !second, "{forbid}");
        // Nor does it ask for less.
        if let Ok(then) = after.requirements(&matter, NOW) {
            prop_assert_eq!(before.requirements(&matter, NOW).unwrap(), then);
        }
    }

    #[test]
    fn any_text_is_policies_or_an_error(text in "(permit|forbid|@needs\\(\"2\"\\)|[a-z(){};.=\"\u{e4} \n]){0,20}") {
        let _ = parse(&text);
    }
}

/// The blocks of a kind under a heading of the documentation.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    text.split(&format!("```{kind}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Each rule of docs/policy.md does what its table says.
#[test]
fn the_rules_that_people_want() {
    let text = include_str!("../../../docs/policy.md");
    let (_, rules) = text.split_once("## Rules that people want").unwrap();
    let (rules, after) = rules.split_once("\n## ").unwrap();
    let rules: Vec<&str> = rules.split("\n**").skip(1).collect();
    assert_eq!(rules.len(), 11);
    for rule in rules {
        let (policies, tables) = (blocks(rule, "cedar"), blocks(rule, "toml"));
        assert_eq!((policies.len(), tables.len()), (1, 1), "{rule}");
        let found = test(&with(policies[0]).unwrap(), tables[0], "policy.md").unwrap();
        let wrong: Vec<_> = found.iter().filter(|case| case.found.is_some()).collect();
        assert!(wrong.is_empty(), "{wrong:?} of **{rule}");
    }
    // And the example of a table.
    let found = test(&Policies::shipped(KINDS).unwrap(), blocks(after, "toml")[0], "policy.md").unwrap();
    assert!(found.len() == 2 && found.iter().all(|case| case.found.is_none()), "{found:?}");
}

#[test]
fn attack_a_scope_that_a_policy_names_a_place_in() {
    let policies = with(
        "@id(\"none-in-prod\") forbid (principal, action == Remit::Action::\"propose\", resource in Remit::Path::\"secret:prod\");",
    )
    .unwrap();
    for (pattern, passes) in [
        ("secret:**", false),
        ("secret:*/**", false),
        ("secret:prod/*/*", false),
        ("secret:*/db", false),
        ("secret:prod/db", false),
        ("secret:prod", false),
        ("secret:production/**", true),
        ("secret:dev/**", true),
        ("file:prod/**", true),
    ] {
        let set = patterns(&[pattern]);
        let base = || PolicyRequest { standing: true, may_change: BTreeSet::new(), ..request() };
        for matter in [
            PolicyRequest { may_change: set.clone(), ..base() },
            PolicyRequest { may_destroy: set.clone(), ..base() },
        ] {
            assert_eq!(
                may(&policies, &who("dana", "human"), PolicyAction::Propose, Some(&matter)),
                passes,
                "{pattern}"
            );
        }
        // A look touches nothing.
        let looks = PolicyRequest { may_observe: set.clone(), may_read: set, ..base() };
        assert!(may(&policies, &who("dana", "human"), PolicyAction::Propose, Some(&looks)), "{pattern}");
    }
}

/// The schema says that a place lies in each that holds it. A policy that names both may rely on that, whatever lies between
/// them, and whether or not the request comes near.
#[test]
fn a_place_is_in_all_that_hold_it() {
    for (inner, outer, lies) in [
        ("secret:prod/db/main", "secret", true),
        ("secret:prod/db", "secret:prod", true),
        ("secret:prod", "secret:prod/db", false),
        ("secret:production", "secret:prod", false),
        ("secret:prod", "file", false),
    ] {
        let policies = with(&format!(
            "forbid (principal, action == Remit::Action::\"propose\", resource) when {{ Remit::Path::\"{inner}\" in Remit::Path::\"{outer}\" }};"
        ));
        let proposes = may(&policies.unwrap(), &who("bot", "agent"), PolicyAction::Propose, Some(&request()));
        assert_eq!(!proposes, lies, "{inner} in {outer}");
    }
}

#[test]
fn each_effect_has_its_own_places() {
    let names = ["mayChange", "mayDestroy", "mayDisclose", "mayRead", "mayObserve"];
    for (at, name) in names.iter().enumerate() {
        let policies = parse(&format!(
            "permit (principal, action == Remit::Action::\"rehearse\", resource) when {{ resource.{name}.contains(Remit::Path::\"secret:prod\") }};"
        ))
        .unwrap();
        for (place, asked) in names.iter().enumerate() {
            let set = |this| if this == place { patterns(&["secret:prod/**"]) } else { BTreeSet::new() };
            let matter = PolicyRequest {
                may_change: set(0),
                may_destroy: set(1),
                may_disclose: set(2),
                may_read: set(3),
                may_observe: set(4),
                ..request()
            };
            let found = may(&policies, &who("bot", "agent"), PolicyAction::Rehearse, Some(&matter));
            assert_eq!(found, at == place, "{name} of {asked}");
        }
    }
}

#[test]
fn software_rehearses_what_hands_out_no_content() {
    let policies = Policies::shipped(KINDS).unwrap();
    let look =
        PolicyRequest { may_observe: patterns(&["secret:**"]), observe: 9, ..PolicyRequest::default() };
    let read = PolicyRequest { content: 1, may_read: patterns(&["file:**"]), ..look.clone() };
    for (one, reads) in
        [(who("dana", "human"), true), (who("bot", "agent"), false), (who("cron", "service"), false)]
    {
        assert!(may(&policies, &one, PolicyAction::Rehearse, Some(&look)), "{one:?}");
        assert_eq!(may(&policies, &one, PolicyAction::Rehearse, Some(&read)), reads, "{one:?}");
    }
    assert!(!may(&policies, &who("dana", "human"), PolicyAction::Rehearse, None));
}

#[test]
fn attack_a_place_that_nothing_can_be_in() {
    for (path, meant) in [
        ("prod/db", "write `file:prod/db` or `secret:prod/db`"),
        ("Secret:prod", "write `secret:prod`"),
        ("secret:prod/", "write `secret:prod`"),
        ("secret:prod/**", "write `secret:prod`"),
        ("ticket:ops", "is no kind that this host knows"),
    ] {
        for text in [
            format!(
                "forbid (principal, action == Remit::Action::\"propose\",\n  resource in Remit::Path::\"{path}\");"
            ),
            format!(
                "forbid (principal, action == Remit::Action::\"propose\", resource) when {{\n  [1].contains(2) || resource.mayRead.contains(Remit::Path::\"{path}\") }};"
            ),
        ] {
            let (place, why) = wrong(&text);
            assert!(place.starts_with("house.cedar:2:"), "{place}");
            assert!(why.contains(meant) && why.contains('^'), "{why}");
        }
    }
    let policies = Policies::shipped(KINDS).unwrap();
    for (pattern, why) in [
        ("prod/db", "it has no kind"),
        ("secret:prod/", "empty segment"),
        ("ticket:ops/7", "no kind that this host knows"),
    ] {
        let table = format!(
            "[[case]]\nname = 'first'\nexpect = []\n[[case]]\nname = 'second'\nexpect = 'deny'\n[case.matter]\nmay_change = ['{pattern}']\n"
        );
        let error = test(&policies, &table, "cases.toml").unwrap_err().to_string();
        assert!(
            error.contains("cases.toml") && error.contains("case `second`") && error.contains(why),
            "{error}"
        );
    }
}

/// What was parsed last is known again by all that it was parsed from.
#[test]
fn policies_are_parsed_again_when_anything_of_them_differs() {
    let text = r#"@id("one") forbid (principal, action, resource) when { principal.kind == "agent" };"#;
    let first = parse(text).unwrap();
    assert_eq!(first.digest(), parse(text).unwrap().digest());
    assert!(parse(&text.replace("agent", "robot")).is_err());
    assert_ne!(first.digest(), parse(&text.replace("one", "two")).unwrap().digest());
    let named =
        |name: &str| Policies::parse(BTreeMap::from([(name.to_owned(), text.to_owned())]), KINDS).unwrap();
    assert_ne!(named("a.cedar").digest(), named("b.cedar").digest());
    let path =
        r#"@id("one") forbid (principal, action, resource) when { resource in Remit::Path::"secret:prod" };"#;
    let of = |kinds: &[&str]| {
        let files = BTreeMap::from([("house.cedar".to_owned(), path.to_owned())]);
        Policies::parse(files, kinds.iter().copied()).map(|_| ())
    };
    of(&["file", "secret"]).unwrap();
    assert!(of(&["file"]).is_err(), "another home, which has no such kind");
}

/// The schema that is read says what the one says that people read. `REMIT_UPDATE=1` writes it.
#[test]
fn the_schema_in_json_is_the_schema() {
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
    let json = remit_trust::canonical(&fragment.to_json_value().unwrap()).unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.json");
    if std::env::var_os("REMIT_UPDATE").is_some() {
        std::fs::write(file, &json).unwrap();
    }
    assert!(std::fs::read(file).unwrap() == json, "run this test with REMIT_UPDATE=1");
}
