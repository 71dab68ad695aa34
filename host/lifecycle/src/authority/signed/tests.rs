use remit_journal::Act;
use remit_trust::Sign as _;

use super::*;
use crate::authority::{Request, Session, Trigger};
use crate::testing::{POLICY, Place};

fn order(place: &Place, by: &str) -> Order {
    Order {
        log: place.rules().log.clone(),
        principal: by.to_owned(),
        at: Timestamp::now(),
        reason: "INC-9".to_owned(),
        order: OrderKind::Freeze,
    }
}

fn check(place: &Place, by: &str, order: &Order) -> Result<Accepted<Order>, String> {
    Accepted::check(&place.rules(), &place.reader(), &place.sign(by, order))
        .map_err(|error| error.to_string())
}

#[test]
fn what_is_prepared_is_what_is_signed() {
    let place = Place::new(POLICY);
    let by = place.rules().identify(&place.reader(), &place.key("alice")).unwrap();
    let prepared = Prepared::order(&place.rules(), &by, OrderKind::Freeze, "INC-9").unwrap();
    let payload = remit_trust::canonical(&prepared.document).unwrap();
    assert_eq!(prepared.payload(), payload);
    assert_eq!(prepared.payload_type(), "application/vnd.remit.order.v1+json");
    assert_eq!(prepared.digest(), Digest::of(&payload));
    assert_eq!(prepared.to_sign(), pae("application/vnd.remit.order.v1+json", &payload));
    let signature = place.signer("alice").sign(&prepared.to_sign()).unwrap();
    for envelope in [prepared.sign(place.signer("alice")).unwrap(), prepared.signed(&signature).unwrap()] {
        let accepted = Accepted::<Order>::check(&place.rules(), &place.reader(), &envelope).unwrap();
        assert_eq!((&*accepted.document, accepted.digest), (&prepared.document, prepared.digest()));
        assert_eq!(accepted.by.name(), "alice");
    }
}

/// What a server prepared is shown before it is signed, so it must be the whole of what is signed, and of the kind that was asked for.
#[test]
fn what_a_server_prepared_is_taken_as_it_would_be_shown_or_not_at_all() {
    let place = Place::new(POLICY);
    let document = order(&place, "alice");
    let payload = remit_trust::canonical(&document).unwrap();
    let received = |payload_type: &str, payload: &[u8]| {
        Prepared::<Order>::received(payload_type, payload.to_vec(), place.key("alice"))
            .map_err(|error| error.to_string())
    };
    let prepared = received(Order::TYPE, &payload).unwrap();
    assert_eq!(
        (&prepared.document, prepared.payload(), &prepared.key),
        (&document, &*payload, &place.key("alice"))
    );
    let told = received(Trigger::TYPE, &payload).unwrap_err();
    assert!(told.contains("it is of the type application/vnd.remit.trigger"), "{told}");
    let told = received(Order::TYPE, &serde_json::to_vec_pretty(&document).unwrap()).unwrap_err();
    assert!(told.contains("it is not canonical JSON"), "{told}");
    assert!(received(Order::TYPE, b"{}").is_err());
}

#[test]
fn a_document_is_by_whom_it_names_and_for_this_journal() {
    let place = Place::new(POLICY);
    let good = order(&place, "alice");
    let accepted = check(&place, "alice", &good).unwrap();
    let statement = accepted.statement("INC-9");
    assert_eq!((&*statement.principal, &*statement.reason), ("alice", "INC-9"));
    assert_eq!(statement.key, place.key("alice").to_string());
    let refused = |by: &str, order: &Order| check(&place, by, order).unwrap_err();
    assert!(refused("bob", &good).contains("it says that it is by alice, and alice did not sign it"));
    assert!(refused("bob", &order(&place, "nobody")).contains("there is no principal `nobody`"));
    let foreign = Order { log: "other.example/journal".to_owned(), ..good.clone() };
    assert!(refused("alice", &foreign).contains("it is for the journal other.example/journal"));
    // The bytes have one spelling.
    let pretty = serde_json::to_vec_pretty(&good).unwrap();
    let envelope = Envelope::sign(Order::TYPE, &pretty, place.signer("alice")).unwrap();
    let told = Accepted::<Order>::check(&place.rules(), &place.reader(), &envelope).unwrap_err();
    assert!(told.to_string().contains("it is not canonical JSON"));
}

