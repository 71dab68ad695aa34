use super::*;
use crate::testing::{POLICY, Place, wait};
use jiff::Timestamp;

fn order(place: &Place, by: &str, order: OrderKind) -> Order {
    Order {
        log: place.rules().log.clone(),
        principal: by.to_owned(),
        at: Timestamp::now(),
        reason: "so".to_owned(),
        order,
    }
}

fn submit(place: &Place, order: &Order) -> Result<Ordered, Error> {
    wait(submit_order(&place.host, &place.sign(&order.principal, order)))
}

#[test]
fn each_target_ends_what_it_names() {
    let place = Place::new(POLICY);
    place.spare_key("");
    let rules = place.rules();
    let revokes = |target: Target| {
        let OrderKind::Revoke(revocations) = target.order(&rules).unwrap() else { unreachable!() };
        let words = |one: &Revocation| format!("{} {}", one.basis, one.earlier_only);
        revocations.iter().map(words).collect::<Vec<_>>()
    };
    let id = RequestId::new();
    let digest = Digest::of(b"component");
    assert_eq!(revokes(Target::Request(id)), [format!("request:{id} false")]);
    // With each of its keys, which never count again.
    let keys = ["bot", "spare"].map(|name| format!("key:{} false", place.key(name)));
    let bot = revokes(Target::Principal("bot".to_owned()));
    assert_eq!(bot, [&["principal:bot true".to_owned()], &keys[..]].concat());
    assert_eq!(revokes(Target::Key("00".to_owned())), ["key:00 false"]);
    assert_eq!(revokes(Target::Action(digest)), [format!("action:{digest} false")]);
    assert_eq!(revokes(Target::All), ["all true"]);
    let nobody = Target::Principal("nobody".to_owned()).order(&rules).unwrap_err();
    assert!(nobody.to_string().contains("there is no principal `nobody`"));
}

#[test]
fn an_order_that_revokes_nothing_real_is_refused() {
    let place = Place::new(POLICY);
    let id = place.file("bot", &place.request());
    let one = |basis, earlier_only| vec![Revocation { basis, earlier_only }];
    let key = || Basis::Key(place.key("bot").to_string());
    for (revocations, why) in [
        (Vec::new(), "it revokes nothing"),
        (one(Basis::Thaw, false), "what cannot be revoked"),
        (one(Basis::Request(RequestId::new()), false), "a request that was never made"),
        (one(Basis::Request(id), true), "`earlier_only`"),
        (one(key(), true), "`earlier_only`"),
        (one(Basis::Action(String::new()), true), "`earlier_only`"),
        (one(Basis::All, false), "`earlier_only`"),
        (one(Basis::Principal("bot".to_owned()), false), "`earlier_only`"),
    ] {
        let told = submit(&place, &order(&place, "alice", OrderKind::Revoke(revocations))).unwrap_err();
        assert!(told.to_string().contains(why), "{why}: {told}");
    }
    let acts = |about| place.reader().acts(about).unwrap().len();
    assert_eq!((acts(About::Host), acts(About::Request(id))), (0, 1));
    let all = one(Basis::All, true);
    submit(&place, &order(&place, "alice", OrderKind::Revoke(all))).unwrap();
    submit(&place, &order(&place, "alice", OrderKind::Revoke(one(Basis::Request(id), false)))).unwrap();
    assert_eq!((acts(About::Host), acts(About::Request(id))), (1, 2));
    // An order that another command carries out.
    let revert = OrderKind::Revert { run: RunId::new(), keep_going: false };
    let told = submit(&place, &order(&place, "alice", revert)).unwrap_err();
    assert!(told.to_string().contains("it does not revoke, freeze, unfreeze or review"));
}

#[test]
fn each_order_is_on_record_as_what_it_is() {
    let place = Place::new(POLICY);
    let kinds = || {
        let acts = place.reader().acts(About::Host).unwrap();
        acts.iter().map(|(_, act)| act.event.kind()).collect::<Vec<_>>()
    };
    for (frozen, kind) in [(true, "frozen"), (false, "unfrozen")] {
        let prepared = prepare_freeze(&place.host, &place.key("alice"), frozen, "r").unwrap();
        submit(&place, &prepared.document).unwrap();
        assert_eq!(kinds().last(), Some(&kind));
    }
    let told = prepare_freeze(&place.host, &place.key("alice"), true, " ").unwrap_err();
    assert!(told.to_string().contains("it has no reason"));
    let lines = crate::orders(&place.reader()).unwrap();
    assert!(
        lines[0].contains("frozen by alice: r") && lines[1].contains("unfrozen by alice: r"),
        "{lines:?}"
    );
    let mute = Order { reason: " ".to_owned(), ..order(&place, "alice", OrderKind::Freeze) };
    assert!(submit(&place, &mute).unwrap_err().to_string().contains("it has no reason"));
    assert_eq!(kinds().len(), 2);
}

