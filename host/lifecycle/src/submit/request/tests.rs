use remit_trust::issuers::Proof;

use super::*;
use crate::testing::{POLICY, Place, wait};

fn options() -> RequestOptions {
    RequestOptions {
        reason: "leaked".to_owned(),
        incident: Some("INC-7".to_owned()),
        ttl: SignedDuration::from_hours(1),
        uses: None,
        triggers: Vec::new(),
        break_glass: false,
    }
}

#[test]
fn the_options_of_a_request_have_bounds() {
    let place = Place::new(POLICY);
    let rules = place.rules();
    let second = SignedDuration::from_secs(1);
    let told = |longest: SignedDuration, change: &dyn Fn(&mut RequestOptions)| {
        let mut options = options();
        change(&mut options);
        options.check(&rules, longest).map_err(|error| error.to_string())
    };
    assert_eq!(told(MAX_TTL, &|_| {}), Ok(()));
    for ttl in [second, MAX_TTL] {
        assert_eq!(told(MAX_TTL, &|options| options.ttl = ttl), Ok(()));
    }
    for ttl in [SignedDuration::ZERO, -second, MAX_TTL + second] {
        let told = told(MAX_TTL, &|options| options.ttl = ttl).unwrap_err();
        assert!(told.ends_with("more than 0 and at most 24h"), "{told}");
    }
    assert_eq!(MAX_STANDING, SignedDuration::from_hours(720));
    assert_eq!(told(MAX_STANDING, &|options| options.ttl = MAX_STANDING), Ok(()));
    let long = told(MAX_STANDING, &|options| options.ttl = MAX_STANDING + second).unwrap_err();
    assert!(long.ends_with("at most 30 days"), "{long}");
    assert_eq!(told(MAX_TTL, &|options| options.uses = Some(1)), Ok(()));
    assert!(told(MAX_TTL, &|options| options.uses = Some(0)).unwrap_err().contains("(uses = 0)"));
    assert!(told(MAX_TTL, &|options| " ".clone_into(&mut options.reason)).unwrap_err().contains("no reason"));
    let triggers = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        told(MAX_TTL, &|options| options.triggers.clone_from(&names))
    };
    assert_eq!(triggers(&["alice", "bot"]), Ok(()));
    assert!(
        triggers(&["alice", "nobody"]).unwrap_err().contains("`nobody`, which may start it, is no principal")
    );
}

#[test]
fn a_standing_scope_is_asked_for_as_it_can_be_used() {
    let place = Place::new(POLICY);
    let (host, rules) = (&place.host, place.rules());
    let by = rules.identify(&place.reader(), &place.key("bot")).unwrap();
    let told = |change: &dyn Fn(&mut Request)| {
        let mut request = place.standing();
        change(&mut request);
        check(host, &rules, &place.reader(), &by, &request).map_err(|error| error.to_string())
    };
    let standing = |request: &mut Request, change: &dyn Fn(&mut StandingScope)| {
        let RequestedAuthority::Standing(standing) = &mut request.asks else { unreachable!() };
        change(standing);
    };
    assert_eq!(told(&|_| {}), Ok(()));
    assert!(told(&|request| request.triggers.clear()).unwrap_err().ends_with("nobody may start it"));
    let none = told(&|request| standing(request, &|standing| standing.runs_per_hour = 0)).unwrap_err();
    assert!(none.ends_with("its budget would allow no run at all"));
    assert_eq!(told(&|request| standing(request, &|standing| standing.changes_per_hour = 0)), Ok(()));
    for told in [told(&|request| request.uses = Some(3)), told(&|request| request.break_glass = true)] {
        assert!(told.unwrap_err().contains("a standing scope has a budget"));
    }
    let long = told(&|request| request.not_after = request.not_before + MAX_STANDING + MAX_TTL).unwrap_err();
    assert!(long.ends_with("at most 30 days"), "{long}");
    let unknown = told(&|request| {
        let rule = "[[allow]]\ncapability = \"remit:tickets/close\"\nresources = [\"ticket:*\"]\n";
        request.scope = Scope::parse(rule, "scope.toml").unwrap();
    });
    assert!(unknown.unwrap_err().contains("remit:tickets/close"));
    // A request for a run names how many, and an action that is kept here.
    let of_run = |uses| {
        let request = Request { uses, ..place.request() };
        check(host, &rules, &place.reader(), &by, &request).unwrap_err().to_string()
    };
    assert!(of_run(None).ends_with("it does not say how many runs may start under it"));
    assert!(of_run(Some(1)).contains("is not kept here"), "{}", of_run(Some(1)));

    let RequestedAuthority::Standing(wanted) = place.standing().asks else { unreachable!() };
    let scope = place.standing().scope;
    let prepared =
        prepare_standing_request(host, &place.key("bot"), wanted.clone(), scope, options()).unwrap();
    let request = &prepared.document;
    assert_eq!(
        (&request.asks, &*request.triggers),
        (&RequestedAuthority::Standing(wanted), &["bot".to_owned()][..])
    );
    assert_eq!(request.not_after, request.not_before + options().ttl);
    assert_eq!((request.incident.as_deref(), &*request.reason), (Some("INC-7"), "leaked"));
}