#[test]
fn no_document_says_more_than_people_read() {
    let place = Place::new(POLICY);
    let by = place.rules().identify(&place.reader(), &place.key("alice")).unwrap();
    // Characters count, not bytes.
    let most = Order { reason: "\u{e9}".repeat(MAX_WORDS), ..order(&place, "alice") };
    check(&place, "alice", &most).unwrap();
    let reason = most.reason.clone() + "!";
    let says = "its reason has 4001 characters, and may have 4000";
    let told = Prepared::order(&place.rules(), &by, OrderKind::Freeze, &reason).unwrap_err().to_string();
    assert!(told.contains(says), "{told}");
    // Nor one that nobody prepared.
    let told = check(&place, "alice", &Order { reason: reason.clone(), ..most }).unwrap_err();
    assert!(told.contains(says), "{told}");
    let request = Request { incident: Some(reason), ..place.request() };
    assert_eq!(request.words().len(), 2);
    let told = Prepared::new(request, &by).unwrap_err().to_string();
    assert!(told.contains("its incident has 4001 characters"), "{told}");
}

#[test]
fn whoever_was_revoked_signs_nothing_any_more() {
    let place = Place::new(POLICY);
    let good = order(&place, "alice");
    let revoke = |basis, earlier_only| {
        let revocations = vec![remit_journal::Revocation { basis, earlier_only }];
        let statement = place.statement("bob", &order(&place, "bob"));
        place.put(About::Host, remit_journal::LedgerEvent::Revoked { statement, revocations });
    };
    // What a principal did before ends, and not what it does from then on.
    revoke(remit_journal::Basis::Principal("alice".to_owned()), true);
    check(&place, "alice", &good).unwrap();
    revoke(remit_journal::Basis::Key(place.key("alice").to_string()), false);
    let told = check(&place, "alice", &good).unwrap_err();
    assert!(told.contains("bob: as it was put on record"), "{told}");
    let by = place.rules().identify(&place.reader(), &place.key("alice")).unwrap();
    assert!(by.stands(&place.reader()).is_err());
    let action = remit_policy::PolicyAction::Freeze;
    assert!(by.check_allowed(&place.rules(), &place.reader(), action, None).is_err());
    assert!(place.host.identify(&place.key("alice")).is_err());
    assert_eq!(place.host.identify(&place.key("bob")).unwrap().who().kind, "human");
    place.end_key("bob");
    let told = place.rules().identify(&place.reader(), &place.key("bob")).unwrap_err().to_string();
    assert!(told.contains("of bob is not in force now"), "{told}");
    let told = place.rules().identify(&place.reader(), &place.key("spare")).unwrap_err().to_string();
    assert!(told.contains("belongs to no principal"), "{told}");
}

#[test]
fn a_document_is_on_record_once() {
    let place = Place::new(POLICY);
    let good = order(&place, "alice");
    let accepted = check(&place, "alice", &good).unwrap();
    let on_record = || digests_on_record(&place.reader(), About::Host).unwrap();
    let other = Order { reason: "INC-8".to_owned(), ..good.clone() };
    let event = |order| remit_journal::LedgerEvent::Frozen(place.statement("alice", order));
    place.put(About::Host, event(&other));
    place.put(About::Host, remit_journal::LedgerEvent::Expired);
    accepted.check_new(on_record()).unwrap();
    place.put(About::Host, event(&good));
    assert_eq!(on_record().len(), 2);
    assert!(matches!(accepted.check_new(on_record()), Err(Error::OnRecord { what: "order" })));
    let acts: Vec<(u64, Act)> = place.reader().acts(About::Host).unwrap();
    let document = &acts[2].1.event.statement().unwrap().document;
    assert_eq!(digest_of(document), Some(accepted.digest));
}

