use remit_journal::{Ended, Phase, Record, RunState};
use serde_json::value::to_raw_value;

use remit_trust::issuers::Proof;

use super::*;
use crate::authority::policy_request;
use crate::testing::{POLICY, Place, wait};

fn at(text: &str) -> Timestamp {
    format!("2026-11-29T{text}Z").parse().unwrap()
}

fn uses() -> Vec<(Timestamp, u64)> {
    vec![(at("10:00:00.5"), 2), (at("10:10:00"), 0), (at("10:20:00"), 3)]
}

#[test]
fn there_is_room_up_to_the_limit_and_not_beyond() {
    for (limit, wanted, expected) in [
        (6, 1, Room::Now),
        (5, 0, Room::Now),
        // The use at half a second past counts until then.
        (5, 1, Room::From(at("11:00:01"))),
        (4, 1, Room::From(at("11:00:01"))),
        (4, 2, Room::From(at("11:20:01"))),
        (3, 1, Room::From(at("11:20:01"))),
        (3, 3, Room::From(at("11:20:01"))),
        (3, 4, Room::Never),
        (0, 1, Room::Never),
    ] {
        assert_eq!(room(&uses(), limit, wanted), expected, "{wanted} of {limit}");
    }
    assert_eq!(room(&[], 1, 1), Room::Now);
    assert_eq!(room(&[], 0, 0), Room::Now);
}

#[test]
fn a_budget_says_used_limit_and_when_free_again() {
    let spent = Budget::of(&uses(), 5);
    assert_eq!(spent, Budget { used: 5, limit: 5, free_again: Some(at("11:00:01")) });
    assert_eq!(spent.to_string(), "5 of 5 used, free again at 2026-11-29T11:00:01Z");
    assert_eq!(Budget::of(&uses(), 9).to_string(), "5 of 9 used");
    assert_eq!(Budget::of(&[], 0), Budget { used: 0, limit: 0, free_again: None });
}

#[test]
fn the_time_shown_comes_after_the_end() {
    for text in ["10:00:00", "10:00:00.000000001", "10:00:00.999999999"] {
        let end = at(text).checked_add(HOUR).unwrap();
        assert!(counts_until(at(text)) > end, "{text}");
        assert!(counts_until(at(text)) <= end + SignedDuration::from_secs(1), "{text}");
    }
    assert_eq!(counts_until(Timestamp::MAX), Timestamp::MAX);
}

const BUDGET: &str = r#"
@id("two-an-hour")
forbid (principal, action == Remit::Action::"trigger", resource)
when { resource.spentByStarter + resource.changes > 2 };
"#;

/// A run with these changes that began so many minutes ago and has not ended. Returns when its time is up: from then on, it
/// counts for an hour.
fn ran(place: &Place, id: remit_journal::RequestId, minutes: i64, secrets: &[&str]) -> Timestamp {
    place.minutes_ago.set(minutes);
    let mut up = Timestamp::MIN;
    place.run(id, secrets, |_, at| up = *at + remit_gate::Limits::default().wall_time);
    place.minutes_ago.set(0);
    up
}

