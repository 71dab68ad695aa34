//! What the shipped policies say, and what policies can never say.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use remit_policy::{Matter, Policies, Verb, Who, shipped_files, test};

fn parse(text: &str) -> Result<Policies, String> {
    let files = BTreeMap::from([("x.cedar".to_owned(), text.to_owned())]);
    Policies::parse(&files).map_err(|error| error.to_string())
}

fn who(name: &str, kind: &str) -> Who {
    Who { name: name.to_owned(), kind: kind.to_owned(), groups: Vec::new() }
}

/// A plan with one change, asked for by a bot.
fn matter() -> Matter {
    Matter {
        requester: who("bot", "agent"),
        has_plan: true,
        change: 1,
        changes: 1,
        targets: vec!["secret:app/db".to_owned()],
        uses: 1,
        ..Matter::default()
    }
}

fn allowed(policies: &Policies, who: &Who, verb: Verb, matter: &Matter) -> bool {
    policies.may(who, verb, Some(matter), Timestamp::now(), &[]).allowed
}

#[test]
fn the_shipped_policies_are_a_table() {
    let shipped = Policies::shipped().unwrap();
    let cases = test(&shipped, include_str!("shipped.toml"), "shipped.toml").unwrap();
    let failed: Vec<_> = cases.iter().filter(|case| case.found.is_some()).collect();
    assert!(failed.is_empty() && cases.len() > 20, "{failed:#?}");
}

#[test]
fn needs_add_up_and_a_person_counts_once() {
    let shipped = Policies::shipped().unwrap();
    let irrevocable = Matter { irrevocable: 1, ..matter() };
    let needs = shipped.requirements(&irrevocable, Timestamp::now()).unwrap();
    let missing = |approvals: &[Who]| needs.iter().map(|need| need.missing(approvals)).max().unwrap();
    let (alice, bob) = (who("alice", "human"), who("bob", "human"));
    assert_eq!(missing(&[]), 2);
    assert_eq!(missing(&[alice.clone(), alice.clone()]), 1, "the same approver twice");
    assert_eq!(missing(&[alice.clone(), who("bot", "agent")]), 1, "an agent is no human");
    assert_eq!(missing(&[alice, bob]), 0);
}

#[test]
fn attack_a_policy_that_errors_denies() {
    // It overflows for this matter: whether it forbids is not known.
    let text = "permit (principal, action == Remit::Action::\"trigger\", resource);
        @id(\"sum\") forbid (principal, action == Remit::Action::\"trigger\", resource)
        when { resource.changes + 9223372036854775807 < 0 };";
    let policies = parse(text).unwrap();
    let bot = who("bot", "agent");
    let verdict = policies.may(&bot, Verb::Trigger, Some(&matter()), Timestamp::now(), &[]);
    assert!(!verdict.allowed && verdict.words().contains("sum"), "{verdict:?}");
    assert!(allowed(&policies, &bot, Verb::Trigger, &Matter { changes: 0, ..matter() }));
    // The same where it says what is needed.
    let text = "@id(\"n\") @needs(\"0\") permit (principal, action == Remit::Action::\"require\", resource);
        @id(\"sum\") @needs(\"5 human\") permit (principal, action == Remit::Action::\"require\", resource)
        when { resource.changes + 9223372036854775807 > 0 };";
    let error = parse(text).unwrap().requirements(&matter(), Timestamp::now()).unwrap_err().to_string();
    assert!(error.contains("sum"), "{error}");
    // None that says anything is a no.
    let none = parse("permit (principal, action == Remit::Action::\"trigger\", resource);").unwrap();
    assert!(none.requirements(&matter(), Timestamp::now()).is_err());
}

#[test]
fn attack_policies_that_do_not_say_what_they_seem_to() {
    let require = "permit (principal, action == Remit::Action::\"require\", resource);";
    let trigger = "permit (principal, action == Remit::Action::\"trigger\", resource);";
    for (text, says) in [
        (require.to_owned(), "without saying what is needed"),
        ("permit (principal, action, resource);".to_owned(), "without saying what is needed"),
        (format!("@needs(\"some human\") {require}"), "is not like"),
        (format!("@needs(\"-1\") {require}"), "is not like"),
        (format!("@needs(\"1 robot\") {require}"), "is not like"),
        (format!("@needs(\"1 human in\") {require}"), "is not like"),
        (format!("@needs(\"1 human\") {}", require.replace("permit", "forbid")), "belongs to a `permit`"),
        (format!("@needs(\"1\") {trigger}"), "belongs to a `permit`"),
        (format!("@id(\"a\") @needs(\"0\") {require} @id(\"a\") @needs(\"0\") {require}"), "twice"),
        (trigger.replace("principal,", "principal == ?principal,"), "template"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(says), "no `{says}` in {error}");
    }
    let typo = "permit (\n  principal,\n  action == Remit::Action::\"trigger\",\n  resource\n) when { resource.chnges > 1 };";
    let error = parse(typo).unwrap_err();
    assert!(error.contains("x.cedar:5:") && error.contains('^') && error.contains("chnges"), "{error}");
    let broken = parse("permit (principal, action").unwrap_err();
    assert!(broken.contains("x.cedar:1:") && broken.contains('^'), "{broken}");
}

#[test]
fn the_digest_changes_with_any_text() {
    let shipped = Policies::shipped().unwrap();
    let text = shipped_files()[0].1;
    let changed = parse(&text.replace("> 10", "> 11")).unwrap();
    assert_ne!(shipped.digest(), changed.digest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// One more `forbid`, whatever it says, never allows more.
    #[test]
    fn a_forbid_never_allows(
        attribute in prop::sample::select(vec!["changes", "irrevocable", "targetCount", "uses"]),
        than in 0_i64..4, agent in any::<bool>(), changes in 0_u64..4, irrevocable in 0_u64..2,
    ) {
        let shipped = shipped_files()[0].1;
        let more = format!(
            "{shipped}\n@id(\"more\") forbid (principal, action in [Remit::Action::\"approve\", Remit::Action::\"trigger\"], resource) when {{ resource.{attribute} > {than} }};"
        );
        let (before, after) = (parse(shipped).unwrap(), parse(&more).unwrap());
        let matter = Matter { changes, irrevocable, ..matter() };
        let who = who("x", if agent { "agent" } else { "human" });
        for verb in [Verb::Approve, Verb::Trigger, Verb::Propose] {
            prop_assert!(allowed(&after, &who, verb, &matter) <= allowed(&before, &who, verb, &matter));
        }
    }
}
