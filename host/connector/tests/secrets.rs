//! Secrets that a connector moves without seeing them: those of the origin, and sealed arguments.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;

use crate::common::{
    Server, World, breach, change, headed, json_of, list, put, request, respond, revoke, with_fresh,
    with_json,
};
use remit_connector::{Call, Phase, Placeholders, Request};
use remit_trust::{Opening, SecretText, ValueHandle};
use serde_json::{Value, json};

#[test]
fn secrets_are_placeholders_and_go_back_only_where_they_are_declared() {
    let secret = "npm_\"s3cret/of the origin";
    let body = json!({"objects": [{"id": 1, "token": secret}, {"id": 2, "token": 123_456}], "echo": format!("it is {secret}!"), "token": secret});
    let world = World::new(Server::answering(&[respond("200 OK", &body.to_string())]));
    let prepare = world.exchange(Phase::Prepare, revoke());
    let seen = json_of(&prepare.send(request("GET", "files/a")).unwrap());
    let (first, second) = (seen["token"].as_str().unwrap(), seen["objects"][1]["token"].as_str().unwrap());
    assert_eq!(seen["objects"][0]["token"], first, "the same secret has the same placeholder");
    assert_eq!(seen["echo"], format!("it is {first}!"));
    assert!(first.starts_with("remit-secret-") && first.len() == 45 && first != second);
    assert!(!seen.to_string().contains("s3cret"));
    assert!(prepare.has_secret(&format!("x{first}")) && prepare.has_secret(&format!("a {secret} b")));
    assert!(!prepare.has_secret("a text") && !prepare.has_secret("{\"a\":[\"text\",1]}"));
    // As JSON may write the same.
    let escaped =
        |text: &str| text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<Vec<_>>().concat();
    for text in [first, secret, crate::common::TOKEN] {
        assert!(prepare.has_secret(&format!("{{\"a\":[\"x {}\"]}}", escaped(text))), "{text}");
        assert!(prepare.has_secret(&format!("{{\"{}\":1}}", escaped(text))), "{text}");
    }
    assert_eq!(
        prepare.masked(&format!("got {first} and {secret}; {}", crate::common::TOKEN)),
        "got … and …; …"
    );

    // In the next phase in another process: what the connector's secret names, and nothing else.
    let placeholders = prepare.placeholders();
    assert!(placeholders.keep("nothing").is_none());
    let kept = placeholders.keep(&json!({"old": first}).to_string()).unwrap();
    let restored = Arc::new(Placeholders::restore(kept.expose()).unwrap());
    assert!(!format!("{restored:?}").contains("s3cret"));
    let (call, handle) = with_fresh("fresh-value-\"9");
    let rotate =
        |old: &str, new: &str| with_json(request("POST", "rotate/42"), &json!({"old": old, "new": new}));
    let perform = |request| world.after(Phase::Perform, call.clone(), Arc::clone(&restored)).send(request);
    let before = world.server.asked().len();
    for (old, new) in [
        (second, &*handle),
        ("npm_x", &handle),
        (&first.to_uppercase(), &handle),
        (first, "fresh"),
        (first, first),
    ] {
        breach(perform(rotate(old, new)));
    }
    // In no other place, whatever may be there.
    let mut note = change();
    note["note"] = json!({"deep": [format!("a {first}")]});
    breach(perform(put(&note)));
    for path in [format!("files/{first}"), format!("files/{}", first.to_uppercase())] {
        breach(perform(request("GET", &path)));
    }
    breach(perform(headed(request("GET", "files/a"), "Accept", first)));
    assert_eq!(world.server.asked().len(), before);

    let exchange = world.after(Phase::Perform, call.clone(), Arc::clone(&restored));
    exchange.send(rotate(first, &handle)).unwrap();
    let asked = world.server.asked().pop().unwrap();
    let sent: Value = serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(sent, json!({"old": secret, "new": "fresh-value-\"9"}));
    // The record's digest is of what the connector wrote.
    let wrote = json!({"old": first, "new": handle}).to_string();
    assert_eq!(exchange.sent()[0].request, Some(remit_trust::Digest::of(wrote.as_bytes())));
    assert!(exchange.has_secret("it is fresh-value-\"9"));

    let form = |token: &str| {
        let mut form = request("POST", "known/42");
        form.body = Some(format!("n=18446744073709551615&kind=a+42&token={token}").into_bytes());
        form
    };
    for token in ["fresh-value-%229", "", first] {
        breach(perform(form(token)));
    }
    perform(form(&handle)).unwrap();
    let asked = world.server.asked().pop().unwrap();
    assert!(asked.ends_with("\r\n\r\nn=18446744073709551615&kind=a%2042&token=fresh-value-%229"), "{asked}");
}

