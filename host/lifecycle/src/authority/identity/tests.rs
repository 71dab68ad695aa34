use remit_trust::issuers::Proof;

use super::*;
use crate::testing::{POLICY, Place};

#[test]
fn only_a_person_is_taken_for_one() {
    let place = Place::new(POLICY);
    let by = |name: &str| place.rules().identify(&place.reader(), &place.key(name)).unwrap();
    by("alice").check_is_person("resolve", RunId::new()).unwrap();
    let told = by("bot").check_is_person("resolve", RunId::new()).unwrap_err();
    assert!(told.to_string().contains("it is software: only a person can do so"), "{told}");
}

#[test]
fn what_no_policy_permits_is_refused_in_words() {
    let place = Place::new(&POLICY.replace("Remit::Action::\"freeze\", ", ""));
    let (rules, reader) = (place.rules(), place.reader());
    let by = rules.identify(&reader, &place.key("alice")).unwrap();
    by.check_allowed(&rules, &reader, PolicyAction::Review, None).unwrap();
    let told = by.check_allowed(&rules, &reader, PolicyAction::Freeze, None).unwrap_err();
    assert!(told.to_string().contains("freeze or unfreeze"), "{told}");
}

/// Who could still act is told by what it could prove: by its keys, and by tokens of the issuer of each of its identities.
#[test]
fn a_principal_could_prove_itself_by_each_key_and_identity_that_it_has() {
    let place = Place::new(POLICY);
    let issuer = |name: &str, accepts: &str| {
        format!(
            "[[issuer]]\nname = '{name}'\nkind = 'oidc'\nurl = 'https://{name}.example'\naudience = 'remit'\naccepts = '{accepts}'\n"
        )
    };
    let identity = |issuer: &str| format!("[[principal.identity]]\nissuer = '{issuer}'\nsub = 'shop'\n");
    place.principals(|text| {
        let issuers = issuer("jobs", "exchange") + &issuer("agents", "bearer");
        let one = |name: &str| format!("[[principal]]\nname = '{name}'\nkind = 'agent'\n");
        format!("{issuers}{text}\n{}{}{}{}", one("ci"), identity("jobs"), one("chat"), identity("agents"))
    });
    let (rules, reader) = (place.rules(), place.reader());
    let proofs = |name: &str| {
        let principal = rules.principals.get(name).unwrap();
        let all: Vec<_> = rules.possible(&reader, principal).collect();
        assert!(all.iter().all(|by| by.name() == name && by.who().name == name));
        all.iter().map(|by| by.who().proof).collect::<Vec<_>>()
    };
    assert_eq!(proofs("alice"), [Proof::Key]);
    assert_eq!((proofs("ci"), proofs("chat")), (vec![Proof::IdToken], vec![Proof::Token]));
}
