use remit_gate::{Allow, Pattern};
use remit_journal::Mode;
use remit_trust::Digest;

use super::*;
use crate::testing::{POLICY, Place};
use crate::{Order, OrderKind};

#[test]
fn the_difference_from_the_last_run_is_told() {
    let place = Place::new(POLICY);
    let request = Request { uses: Some(9), ..place.request() };
    let id = place.file("bot", &request);
    let told =
        |request: &Request| differences(&place.reader(), &place.load(place.file("bot", request))).unwrap();
    let again = || Request { scope: request.scope.clone(), ..place.request() };
    assert_eq!(told(&again()), ["rotate has never run here"]);
    // A rehearsal is none, nor is a run of another action.
    place.run(id, &[], |started, _| started.mode = Mode::Rehearse);
    place.run(id, &[], |started, _| "other".clone_into(&mut started.action.name));
    assert_eq!(told(&again()), ["rotate has never run here"]);
    let with_request = |place: &Place, change: &dyn Fn(&mut Started)| {
        let state = place.load(id);
        place.run(id, &[], |started, _| {
            let grant = started.grant.as_mut().unwrap();
            let (not_before, not_after) = (state.request.not_before, state.request.not_after);
            let envelope = state.envelope.clone();
            grant.signed = Some(remit_journal::SignedRef { envelope, not_before, not_after });
            change(started);
        });
    };
    with_request(&place, &|_| {});
    let same = told(&again());
    assert!(same.len() == 1 && same[0].starts_with("the same as at 20"), "{same:?}");
    // Another scope: what it has more, and what it has no more.
    let mut other = again();
    let pattern = |text: &str| vec![Pattern::new(text).unwrap()];
    other.scope.allow.push(Allow { resources: pattern("secret:dev/*"), ..other.scope.allow[0].clone() });
    let more = told(&other);
    assert!(more[0].starts_with("at 20") && more[0].ends_with(", by bot"), "{more:?}");
    assert_eq!(more[1..], ["new: change secret:dev/* by remit:secrets/rotate"]);
    let mut less = again();
    let RequestedAuthority::Run { plan, .. } = &mut less.asks else { unreachable!() };
    plan.as_mut().unwrap().steps.clear();
    less.scope.allow.clear();
    assert_eq!(told(&less)[1..], ["not now: change secret:prod/db by remit:secrets/rotate"]);
    // Another component and another input.
    with_request(&place, &|started| {
        started.action.digest = Digest::of(b"before");
        "0.0.9".clone_into(&mut started.action.version);
        started.input = serde_json::value::to_raw_value(&serde_json::json!({"path": "prod/x"})).unwrap();
    });
    let short = Digest::of(b"before").short();
    let changed = told(&again());
    assert_eq!(
        changed[1..],
        [format!("it was rotate 0.0.9 ({short})"), r#"its input was {"path":"prod/x"}"#.to_owned()]
    );
    // A request that is not the one that the run names says nothing.
    with_request(&place, &|started| started.grant.as_mut().unwrap().digest = Digest::of(b"another"));
    assert!(told(&other)[0].starts_with("the same as at"), "{:?}", told(&other));
    assert_eq!(told(&place.standing()), [""; 0]);
}

#[test]
fn every_order_about_the_host_is_told() {
    let place = Place::new(POLICY);
    let order = Order {
        log: place.rules().log.clone(),
        principal: "alice".to_owned(),
        at: Timestamp::now(),
        reason: "so".to_owned(),
        order: OrderKind::Freeze,
    };
    let statement = || place.statement("alice", &order);
    let run = remit_journal::RunId::new();
    let one = |basis| remit_journal::Revocation { basis, earlier_only: true };
    let revocations = vec![one(remit_journal::Basis::All), one(remit_journal::Basis::Key("00".to_owned()))];
    let notified = |statement| LedgerEvent::Notified { notifier: "pager".to_owned(), upto: 7, statement };
    for event in [
        LedgerEvent::Revoked { statement: statement(), revocations },
        LedgerEvent::Frozen(statement()),
        notified(None),
        LedgerEvent::Unfrozen { statement: statement(), seen: 0 },
        LedgerEvent::Reviewed { statement: statement(), run },
        notified(Some(statement())),
    ] {
        place.put(About::Host, event);
    }
    let lines = orders(&place.reader()).unwrap();
    let told: Vec<_> = lines.iter().map(|line| line.split("  ").last().unwrap()).collect();
    let why = "by alice: as it was put on record";
    assert_eq!(
        told,
        [
            format!("revoked all, key:00 {why}"),
            format!("frozen {why}"),
            format!("unfrozen {why}"),
            format!("{run} reviewed {why}"),
            "given up: pager does not get the event of record 7, by alice: as it was put on record"
                .to_owned(),
        ]
    );
}

#[test]
fn who_could_do_what_is_told() {
    let place = Place::new(&POLICY.replace("1 human", "2 human"));
    place.end_key("carol");
    let id = place.file("bot", &place.request());
    place.approve(id, "bot", |_| {});
    place.approve(id, "alice", |_| {});
    let told = || explain(&place.reader(), &place.rules(), &place.load(id)).unwrap();
    let explained = told();
    assert_eq!((explained.request, &*explained.status, explained.break_glass), (id, "waiting", false));
    let could = |name: &str, verb: &str| {
        let one = told().could.into_iter().find(|could| could.who == name && could.verb == verb).unwrap();
        (one.allowed, one.why)
    };
    assert_eq!(explained.could.len(), 12);
    assert!(could("alice", "approve").1.contains("alice has approved it already"));
    assert!(could("bob", "approve").0 && could("bob", "approve").1.contains("humans-approve"));
    assert_eq!(could("carol", "approve"), (false, "it has no key that is in force now".to_owned()));
    assert!(could("bot", "approve").1.contains("nobody approves their own request"));
    assert!(could("bot", "start").1.contains("approvals are missing: 1 of 2 humans"));
    assert!(could("bob", "revoke").0);
    let lines = explained.lines();
    assert_eq!(lines[0], format!("{id}: waiting"));
    assert_eq!(
        lines[1..4],
        [
            "needs   2 humans: 1 missing   (policy one-human)",
            "by      bot: does not count: it is by the requester",
            "by      alice: counts",
        ]
    );
    assert!(lines.iter().any(|line| line.starts_with("approve bob: allowed")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("start   bob: no: ")), "{lines:?}");

    place.approve(id, "bob", |_| {});
    let lines = told().lines();
    assert_eq!(
        lines[..2],
        [format!("{id}: approved"), "needs   2 humans: met   (policy one-human)".to_owned()]
    );
    assert!(could("bot", "start").0 && could("bot", "start").1.contains("anything"));
    assert!(could("alice", "start").1.contains("alice may not start it, only bot"));

    let standing = place.file("bot", &place.standing());
    let glass = place.file("bot", &Request { break_glass: true, ..place.request() });
    for id in [standing, glass] {
        place.approve(id, "alice", |_| {});
        place.approve(id, "bob", |_| {});
    }
    let starts = |id| {
        let explained = explain(&place.reader(), &place.rules(), &place.load(id)).unwrap();
        let mut could = explained.could.iter().filter(|could| could.who == "bot" && could.verb == "start");
        (could.next().unwrap().why.clone(), explained)
    };
    assert!(
        starts(standing).0.ends_with(", if it changes nothing; a run with changes is judged when it starts")
    );
    // No principal is asked for it here.
    let (why, explained) = starts(glass);
    assert!(why.contains("principals.toml has no [break-glass]"), "{why}");
    let lines = explained.lines();
    assert_eq!(lines[0], format!("{glass}: forbidden"));
    assert!(
        lines[1].starts_with("break-glass: ") && lines[2].starts_with("needs   cannot be met: "),
        "{lines:?}"
    );
    place.principals(|text| {
        text.replace("groups = []", "groups = [\"on-call\"]")
            + "\n[break-glass]\nquorum = 1\ngroup = \"on-call\"\n"
    });
    let glass = place.file("bot", &Request { break_glass: true, ..place.request() });
    place.approve(glass, "alice", |_| {});
    assert_eq!(starts(glass).0, "allowed by the quorum of [break-glass]");
}