#[test]
fn policies_decide_who_gives_which_order() {
    let verbs = "Remit::Action::\"revoke\",\n        Remit::Action::\"revert\", Remit::Action::\"freeze\", Remit::Action::\"review\", ";
    let policy = POLICY.replace(verbs, "");
    assert_ne!(policy, POLICY);
    let place = Place::new(&policy);
    let glass = place.file("bot", &crate::Request { break_glass: true, ..place.request() });
    let run = place.run(glass, &[], |_, _| {});
    let told = |prepared: Result<Prepared<Order>, Error>| prepared.unwrap_err().to_string();
    let (host, alice) = (&place.host, &place.key("alice"));
    assert!(told(prepare_freeze(host, alice, true, "r")).contains("alice may not freeze or unfreeze"));
    assert!(told(prepare_freeze(host, alice, false, "r")).contains("alice may not freeze or unfreeze"));
    assert!(told(prepare_revoke(host, alice, Target::All, "r")).contains("alice may not revoke this"));
    assert!(told(prepare_review(host, alice, run, "r")).contains("alice may not review this"));
    let freeze = order(&place, "alice", OrderKind::Freeze);
    assert!(submit(&place, &freeze).unwrap_err().to_string().contains("alice may not freeze or unfreeze"));
}

#[test]
fn an_order_to_unfreeze_knew_of_the_newest_freeze() {
    let place = Place::new(POLICY);
    let size = || place.reader().size().unwrap();
    let freeze = || submit(&place, &order(&place, "alice", OrderKind::Freeze)).map(|_| size()).unwrap();
    let unfreeze = |seen| {
        submit(&place, &order(&place, "bob", OrderKind::Unfreeze { seen })).map_err(|error| error.to_string())
    };
    let frozen = || crate::frozen(&place.reader()).unwrap().is_some();
    let (first, second) = (freeze(), freeze());
    assert!(unfreeze(first).unwrap_err().contains("the host was frozen again at"));
    assert!(unfreeze(second + 1).unwrap_err().contains("more records than this journal has"));
    assert!(frozen());
    unfreeze(second).unwrap();
    assert!(!frozen());
    // The freezes before the newest one are not asked about.
    let third = freeze();
    assert!(frozen());
    unfreeze(third).unwrap();
    assert!(!frozen());
    let order = prepare_freeze(&place.host, &place.key("alice"), false, "r").unwrap().document.order;
    assert_eq!(order, OrderKind::Unfreeze { seen: size() });
}

#[test]
fn a_run_is_reviewed_by_one_who_neither_asked_for_nor_started_it() {
    let place = Place::new(POLICY);
    let request = crate::Request { requester: "bot".to_owned(), break_glass: true, ..place.request() };
    let glass = place.file("bot", &request);
    let plain = place.file("bot", &place.request());
    let review = |by: &str, run| {
        prepare_review(&place.host, &place.key(by), run, "was needed").map_err(|error| error.to_string())
    };
    let ordinary = place.run(plain, &[], |_, _| {});
    assert!(review("alice", ordinary).unwrap_err().contains("it is no break-glass run"));
    let run = place.run(glass, &[], |started, _| started.started_by = Some("bob".to_owned()));
    assert!(review("bot", run).unwrap_err().contains("bot asked for it or started it"));
    assert!(review("bob", run).unwrap_err().contains("bob asked for it or started it"));
    let prepared = review("alice", run).unwrap();
    submit(&place, &prepared.document).unwrap();
    let acts = place.reader().acts(About::Host).unwrap();
    assert!(
        matches!(&acts[..], [(_, Act { event: LedgerEvent::Reviewed { run: of, .. }, .. })] if *of == run)
    );
    let lines = crate::orders(&place.reader()).unwrap();
    assert!(lines[0].contains(&format!("{run} reviewed by alice")), "{lines:?}");
}