#[test]
fn policies_decide_who_asks_and_whether_anybody_could_approve() {
    let never = "@id(\"never\")\nforbid (principal, action == Remit::Action::\"require\", resource);";
    for (policy, why) in [
        (POLICY.to_owned(), ""),
        (POLICY.replace("Remit::Action::\"propose\", ", ""), "bot may not ask for this"),
        (format!("{POLICY}{never}"), "bot may not get this"),
    ] {
        let place = Place::new(&policy);
        let rules = place.rules();
        let by = rules.identify(&place.reader(), &place.key("bot")).unwrap();
        let told = check(&place.host, &rules, &place.reader(), &by, &place.standing());
        let told = told.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(told.contains(why) && told.is_empty() == why.is_empty(), "{policy}: {told}");
    }
}

#[test]
fn a_request_is_put_on_record_once_and_under_the_rules_in_force() {
    let place = Place::new(POLICY);
    let submit = |request: &Request| {
        let state = wait(submit_request(&place.host, &place.sign("bot", request)));
        state.map(|state| Request::clone(&state.request)).map_err(|error| error.to_string())
    };
    let good = place.standing();
    assert_eq!(submit(&good), Ok(good.clone()));
    assert!(submit(&good).unwrap_err().contains("on record already"));
    let fresh = || Request { id: RequestId::new(), ..place.standing() };
    let old = Request { rules: remit_trust::Digest::of(b"other"), ..fresh() };
    assert!(submit(&old).unwrap_err().contains("the rules were changed since it was prepared"));
    let late = Request { not_before: good.not_before - SignedDuration::from_secs(30), ..fresh() };
    assert!(submit(&late).unwrap_err().contains("its identifier was made at"));
    let nobodys = Request { triggers: Vec::new(), ..fresh() };
    assert!(submit(&nobodys).unwrap_err().contains("nobody may start it"));
    assert_eq!(place.reader().requests().unwrap(), [good.id]);
}

#[test]
fn a_request_that_no_budget_would_let_start_in_time_is_refused() {
    let budget = "forbid (principal, action == Remit::Action::\"trigger\", resource)\nwhen { resource.spentByStarter + resource.changes > 2 };";
    let place = Place::new(&format!("{POLICY}@id(\"two-an-hour\")\n{budget}"));
    let never = |request: &Request| {
        let (reader, rules) = (place.reader(), place.rules());
        let policy_request = policy_request(&reader, &rules, request, Proof::Key).unwrap();
        never_starts(&reader, &rules, request, &policy_request).unwrap()
    };
    let request = Request { uses: Some(9), ..place.request() };
    place.minutes_ago.set(40);
    let id = place.file("bot", &request);
    assert_eq!(never(&request), None);
    place.run(id, &["prod/a", "prod/b"], |_, _| {});
    place.minutes_ago.set(0);
    // In 20 minutes there is room: too late for the one, in time for the other, and never for a larger one.
    assert_eq!(never(&request), None);
    let minutes = |minutes: i64| Request {
        not_after: request.not_before + SignedDuration::from_mins(minutes),
        ..request.clone()
    };
    assert_eq!(never(&minutes(25)), None);
    let why = never(&minutes(10)).unwrap();
    assert!(
        why.starts_with("bot could not start it while it is valid: ") && why.contains("; free again at"),
        "{why}"
    );
    // At the very moment at which it ends it cannot be started any more.
    let policy_request = policy_request(&place.reader(), &place.rules(), &request, Proof::Key).unwrap();
    let waits = waits(&place.reader(), &place.rules(), &request, &policy_request, &[]).unwrap();
    let [(_, Room::From(free), _)] = waits[..] else { panic!("{waits:?}") };
    assert!(never(&Request { not_after: free, ..request.clone() }).is_some());
    let mut large = request.clone();
    let RequestedAuthority::Run { plan: Some(plan), .. } = &mut large.asks else { unreachable!() };
    plan.steps = vec![plan.steps[0].clone(); 3];
    large.scope = plan.least_scope();
    assert!(never(&large).unwrap().contains("waiting does not help"));
    // One of two who can start it is enough.
    let both = Request { triggers: vec!["bot".to_owned(), "alice".to_owned()], ..minutes(10) };
    assert_eq!(never(&both), None);
    // What a run under a standing scope changes is not known yet.
    let standing = Request { triggers: vec!["bot".to_owned()], ..place.standing() };
    assert_eq!(never(&standing), None);
}
