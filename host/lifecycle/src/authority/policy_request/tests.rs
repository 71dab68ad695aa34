use std::collections::BTreeSet;

use jiff::SignedDuration;
use remit_gate::{Effect, Pattern, Phase, Resource};

use remit_trust::issuers::Proof;

use super::*;
use crate::testing::{POLICY, Place, action};

fn patterns(all: &[&str]) -> BTreeSet<Pattern> {
    all.iter().map(|text| Pattern::new(text).unwrap()).collect()
}

fn bot() -> Subject {
    Subject { name: "bot".to_owned(), kind: "agent".to_owned(), ..Subject::default() }
}

/// Three changes of the past hour: `bot` asked for two, of which `alice` started one; another action made one.
fn spend(place: &Place) {
    let id = place.file("bot", &Request { uses: Some(9), ..place.request() });
    place.run(id, &["prod/db"], |_, _| {});
    place.run(id, &["prod/x"], |started, _| started.started_by = Some("alice".to_owned()));
    place.run(id, &["dev/db"], |started, _| {
        "carol".clone_into(&mut started.principal);
        "other".clone_into(&mut started.action.name);
    });
}

fn connector() -> ConnectorRef {
    ConnectorRef {
        instance: "corp".to_owned(),
        component: action(),
        publisher: "its publisher".to_owned(),
        origin: "https://tokens.example".to_owned(),
        config: remit_trust::Digest::of(b"{}"),
        interfaces: Vec::new(),
    }
}

fn told_step(request: &Request) -> Step {
    request.plan().unwrap().steps[0].clone()
}

const EVERYTHING: &str = r#"
    [limits]
    changes = 7
    host_calls = 50
    [[allow]]
    capability = "remit:secrets/inspect"
    resources = ["secret:prod/look"]
    [[allow]]
    capability = "remit:files/read"
    resources = ["file:etc/read"]
    [[allow]]
    capability = "remit:secrets/rotate"
    resources = ["secret:prod/change"]
    [[allow]]
    capability = "remit:secrets/destroy"
    resources = ["secret:prod/destroy"]
    irrevocable = true
    [[allow]]
    capability = "remit:secrets/reveal"
    resources = ["secret:prod/reveal"]
    disclose = true
"#;

#[test]
fn every_fact_of_a_request_is_told() {
    let place = Place::new(POLICY);
    let config = place.home().config();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("environment = \"production\"\n{text}")).unwrap();
    spend(&place);
    let (reader, rules) = (place.reader(), place.rules());
    let scope = Scope::parse(EVERYTHING, "scope.toml").unwrap();
    let mut request = Request {
        scope: scope.clone(),
        incident: Some("INC-7".to_owned()),
        break_glass: true,
        uses: Some(4),
        ..place.request()
    };
    request.scope.restore_after = Some(SignedDuration::from_hours(2));
    request.not_after = request.not_before + SignedDuration::from_secs(1800);
    let RequestedAuthority::Run { plan, .. } = &mut request.asks else { unreachable!() };
    *plan = None;
    request.connectors = vec![connector()];
    let reached = vec![PolicyConnector {
        instance: "corp".to_owned(),
        origin: "https://tokens.example".to_owned(),
        publisher: "its publisher".to_owned(),
    }];
    let expected = PolicyRequest {
        connectors: reached,
        requester: bot(),
        action_name: "rotate".to_owned(),
        action_version: "0.1.0".to_owned(),
        action_digest: action().digest.to_string(),
        incident: Some("INC-7".to_owned()),
        environment: Some("production".to_owned()),
        standing: false,
        under_standing: false,
        break_glass: true,
        has_plan: false,
        observe: 50,
        content: 50,
        change: 7,
        irrevocable: 7,
        disclose: 50,
        changes: 7,
        may_change: patterns(&["secret:prod/change"]),
        may_destroy: patterns(&["secret:prod/destroy"]),
        may_disclose: patterns(&["secret:prod/reveal"]),
        may_read: patterns(&["file:etc/read"]),
        may_observe: patterns(&["secret:prod/look"]),
        spent_by_requester: 2,
        spent_by_starter: 0,
        spent_by_action: 2,
        spent_by_prefix: 2,
        ttl_seconds: 1800,
        restore_after_seconds: Some(7200),
        uses: 4,
    };
    assert_eq!(policy_request(&reader, &rules, &request, Proof::Key).unwrap(), expected);
    let start = policy_request_of_start(&reader, &expected, "alice").unwrap();
    assert_eq!(start, PolicyRequest { spent_by_starter: 1, ..expected.clone() });

    // With the plan of one step, and by one who is no principal any more.
    let gone = Request { requester: "dora".to_owned(), asks: place.request().asks, ..request };
    let told = policy_request(&reader, &rules, &gone, Proof::Key).unwrap();
    assert!(told.has_plan);
    let unknown = Subject { name: "dora".to_owned(), kind: "unknown".to_owned(), ..Subject::default() };
    assert_eq!((told.requester, told.spent_by_requester), (unknown, 0));
    assert_eq!(told.may_change, patterns(&["secret:prod/change", "secret:prod/db"]));

    // Of a plan each step counts, with the least scope.
    let look = |operation: &str, resource: &str| Step {
        operation: operation.to_owned(),
        effect: Effect::Observe,
        content: operation == "remit:files/read.read",
        resource: Resource::try_from(resource.to_owned()).unwrap(),
        ..told_step(&place.request())
    };
    let read = look("remit:files/read.read", "file:etc/read");
    let steps = vec![
        look("remit:secrets/inspect.metadata", "secret:prod/db"),
        read.clone(),
        read.clone(),
        read,
        told_step(&place.request()),
    ];
    let mut planned = place.request();
    let RequestedAuthority::Run { plan: Some(plan), .. } = &mut planned.asks else { unreachable!() };
    *plan = Plan { steps };
    planned.scope = plan.least_scope();
    let told = policy_request(&reader, &rules, &planned, Proof::Key).unwrap();
    assert_eq!((told.observe, told.content, told.change, told.changes), (4, 3, 1, 1));

    // A rehearsal looks, and plays the disclosure.
    let by = rules.identify(&place.reader(), &place.key("bot")).unwrap();
    let rehearsal =
        policy_request_of_rehearsal(&reader, &rules, &by, &action(), (&scope, &[connector()])).unwrap();
    let told = PolicyRequest {
        incident: None,
        break_glass: false,
        observe: 50,
        change: 0,
        irrevocable: 0,
        changes: 0,
        may_change: BTreeSet::new(),
        may_destroy: BTreeSet::new(),
        may_observe: rehearsal.may_observe.clone(),
        spent_by_starter: 2,
        spent_by_prefix: 0,
        ttl_seconds: 0,
        restore_after_seconds: None,
        uses: 1,
        ..expected
    };
    assert_eq!(rehearsal, told);
    assert!(rehearsal.may_observe.is_superset(&patterns(&["secret:prod/look", "secret:prod/change"])));
}

