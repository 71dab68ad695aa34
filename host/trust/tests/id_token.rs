//! Tokens of issuers: which are taken, and that everything else is refused, each for its own reason.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use crate::common::{Maker, encode};
use jiff::{SignedDuration, Timestamp};
use remit_trust::id_token::{IssuerKeys, Token, Verified};
use remit_trust::issuers::{Accepts, Issuer, IssuerKind};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn issuer(kind: IssuerKind, accepts: Accepts) -> Issuer {
    Issuer {
        name: "jobs".to_owned(),
        kind,
        url: "https://issuer.example".to_owned(),
        audience: "remit".to_owned(),
        accepts,
        jwks: None,
        ca: None,
        ttl: SignedDuration::from_mins(10),
    }
}

/// What a token says that is good for each kind of issuer.
fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "remit", "jti": "a1", "iat": NOW - 5, "nbf": NOW - 5,
        "exp": NOW + 300, "event_name": "schedule", "sub": "one",
    })
}

/// An issuer's key, and what it publishes.
struct Bench {
    maker: Maker,
    keys: IssuerKeys,
}

impl Bench {
    fn new() -> Self {
        let maker = Maker::ed25519();
        let keys = keys(&[published(&maker, "one", json!({}))]).unwrap();
        Self { maker, keys }
    }

    fn verify(&self, issuer: &Issuer, header: &Value, claims: &Value) -> Result<Verified, String> {
        verify(&self.maker.token(header, claims), issuer, &self.keys)
    }

    fn claimed(&self, issuer: &Issuer, claims: &Value) -> Result<Verified, String> {
        self.verify(issuer, &json!({"alg": "EdDSA", "kid": "one"}), claims)
    }
}

fn verify(token: &str, issuer: &Issuer, keys: &IssuerKeys) -> Result<Verified, String> {
    Token::parse(token)?.verify(issuer, keys, now())
}

/// A key as an issuer publishes it, with a name and these members.
fn published(maker: &Maker, kid: &str, more: Value) -> Value {
    let mut key = maker.jwk();
    key["kid"] = kid.into();
    key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    key
}

fn keys(all: &[Value]) -> Result<IssuerKeys, String> {
    IssuerKeys::parse(&json!({ "keys": all }).to_string())
}

/// A value with one member changed; null takes it away.
fn with(value: &Value, name: &str, member: Value) -> Value {
    let mut value = value.clone();
    let members = value.as_object_mut().unwrap();
    if member.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), member);
    }
    value
}

/// The reason of a refusal.
#[track_caller]
fn refused(result: Result<Verified, String>) -> String {
    result.unwrap_err()
}

#[test]
fn a_token_of_each_algorithm_is_taken() {
    let issuer = issuer(IssuerKind::Oidc, Accepts::Exchange);
    for (maker, algorithm) in [
        (Maker::rsa(), "RS256"),
        (Maker::rsa(), "PS256"),
        (Maker::p256(), "ES256"),
        (Maker::ed25519(), "EdDSA"),
    ] {
        let header = json!({"typ": "JWT", "alg": algorithm, "kid": "one"});
        let token = maker.token(&header, &claims());
        for more in [json!({}), json!({"alg": algorithm}), json!({"use": "sig", "x5t": "AAAA"})] {
            let keys = keys(&[published(&maker, "one", more)]).unwrap();
            let taken = verify(&token, &issuer, &keys).unwrap();
            assert_eq!(Value::Object(taken.claims), claims());
            assert_eq!((&*taken.jti, taken.expires.as_second()), ("a1", NOW + 300));
        }
        // The last byte of the signature, as a whole.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut other = crate::common::decode(signature);
        *other.last_mut().unwrap() ^= 0x80;
        let keys = keys(&[published(&maker, "one", json!({}))]).unwrap();
        let told = refused(verify(&format!("{signed}.{}", encode(other)), &issuer, &keys));
        assert_eq!(told, "its signature does not hold", "{algorithm}");
        // A key that names another algorithm is for that one only.
        for said in ["ES384", "none", "HS256"] {
            let keys = self::keys(&[published(&maker, "one", json!({"alg": said}))]).unwrap();
            let told = refused(verify(&token, &issuer, &keys));
            assert_eq!(told, "its `alg` is not that of the key which it names");
        }
    }
}

