use std::collections::BTreeMap;

use jiff::SignedDuration;
use remit_journal::RequestId;
use remit_trust::issuers::Claim;
use remit_trust::{Digest, Sign as _};

use super::*;
use crate::authority::{Accepted, Approval, Request};
use crate::testing::{POLICY, Place};

const ISSUER: &str = "https://issuer.example";

/// A home in which the agent `ci`, and nobody else, proves who it is by tokens.
fn place() -> Place {
    place_of(POLICY)
}

fn place_of(policy: &str) -> Place {
    let place = Place::new(policy);
    place.principals(|text| {
        format!(
            "[[issuer]]\nname = 'jobs'\nkind = 'oidc'\nurl = '{ISSUER}'\naudience = 'remit'\n{text}\n\
             [[principal]]\nname = 'ci'\nkind = 'agent'\n[[principal.identity]]\nissuer = 'jobs'\nsub = 'shop'\n"
        )
    });
    place
}

/// A certificate that the key `spare` is `ci`'s for five minutes from `ago` on, after `change`.
fn certificate(place: &Place, ago: i64, change: impl FnOnce(&mut Certificate)) -> Certificate {
    let from = Timestamp::now() - SignedDuration::from_mins(ago);
    let mut certificate = Certificate {
        log: place.rules().log.clone(),
        key: place.signer("spare").verifying_key().to_text(),
        principal: "ci".to_owned(),
        proof: Proof::IdToken,
        issuer: ISSUER.to_owned(),
        claims: BTreeMap::from([("sub".to_owned(), Claim::Text("shop".to_owned()))]),
        token: Digest::of(b"token"),
        from,
        until: from + SignedDuration::from_mins(5),
    };
    change(&mut certificate);
    certificate
}

/// Puts a certificate on record, with the host's signature over `signed`.
fn put(place: &Place, certificate: &Certificate, signed: &Certificate) {
    let text = signed.to_sign().unwrap();
    let note = place.home().signer(&place.home().load().unwrap()).unwrap().sign_text(&text);
    let signature = note[text.len() + 1..].to_owned();
    let certified = Certified { certificate: certificate.clone(), signature };
    let event = LedgerEvent::Certified(Box::new(certified));
    place.put_at(About::key(&place.key("spare")), event, certificate.from);
}

fn identified(place: &Place) -> Result<String, String> {
    let found = place.rules().identify(&place.reader(), &place.key("spare"));
    found.map(|by| format!("{} {}", by.name(), by.who().proof)).map_err(|error| error.to_string())
}

#[test]
fn a_certificate_that_somebody_put_into_the_file_makes_no_key_anybodys() {
    let place = place();
    let good = certificate(&place, 0, |_| {});
    // As whoever can write the journal's file, and has none of the host's keys, would have it.
    let forged = certificate(&place, 0, |it| "alice".clone_into(&mut it.principal));
    put(&place, &forged, &good);
    let later = certificate(&place, 0, |it| it.until += SignedDuration::from_hours(1));
    put(&place, &later, &good);
    let elsewhere = certificate(&place, 0, |it| "other.example/journal".clone_into(&mut it.log));
    put(&place, &elsewhere, &elsewhere);
    let other_key = certificate(&place, 0, |it| it.key = place.signer("bob").verifying_key().to_text());
    put(&place, &other_key, &other_key);
    let told = identified(&place).unwrap_err();
    assert!(told.contains("belongs to no principal"), "{told}");
    put(&place, &good, &good);
    assert_eq!(identified(&place).unwrap(), "ci id-token");
}

/// What this host signed is looked up and verified once.
#[test]
fn a_certificate_is_remembered_and_says_until_when_the_key_counts() {
    let place = place();
    let good = certificate(&place, 0, |_| {});
    put(&place, &good, &good);
    let (rules, key) = (place.rules(), place.key("spare"));
    assert!(rules.verified.certificate(&key).is_none());
    assert_eq!(rules.identify(&place.reader(), &key).unwrap().until(), Some(good.until));
    let held = rules.verified.certificate(&key).unwrap();
    assert_eq!((held.key.id(), held.certificate.until), (key.clone(), good.until));
    let other = OnRecord { seq: held.seq + 7, ..OnRecord::clone(&held) };
    rules.verified.keep_certificate(&key, &Arc::new(other));
    let again = rules.holder(&place.reader(), &key).unwrap().unwrap().certified.unwrap();
    assert_eq!(again.seq, held.seq + 7);
    assert_eq!(rules.identify(&place.reader(), &place.key("alice")).unwrap().until(), None);
}

/// Between the certificate's record and its end; a document is put on record up to the jitter after it was accepted.
#[test]
fn a_certified_key_signs_from_its_certificate_to_its_end() {
    let place = place();
    let certificate = certificate(&place, 0, |_| {});
    let (from, until) = (certificate.from, certificate.until);
    let key = place.signer("spare").verifying_key();
    let held = OnRecord { certificate, key, seq: 7 };
    let certified = Holder {
        principal: "ci".to_owned(),
        proof: Proof::IdToken,
        device_bound: false,
        certified: Some(Arc::new(held)),
    };
    let moment = SignedDuration::from_nanos(1);
    for (seq, at, counts) in [
        (8, from, true),
        (7, from, false),
        (6, from, false),
        (8, from - moment, false),
        (9, until + JITTER - moment, true),
        (9, until + JITTER, false),
    ] {
        assert_eq!(certified.signed(seq, at), counts, "{seq} at {at}");
    }
    let own = Holder { certified: None, proof: Proof::Key, ..certified };
    assert!(own.signed(0, Timestamp::UNIX_EPOCH));
}