#[test]
fn a_run_under_a_standing_scope_is_told_as_what_it_does() {
    let place = Place::new(POLICY);
    spend(&place);
    let (reader, rules) = (place.reader(), place.rules());
    let scope = Scope::parse(EVERYTHING, "scope.toml").unwrap();
    let mut request = Request { scope: scope.clone(), ..place.standing() };
    let of_scope = policy_request(&reader, &rules, &request, Proof::Key).unwrap();
    assert!(of_scope.standing && !of_scope.under_standing && !of_scope.has_plan);
    assert_eq!((of_scope.uses, of_scope.changes), (u64::from(u32::MAX), 7));
    let step = Step {
        phase: Phase::Run,
        operation: "remit:secrets/rotate.rotate".to_owned(),
        effect: Effect::Change,
        content: false,
        resource: Resource::try_from("secret:dev/db".to_owned()).unwrap(),
        arguments: serde_json::json!({}),
        before: None,
        undo: None,
        irrevocable_because: None,
        caution: None,
    };
    let run = policy_request_of_standing_run(&reader, (&of_scope, &scope, &[]), "alice", &[step]).unwrap();
    assert!(!run.standing && run.under_standing && run.has_plan);
    assert_eq!((run.changes, run.change, run.irrevocable, run.disclose), (1, 1, 0, 0));
    assert_eq!(run.may_change, patterns(&["secret:dev/db"]));
    assert_eq!((run.spent_by_prefix, run.spent_by_starter, of_scope.spent_by_prefix), (1, 1, 2));

    let RequestedAuthority::Standing(standing) = &mut request.asks else { unreachable!() };
    let versions = semver::VersionReq::parse("^1.2").unwrap();
    standing.action =
        ActionSelector::Published { publisher: String::new(), name: "other".to_owned(), versions };
    let published = policy_request(&reader, &rules, &request, Proof::Key).unwrap();
    assert_eq!((&*published.action_name, &*published.action_version), ("other", "^1.2"));
    assert_eq!((&*published.action_digest, published.spent_by_action), ("", 1));
    assert_eq!((request.action_name(), &*request.action_words()), ("other", "other ^1.2"));
    assert_eq!(place.request().action_name(), "rotate");
    assert_eq!(place.standing().action_words(), "rotate 0.1.0");
}
