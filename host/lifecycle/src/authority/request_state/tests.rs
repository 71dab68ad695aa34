use jiff::SignedDuration;
use remit_trust::Sign as _;

use super::*;
use crate::testing::{POLICY, Place};

fn human(name: &str) -> Subject {
    Subject { name: name.to_owned(), kind: "human".to_owned(), ..Subject::default() }
}

fn humans(count: usize) -> Need {
    Need { policy: "two".to_owned(), count, kind: Some("human".to_owned()), group: None }
}

#[test]
fn what_a_request_lacks_is_beyond_those_who_could_still_approve() {
    let all = ["alice", "bob", "carol"].map(human);
    for (count, missing, could, beyond) in [
        (1, 1, 0, true),
        (1, 1, 1, false),
        (1, 0, 0, false),
        (2, 2, 1, true),
        (2, 1, 1, false),
        (2, 2, 2, false),
        (2, 1, 3, false),
        (3, 3, 2, true),
        (9, 3, 3, false),
        (9, 4, 3, true),
    ] {
        let lacks = MissingApprovals { needs: vec![(humans(count), missing)] };
        assert_eq!(lacks.is_beyond(&all[..could]), beyond, "{missing} of {count} by {could}");
    }
    // One need that cannot be met is enough.
    let lacks = MissingApprovals { needs: vec![(humans(1), 1), (humans(2), 2)] };
    assert!(lacks.is_beyond(&all[..1]) && !lacks.is_beyond(&all));
    assert!(!MissingApprovals { needs: Vec::new() }.is_beyond(&[]));
}

#[test]
fn what_a_request_lacks_is_told_without_what_it_has() {
    let lacks = MissingApprovals { needs: vec![(humans(1), 0), (humans(3), 2)] };
    assert_eq!(lacks.words(), ["2 more of 3 humans (two)"]);
}

/// Why each approval does not count, in the order of the journal; empty if it counts.
fn counting(place: &Place, id: RequestId) -> Vec<String> {
    let state = place.load(id);
    let of = |given: &Given| given.counts.as_ref().err().cloned().unwrap_or_default();
    state.approvals.iter().map(of).collect()
}

#[test]
fn an_approval_counts_if_nothing_speaks_against_it() {
    let place = Place::new(POLICY);
    place.spare_key("");
    let id = place.file("bot", &place.request());
    let other = Digest::of(b"another");
    place.approve(id, "alice", |approval| approval.approve = false);
    place.approve(id, "alice", |approval| approval.request = other);
    place.approve(id, "alice", |approval| "other.example/journal".clone_into(&mut approval.log));
    place.approve(id, "bot", |_| {});
    // The requester by its other key, which is nobody else's.
    let approval = place.approval(id, "bot");
    place.put(About::Request(id), LedgerEvent::Approved(place.statement("spare", &approval)));
    // Signed by another than the one that it names: it is none.
    let approval = place.approval(id, "alice");
    place.put(About::Request(id), LedgerEvent::Approved(place.statement("bob", &approval)));
    let waiting = place.load(id);
    assert!(matches!(waiting.status(&place.rules()), Status::Waiting(_)), "{waiting:?}");
    assert_eq!(waiting.status(&place.rules()).name(), "waiting");
    assert!(waiting.approvers().is_empty());
    place.approve(id, "alice", |_| {});
    place.approve(id, "alice", |_| {});
    place.approve(id, "bob", |_| {});
    assert_eq!(
        counting(&place, id),
        [
            "denies the request",
            "is about another request",
            "is about another request",
            "is by the requester",
            "is by the requester",
            "",
            "repeats an earlier one",
            ""
        ]
    );
    let state = place.load(id);
    assert_eq!(state.status(&place.rules()).name(), "approved");
    let approvers = state.approvers();
    assert_eq!(approvers.iter().map(|who| &*who.name).collect::<Vec<_>>(), ["alice", "bob"]);
    assert!(approvers.iter().all(|who| who.kind == "human"));
}