#[test]
fn the_age_of_a_document_is_its_own_to_the_second() {
    let place = Place::new(POLICY);
    let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
    let seconds = |seconds: i64| now + SignedDuration::from_secs(seconds);
    let told = |at| check_age::<Order>(at, now).map_err(|error| error.to_string());
    for at in [-3600, -1, 0, 2] {
        assert_eq!(told(seconds(at)), Ok(()), "{at}");
    }
    assert!(told(seconds(-3601)).unwrap_err().contains("which is more than 1 h ago"));
    assert!(told(seconds(3)).unwrap_err().contains("and it is only"));
    check_age::<crate::Approval>(seconds(-24 * 3600), now).unwrap();
    assert!(check_age::<crate::Approval>(seconds(-24 * 3600 - 1), now).is_err());
    assert!(check_age::<Trigger>(seconds(-3601), now).is_err());
    assert!(check_age::<Session>(seconds(-3601), now).is_err());
    assert!(check_age::<crate::Request>(seconds(-3601), now).is_err());

    let accepted = check(&place, "alice", &order(&place, "alice")).unwrap();
    let made = |seconds: i64| accepted.document.at + SignedDuration::from_secs(seconds);
    for near in [-2, 0, 2] {
        accepted.check_made_at(made(near)).unwrap();
    }
    for far in [-3, 3] {
        assert!(
            accepted.check_made_at(made(far)).unwrap_err().to_string().contains("its identifier was made at")
        );
    }
    // A clock that was set back makes nothing younger.
    let old = Order { at: Timestamp::now() - SignedDuration::from_mins(59), ..order(&place, "alice") };
    check(&place, "alice", &old).unwrap();
    let event = remit_journal::LedgerEvent::Notified { notifier: "n".to_owned(), upto: 1, statement: None };
    place.put_at(About::Host, event, Timestamp::now() + SignedDuration::from_mins(2));
    assert!(check(&place, "alice", &old).unwrap_err().contains("more than 1 h ago"));
}

#[test]
fn a_signed_document_is_read_in_both_of_its_forms() {
    let place = Place::new(POLICY);
    place.spare_key("");
    let good = order(&place, "bot");
    let bytes = pae(Order::TYPE, &remit_trust::canonical(&good).unwrap());
    let signature = place.signer("spare").sign(&bytes).unwrap();
    let read = |bytes: &[u8], signature: &[u8]| {
        read_signed::<Order>(
            |name| place.rules().keys_of(name),
            bytes,
            || Ok(signature.to_vec()),
            "order.doc",
        )
        .map_err(|error| error.to_string())
    };
    let (envelope, claimed) = read(&bytes, &signature).unwrap();
    assert_eq!(claimed, good);
    Accepted::<Order>::check(&place.rules(), &place.reader(), &envelope).unwrap();
    let json = format!(" {}", serde_json::to_string_pretty(&envelope).unwrap());
    assert_eq!(read(json.as_bytes(), b"").unwrap(), (envelope, good.clone()));
    let refused = |bytes: &[u8], signature: &[u8]| read(bytes, signature).unwrap_err();
    assert!(
        refused(b"nothing", b"").contains("not what is signed for a order"),
        "{}",
        refused(b"nothing", b"")
    );
    let other = pae("application/vnd.remit.trigger.v1+json", &remit_trust::canonical(&good).unwrap());
    assert!(refused(&other, &signature).contains("it is not what is signed for"));
    let foreign = place.signer("alice").sign(&bytes).unwrap();
    assert!(!refused(&bytes, &foreign).is_empty());
    let nobody = pae(Order::TYPE, &remit_trust::canonical(&order(&place, "nobody")).unwrap());
    assert!(refused(&nobody, &signature).contains("there is no principal `nobody`"));
    assert!(refused(b"{", b"").contains("order.doc"));
}