#[test]
fn a_signature_without_a_key_of_the_issuer_is_none() {
    let bench = Bench::new();
    let issuer = issuer(IssuerKind::Oidc, Accepts::Exchange);
    let header = json!({"alg": "EdDSA", "kid": "one"});
    bench.verify(&issuer, &header, &claims()).unwrap();
    for (header, words) in [
        (json!({"alg": "none", "kid": "one"}), "its `alg` is `none`"),
        (json!({"alg": "ES256", "kid": "one"}), "its `alg` is `ES256`"),
        // The public key as a shared secret.
        (json!({"alg": "HS256", "kid": "one"}), "its `alg` is `HS256`"),
        (json!({"alg": "EdDSA", "kid": "two"}), "a key that its issuer does not publish"),
        (json!({"alg": "EdDSA", "kid": ""}), "a key that its issuer does not publish"),
        (json!({"alg": "EdDSA"}), "its header: missing field `kid`"),
        (json!({"kid": "one"}), "its header: missing field `alg`"),
        (json!({"alg": 1, "kid": "one"}), "its header: "),
        (json!([1]), "its header: "),
        (json!({"alg": "EdDSA", "kid": "one", "crit": ["exp"]}), "it demands something"),
        (json!({"alg": "EdDSA", "kid": "one", "crit": []}), "it demands something"),
        // A key that the token brings along is nobody's.
        (json!({"alg": "EdDSA", "kid": "x", "jwk": bench.maker.jwk()}), "does not publish"),
    ] {
        let told = refused(bench.verify(&issuer, &header, &claims()));
        assert!(told.contains(words), "{header}: {told}");
    }
    // Without a signature.
    let bare = format!(
        "{}.{}.",
        encode(json!({"alg": "none", "kid": "one"}).to_string()),
        encode(claims().to_string())
    );
    assert!(refused(verify(&bare, &issuer, &bench.keys)).contains("its `alg` is `none`"));
    let bare = bare.replace(bare.split('.').next().unwrap(), &encode(header.to_string()));
    assert_eq!(refused(verify(&bare, &issuer, &bench.keys)), "its signature does not hold");
    // Signed by somebody else, under that name.
    let stranger = Maker::ed25519().token(&header, &claims());
    assert_eq!(refused(verify(&stranger, &issuer, &bench.keys)), "its signature does not hold");
}

#[test]
fn only_tokens_that_are_for_this_are_taken() {
    let bench = Bench::new();
    let typ = |typ: Value| with(&json!({"alg": "EdDSA", "kid": "one"}), "typ", typ);
    let [exchange, bearer] =
        [Accepts::Exchange, Accepts::Bearer].map(|accepts| issuer(IssuerKind::Oidc, accepts));
    for (name, by_exchange, by_bearer) in [
        (json!(null), true, true),
        (json!("JWT"), true, true),
        (json!("jwt"), true, true),
        (json!("application/jwt"), true, true),
        // Tokens for access (RFC 9068) are no ID tokens.
        (json!("at+jwt"), false, true),
        (json!("application/AT+JWT"), false, true),
        (json!("dpop+jwt"), false, false),
        (json!("logout+jwt"), false, false),
        (json!("application/application/jwt"), false, false),
        (json!("JWE"), false, false),
        (json!(""), false, false),
    ] {
        for (issuer, taken) in [(&exchange, by_exchange), (&bearer, by_bearer)] {
            let result = bench.verify(issuer, &typ(name.clone()), &claims());
            assert_eq!(result.is_ok(), taken, "{name} as {:?}", issuer.accepts);
            if let Err(told) = result {
                assert_eq!(told, "its `typ` is that of another kind of token", "{name}");
            }
        }
    }
    assert!(refused(bench.verify(&exchange, &typ(json!(1)), &claims())).starts_with("its header: "));
}