#[test]
fn an_approval_ends_with_its_principal_and_with_its_key() {
    let place = Place::new(POLICY);
    // Signed by `carol`, who may not; by one who is gone later; by a key that is out of force later.
    place.principals(|text| {
        text.replace("name   = \"carol\"\nkind   = \"human\"", "name   = \"carol\"\nkind   = \"service\"")
    });
    let id = place.file("bot", &place.request());
    for name in ["carol", "alice", "bob"] {
        place.approve(id, name, |_| {});
    }
    let told = counting(&place, id);
    assert!(told[0].starts_with("is not allowed: ") && told[1].is_empty() && told[2].is_empty(), "{told:?}");
    place.end_key("bob");
    place.principals(|text| text.replace("name   = \"alice\"", "name   = \"dora\""));
    let told = counting(&place, id);
    assert_eq!(told[1..], ["is by a key that is not in force now"], "{told:?}");
}

#[test]
fn a_request_is_what_its_requester_signed_for_this_journal() {
    let place = Place::new(POLICY);
    let refused = |id: RequestId| place.try_load(id).unwrap_err().to_string();
    let request = place.request();
    let id = place.file("alice", &request);
    assert!(refused(id).contains("not signed by the requester that it names"));
    // Filed under another identifier, or made for another journal.
    let other = RequestId::new();
    place.put(About::Request(other), LedgerEvent::Requested(place.statement("bot", &request)));
    assert!(refused(other).contains("for another identifier, or for another journal"));
    let foreign = Request { log: "other.example/journal".to_owned(), ..place.request() };
    let id = place.file("bot", &foreign);
    assert!(refused(id).contains("for another identifier, or for another journal"));
    assert!(refused(RequestId::new()).contains("its first record is missing"));
}

#[test]
fn a_request_ends_in_each_of_these_ways() {
    let place = Place::new(POLICY);
    let status = |request: &Request, change: &dyn Fn(RequestId)| {
        let id = place.file("bot", request);
        place.approve(id, "alice", |_| {});
        assert_eq!(place.load(id).status(&place.rules()).name(), "approved");
        change(id);
        let state = place.load(id);
        (state.status(&place.rules()).name(), state.closed.unwrap_or_default())
    };
    let denied = status(&place.request(), &|id| {
        let denial = Approval { approve: false, ..place.approval(id, "bob") };
        place.put(About::Request(id), LedgerEvent::RequestDenied(place.statement("bob", &denial)));
    });
    assert_eq!(denied, ("closed", "bob denied it: as it was put on record".to_owned()));
    let voided = status(&place.request(), &|id| {
        place.put(About::Request(id), LedgerEvent::Voided { why: "so".to_owned() });
    });
    assert_eq!(voided, ("closed", "it was voided: so".to_owned()));
    let twice = Request { uses: Some(2), ..place.request() };
    let run = |id| {
        place.run(id, &["prod/db"], |_, _| {});
    };
    assert_eq!(status(&twice, &run).0, "approved");
    assert_eq!(status(&place.request(), &run).0, "used");
    let now = Timestamp::now();
    let past = Request { not_after: now - SignedDuration::from_secs(1), ..place.request() };
    let id = place.file("bot", &past);
    assert_eq!(place.load(id).status(&place.rules()).name(), "expired");
    let old = Request { rules: Digest::of(b"other rules"), ..place.request() };
    let id = place.file("bot", &old);
    let Status::Closed(why) = place.load(id).status(&place.rules()) else { panic!("not closed") };
    assert_eq!(why, "the rules were changed since it was made");
}

