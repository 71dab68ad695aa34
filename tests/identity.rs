//! Identities by ID tokens, against an issuer on this machine: what a job of CI can do, and what nobody can do with a token.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::time::{Duration, Instant};

use crate::common::issuer::{Issuer, encode};
use crate::common::job::{SHOP, change, in_job, in_job_with_stdin, rules, scan, software, with};
use crate::common::server::{Server, problem};
use crate::common::{SECRET, World};
use jiff::SignedDuration;
use remit_client::{Client, ClientError, ToSign};
use remit_gate::Scope;
use remit_journal::ActionRef;
use remit_lifecycle::{
    ActionSelector, Home, RequestOptions, StandingScope, certify, prepare_standing_request, submit_request,
};
use remit_trust::dsse::Envelope;
use remit_trust::issuers::Proof;
use remit_trust::{Digest, SecretText, Signer, SigningKey};
use ring::hmac;
use serde_json::{Value, json};

/// A client with a key of its own making.
fn made_up(server: &Server) -> Client {
    let signer = Signer::from(SigningKey::generate().unwrap());
    Client::connect(ureq::Agent::new_with_defaults(), &server.url, signer).unwrap()
}

fn exchange(server: &Server, token: &str) -> Result<String, ClientError> {
    Ok(made_up(server).certify(&SecretText::new(token.to_owned()))?.principal)
}

/// The words of a refusal.
#[track_caller]
fn refused(server: &Server, token: &str) -> String {
    let (status, code, detail) = problem(exchange(server, token));
    assert_eq!((status, &*code), (403, "refused::token"), "{detail}");
    assert!(token.len() < 40 || !detail.contains(&token[..40]), "a token is in an error: {detail}");
    detail
}