#[test]
fn each_claim_that_decides_is_there_in_its_type() {
    let bench = Bench::new();
    let [github, gitlab, oidc] = [IssuerKind::Github, IssuerKind::Gitlab, IssuerKind::Oidc]
        .map(|kind| issuer(kind, Accepts::Exchange));
    for issuer in [&github, &gitlab, &oidc] {
        bench.claimed(issuer, &claims()).unwrap();
        for (name, value, words) in [
            ("iss", json!(null), "it has no `iss`"),
            ("iss", json!(1), "its `iss` is no text"),
            ("iss", json!(["https://issuer.example"]), "its `iss` is no text"),
            ("iss", json!("https://issuer.example/"), "it is by another issuer"),
            ("iss", json!("HTTPS://issuer.example"), "it is by another issuer"),
            ("iss", json!(""), "it is by another issuer"),
            ("aud", json!(null), "it has no `aud`"),
            ("aud", json!("remit2"), "its `aud` is not `remit` alone"),
            ("aud", json!(""), "its `aud` is not `remit` alone"),
            ("aud", json!([]), "its `aud` is not `remit` alone"),
            ("aud", json!([1]), "its `aud` is not `remit` alone"),
            ("aud", json!(["other"]), "its `aud` is not `remit` alone"),
            ("aud", json!(["remit", "other"]), "its `aud` is not `remit` alone"),
            ("aud", json!(["other", "remit"]), "its `aud` is not `remit` alone"),
            ("aud", json!(["remit", "remit"]), "its `aud` is not `remit` alone"),
            ("aud", json!([["remit"]]), "its `aud` is not `remit` alone"),
            ("aud", json!({"remit": true}), "its `aud` is not `remit` alone"),
            ("aud", json!(7), "its `aud` is not `remit` alone"),
            ("exp", json!(null), "it has no `exp`"),
            ("exp", json!("1800000300"), "its `exp` is no whole number of seconds"),
            ("exp", json!(1_800_000_300.5), "its `exp` is no whole number of seconds"),
            ("exp", json!(u64::MAX), "its `exp` is no whole number of seconds"),
            ("exp", json!(i64::MAX), "its `exp` is no time"),
            ("exp", json!(true), "its `exp` is no whole number of seconds"),
            ("exp", json!(NOW), "it expired at 2027-01-15T08:00:00Z"),
            ("exp", json!(NOW - 1), "it expired at"),
            ("exp", json!(-1), "it expired at"),
            ("iat", json!(null), "it has no `iat`"),
            ("iat", json!("now"), "its `iat` is no whole number of seconds"),
            ("iat", json!(NOW + 61), "it was made at 2027-01-15T08:01:01Z, and it is only"),
            ("nbf", json!("now"), "its `nbf` is no whole number of seconds"),
            ("nbf", json!(1.5), "its `nbf` is no whole number of seconds"),
            ("nbf", json!(NOW + 61), "it is valid from 2027-01-15T08:01:01Z on, and it is only"),
            ("jti", json!(null), "it has no `jti`"),
            ("jti", json!(7), "its `jti` is no text"),
            ("jti", json!(""), "its `jti` is empty or longer than 256 bytes"),
            ("jti", json!("x".repeat(257)), "its `jti` is empty or longer than 256 bytes"),
        ] {
            let told = refused(bench.claimed(issuer, &with(&claims(), name, value.clone())));
            assert!(told.starts_with(words), "{:?} {name} {value}: {told}", issuer.kind);
        }
        // The last values that are good.
        for (name, value) in [
            ("aud", json!(["remit"])),
            ("exp", json!(NOW + 1)),
            ("exp", json!(NOW + 86_400)),
            ("iat", json!(NOW + 60)),
            ("iat", json!(NOW - 86_400)),
            ("nbf", json!(NOW + 60)),
            ("jti", json!("x")),
            ("jti", json!("x".repeat(256))),
        ] {
            let claims = with(&claims(), name, value.clone());
            let taken = bench.claimed(issuer, &claims).unwrap_or_else(|why| panic!("{name} {value}: {why}"));
            assert_eq!(json!(taken.jti), claims["jti"]);
            assert_eq!(json!(taken.expires.as_second()), claims["exp"]);
        }
    }
    // The platforms always say from when; others need not, but what they say counts.
    let without = with(&claims(), "nbf", json!(null));
    bench.claimed(&oidc, &without).unwrap();
    for issuer in [&github, &gitlab] {
        assert_eq!(refused(bench.claimed(issuer, &without)), "it has no `nbf`");
    }
}

#[test]
fn a_job_that_a_pull_request_started_is_nobody_s() {
    let bench = Bench::new();
    let [github, gitlab, oidc] = [IssuerKind::Github, IssuerKind::Gitlab, IssuerKind::Oidc]
        .map(|kind| issuer(kind, Accepts::Exchange));
    for (value, words) in [
        (json!(null), "it has no `event_name`"),
        (json!(["push"]), "its `event_name` is no text"),
        (json!("pull_request"), "a pull request started its job"),
        (json!("pull_request_target"), "a pull request started its job"),
        (json!("pull_request_review_comment"), "a pull request started its job"),
    ] {
        let claims = with(&claims(), "event_name", value);
        let told = refused(bench.claimed(&github, &claims));
        assert!(told.starts_with(words), "{told}");
        // The claim is GitHub's, and means nothing elsewhere.
        bench.claimed(&gitlab, &claims).unwrap();
        bench.claimed(&oidc, &claims).unwrap();
    }
    for event in ["push", "workflow_dispatch", "merge_group"] {
        bench.claimed(&github, &with(&claims(), "event_name", json!(event))).unwrap();
    }
}