#[test]
fn a_leaked_token_is_tried_as_the_credential_and_not_seen() {
    let world = World::new(Server::with(|_, asked, stream| {
        let credential =
            asked.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:")).unwrap();
        let body = respond("200 OK", &json!({"you": credential, "objects": []}).to_string());
        stream.write_all(body.as_bytes()).unwrap();
    }));
    let opening = Opening::new(SecretText::new("ghp_leaked/value".to_owned())).unwrap();
    let handle = opening.handle("log", "leaked");
    let call = Call {
        arguments: json!({"leaked": handle.to_string()}),
        sealed: Arc::new([(ValueHandle::Input(handle.clone()), opening.into_value())].into_iter().collect()),
        ..list()
    };
    let me = Request { credential: Some(handle.to_string()), ..request("GET", "me") };
    let observe = world.exchange(Phase::Observe, call.clone());
    let seen = json_of(&observe.send(me).unwrap());
    assert_eq!(seen["you"].as_str().unwrap().to_ascii_lowercase(), "authorization: bearer …");
    assert!(
        world.server.asked()[0].contains("Bearer ghp_leaked/value")
            && !world.server.asked()[0].contains(crate::common::TOKEN)
    );
    // Without it, with another, or with it where the template has none.
    for request in [
        request("GET", "me"),
        Request {
            credential: Some(handle.to_string().replace(":leaked:", ":other:")),
            ..request("GET", "me")
        },
        Request { credential: Some(handle.to_string()), ..request("GET", "orgs/x/tokens") },
    ] {
        breach(world.exchange(Phase::Observe, call.clone()).send(request));
    }
    assert_eq!(world.server.asked().len(), 1);
}

/// Its value is kept no longer than something can start with it, and the state is asked for later too.
#[test]
fn a_sealed_argument_that_is_gone_is_missed_only_by_a_request_that_needs_it() {
    let more = format!("post_reads = true\n{}", crate::common::LOCAL);
    let world = World::with(Server::answering(&[respond("200 OK", "{}")]), &more);
    let (with, handle) = with_fresh("fresh-value");
    let gone = Call { sealed: Arc::default(), ..with.clone() };
    let asking = || {
        let me = Request { credential: Some(handle.clone()), ..request("GET", "me") };
        [me, with_json(request("POST", "lookup"), &json!({"token": handle}))]
    };
    for phase in [Phase::State, Phase::Undo] {
        let exchange = world.exchange(phase, gone.clone());
        for request in asking() {
            let told = crate::common::failure(exchange.send(request)).to_string();
            assert_eq!(told, "unavailable: the value of the sealed argument `fresh` is not kept any more");
        }
        assert!(world.server.asked().is_empty() && exchange.sent().is_empty());
        breach(
            world
                .exchange(phase, gone.clone())
                .send(with_json(request("POST", "lookup"), &json!({"token": "x"}))),
        );
    }
    let state = world.exchange(Phase::State, gone.clone());
    state.send(request("GET", "orgs/acme/tokens/42")).unwrap();
    let state = world.exchange(Phase::State, with);
    for request in asking() {
        state.send(request).unwrap();
    }
    assert_eq!(world.server.asked().len(), 3);
    for phase in [Phase::Observe, Phase::Prepare, Phase::Perform] {
        let (description, origin) = (crate::common::description(), Arc::clone(&world.origin));
        let begun = remit_connector::Exchange::new(description, origin, phase, gone.clone(), Arc::default());
        assert!(begun.unwrap_err().to_string().contains("`fresh` is not the handle"));
    }
}
