use jiff::SignedDuration;
use remit_gate::Step;
use remit_journal::{About, LedgerEvent};

use super::*;
use crate::testing::{POLICY, Place, wait};

fn start(place: &Place, by: &str, id: RequestId) -> Result<Prepared<Trigger>, String> {
    prepare_start(&place.host, &place.key(by), id, None, None).map_err(|error| error.to_string())
}

#[test]
fn a_start_is_refused_for_what_the_request_lacks() {
    let two =
        "@needs(\"1 human in on-call\")\npermit (principal, action == Remit::Action::\"require\", resource);";
    let place = Place::new(&format!("{POLICY}@id(\"on-call\")\n{two}"));
    let refused = |by: &str, id| start(&place, by, id).unwrap_err();
    let id = place.file("bot", &place.request());
    let told = refused("bot", id);
    assert!(
        told.ends_with(
            "approvals are missing: 1 of 1 human of on-call (policy on-call), 1 of 1 human (policy one-human)"
        ) || told.ends_with(
            "approvals are missing: 1 of 1 human (policy one-human), 1 of 1 human of on-call (policy on-call)"
        ),
        "{told}"
    );
    place.approve(id, "alice", |_| {});
    place.approve(id, "bot", |_| {});
    let told = refused("bot", id);
    let missing = "approvals are missing: 1 of 1 human of on-call (policy on-call)";
    assert!(told.ends_with(&format!("{missing}; the approval by bot is by the requester")), "{told}");
    place.approve(id, "carol", |_| {});
    let trigger = start(&place, "bot", id).unwrap().document;
    let state = place.load(id);
    assert_eq!((trigger.id, trigger.request, trigger.reason), (id, state.digest, None));
    assert_eq!(trigger.action, crate::testing::action().digest);
    assert!(refused("alice", id).ends_with("alice may not start it, only bot"));
    // A request for a run has its own reason.
    let told = prepare_start(&place.host, &place.key("bot"), id, None, Some("r")).unwrap_err();
    assert!(told.to_string().contains("it is no standing scope"));
    place.run(id, &[], |_, _| {});
    assert!(refused("bot", id).ends_with("it is used up: 1 run(s) have started"));
}

#[test]
fn a_start_is_refused_outside_the_time_of_its_request() {
    let place = Place::new(POLICY);
    let now = Timestamp::now();
    let (hour, second) = (SignedDuration::from_hours(1), SignedDuration::from_secs(1));
    let of = |not_before, not_after| {
        let id = place.file("bot", &Request { not_before, not_after, ..place.request() });
        place.approve(id, "alice", |_| {});
        start(&place, "bot", id).map(drop)
    };
    assert_eq!(of(now, now + hour), Ok(()));
    assert!(of(now - hour, now - second).unwrap_err().contains("it expired at"));
    let told = of(now + hour, now + hour + hour).unwrap_err();
    assert!(told.contains("clock"), "{told}");
}

#[test]
fn a_clock_that_was_set_back_starts_nothing() {
    let place = Place::new(POLICY);
    let id = place.file("bot", &place.request());
    place.approve(id, "alice", |_| {});
    // A record that is this much newer than the clock.
    let newer = |seconds: i64| {
        let at = Timestamp::now() + SignedDuration::from_secs(seconds);
        let event = LedgerEvent::Notified { notifier: "n".to_owned(), upto: 1, statement: None };
        place.put_at(About::Host, event, at);
        start(&place, "bot", id).map(drop)
    };
    // So much as two readings of one clock may differ.
    assert_eq!(newer(1), Ok(()));
    let told = newer(60).unwrap_err();
    assert!(told.contains("clock"), "{told}");
}

#[test]
fn policies_decide_about_a_start_that_is_not_break_glass() {
    let nobody = POLICY.replace("Remit::Action::\"trigger\", ", "");
    let place = Place::new(&nobody);
    place.principals(|text| text + "\n[break-glass]\nquorum = 1\ngroup = \"on-call\"\n");
    let checked = |break_glass| {
        let request = Request { break_glass, ..place.request() };
        let state = place.load(place.file("bot", &request));
        let by = place.rules().identify(&place.reader(), &place.key("bot")).unwrap().who();
        let start = &state.policy_request;
        check_start(&place.reader(), &place.rules(), &by, start, &request.powers(), &state)
            .map_err(|error| error.to_string())
    };
    assert_eq!(checked(true), Ok(()));
    assert!(checked(false).unwrap_err().contains("bot may not start this"));
}