#[test]
fn a_token_is_one_principal_s_or_nobody_s() {
    let place = place();
    let more = |name: &str, issuer: &str, claim: &str| {
        format!(
            "\n[[principal]]\nname = '{name}'\nkind = 'agent'\n[[principal.identity]]\nissuer = '{issuer}'\n{claim}\n"
        )
    };
    place.principals(|text| {
        format!(
            "[[issuer]]\nname = 'other'\nkind = 'oidc'\nurl = 'https://other.example'\naudience = 'remit'\n{text}{}{}{}",
            more("cd", "jobs", "team = 'x'"),
            more("ce", "other", "sub = 'shop'"),
            "[[principal.identity]]\nissuer = 'other'\nteam = 'x'\n",
        )
    });
    let rules = place.rules();
    let of = |issuer: &str, claims: serde_json::Value| {
        let issuer = rules.principals.issuers().iter().find(|one| one.name == issuer).unwrap();
        let found = rules.principal_of(issuer, claims.as_object().unwrap())?;
        Ok(found.map(|(principal, identity)| {
            assert_eq!(identity.issuer, issuer.name);
            principal.name.clone()
        }))
    };
    let (shop, team) = (serde_json::json!({"sub": "shop"}), serde_json::json!({"team": "x"}));
    let both = serde_json::json!({"sub": "shop", "team": "x"});
    assert_eq!(of("jobs", shop.clone()), Ok(Some("ci".to_owned())));
    assert_eq!(of("jobs", team.clone()), Ok(Some("cd".to_owned())));
    assert_eq!(of("jobs", serde_json::json!({"sub": "shops"})), Ok(None));
    assert_eq!(of("jobs", both.clone()), Err("it is for cd as well as for ci".to_owned()));
    // By another issuer it is another's; and two identities of one principal are no contradiction.
    assert_eq!(of("other", shop), Ok(Some("ce".to_owned())));
    assert_eq!(of("other", both), Ok(Some("ce".to_owned())));
}

/// How an approver proved to be the one is what policies are told, of approvals too.
#[test]
fn an_approval_by_a_certified_key_is_judged_as_one() {
    for (proof, counts) in [("id-token", true), ("key", false)] {
        let policy = POLICY.replace(
            "when { principal.kind == \"human\" }",
            &format!("when {{ context.proof == \"{proof}\" }}"),
        );
        let place = place_of(&policy);
        let one = certificate(&place, 0, |_| {});
        put(&place, &one, &one);
        let id = place.file("bot", &place.request());
        let approval = place.approval(id, "ci");
        place.put(About::Request(id), LedgerEvent::Approved(place.statement("spare", &approval)));
        let given = &place.load(id).approvals[0];
        assert_eq!(given.counts.is_ok(), counts, "{proof}: {:?}", given.counts);
    }
}

#[test]
fn rules_decide_what_a_certificate_is_worth() {
    // A person has no identity, whatever a certificate says; nor has it by another issuer, or as another proof.
    let changes: [fn(&mut Certificate); 4] = [
        |it| "alice".clone_into(&mut it.principal),
        |it| "https://other.example".clone_into(&mut it.issuer),
        |it| it.proof = Proof::Token,
        |it| it.claims.clear(),
    ];
    for change in changes {
        let place = place();
        let one = certificate(&place, 0, change);
        put(&place, &one, &one);
        let told = identified(&place).unwrap_err();
        assert!(told.contains("the rules were changed since"), "{told}");
    }
}

#[test]
fn what_a_certified_key_signed_in_its_time_stays_and_nothing_more_counts() {
    let place = place();
    let one = certificate(&place, 8, |_| {});
    let rules = place.rules();
    let by_ci = |ago: i64| {
        let now = Timestamp::now() - SignedDuration::from_mins(ago);
        Request {
            id: RequestId::new(),
            requester: "ci".to_owned(),
            not_before: now,
            not_after: now + SignedDuration::from_hours(1),
            ..place.request()
        }
    };
    let file = |request: &Request, ago: i64| {
        let at = Timestamp::now() - SignedDuration::from_mins(ago);
        let event = LedgerEvent::Requested(place.statement("spare", request));
        place.put_at(About::Request(request.id), event, at);
        request.id
    };
    let before = file(&by_ci(8), 8);
    put(&place, &one, &one);
    let (during, after) = (file(&by_ci(5), 5), file(&by_ci(1), 1));
    let state = place.load(during);
    assert_eq!((state.proof, &state.policy_request.requester.proof), (Proof::IdToken, &Proof::IdToken));
    for id in [before, after] {
        let told = place.try_load(id).unwrap_err().to_string();
        assert!(told.contains("it is not signed by the requester that it names"), "{told}");
    }
    // A new document of it is not taken any more, and one in a person's name never was.
    let told = |document: &Request| {
        let signed = place.sign("spare", document);
        Accepted::<Request>::check(&rules, &place.reader(), &signed).map(drop).unwrap_err().to_string()
    };
    assert!(told(&by_ci(0)).contains("was ci's until"), "{}", told(&by_ci(0)));
    let by_alice = Request { requester: "alice".to_owned(), ..by_ci(0) };
    assert!(told(&by_alice).contains("and alice did not sign it"), "{}", told(&by_alice));
    let approval = Approval { principal: "alice".to_owned(), ..place.approval(during, "alice") };
    let forged = LedgerEvent::Approved(place.statement("spare", &approval));
    place.put(About::Request(during), forged);
    assert!(place.load(during).approvals.is_empty(), "it is nobody's approval");
}