#[test]
fn what_a_token_says_before_anybody_checked_it() {
    let bench = Bench::new();
    let header = json!({"alg": "EdDSA", "kid": "one"});
    let parse = |header: &Value, claims: &Value| Token::parse(&bench.maker.token(header, claims)).unwrap();
    let issuer = issuer(IssuerKind::Oidc, Accepts::Exchange);
    assert!(parse(&header, &claims()).claims_issuer(&issuer));
    for iss in [json!(null), json!(1), json!("https://issuer.example/"), json!(["https://issuer.example"])] {
        assert!(!parse(&header, &with(&claims(), "iss", iss)).claims_issuer(&issuer));
    }
    assert!(parse(&header, &claims()).has_key(&bench.keys));
    assert!(!parse(&json!({"alg": "EdDSA", "kid": "two"}), &claims()).has_key(&bench.keys));
    assert!(!parse(&header, &claims()).has_key(&IssuerKeys::default()));
    let told = |token: String| Token::parse(&token).err().unwrap();
    for claims in ["[]", "1", "", r#"{"iss":1,"iss":2}"#] {
        let told = told(bench.maker.token_of(&header.to_string(), claims));
        assert!(told.starts_with("its claims: "), "{claims}: {told}");
    }
}

#[test]
fn the_keys_that_an_issuer_publishes() {
    let (one, two) = (Maker::ed25519(), Maker::p256());
    let issuer = issuer(IssuerKind::Oidc, Accepts::Exchange);
    let by_one = one.token(&json!({"alg": "EdDSA", "kid": "one"}), &claims());
    let by_two = two.token(&json!({"alg": "ES256", "kid": "two"}), &claims());
    let (first, second) = (published(&one, "one", json!({})), published(&two, "two", json!({"use": "sig"})));
    // Those that are for something else, have no name or are of another kind do no harm.
    let others = [
        json!({"kty": "oct", "k": "AAAA", "kid": "shared"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "large"}),
        with(&first, "kid", json!(null)),
        json!("one"),
        json!(null),
    ];
    let all = keys(&[&others[..], &[first.clone(), second.clone()]].concat()).unwrap();
    verify(&by_one, &issuer, &all).unwrap();
    verify(&by_two, &issuer, &all).unwrap();
    // For encryption: its signatures count as little as those of no key.
    let encrypts = keys(&[with(&first, "use", json!("enc")), second.clone()]).unwrap();
    assert!(refused(verify(&by_one, &issuer, &encrypts)).contains("does not publish"));
    verify(&by_two, &issuer, &encrypts).unwrap();
    // Under the other's name.
    let swapped = keys(&[with(&first, "kid", json!("two")), with(&second, "kid", json!("one"))]).unwrap();
    refused(verify(&by_one, &issuer, &swapped));
    refused(verify(&by_two, &issuer, &swapped));
    // One name for two keys: whose signature would it be?
    let twice = keys(&[first.clone(), second.clone(), with(&second, "kid", json!("one"))]).err().unwrap();
    assert_eq!(twice, "two of its keys have the name `one`");
    assert!(keys(&[first.clone(), first]).is_err());
    assert!(keys(&[]).is_ok());
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]} x"#] {
        assert!(IssuerKeys::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_refusal_says_from_where_the_job_is() {
    let of = |kind: IssuerKind, more: Value| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Bench::new().claimed(&issuer(kind, Accepts::Exchange), &claims).unwrap().words(kind)
    };
    let github = json!({
        "repository_id": "74", "repository_owner_id": 65, "ref": "refs/heads/main", "actor": "octocat",
        "environment": "\u{202e}x".repeat(500),
    });
    let told = of(IssuerKind::Github, github);
    let (start, environment) = told.split_once(", environment ").unwrap();
    assert_eq!(start, " (repository_id 74, repository_owner_id 65, which is no text");
    let (environment, end) = environment.split_once(", ").unwrap();
    assert!(environment.chars().count() == 120 && environment.starts_with("\\u{202e}x\\u"), "{environment}");
    assert_eq!(end, "ref refs/heads/main, event_name schedule)");
    let gitlab = of(IssuerKind::Gitlab, json!({"project_id": "22", "namespace_id": "72", "ref": "main"}));
    assert_eq!(gitlab, " (project_id 22, namespace_id 72, ref main)");
    assert_eq!(of(IssuerKind::Oidc, json!({"repository_id": "74"})), "");
}