#[test]
fn a_request_depends_on_who_made_it_and_on_what_it_is_for() {
    let place = Place::new(POLICY);
    let (run, standing) = (place.request(), place.standing());
    let bases = |request: &Request| {
        let state = place.load(place.file("bot", request));
        let seq = state.seq;
        let bases = state.own_bases();
        assert!(bases.iter().all(|on| on.since == seq));
        bases.into_iter().map(|on| on.basis.to_string()).collect::<Vec<_>>()
    };
    let key = format!("key:{}", place.key("bot"));
    let of =
        |id: RequestId| ["all".to_owned(), format!("request:{id}"), "principal:bot".to_owned(), key.clone()];
    assert_eq!(bases(&standing), of(standing.id));
    let action = format!("action:{}", crate::testing::action().digest);
    assert_eq!(bases(&run), [&of(run.id)[..], &[action]].concat());
}

#[test]
fn what_was_signed_is_handed_out_under_names_of_its_own() {
    let place = Place::new(POLICY);
    let request = place.request();
    let id = place.file("bot", &request);
    for _ in 0..3 {
        place.approve(id, "alice", |_| {});
    }
    place.approve(id, "bob", |_| {});
    // None of them signed with an SSH key, so there are no signatures for `ssh-keygen`.
    let files = place.load(id).for_ssh_keygen().unwrap();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "request-bot.signed",
            "approval-alice.signed",
            "approval-alice.2.signed",
            "approval-alice.3.signed",
            "approval-bob.signed"
        ]
    );
    let payload = remit_trust::canonical(&request).unwrap();
    assert_eq!(files[0].1, remit_trust::dsse::pae("application/vnd.remit.request.v1+json", &payload));
}

/// A person and their software count as one: neither approves what the other asked for, or may start.
#[test]
fn an_operator_does_not_approve_for_their_software() {
    let place = Place::new(
        &POLICY
            .replace("when { principal.kind == \"human\" }", "when { context has time }")
            .replace("1 human", "1"),
    );
    // The bot is the last principal; the helper has its spare key.
    let public = place.signer("spare").verifying_key().to_text();
    place.principals(|text| {
        let text = text.replace("name   = \"bot\"", "name   = \"bot\"\noperator = \"alice\"");
        text + &format!(
            "\n[[principal]]\nname = \"helper\"\nkind = \"agent\"\noperator = \"alice\"\n[[principal.key]]\npublic = '''{public}'''\n"
        )
    });
    let approve = |id, key: &str, name: &str| {
        let approval = Approval { principal: name.to_owned(), ..place.approval(id, name) };
        place.put(About::Request(id), LedgerEvent::Approved(place.statement(key, &approval)));
    };
    let asked = place.file("bot", &place.request());
    approve(asked, "alice", "alice");
    approve(asked, "spare", "helper");
    approve(asked, "bob", "bob");
    assert_eq!(
        counting(&place, asked),
        [
            "is by the operator of bot, which asked for it",
            "is by software of alice, who also operates bot, which asked for it",
            ""
        ]
    );
    let by_alice = Request { requester: "alice".to_owned(), ..place.request() };
    let asked = place.file("alice", &Request { triggers: vec!["alice".to_owned()], ..by_alice });
    approve(asked, "bot", "bot");
    assert_eq!(counting(&place, asked), ["is by software of alice, who asked for it"]);
    let by_carol = Request { requester: "carol".to_owned(), ..place.request() };
    let asked = place.file("carol", &by_carol);
    approve(asked, "alice", "alice");
    assert_eq!(counting(&place, asked), ["is by the operator of bot, which may start it"]);
    // Policies see it too, and who acts is told at once.
    let bot = place.rules().identify(&place.reader(), &place.key("bot")).unwrap().who();
    assert_eq!(bot.operator.map(|person| person.name), Some("alice".to_owned()));
    let decision = crate::Decision { approve: true, reason: String::new(), expect: None };
    let told =
        crate::prepare_decision(&place.host, &place.key("alice"), asked, &decision).unwrap_err().to_string();
    assert!(told.contains("alice is the operator of bot, which may start it: somebody else must"), "{told}");
}