#[test]
fn a_token_is_worth_a_key_once_and_every_other_is_worth_nothing() {
    let (issuer, other) = (Issuer::new(), Issuer::other());
    let world = World::empty();
    with(&world, &(rules(&issuer, "github", "") + &software("ci", SHOP)));
    let server = Server::of(&world);
    let good = issuer.token(&issuer.github());
    assert_eq!(exchange(&server, &good).unwrap(), "ci");
    assert!(refused(&server, &good).contains("it was exchanged before"));

    // Claims, each missing or of another value or type.
    let now = jiff::Timestamp::now().as_second();
    for (name, value, words) in [
        ("iss", json!(null), "by no issuer"),
        ("iss", json!(other.url), "by no issuer"),
        ("iss", json!(format!("{}/", issuer.url)), "by no issuer"),
        ("aud", json!(null), "no `aud`"),
        ("aud", json!("remit2"), "its `aud` is not `remit` alone"),
        ("aud", json!(["remit", "other"]), "its `aud` is not `remit` alone"),
        ("aud", json!([]), "its `aud` is not `remit` alone"),
        ("exp", json!(null), "no `exp`"),
        ("exp", json!(now - 1), "it expired at"),
        ("exp", json!((now + 300).to_string()), "`exp` is no whole number"),
        ("iat", json!(null), "no `iat`"),
        ("iat", json!(now + 3_600), "it was made at"),
        ("nbf", json!(null), "no `nbf`"),
        ("nbf", json!(now + 3_600), "it is valid from"),
        ("nbf", json!(1.5), "`nbf` is no whole number"),
        ("jti", json!(null), "no `jti`"),
        ("jti", json!(""), "its `jti` is empty"),
        ("jti", json!(7), "its `jti` is no text"),
        ("repository_id", json!(null), "no principal has an identity by jobs"),
        ("repository_id", json!("75"), "no principal has an identity by jobs"),
        ("repository_id", json!(74), "repository_id 74, which is no text"),
        ("repository_owner_id", json!("66"), "no principal has an identity by jobs"),
        ("event_name", json!(null), "no `event_name`"),
        ("event_name", json!("pull_request"), "a pull request started its job"),
        ("event_name", json!("pull_request_target"), "a pull request started its job"),
    ] {
        let mut claims = issuer.github();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
        let told = refused(&server, &issuer.token(&claims));
        assert!(told.contains(words), "{name} {value}: {told}");
    }

    // Signatures.
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": "one"});
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        header
    };
    let claims = issuer.github();
    let hmac = |secret: &[u8]| {
        let signed =
            format!("{}.{}", encode(with("alg", json!("HS256")).to_string()), encode(claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", encode(tag.as_ref()))
    };
    let unsigned = |alg: &str| {
        format!("{}.{}.", encode(with("alg", json!(alg)).to_string()), encode(claims.to_string()))
    };
    let altered = {
        let mut claims = issuer.github();
        claims["repository_id"] = json!("75");
        let token = issuer.token(&claims);
        let parts: Vec<&str> = token.split('.').collect();
        format!("{}.{}.{}", parts[0], encode(issuer.github().to_string()), parts[2])
    };
    let jwks = format!("{}/keys", other.url);
    for (token, words) in [
        (unsigned("none"), "`alg`"),
        (unsigned("RS256"), "its signature does not hold"),
        (hmac(&issuer.public_bytes()), "`alg`"),
        (hmac(issuer.jwk("one")["n"].as_str().unwrap().as_bytes()), "`alg`"),
        (issuer.token_of(&with("alg", json!("ES256")), &claims), "`alg`"),
        // It is RSA, and another of its paddings than the issuer published it for.
        (issuer.token_of(&with("alg", json!("PS256")), &claims), "`alg`"),
        (issuer.token_of(&with("kid", json!("two")), &claims), "a key that its issuer does not publish"),
        (issuer.token_of(&with("crit", json!(["exp"])), &claims), "`crit`"),
        (issuer.token_of(&with("typ", json!("logout+jwt")), &claims), "another kind of token"),
        (issuer.token_of(&with("typ", json!("at+jwt")), &claims), "another kind of token"),
        (other.token_of(&header, &claims), "its signature does not hold"),
        (other.token_of(&with("jku", json!(jwks)), &claims), "its signature does not hold"),
        (other.token_of(&with("jwk", other.jwk("one")), &claims), "its signature does not hold"),
        (altered, "its signature does not hold"),
        ("a.b".to_owned(), "three parts"),
        (String::new(), "three parts"),
        (format!("{}.a.b", "a".repeat(100_000)), "longer than"),
    ] {
        let told = refused(&server, &token);
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(other.asked(), [""; 0], "keys come from the issuer of the rules only");
    // An unknown name of a key is no way to have the issuer asked again and again.
    assert_eq!(issuer.asked().iter().filter(|path| *path == "/keys").count(), 1);

    // Proofs of the key: of another key, server, journal or token; none.
    let client = made_up(&server);
    let key = SigningKey::generate().unwrap();
    let (id, fresh) = (key.verifying_key().id().to_string(), issuer.token(&issuer.github()));
    let document = json!({
        "log": client.about().log, "audience": client.about().url, "key": id,
        "token": Digest::of(fresh.as_bytes()), "at": jiff::Timestamp::now(),
    });
    let submit = |document: &Value, by: &SigningKey, kind: &str| -> Result<Value, ClientError> {
        let payload = remit_trust::canonical(document).unwrap();
        let proof = Envelope::sign(&format!("application/vnd.remit.{kind}.v1+json"), &payload, by).unwrap();
        let body = json!({"token": fresh, "key": key.verifying_key().to_text(), "proof": proof});
        client.submit("/api/v1/certificates", &body)
    };
    for (name, value) in [
        ("log", json!("other.example/journal")),
        ("audience", json!("https://other.example")),
        ("key", json!(Digest::of(b"other").to_string())),
        ("token", json!(Digest::of(b"other"))),
        ("at", json!("2026-01-01T00:00:00Z")),
        ("at", json!("2126-01-01T00:00:00Z")),
        ("more", json!(1)),
    ] {
        let mut document = document.clone();
        document[name] = value;
        assert_eq!(problem(submit(&document, &key, "certifying")).0, 403, "{name}");
    }
    assert_eq!(problem(submit(&document, &SigningKey::generate().unwrap(), "certifying")).0, 403);
    assert_eq!(problem(submit(&document, &key, "session")).0, 403);
    // None of that has used the token up. A key that is somebody's is certified for nobody.
    submit(&document, &key, "certifying").unwrap();
    let alice = server.client(&world, "alice");
    let told = problem(alice.certify(&SecretText::new(issuer.token(&issuer.github()))));
    assert!(told.0 == 403 && told.2.contains("the key is somebody's already"), "{told:?}");

    // What was used once is used up for good, also for a server that was started again.
    server.kill();
    let server = Server::of(&world);
    assert!(refused(&server, &good).contains("it was exchanged before"));
    world.audit_is_sound();
    assert!(!crate::common::contains(&world.all_bytes(), &good), "a token is kept");
}

#[test]
fn each_platform_says_in_its_own_claims_whose_a_token_is() {
    let issuer = Issuer::new();
    let world = World::empty();
    let original = fs::read_to_string(world.home().join("principals.toml")).unwrap();
    let rules = |kind: &str, more: &str| format!("{}\n{original}", rules(&issuer, kind, more));
    let tie = SHOP.to_owned() + "environment = 'production'";
    let main = SHOP.to_owned() + "ref = 'refs/heads/main'";
    change(&world, &(rules("github", "") + &software("ci", &tie) + &software("main", &main)));
    let server = Server::of(&world);
    let told = refused(&server, &issuer.token(&issuer.github()));
    assert!(told.contains("it is for ci as well as for main"), "{told}");
    let mut claims = issuer.github();
    claims["ref"] = json!("refs/heads/next");
    assert_eq!(exchange(&server, &issuer.token(&claims)).unwrap(), "ci");
    let listed = world.remit(&["principals"]).exits(0).out;
    assert!(listed.contains("jobs: environment production, repository_id 74"), "{listed}");
    world.remit(&["principals", "--json"]).exits(0);

    change(
        &world,
        &(rules("gitlab", "")
            + &software("ci", "project_id = '22'\nnamespace_id = '72'\nref_protected = 'true'")),
    );
    assert_eq!(exchange(&server, &issuer.token(&issuer.gitlab())).unwrap(), "ci");
    let mut claims = issuer.gitlab();
    claims["ref_protected"] = json!(true);
    assert!(refused(&server, &issuer.token(&claims)).contains("ref_protected true, which is no text"));

    // Any other issuer, with another kind of key; `nbf` need not be there, and must be right if it is.
    change(&world, &(rules("oidc", "") + &software("ci", "sub = 'build-7'\nadmin = true")));
    assert_eq!(exchange(&server, &issuer.token(&issuer.build())).unwrap(), "ci");
    let mut claims = issuer.build();
    claims["nbf"] = json!("soon");
    assert!(refused(&server, &issuer.token(&claims)).contains("`nbf` is no whole number"));
    claims["admin"] = json!("true");
    claims.as_object_mut().unwrap().remove("nbf");
    assert!(refused(&server, &issuer.token(&claims)).contains("no principal has an identity"));
    // A bearer token is not exchanged for a key.
    change(&world, &(rules("oidc", "accepts = 'bearer'") + &software("ci", "sub = 'build-7'")));
    assert!(
        refused(&server, &issuer.token(&issuer.build())).contains("by no issuer whose tokens are taken so")
    );
}

#[test]
fn without_the_keys_of_an_issuer_no_token_counts() {
    let world = World::empty();
    let original = fs::read_to_string(world.home().join("principals.toml")).unwrap();
    let server = Server::of(&world);
    let failed = |issuer: &Issuer, words: &str| {
        change(&world, &format!("{}\n{original}{}", rules(issuer, "github", ""), software("ci", SHOP)));
        let (status, code, detail) = problem(exchange(&server, &issuer.token(&issuer.github())));
        assert_eq!((status, &*code), (502, "failed::issuer"), "{detail}");
        assert!(detail.contains(words), "{words}: {detail}");
    };
    let target = Issuer::new();
    let issuer = Issuer::new();
    issuer.answer_keys((302, format!("location: {}/keys\r\n", target.url), String::new()));
    failed(&issuer, "answers with the status 302");
    issuer.answer_keys((200, String::new(), "x".repeat(300_000)));
    failed(&issuer, "its answer cannot be read");
    issuer.answer_keys((500, String::new(), String::new()));
    failed(&issuer, "answers with the status 500");
    issuer.answer_keys((200, String::new(), "{}".to_owned()));
    failed(&issuer, "missing field `keys`");
    issuer.publish(json!([issuer.jwk("one"), issuer.jwk("one")]));
    failed(&issuer, "two of its keys");
    assert_eq!(target.asked(), [""; 0]);
    // It works again: nothing of all that was kept.
    issuer.publish(json!([issuer.jwk("one")]));
    assert_eq!(exchange(&server, &issuer.token(&issuer.github())).unwrap(), "ci");

    // What its discovery document says is believed about itself only.
    let discovery = "/.well-known/openid-configuration";
    for (document, words) in [
        (
            json!({"issuer": issuer.url, "jwks_uri": format!("{}/keys", target.url)}),
            "its keys are on another host",
        ),
        (json!({"issuer": target.url, "jwks_uri": format!("{}/keys", issuer.url)}), "that of another issuer"),
        (json!({"issuer": issuer.url}), "missing field `jwks_uri`"),
    ] {
        let fresh = Issuer::new();
        let text = document.to_string().replace(&issuer.url, &fresh.url);
        fresh.answer(discovery, (200, String::new(), text));
        failed(&fresh, words);
    }
    assert_eq!(target.asked(), [""; 0]);
    // Nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let jwks = format!("jwks = 'http://{gone}/keys'");
    change(&world, &format!("{}\n{original}{}", rules(&issuer, "github", &jwks), software("ci", SHOP)));
    let (status, code, _) = problem(exchange(&server, &issuer.token(&issuer.github())));
    assert_eq!((status, &*code), (502, "failed::issuer"));
}

/// Whether a session of this client still reads.
fn reads(client: &Client) -> Result<Value, ClientError> {
    client.get("/api/v1/requests")
}

#[test]
fn a_certified_key_ends_by_its_time_by_the_rules_and_by_revocation() {
    let issuer = Issuer::new();
    let world = World::empty();
    let original = fs::read_to_string(world.home().join("principals.toml")).unwrap();
    let set = |more: &str, claims: &str| {
        change(&world, &format!("{}\n{original}{}", rules(&issuer, "github", more), software("ci", claims)));
    };
    set("", SHOP);
    let server = Server::of(&world);
    let certified = || {
        let client = made_up(&server);
        client.certify(&SecretText::new(issuer.token(&issuer.github()))).unwrap();
        reads(&client).unwrap();
        client
    };

    // The rules name another repository; none; the same again.
    let client = certified();
    // Who may read sees whose it is, by which claims, and until when; at the home and through the server.
    let listed: Value = server.client(&world, "alice").get("/api/v1/principals").unwrap();
    assert_eq!(listed, world.remit(&["principals", "--json"]).exits(0).json());
    let held = listed.as_array().unwrap().iter().find(|held| held["key"] == client.key().to_string());
    let held = held.unwrap_or_else(|| panic!("{listed}"));
    assert_eq!((&held["name"], &held["identity"]["repository_id"]), (&json!("ci"), &json!("74")));
    assert!(held["until"].is_string(), "{held}");
    let told = world.remit(&["principals"]).exits(0).out;
    assert!(told.contains("certified by jobs: ") && told.contains("until 2"), "{told}");
    // Every branch of the repository has that identity.
    let doctor = world.remit(&["doctor"]).out;
    assert!(doctor.contains("any job of the repository by jobs is ci, on whatever branch"), "{doctor}");
    set("", &SHOP.replace("74", "75"));
    let told = problem(reads(&client)).2;
    assert!(!world.remit(&["principals"]).exits(0).out.contains("certified by"), "it counts no more");
    assert!(told.contains("is not one of ci any more: the rules were changed since"), "{told}");
    set("", &(SHOP.to_owned() + "environment = 'production'"));
    problem(reads(&client));
    set("", SHOP);
    reads(&client).unwrap();

    // Revoked: the key, and no other.
    let another = certified();
    let key = problem(certify_again(&client, &issuer)).2;
    assert!(key.contains("the key is somebody's already"), "{key}");
    let records = world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
    let (first, _) = newest_certificates(&records);
    world.remit(&["revoke", "key", &first, "--reason", "leaked"]).exits(0);
    assert!(problem(reads(&another)).2.contains("was revoked"));
    reads(&client).unwrap();
    // The principal: its certificates, and its identity for good, as its keys would be.
    world.remit(&["revoke", "principal", "ci", "--reason", "leaked"]).exits(0);
    assert!(problem(reads(&client)).2.contains("the principal ci was revoked"));
    let told = problem(exchange(&server, &issuer.token(&issuer.github())));
    assert!(told.2.contains("the identity by which its token is the principal's was revoked"), "{told:?}");
    set("", &(SHOP.to_owned() + "environment = 'production'"));
    assert_eq!(exchange(&server, &issuer.token(&issuer.github())).unwrap(), "ci");

    // Time.
    set("ttl = '2s'", &(SHOP.to_owned() + "environment = 'production'"));
    let client = made_up(&server);
    client.certify(&SecretText::new(issuer.token(&issuer.github()))).unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    let told = loop {
        match reads(&client) {
            Ok(_) => {
                assert!(Instant::now() < limit, "it goes on");
                // Not as often as it can: a server lets each client call so many times, and says 429 to more.
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(_) => break problem(client.post::<ToSign>("/api/v1/orders/prepare", &json!({}))),
        }
    };
    assert!(told.2.contains("until") || told.1 == "refused::unknown_session", "{told:?}");
    world.audit_is_sound();
}

/// A second certificate for the same key.
fn certify_again(client: &Client, issuer: &Issuer) -> Result<String, ClientError> {
    Ok(client.certify(&SecretText::new(issuer.token(&issuer.github())))?.principal)
}

/// The id of the newest certified key, and its principal.
fn newest_certificates(records: &str) -> (String, String) {
    let certified = records.lines().rev().find(|line| line.contains("\"certified\"")).unwrap();
    let act: Value = serde_json::from_str(certified).unwrap();
    let certificate = &act["event"]["certified"]["certificate"];
    let key = remit_trust::VerifyingKey::from_text(certificate["key"].as_str().unwrap(), "it").unwrap();
    (key.id().to_string(), certificate["principal"].as_str().unwrap().to_owned())
}

/// A job asks, its operator may not approve, somebody else does, the job starts it. Anybody can check all of that.
#[test]
fn a_job_repairs_what_somebody_else_than_its_operator_approved() {
    let issuer = Issuer::new();
    let world = World::new();
    let ci = software("ci", SHOP).replace("kind = 'service'", "kind = 'service'\noperator = 'alice'");
    with(&world, &(rules(&issuer, "github", "") + &ci));
    let server = Server::of(&world);
    let token = issuer.token(&issuer.github());
    let add = ["context", "add", "prod", &*server.url, "--id-token", "env:REMIT_ID_TOKEN"];
    in_job(&world, &token, &add).exits(0);
    let job = |args: &[&str]| in_job(&world, &token, &[args, &["--context", "prod"]].concat());

    let input = format!("path={SECRET}");
    let ask = ["request", "rotate-secret.wasm", "--input", &*input, "--reason", "leaked", "--json"];
    let asked = job(&ask).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap();
    assert_eq!((&asked["proof"], &asked["operator"]), (&json!("id-token"), &json!("alice")));
    // The same key again: the token is worth one only.
    let shown = job(&["request", "show", id]).exits(0).out;
    assert!(shown.contains("ci (service, operated by alice, by an ID token): leaked"), "{shown}");
    let kept = world.path("job.config/remit/id-token.prod.key");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&kept).unwrap()) & 0o777, 0o600);
    job(&["run", id]).exits(3).says("approvals are missing");
    job(&["approve", id]).exits(3);

    let words = "alice is the operator of ci, which asked for it: somebody else must approve it";
    world.remit(&["approve", id, "--key", "alice.key"]).exits(3).says(words).says("bob may");
    let alice = server.client(&world, "alice");
    let decide = json!({"approve": true, "reason": "mine"});
    let told: Result<Value, _> = alice.post(&format!("/api/v1/requests/{id}/decisions/prepare"), &decide);
    assert!(problem(told).2.contains(words));
    world.remit(&["approve", id, "--key", "bob.key"]).exits(0);
    let ran = job(&["run", id, "--json"]).exits(0).json();
    assert_eq!((&ran["state"], world.current_version(SECRET)), (&json!("succeeded"), 2));
    job(&["show", "last"]).exits(0);

    world.audit_is_sound();
    let run = ran["run"].as_str().unwrap();
    world.remit(&["audit", "prove", run, "--out", "run.proof"]).exits(0);
    let key = fs::read_to_string(world.home().join("log.pub")).unwrap();
    let check = |approver: &str| {
        world.remit(&["audit", "check-proof", "run.proof", "--key", key.trim(), "--approver", approver])
    };
    check("bob.pub").exits(0);
    check("alice.pub").exits(3);

    // Without the kept key, the token would have to be worth a second one.
    fs::remove_file(&kept).unwrap();
    job(&["requests"]).exits(3).says("it was exchanged before");
    in_job(&world, "", &["requests", "--context", "prod"])
        .exits(2)
        .says("there is no ID token: REMIT_ID_TOKEN");
    let fresh = issuer.token(&issuer.github());
    in_job(&world, &fresh, &["requests", "--context", "prod"]).exits(0);
    in_job(&world, &fresh, &["context", "remove", "prod"]).exits(0);
    assert!(!kept.exists(), "the key is forgotten with its context");
}