fn standing(place: &Place, change: impl FnOnce(&mut StandingScope)) -> (RequestState, StandingScope) {
    let mut request = place.standing();
    let RequestedAuthority::Standing(standing) = &mut request.asks else { unreachable!() };
    change(standing);
    let standing = standing.clone();
    (place.load(place.file("bot", &request)), standing)
}

#[test]
fn a_plan_is_inside_a_standing_scope_or_it_is_told_why_not() {
    let place = Place::new(POLICY);
    let RequestedAuthority::Run { plan: Some(plan), .. } = place.request().asks else { unreachable!() };
    let told = |plan: &Plan, change: &dyn Fn(&mut StandingScope)| {
        let (state, standing) = standing(&place, change);
        inside(&place.reader(), &state, &standing, plan).unwrap()
    };
    assert_eq!(told(&plan, &|_| {}), Ok(()));
    // An hour that is not now, and the day that is.
    let day = |ahead: i64| {
        let at = Timestamp::now() + SignedDuration::from_hours(24 * ahead);
        let zoned = at.to_zoned(jiff::tz::TimeZone::UTC);
        let name = format!("{:?}", zoned.weekday()).to_ascii_lowercase();
        name[..3].parse::<crate::Hours>().unwrap()
    };
    let tomorrows = told(&plan, &|standing| standing.hours = vec![day(2), day(3)]).unwrap_err();
    assert!(tomorrows.starts_with("it is valid ") && tomorrows.contains(" (UTC), and it is "), "{tomorrows}");
    assert_eq!(told(&plan, &|standing| standing.hours = vec![day(2), day(0), day(1)]), Ok(()));
    // What the scope does not have, and more than it has.
    let elsewhere = |step: &Step| Step {
        resource: remit_gate::Resource::try_from("secret:dev/db".to_owned()).unwrap(),
        ..step.clone()
    };
    let outside = Plan { steps: vec![elsewhere(&plan.steps[0])] };
    assert!(told(&outside, &|_| {}).unwrap_err().contains("rotate on secret:dev/db: "));
    let twice = Plan { steps: [plan.steps.clone(), plan.steps.clone()].concat() };
    assert_eq!(told(&twice, &|_| {}), Err("it would make 2 changes, the scope allows 1".to_owned()));
    assert_eq!(told(&Plan { steps: Vec::new() }, &|standing| standing.changes_per_hour = 0), Ok(()));
    let spent = told(&plan, &|standing| standing.changes_per_hour = 0).unwrap_err();
    assert!(spent.contains("its budget of 0 change(s) an hour would be exceeded: 0 used"), "{spent}");
    let spent = told(&plan, &|standing| standing.runs_per_hour = 0).unwrap_err();
    assert!(spent.contains("its budget of 0 run(s) an hour is spent"), "{spent}");
}

#[test]
fn a_trigger_is_accepted_for_its_own_request_and_once() {
    let place = Place::new(POLICY);
    let id = place.file("bot", &Request { uses: Some(9), ..place.request() });
    place.approve(id, "alice", |_| {});
    let good = start(&place, "bot", id).unwrap().document;
    let accepted = |trigger: &Trigger| {
        accept(&place.host, &place.sign("bot", trigger)).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(accepted(&good), Ok(()));
    let other = Trigger { request: remit_trust::Digest::of(b"another"), ..good.clone() };
    assert!(accepted(&other).unwrap_err().contains("the request of this identifier is another one"));
    // Its signer names another action, or input, than people approved.
    let another = remit_trust::Digest::of(b"another");
    for other in [Trigger { action: another, ..good.clone() }, Trigger { input: another, ..good.clone() }] {
        assert!(accepted(&other).unwrap_err().contains("it is for another action, or another input"));
    }
    let old = Trigger { at: good.at - SignedDuration::from_secs(30), ..good.clone() };
    assert!(accepted(&old).unwrap_err().contains("its identifier was made at"));
    // Its run is on record.
    let run = place.run(id, &[], |_, _| {});
    let again = Trigger { run, at: run.made(), ..good };
    assert!(accepted(&again).unwrap_err().contains("on record already"));
    let told = wait(submit_start(&place.host, &place.sign("bot", &again), None)).unwrap_err();
    assert!(told.to_string().contains("on record already"));
}