#[test]
fn a_budget_in_a_policy_says_when_it_has_room() {
    let place = Place::new(&format!("{POLICY}{BUDGET}"));
    let approved = |change: &dyn Fn(&mut Request)| {
        let mut request = Request { uses: Some(9), ..place.request() };
        change(&mut request);
        let id = place.file("bot", &request);
        place.approve(id, "alice", |_| {});
        id
    };
    let told = |id| waiting_for_room(&place.reader(), &place.rules(), &place.load(id)).unwrap();
    place.minutes_ago.set(55);
    let id = approved(&|_| {});
    assert_eq!(told(id), [""; 0], "there is room");
    let first = counts_until(ran(&place, id, 50, &["prod/a"]));
    let second = counts_until(ran(&place, id, 40, &["prod/b"]));
    // From when the older of the two counts no more.
    let waits = told(id);
    assert!(waits.len() == 1 && waits[0].starts_with("bot: "), "{waits:?}");
    assert!(waits[0].contains("two-an-hour") && waits[0].contains("; free again at 20"), "{waits:?}");
    let of = |id, changes: u64| {
        let state = place.load(id);
        let mut request = Request::clone(&state.request);
        let RequestedAuthority::Run { plan: Some(plan), .. } = &mut request.asks else { unreachable!() };
        plan.steps = (0..changes).map(|_| plan.steps[0].clone()).collect();
        request.scope = plan.least_scope();
        let policy_request = policy_request(&place.reader(), &place.rules(), &request, Proof::Key).unwrap();
        waits_of(&place, &request, &policy_request)
    };
    assert_eq!(of(id, 0), []);
    let Some((name, Room::From(at), why)) = of(id, 1).pop() else { panic!("it waits") };
    assert!(name == "bot" && why.contains("two-an-hour"), "{name} {why}");
    assert_eq!(at, first);
    let Some((_, Room::From(at), _)) = of(id, 2).pop() else { panic!("it waits") };
    assert_eq!(at, second);
    let Some((_, Room::Never, _)) = of(id, 3).pop() else { panic!("it waits for nothing") };

    // Whoever started nothing has room, and one who can start it is enough.
    let both = approved(&|request| request.triggers = vec!["bot".to_owned(), "alice".to_owned()]);
    assert_eq!(told(both), [""; 0]);
    // Policies are not asked about these.
    assert_eq!(told(approved(&|request| request.break_glass = true)), [""; 0]);
    let standing = approved(&|request| {
        let RequestedAuthority::Standing(standing) = place.standing().asks else { unreachable!() };
        (request.asks, request.uses) = (RequestedAuthority::Standing(standing), None);
    });
    assert_eq!(told(standing), [""; 0]);
}

fn waits_of(place: &Place, request: &Request, of: &PolicyRequest) -> Vec<(String, Room, String)> {
    let alice = Subject { name: "alice".to_owned(), kind: "human".to_owned(), ..Subject::default() };
    waits(&place.reader(), &place.rules(), request, of, &[alice]).unwrap()
}

#[test]
fn what_no_budget_refuses_does_not_wait_for_room() {
    // Refused for another reason, now or also when nothing is spent.
    let never = "@id(\"never\")\nforbid (principal, action == Remit::Action::\"trigger\", resource);";
    let place = Place::new(&format!("{POLICY}{never}"));
    let request = place.request();
    let of = policy_request(&place.reader(), &place.rules(), &request, Proof::Key).unwrap();
    assert_eq!(waits_of(&place, &request, &of), []);
    let place = Place::new(&format!("{POLICY}{BUDGET}{never}"));
    let id = place.file("bot", &Request { uses: Some(9), ..place.request() });
    place.run(id, &["prod/a", "prod/b"], |_, _| {});
    let request = place.request();
    let of = policy_request(&place.reader(), &place.rules(), &request, Proof::Key).unwrap();
    assert_eq!(waits_of(&place, &request, &of), []);
}

/// With other approvals another policy may permit it.
#[test]
fn what_no_policy_permits_does_not_wait_for_room() {
    let few = "@id(\"few\")\npermit (principal, action == Remit::Action::\"trigger\", resource)\nwhen { resource.spentByStarter + resource.changes <= 2 };";
    let place = Place::new(&format!("{}{few}", POLICY.replace("Remit::Action::\"trigger\", ", "")));
    let request = Request { uses: Some(9), ..place.request() };
    let id = place.file("bot", &request);
    place.run(id, &["prod/a", "prod/b"], |_, _| {});
    let of = policy_request(&place.reader(), &place.rules(), &request, Proof::Key).unwrap();
    assert_eq!(waits_of(&place, &request, &of), []);
}