/// A job has a scanner look at the source code. What it finds goes to an action that never sees it, and to nobody else.
#[test]
fn a_job_repairs_what_a_scanner_found_in_the_source() {
    let issuer = Issuer::new();
    let world = World::with(&["rotate-leaked"]);
    let offline = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/rotate-leaked/tests/not-ours.toml");
    world.remit(&["test", "rotate-leaked.wasm", offline]).exits(0);
    with(&world, &(rules(&issuer, "github", "") + &software("ci", SHOP)));
    // Made here, so that nothing that looks like a key is in this file.
    let random = crate::common::issuer::encode(remit_trust::random().unwrap());
    let random: String = random.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let value = format!("sk_live_{random}");
    world.remit_with_stdin(&["secret", "put", SECRET, "api_key"], &value).exits(0);
    fs::create_dir(world.path("shop")).unwrap();
    world.write("shop/pay.py", format!("KEY = \"{value}\"\n"));

    let found = scan(&world, "shop", "betterleaks.stripe-access-token");
    assert_eq!(found, value);

    let server = Server::of(&world);
    let token = issuer.token(&issuer.github());
    let add = ["context", "add", "prod", &*server.url, "--id-token", "env:REMIT_ID_TOKEN"];
    in_job(&world, &token, &add).exits(0);
    // As docs/ci.md has it: the shipped policies, and one place where this job compares.
    let shipped = include_str!("../host/policy/default/default.cedar");
    world.policies(&format!(
        "{shipped}\n@id(\"ci-compares-what-leaked\")\npermit (principal == Remit::Principal::\"ci\", action == Remit::Action::\"rehearse\", \
         resource)\nwhen {{ resource.readsWithin.contains(Remit::Path::\"secret:prod/payments\") }};"
    ));
    let scope = |place: &str| {
        let allow = |name| {
            format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:{place}\"]\n")
        };
        ["inspect", "compare", "rotate", "disable"].map(allow).concat() + "[limits]\nchanges = 4\n"
    };
    world.write("leaked.toml", scope(SECRET));
    world.write("wide.toml", scope("prod/**"));
    let (path, prod) = (format!("path={SECRET}"), ["--context", "prod", "--json"]);
    let input = ["--input", &*path, "--input", "field=api_key", "--secret-input", "leaked=@-"];
    let ask =
        [&["request", "rotate-leaked.wasm"][..], &input, &["--reason", "found by a scan"], &prod].concat();
    for more in [&[][..], &["--scope", "wide.toml"]] {
        in_job_with_stdin(&world, &token, &[&ask[..], more].concat(), &found).exits(3);
    }
    let asked = |value: &str| {
        in_job_with_stdin(&world, &token, &[&ask[..], &["--scope", "leaked.toml"]].concat(), value).exits(0)
    };
    let steps = |asked: &Value| -> Vec<String> {
        let steps = asked["request"]["asks"]["run"]["plan"]["steps"].as_array().unwrap().iter();
        let changes = steps.filter(|step| step["effect"] != "observe");
        changes.map(|step| step["operation"].as_str().unwrap().to_owned()).collect()
    };
    // Of another secret: there is nothing to do.
    assert_eq!(steps(&asked("sk_live_of_somebody_else").json()), [""; 0]);
    let asked = asked(&found);
    assert_eq!(steps(&asked.json()), ["remit:secrets/rotate.rotate", "remit:secrets/disable.disable"]);
    let id = asked.json()["request"]["id"].as_str().unwrap().to_owned();
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    let ran = in_job(&world, &token, &[&["run", &*id][..], &prod].concat()).exits(0);
    assert_eq!(ran.json()["output"]["leaked"], json!([1]));
    let shown = world.remit(&["secret", "show", SECRET, "--json"]).exits(0).json();
    assert_eq!((&shown["current"], &shown["versions"][0]["state"]), (&json!(2), &json!("disabled")));
    for text in [&asked.out, &asked.err, &ran.out, &ran.err] {
        assert!(!text.contains(&value), "{text}");
    }
    assert!(!crate::common::contains(&world.all_bytes(), &value));
    world.audit_is_sound();
}

