//! A connector's exchange with a fixture in place of its origin.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;

use crate::common::{
    Server, World, change, description, entry, failure, json_of, put, request, respond, revoke, with_json,
};
use remit_connector::{Exchange, Origin, Phase, Replay};
use serde_json::json;

const FIXTURE: &str = r#"
[[exchange]]
send = "GET /files/a%20b"
status = 200
headers = { etag = "7" }
answer = { token = "any", n = 1 }

[[exchange]]
send = "PUT /orgs/acme/tokens/42"
json = { state = "off", reason = "it leaked", n = 7, note = { by = "me" } }
lost = true

[[exchange]]
send = "GET /orgs/acme/tokens/42"
status = 503
text = "later"
"#;

fn exchange(fixture: &str) -> (Arc<Origin>, Exchange) {
    let entry = entry("https://registry.example", "");
    let origin = Arc::new(Origin::replaying(&entry, Replay::parse(fixture).unwrap()));
    let mut call = revoke();
    call.arguments["n"] = "7".into();
    let exchange =
        Exchange::new(description(), Arc::clone(&origin), Phase::Perform, call, Arc::default()).unwrap();
    (origin, exchange)
}

#[test]
fn a_fixture_answers_as_the_origin_would() {
    let (origin, exchange) = exchange(FIXTURE);
    let finished = || origin.replay().unwrap().finished();
    let seen = exchange.send(request("GET", "files/a b")).unwrap();
    assert!(json_of(&seen)["token"].as_str().unwrap().starts_with("remit-secret-"));
    assert_eq!(seen.headers, [("etag".to_owned(), "7".to_owned())]);
    assert!(finished().unwrap_err().contains("`PUT /orgs/acme/tokens/42` was not sent"));
    let mut body = change();
    body["n"] = 7.into();
    assert!(failure(exchange.send(put(&body))).to_string().starts_with("unavailable:"));
    assert_eq!(exchange.send(request("GET", "orgs/acme/tokens/42")).unwrap().status, 503);
    assert_eq!(finished(), Ok(()));
    assert!(failure(exchange.send(request("GET", "files/b"))).to_string().contains("has nothing more"));
    assert!(finished().unwrap_err().contains("`GET /files/b` was sent"));
    // What it may not send it may not send here either.
    crate::common::breach(exchange.send(request("DELETE", "orgs/acme/tokens/43")));
}

#[test]
fn what_was_recorded_is_replayed() {
    let answers = [
        json!({"objects": [{"token": "very-secret", "n": null}, {"token": "other-secret"}], "echo": "a very-secret b"}),
        json!({"n": [1, 1.5, {"a": "b"}], "when": "2026-01-01", "token": "very-secret"}),
    ];
    let answers =
        answers.map(|body| crate::common::respond_with("200 OK", "ETag: \"7\"\r\n", &body.to_string()));
    let world =
        World::new(Server::answering(&[answers[0].clone(), answers[1].clone(), respond("404 No", "")]));
    let (call, handle) = crate::common::with_fresh("fresh-value");
    let all = |origin: Arc<Origin>| {
        let begin = |phase, placeholders| {
            Exchange::new(description(), Arc::clone(&origin), phase, call.clone(), placeholders).unwrap()
        };
        let prepare = begin(Phase::Prepare, Arc::default());
        let seen = json_of(&prepare.send(request("GET", "files/a b")).unwrap());
        let old = seen["objects"][0]["token"].as_str().unwrap().to_owned();
        assert!(seen["echo"].as_str().unwrap().contains(&old));
        let perform = begin(Phase::Perform, prepare.placeholders());
        let body = json!({"old": old, "new": handle});
        let seen = json_of(&perform.send(with_json(request("POST", "rotate/42"), &body)).unwrap());
        assert_eq!(seen["token"], old);
        assert_eq!(perform.send(request("GET", "files/c")).unwrap().status, 404);
        origin.recorded()
    };
    let origin =
        Origin::open(&entry(&world.server.address, crate::common::LOCAL), world.home.path()).unwrap();
    let mut recorded = all(Arc::new(origin.recording()));
    let shown = serde_json::to_string(&recorded).unwrap();
    assert!(!shown.contains("very-secret") && !shown.contains(crate::common::TOKEN), "{shown}");
    for one in &mut recorded {
        one.each_text(&|text| text.replace(&handle, "fresh-value"));
    }
    let replayed = Origin::replaying(&entry("https://registry.example", ""), Replay::default());
    let origin = Arc::new(replayed);
    origin.replay().unwrap().begin(recorded);
    assert!(all(Arc::clone(&origin)).is_empty());
    assert_eq!(origin.replay().unwrap().finished(), Ok(()));
}

#[test]
fn a_request_that_the_fixture_does_not_have_is_told() {
    let (origin, exchange) = exchange(FIXTURE);
    assert!(
        failure(exchange.send(request("GET", "files/c")))
            .to_string()
            .contains("the fixture has `GET /files/a%20b`")
    );
    assert!(origin.replay().unwrap().finished().is_err());
    let get = "[[exchange]]\nsend = 'GET /a'\n";
    for (fixture, line, why) in [
        (get.to_owned(), 1, "say its `status`"),
        (format!("{get}status = 200\nlost = true"), 1, "has no `status`"),
        (format!("{get}status = 99"), 1, "no such status"),
        (format!("{get}status = 200\nanswer = {{}}\ntext = ''"), 1, "not both"),
        (format!("{get}status = 200\nheaders = {{ 'a b' = '' }}"), 1, "other characters"),
        (format!("{get}status = 200\ncolour = 1"), 4, "unknown field `colour`"),
        (format!("{get}status = 200\nanswer = {{ n = 9007199254740993 }}"), 4, "cannot be signed exactly"),
    ] {
        let told = Replay::parse(&fixture).unwrap_err().to_string();
        assert!(told.contains(why) && told.starts_with(&format!("line {line},")), "{told}");
    }
}