#[test]
fn the_changes_that_count_are_those_under_what_is_touched() {
    let place = Place::new(POLICY);
    let id = place.file("bot", &Request { uses: Some(9), ..place.request() });
    place.run(id, &["prod/a", "prod/b", "dev/a"], |started, _| {
        started.started_by = Some("alice".to_owned());
    });
    let scope = |resources: &str| {
        let rule = "[[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = ";
        let scope = remit_gate::Scope::parse(&format!("{rule}{resources}"), "scope.toml").unwrap();
        crate::Powers::of(None, &scope, &[])
    };
    let under = |resources: &str| {
        spent(&place.reader(), |spent| super::super::spent::spent_by_prefix(spent, &scope(resources)))
            .unwrap()
    };
    // What its run may still change is none: each of its changes is made.
    assert_eq!(under("[\"secret:prod/x\"]"), 2);
    assert_eq!(under("[\"secret:dev/**\"]"), 1);
    assert_eq!(under("[\"secret:test/x\"]"), 0);
    assert_eq!(under("[\"secret:dev/a\", \"secret:prod/a\"]"), 2);
    assert_eq!(under("[\"secret:**\"]"), 3);
    assert_eq!(under("[\"secret:*/a\"]"), 3);
    let powers = scope("[\"secret:dev/a\"]");
    let of = Counted { requester: "bot", starter: "alice", action: "rotate", powers: &powers };
    let told = |of: &Counted<'_>| {
        let with =
            |spent: &Spent| with_spent(PolicyRequest { uses: 5, ..PolicyRequest::default() }, spent, of);
        spent(&place.reader(), with).unwrap()
    };
    let expected = PolicyRequest {
        spent_by_requester: 3,
        spent_by_starter: 3,
        spent_by_action: 3,
        spent_by_prefix: 1,
        uses: 5,
        ..PolicyRequest::default()
    };
    assert_eq!(told(&of), expected);
    let nobody = Counted { requester: "carol", starter: "bob", action: "other", powers: &powers };
    assert_eq!(told(&nobody), PolicyRequest { spent_by_prefix: 1, uses: 5, ..PolicyRequest::default() });
}

#[test]
fn a_standing_scope_has_room_in_both_of_its_budgets() {
    let place = Place::new(POLICY);
    let request = place.standing();
    let RequestedAuthority::Standing(standing) = &request.asks else { unreachable!() };
    place.minutes_ago.set(62);
    let id = place.file("bot", &request);
    let room = |wanted| has_room(&place.reader(), &place.load(id), standing, wanted).unwrap();
    // One that began before the hour counts no more.
    ran(&place, id, 61, &["prod/z"]);
    assert_eq!((room(0), room(3)), (Ok(()), Ok(())));
    assert_eq!(
        room(4),
        Err("its budget of 3 change(s) an hour would be exceeded: 0 used, the run would make 4; it is more than a whole hour's budget: waiting does not help".to_owned())
    );
    let at = ran(&place, id, 30, &["prod/a", "prod/b"]);
    assert_eq!((room(0), room(1)), (Ok(()), Ok(())));
    let told = room(2).unwrap_err();
    assert!(told.contains("2 used, the run would make 2; free again at"), "{told}");
    let used = budgets(&place.reader(), &place.load(id), standing).unwrap();
    assert_eq!((used.runs.used, used.runs.limit, used.changes.used, used.changes.limit), (1, 2, 2, 3));
    ran(&place, id, 1, &["prod/c"]);
    let told = room(0).unwrap_err();
    let free = counts_until(at);
    assert_eq!(told, format!("its budget of 2 run(s) an hour is spent: 2 used, free again at {free}"));
    let used = budgets(&place.reader(), &place.load(id), standing).unwrap();
    let full = |limit| Budget { used: limit, limit, free_again: Some(free) };
    assert_eq!(used, Budgets { runs: full(2), changes: full(3) });
}

/// While a run is being reverted, it counts with all that it might have changed, so that more may be used than there is.
#[test]
fn a_run_that_changes_nothing_needs_no_room_for_changes() {
    let place = Place::new(POLICY);
    let mut request = place.standing();
    let RequestedAuthority::Standing(standing) = &mut request.asks else { unreachable!() };
    standing.runs_per_hour = 9;
    let standing = standing.clone();
    let id = place.file("bot", &request);
    let room = |wanted| has_room(&place.reader(), &place.load(id), &standing, wanted).unwrap();
    let mut scope = request.scope.clone();
    scope.limits.changes = 2;
    let first = place.run(id, &["prod/a"], |started, _| started.scope = Some(to_raw_value(&scope).unwrap()));
    let ended = Ended {
        state: RunState::Succeeded,
        detail: String::new(),
        consumed: to_raw_value(&serde_json::json!({})).unwrap(),
        output: None,
        own_words: None,
        code: None,
        due: remit_journal::Due::default(),
    };
    wait(place.host.journal.commit(Record::now(first, ended))).unwrap();
    place.run(id, &["prod/b", "prod/c"], |_, _| {});
    assert!(room(0).is_ok() && room(1).unwrap_err().contains("3 used, the run would make 1"));
    wait(place.host.journal.commit(Record::now(first, Phase::Revert))).unwrap();
    assert_eq!(room(0), Ok(()));
    assert!(room(1).unwrap_err().contains("4 used, the run would make 1"));
}
