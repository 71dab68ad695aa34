//! A hostile guest that performs any script, driven at random through everything that principals can do, and judged by
//! a small model of what each of them may cause.
//!
//! The same is played through a server, by clients with keys of their own.
//!
//! `REMIT_HOSTILE_CASES=20000` plays that many for each law, through a server a twentieth of them, and `REMIT_HOSTILE_SEED=7` the ones of that seed. A case
//! that fails is made as small as it gets and printed: add it to `hostile/found.json`, and it is played for ever.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod case;
mod drive;
mod estate;
mod jobs;
mod model;
mod play;
mod remote;
#[allow(dead_code, reason = "shared with the guest")]
mod script;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use case::{Case, End, Meanwhile};
use drive::House;
use model::Law;
use play::{Tally, play};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

/// For each law, where nothing else is asked for: a minute on a machine of two cores.
const CASES: u32 = 700;
/// The same through a server, of two laws.
const CASES_SERVED: u32 = 12;
/// How often the whole journal is audited.
const AUDIT: u32 = 100;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn attack(law: Law) {
    let cases = number("REMIT_HOSTILE_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    let house = House::new(&law);
    let (played, tally) = attack_in(house, law, cases, case::case(law));
    for what in ["rehearsed", "asked", "ran: succeeded", "taken back by hand"] {
        assert!(played < CASES || tally.of(what) > 0, "no case ever: {what}");
    }
}

/// Plays cases at random in this house; how many that were, and what came of them.
fn attack_in(house: House, law: Law, cases: u32, strategy: impl Strategy<Value = Case>) -> (u32, Tally) {
    let seed = number("REMIT_HOSTILE_SEED").unwrap_or_else(|| {
        let bytes = remit_trust::random().unwrap();
        u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    });
    println!("law {}: {cases} cases of REMIT_HOSTILE_SEED={seed}", law.name);
    let began = Instant::now();
    let state = RefCell::new((house, Tally::default(), 0_u32));
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let failed = TestRunner::new(config).run(&strategy, |case| {
        let mut state = state.borrow_mut();
        let (house, tally, played) = &mut *state;
        play(house, &law, &case, tally).map_err(TestCaseError::fail)?;
        *played += 1;
        if played.is_multiple_of(AUDIT) {
            house.audit().map_err(|why| TestCaseError::fail(format!("the journal is not sound: {why}")))?;
        }
        Ok(())
    });
    let (house, tally, played) = state.into_inner();
    println!("law {}: {played} cases in {:.0} s: {:?}", law.name, began.elapsed().as_secs_f64(), tally.0);
    match failed {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => {
            let case = serde_json::to_string(&case).unwrap();
            panic!(
                "under the law `{}`, seed {seed}:\n{why}\n\nadd it to tests/hostile/found.json:\n{case}",
                law.name
            )
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    house.audit().unwrap();
    nothing_leaked(&house, &law);
    (played, tally)
}

/// Not in any byte of any file of the home.
fn nothing_leaked(house: &House, law: &Law) {
    if law.disclosure.is_some() {
        return;
    }
    let values = house.every_value();
    for (path, bytes) in house.bytes() {
        let text = String::from_utf8_lossy(&bytes);
        let leaked = values.iter().find(|value| text.contains(value.as_str()));
        assert!(leaked.is_none(), "{} holds the value of a secret in clear", path.display());
    }
}

/// A case that once failed.
#[derive(serde::Deserialize)]
struct Found {
    what: String,
    law: String,
    case: Case,
}

#[test]
fn what_was_found_stays_mended() {
    let found: Vec<Found> = serde_json::from_str(include_str!("hostile/found.json")).unwrap();
    let mut wrong = Vec::new();
    for law in [Law::SHIPPED, Law::STRICT, Law::OPEN] {
        let mut house = House::new(&law);
        for Found { what, case, .. } in found.iter().filter(|found| found.law == law.name) {
            if let Err(why) = play(&mut house, &law, case, &mut Tally::default()) {
                wrong.push(format!("{what}: {why}"));
            }
        }
        house.audit().unwrap();
    }
    assert!(wrong.is_empty(), "{} of {}:\n\n{}", wrong.len(), found.len(), wrong.join("\n\n"));
}

/// Whatever call of the store comes right after somebody else made a new version of the secret, or a new secret under
/// its name: nothing of theirs is changed or told, and no revert writes into it.
#[test]
fn somebody_else_comes_first_at_every_call() {
    let template = include_str!("hostile/found.json");
    let found: Vec<Found> = serde_json::from_str(template).unwrap();
    let mut wrong = Vec::new();
    let changes = &[r#"{"rotate": ["prod/api", "key"]}"#, r#"{"disable": ["prod/api", "1"]}"#];
    // The second is of a version that is not there when it is approved.
    let disclosures =
        &[r#"{"reveal": ["prod/db", "password", "1"]}"#, r#"{"reveal": ["prod/db", "password", "3"]}"#];
    for (law, secret, steps) in [(Law::SHIPPED, "prod/api", changes), (Law::OPEN, "prod/db", disclosures)] {
        let mut house = House::new(&law);
        let mut tally = Tally::default();
        let scope = found[0].case.scope.replace("disclose = true\n", "").replace("prod/db", secret);
        let scope = match law.disclosure {
            Some(_) => scope.replace("reveal\"", "reveal\"\ndisclose = true"),
            None => scope,
        };
        for step in steps {
            for anew in [false, true] {
                for call in 0..16 {
                    let meanwhile = if anew { "remakes-at" } else { "rotates-at" };
                    let case = serde_json::json!({
                        "script": {"run": [serde_json::from_str::<serde_json::Value>(step).unwrap()]},
                        "scope": scope, "asks": "bot", "how": "planned", "approve": ["bob", "carol"], "starts": "bot",
                        "meanwhile": {meanwhile: [call, secret]}, "reverts": "alice",
                    });
                    let case = serde_json::from_value(case).unwrap();
                    if let Err(why) = play(&mut house, &law, &case, &mut tally) {
                        wrong.push(format!("{step}, {meanwhile} {call}: {why}"));
                    }
                }
            }
        }
        house.audit().unwrap();
        assert!(tally.of("ran: succeeded") > 0, "some come too late: {:?}", tally.0);
        assert!(tally.of("not started") > 0, "some come in time: {:?}", tally.0);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The shipped budgets, under standing scopes: of 20 changes an hour for who asked, and for who starts.
#[test]
fn an_hour_is_over_for_who_asked_and_for_who_started() {
    use drive::{Started, Who};
    let house = House::new(&Law::BUDGETED);
    // In several places, of which each has a budget too.
    let places = ["prod/db", "dev/db", "app/token"];
    let scope: String = ["inspect", "rotate", "put", "disable", "destroy", "reveal"]
        .map(|power| {
            let resources = places.map(|place| format!("\"secret:{place}\"")).join(", ");
            format!("[[allow]]\ncapability = \"remit:secrets/{power}\"\nresources = [{resources}]\n")
        })
        .concat();
    let scope =
        scope + "[[allow]]\ncapability = \"remit:secrets/compare\"\nresources = [\"secret:dev/none\"]\n";
    let scope = remit_gate::Scope::parse(&scope, "the scope").unwrap();
    let runs = |house: &House, asks: Who, starts: Who, times: usize| {
        let asked = house.request_standing(asks, &scope, &[starts], 1_000).unwrap();
        for who in [Who::Bob, Who::Carol] {
            house.approve(who, asked.id).unwrap();
        }
        let run = |at: usize| {
            let steps = vec![script::Step::Rotate(places[at % places.len()].to_owned(), None)];
            let script = script::Script { run: steps, ..script::Script::default() };
            house.start_standing(starts, asked.id, &script)
        };
        let ran =
            |done: Result<Started, String>| matches!(done, Ok(Started::Ran(ran)) if ran.state == "succeeded");
        (0..times).filter(|at| ran(run(*at))).count()
    };
    assert_eq!(runs(&house, Who::Alice, Who::Bot, 24), 20, "asked by alice, started by the bot");
    assert_eq!(runs(&house, Who::Alice, Who::Imp, 2), 0, "alice asked for enough");
    assert_eq!(runs(&house, Who::Imp, Who::Bot, 2), 0, "the bot started enough");
    assert_eq!(runs(&house, Who::Imp, Who::Imp, 2), 2, "nobody else is held up");
    assert!(house.recover().is_empty());
    house.audit().unwrap();
}

/// What is given sealed, by principals of each kind: so that it is sure that random cases can do it, and what they cannot.
fn with_what_is_sealed(house: &mut House, law: &Law) {
    let rule = |power: &str, resource: &str| {
        format!("[[allow]]\ncapability = \"remit:secrets/{power}\"\nresources = [\"{resource}\"]\n")
    };
    let powers =
        ["inspect", "rotate", "disable", "destroy", "reveal"].map(|power| rule(power, "secret:dev/none"));
    let scope = |compare: &str| powers.concat() + &rule("put", "secret:prod/db") + &rule("compare", compare);
    let compare = |secret: &str, version: &str| serde_json::json!({"compare": [secret, "password", version, "{token}"]});
    let put_if = |answer: &str| {
        serde_json::json!({"if": [
            {"same": ["{same}", answer]}, [{"store": ["prod/db", "password", "{token}"]}], [{"fail": "as it should not"}]
        ]})
    };
    let known = serde_json::json!(["dev/db", "password", 3]);
    let starts = |asks: &'static str| if law.agents_change { asks } else { "alice" };
    let is = [
        "asked",
        "ran: succeeded",
        "put what was given sealed",
        "found out that it is",
        "taken back by hand",
    ];
    let is_not = [
        "asked",
        "ran: succeeded",
        "put what was given sealed",
        "found out that it is not",
        "taken back by hand",
    ];
    let (bob, both) = (&["bob"][..], &["bob", "carol"][..]);
    let two = if law.change > 1 { both } else { bob };
    let rows: [(&str, &str, &str, &str, &[&str], &[&str]); 9] = [
        // Software finds out about what is in its place, and about nothing else.
        ("bot", "bot", "dev/db", "3", two, &is),
        ("imp", "imp", "dev/db", "3", two, &is),
        ("bot", "bot", "prod/db", "2", two, &["not asked"]),
        ("imp", "imp", "prod/db", "2", two, &["not asked"]),
        ("alice", "alice", "prod/db", "2", both, &is_not),
        // A handle is of use to nobody else.
        ("bot", "alice", "dev/db", "3", two, &["not asked"]),
        ("alice", "bot", "dev/db", "3", two, &["not asked"]),
        // Whoever operates the software is no other person; who operates other software, or none, is.
        ("bot", "bot", "dev/db", "3", &["alice", "bot", "imp"], &["asked", "not started"]),
        ("imp", "imp", "dev/db", "3", &["alice", "carol"], &is),
    ];
    for (asks, by, secret, version, approve, expected) in rows {
        let (answer, resource) =
            if secret == "dev/db" { ("yes", "secret:dev/db") } else { ("no", "secret:prod/db") };
        let case = serde_json::json!({
            "script": {"run": [compare(secret, version), put_if(answer)]}, "sealed": {"by": by, "is": known},
            "scope": scope(resource), "asks": asks, "how": "planned", "approve": approve, "starts": starts(asks),
            "starters": if asks == "alice" { vec![asks] } else { vec![asks, "alice"] }, "reverts": "carol",
        });
        let mut tally = Tally::default();
        // Alice may start it, so that she does not approve for the imp alone.
        play(house, law, &serde_json::from_value(case).unwrap(), &mut tally)
            .unwrap_or_else(|why| panic!("{asks}, {secret}: {why}"));
        for what in expected {
            assert!(
                tally.of(what) > 0,
                "never {what}: {asks} with {by}'s, {secret} under {}: {:?}",
                law.name,
                tally.0
            );
        }
    }
}

#[test]
fn what_is_given_sealed_is_its_owners_and_goes_where_it_was_approved() {
    for law in [Law::SHIPPED, Law::STRICT] {
        let mut house = House::new(&law);
        with_what_is_sealed(&mut house, &law);
        house.audit().unwrap();
        nothing_leaked(&house, &law);
    }
}

/// A key by a certificate counts until its end, and what it signed or started until then goes on: the same at random needs luck.
#[test]
fn a_key_that_ends_in_the_middle_of_a_case_counts_until_then() {
    let found: Vec<Found> = serde_json::from_str(include_str!("hostile/found.json")).unwrap();
    let law = Law::SHIPPED;
    let mut house = House::with(&law, Duration::from_secs(2));
    let (over, changed) =
        ("refused, as its key had ended", "changed something that a key allowed which has ended");
    let (asking, approving, starting) = ("asking", "approving", "starting");
    // Who starts it, when the key ends, whether the imp then has another one, and what comes of it.
    let rows: [(&str, serde_json::Value, bool, &[&str]); 9] = [
        ("imp", asking.into(), false, &["not asked", over]),
        ("imp", asking.into(), true, &["asked", "ran: succeeded", "changed something"]),
        ("imp", approving.into(), false, &["asked", "not started", over]),
        ("imp", approving.into(), true, &["asked", "ran: succeeded", "changed something"]),
        ("imp", starting.into(), false, &["asked", "not started", over]),
        ("alice", approving.into(), false, &["asked", "ran: succeeded", changed, "taken back by hand"]),
        ("alice", starting.into(), false, &["asked", "ran: succeeded", changed, "taken back by hand"]),
        // In the rehearsal before the run, and in the run.
        ("imp", serde_json::json!({"call": 0}), false, &["asked", "not started", over]),
        ("imp", serde_json::json!({"call": 4}), false, &["ran: succeeded", changed, "taken back by hand"]),
    ];
    for (starts, before, again, expected) in rows {
        let case = serde_json::json!({
            "script": {"run": [{"rotate": ["prod/db", "password"]}]},
            "scope": found[0].case.scope.replace("disclose = true\n", ""), "asks": "imp", "how": "planned",
            "approve": ["bob", "carol"], "starters": ["imp", "alice"], "starts": starts,
            "ends": {"before": before, "again": again}, "reverts": "carol",
        });
        let mut tally = Tally::default();
        play(&mut house, &law, &serde_json::from_value(case).unwrap(), &mut tally)
            .unwrap_or_else(|why| panic!("{starts}, before {before}: {why}"));
        for what in expected {
            assert!(tally.of(what) > 0, "never {what}: {starts}, before {before}, {again}: {:?}", tally.0);
        }
    }
    house.audit().unwrap();
    nothing_leaked(&house, &law);
}

#[test]
fn hostile_scripts_under_the_shipped_policies() {
    attack(Law::SHIPPED);
}

#[test]
fn hostile_scripts_under_stricter_policies() {
    attack(Law::STRICT);
}

#[test]
fn hostile_scripts_where_secrets_can_be_told() {
    attack(Law::OPEN);
}

/// Through a server nobody comes between two calls of the store by the clock of this test: they come right before the start.
fn between_acts(mut case: Case) -> Case {
    if let Some(ends) = &mut case.ends
        && matches!(ends.before, End::Call(_))
    {
        ends.before = End::Starting;
    }
    case.meanwhile = case.meanwhile.map(|meanwhile| match meanwhile {
        Meanwhile::RotatesAt(_, path) => Meanwhile::Rotates(path),
        Meanwhile::RemakesAt(_, path) => Meanwhile::Remakes(path),
        other => other,
    });
    case
}

#[test]
fn hostile_scripts_through_a_server() {
    let wanted = number("REMIT_HOSTILE_CASES").map(|cases| u32::try_from(cases).unwrap() / 20);
    let found: Vec<Found> = serde_json::from_str(include_str!("hostile/found.json")).unwrap();
    let laws = [Law::SHIPPED, Law::OPEN, Law::STRICT];
    for law in laws.into_iter().take(if wanted.is_some() { 3 } else { 2 }) {
        let mut house = House::served(&law);
        let mut tally = Tally::default();
        for Found { what, case, .. } in found.iter().filter(|found| found.law == law.name) {
            let case = between_acts(case.clone());
            play(&mut house, &law, &case, &mut tally).unwrap_or_else(|why| panic!("{what}: {why}"));
        }
        // What is sure to be done, so that none of this is about nothing.
        let plain = serde_json::json!({
            "script": {"run": [{"rotate": ["prod/db", "password"]}]},
            "scope": found[0].case.scope.replace("disclose = true\n", ""), "rehearse": ["alice", false], "asks": "bot", "how": "planned",
            "approve": ["bot", "bob", "carol"], "starts": if law.agents_change { "bot" } else { "alice" },
            "starters": ["bot", "alice"], "reverts": "alice",
        });
        play(&mut house, &law, &serde_json::from_value(plain).unwrap(), &mut tally).unwrap();
        with_what_is_sealed(&mut house, &law);
        for what in ["rehearsed", "asked", "ran: succeeded", "taken back by hand"] {
            assert!(tally.of(what) > 0, "never {what} under the law {}: {:?}", law.name, tally.0);
        }
        attack_in(house, law, wanted.unwrap_or(CASES_SERVED), case::case(law).prop_map(between_acts));
    }
}
