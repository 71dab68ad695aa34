//! Issuers of tokens: where their keys are, and whose a token is.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::path::Path;

use remit_trust::issuers::{Accepts, Claim, Issuer, Proof, TokenIdentity};
use remit_trust::principals::Principals;
use serde_json::{Value, json};

/// Rules with the issuer at this address, and the identity of `ci` with these claims.
fn rules(kind: &str, url: &str, identity: &str) -> Principals {
    let text = format!(
        "[[issuer]]\nname = 'jobs'\nkind = '{kind}'\nurl = '{url}'\naudience = 'remit'\n[[principal]]\n\
         name = 'ci'\nkind = 'service'\n[[principal.identity]]\nissuer = 'jobs'\n{identity}\n"
    );
    Principals::parse(&text, "principals.toml", Path::new("/nowhere")).unwrap()
}

fn issuer(url: &str) -> Issuer {
    rules("oidc", url, "sub = 'one'").issuers()[0].clone()
}

fn identity(kind: &str, claims: &str) -> TokenIdentity {
    rules(kind, "https://issuer.example", claims).get("ci").unwrap().identities[0].clone()
}

#[test]
fn an_issuer_is_found_by_its_address_and_what_its_tokens_are_taken_as() {
    let all = "[[issuer]]\nname = 'a'\nkind = 'gitlab'\nurl = 'https://a.example'\naudience = 'one'\n\
        [[issuer]]\nname = 'b'\nkind = 'gitlab'\nurl = 'https://a.example'\naudience = 'two'\naccepts = 'bearer'\n\
        [[issuer]]\nname = 'c'\nkind = 'oidc'\nurl = 'https://c.example'\naudience = 'one'\n";
    let all = Principals::parse(all, "principals.toml", Path::new("/nowhere")).unwrap();
    let names: Vec<_> = all.issuers().iter().map(|issuer| &*issuer.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let found = |url, accepts| all.issuer(url, accepts).map(|issuer| &*issuer.name);
    assert_eq!(found("https://a.example", Accepts::Exchange), Some("a"));
    assert_eq!(found("https://a.example", Accepts::Bearer), Some("b"));
    assert_eq!(found("https://c.example", Accepts::Exchange), Some("c"));
    assert_eq!(found("https://c.example", Accepts::Bearer), None);
    assert_eq!(found("https://a.example/", Accepts::Exchange), None);
}

#[test]
fn what_is_proven_has_one_name_everywhere() {
    assert_eq!([Accepts::Exchange, Accepts::Bearer].map(Accepts::proof), [Proof::IdToken, Proof::Token]);
    let all = [Proof::Key, Proof::Passkey, Proof::IdToken, Proof::Token];
    assert_eq!(all.map(Proof::name), Proof::NAMES);
    for proof in all {
        assert_eq!(json!(proof), json!(proof.name()));
        assert_eq!(format!("{proof:>9}"), format!("{:>9}", proof.name()));
    }
}

#[test]
fn the_keys_are_where_the_issuer_says_and_on_its_own_host_only() {
    let document = |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys, "x": 1}).to_string();
    let realm = issuer("https://issuer.example/realms/one");
    assert_eq!(realm.discovery(), "https://issuer.example/realms/one/.well-known/openid-configuration");
    assert_eq!(
        issuer("https://issuer.example/").discovery(),
        "https://issuer.example/.well-known/openid-configuration"
    );
    let url = realm.url.as_str();
    for keys in ["https://issuer.example/keys", "https://issuer.example/realms/one/certs"] {
        assert_eq!(realm.discovered(&document(url, keys)).unwrap(), keys);
    }
    for keys in [
        "https://other.example/keys",
        "https://keys.issuer.example/keys",
        "https://issuer.example:8443/keys",
        "https://issuer.example.other.example/keys",
        "https://issuer.example@other.example/keys",
        "http://issuer.example/keys",
        "http://127.0.0.1/keys",
        "https://issuer.example/keys?to=other",
        "https://issuer.example/keys#x",
        "/keys",
        "",
        "file:///etc/passwd",
    ] {
        let told = realm.discovered(&document(url, keys)).unwrap_err();
        assert!(told.starts_with(&format!("its keys are on another host, at `{keys}`")), "{keys}: {told}");
    }
    for other in ["https://issuer.example/realms/two", "https://issuer.example/realms/one/", ""] {
        let told = realm.discovered(&document(other, "https://issuer.example/keys")).unwrap_err();
        assert_eq!(told, format!("its discovery document is that of another issuer, `{other}`"));
    }
    for text in ["", "{}", &document(url, "x").replace("\"x\":1", "\"issuer\":\"x\"")] {
        let told = realm.discovered(text).unwrap_err();
        assert!(told.starts_with("its discovery document cannot be read: "), "{text}: {told}");
    }
}

#[test]
fn a_token_is_whose_every_claim_it_has_in_the_same_type() {
    let claims = |value: Value| value.as_object().unwrap().clone();
    let one = identity("oidc", "sub = 'one'\nlevel = 7\nadmin = true");
    assert!(one.matches(&claims(json!({"sub": "one", "level": 7, "admin": true, "more": "x"}))));
    for other in [
        json!({}),
        json!({"sub": "one"}),
        json!({"level": 7, "admin": true}),
        json!({"sub": "two", "level": 7, "admin": true}),
        json!({"sub": ["one"], "level": 7, "admin": true}),
        json!({"sub": "one", "level": 8, "admin": true}),
        json!({"sub": "one", "level": "7", "admin": true}),
        json!({"sub": "one", "level": 7.0, "admin": true}),
        json!({"sub": "one", "level": 7, "admin": false}),
        json!({"sub": "one", "level": 7, "admin": "true"}),
        json!({"sub": "one", "level": 7, "admin": 1}),
        json!({"sub": "one", "level": 7, "admin": null}),
    ] {
        assert!(!one.matches(&claims(other.clone())), "{other}");
    }
    // What names nothing is nobody's, even if it got past the reading of the rules.
    let nothing = TokenIdentity { issuer: "jobs".to_owned(), claims: [].into() };
    assert!(!nothing.matches(&claims(json!({}))) && !nothing.matches(&claims(json!({"sub": "one"}))));
    let shown = |claim: &str| one.claims[claim].to_string();
    assert_eq!(["sub", "level", "admin"].map(shown), ["one", "7", "true"]);
    assert_eq!(json!([Claim::Number(7), Claim::Truth(false)]), json!([7, false]));
}

/// The event that starts a job is one claim of one platform: others may begin with the same word.
#[test]
fn what_only_looks_like_a_pull_request_may_be_named() {
    let github = "repository_id = '74'\nrepository_owner_id = '65'\n";
    identity("github", &format!("{github}ref = 'pull_request/1'"));
    identity("github", &format!("{github}event_name = 'push'"));
    identity("gitlab", "project_id = '22'\nnamespace_id = '7'\npipeline_source = 'pull_request'");
}