/// In a job of GitHub Actions the runner is asked for the token. It goes to no server with another journal than was named.
#[test]
fn github_is_asked_for_a_token_with_the_audience() {
    let issuer = Issuer::new();
    let world = World::empty();
    with(&world, &(rules(&issuer, "github", "") + &software("ci", SHOP)));
    let server = Server::of(&world);
    let key = fs::read_to_string(world.home().join("log.pub")).unwrap();
    let add =
        ["context", "add", "prod", &*server.url, "--id-token", "github", "--audience", "remit", "--log-key"];
    let other = format!("{}x", key.trim());
    in_job(&world, "", &[&add[..], &[&other]].concat()).exits(3).says("another journal");
    in_job(&world, "", &[&add[..], &[key.trim()]].concat()).exits(0);
    let requests = ["requests", "--context", "prod"];
    in_job(&world, "", &requests).exits(2).says("permissions: id-token: write");
    let asked = || {
        let mut command = world.command(&requests);
        command.env_remove("REMIT_HOME").env_remove("REMIT_KEY").env("HOME", "/nonexistent");
        command.env("XDG_CONFIG_HOME", world.path("job.config"));
        command.env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", issuer.url));
        command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the runner's");
        crate::common::finish(command, "")
    };
    let answer = |status, body: &str| {
        issuer.answer("/token?api-version=2.0&audience=remit", (status, String::new(), body.to_owned()));
    };
    answer(403, "");
    asked().exits(1).says("GitHub answers with the status 403");
    answer(200, r#"{"valu": "secret-part"}"#);
    let told = asked().exits(1).says("GitHub's answer has no token");
    assert!(!told.err.contains("secret-part"), "{}", told.err);
    answer(200, &json!({"count": 1, "value": issuer.token(&issuer.github())}).to_string());
    asked().exits(0);
}

/// What a server does for a client that has a bearer token only: it holds the key itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_enough_to_ask_and_not_to_start() {
    let issuer = Issuer::new();
    let world = World::empty();
    world.policies(include_str!("../host/policy/default/default.cedar"));
    with(&world, &(rules(&issuer, "oidc", "accepts = 'bearer'") + &software("ci", "sub = 'build-7'")));
    let host = Home::at(&world.home()).open().unwrap();
    let token = |typ: &str, exp: i64| {
        let mut claims = issuer.build();
        claims["exp"] = exp.into();
        issuer.token_of(&json!({"typ": typ, "alg": "RS256", "kid": "one"}), &claims)
    };
    let now = jiff::Timestamp::now().as_second();
    let good = token("at+jwt", now + 120);
    let (one, two) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    // It is sent with each call, so that it is worth a key again; no key is worth two.
    let certificate = certify(&host, &good, &one.verifying_key()).await.unwrap();
    assert_eq!((&*certificate.principal, certificate.proof), ("ci", Proof::Token));
    assert_eq!(certificate.until.as_second(), now + 120, "no longer than the token");
    certify(&host, &good, &two.verifying_key()).await.unwrap();
    let told = certify(&host, &good, &one.verifying_key()).await.unwrap_err().to_string();
    assert!(told.contains("the key is somebody's already"), "{told}");
    for bad in [token("JWT", now - 1), token("logout+jwt", now + 120)] {
        certify(&host, &bad, &SigningKey::generate().unwrap().verifying_key()).await.unwrap_err();
    }

    let action = ActionRef { digest: Digest::of(b"it"), name: "it".to_owned(), version: "1.0.0".to_owned() };
    let standing = StandingScope {
        action: ActionSelector::Digest(action),
        hours: Vec::new(),
        runs_per_hour: 1,
        changes_per_hour: 1,
    };
    let scope = "[[allow]]\ncapability = \"remit:secrets/rotate\"\nresources = [\"secret:prod/db\"]\n";
    let options = RequestOptions {
        reason: "leaked".to_owned(),
        incident: None,
        ttl: SignedDuration::from_hours(1),
        uses: None,
        triggers: Vec::new(),
        break_glass: false,
    };
    let scope = Scope::parse(scope, "scope.toml").unwrap();
    let asked = prepare_standing_request(&host, &one.verifying_key().id(), standing, scope, options).unwrap();
    let asked = submit_request(&host, &asked.sign(&one).unwrap()).await.unwrap();
    assert_eq!(asked.proof, Proof::Token);
    let id = asked.request.id.to_string();
    let shown = world.remit(&["request", "show", &id]).exits(0).out;
    assert!(shown.contains("ci (service, by a bearer token): leaked"), "{shown}");
    for person in ["alice", "bob"] {
        world.remit(&["approve", &id, "--key", &format!("{person}.key")]).exits(0);
    }
    let explained = world.remit(&["policy", "explain", &id]).exits(0).out;
    assert!(explained.contains("start   ci: no: ci may not start this: no policy allows it"), "{explained}");
}
