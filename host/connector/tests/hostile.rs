//! A connector that wants to send what it may not: each time it is refused, and nothing was sent.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;

use crate::common::{
    Server, World, breach, change, description, headed, list, put, request, respond, revoke, with_json,
};
use remit_connector::{Call, Exchange, Phase, Request};
use remit_gate::Failure;
use serde_json::{Value, json};

const OK: &str = "{\"state\":\"on\"}";

fn world() -> World {
    World::new(Server::answering(&[respond("200 OK", OK)]))
}

fn asking(mut request: Request, name: &str, value: &str) -> Request {
    request.query.push((name.to_owned(), value.to_owned()));
    request
}

#[test]
fn what_is_declared_is_sent_as_it_was_compared() {
    let world = world();
    let perform = world.exchange(Phase::Perform, revoke());
    // Written with spaces, escapes and in another order: the host writes it anew.
    let mut body = put(&change());
    body.body = Some(
        br#" { "note": {"by": "me"}, "n":18446744073709551615, "reason": "it le\u0061ked", "state":"off" } "#
            .to_vec(),
    );
    assert_eq!(perform.send(body).unwrap().status, 200);
    perform.send(request("GET", "files/a/b c/é")).unwrap();
    perform.send(request("GET", "orgs/acme/tokens/42")).unwrap();
    let asked = world.server.asked();
    assert!(asked[0].starts_with("PUT /orgs/acme/tokens/42 HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(
        asked[0].ends_with(
            "\r\n\r\n{\"n\":18446744073709551615,\"note\":{\"by\":\"me\"},\"reason\":\"it leaked\",\"state\":\"off\"}"
        ),
        "{}",
        asked[0]
    );
    let head = asked[0].to_ascii_lowercase();
    for line in [
        "if-match: \"7\"\r\n",
        "content-type: application/json\r\n",
        "accept-encoding: identity\r\n",
        &format!("authorization: bearer {}\r\n", crate::common::TOKEN),
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(asked[1].starts_with("GET /files/a/b%20c/%C3%A9 HTTP/1.1\r\n"), "{}", asked[1]);
    let sent = perform.sent();
    assert_eq!(sent.len(), 3);
    assert_eq!((sent[0].method.as_str(), sent[0].status), ("PUT", Some(200)));
    assert!(sent[0].template.starts_with("PUT /orgs/{org}/tokens/{id} headers"), "{}", sent[0].template);
    assert_eq!(sent[0].answer, Some(remit_trust::Digest::of(OK.as_bytes())));

    // A form, with what the operator's entry says.
    let form = |body: &str| {
        let mut form = asking(request("POST", "revoke"), "dry", "no");
        form.body = Some(body.as_bytes().to_vec());
        form
    };
    world.exchange(Phase::Perform, revoke()).send(form("tenant=blue&id=4%32")).unwrap();
    let asked = world.server.asked().pop().unwrap();
    assert!(
        asked.starts_with("POST /revoke?dry=no ") && asked.ends_with("\r\n\r\ntenant=blue&id=42"),
        "{asked}"
    );
    let before = world.server.asked().len();
    for other in ["tenant=red&id=42", "tenant=blue&id=42&id=43", "tenant=blue", "tenant=blue&id=42&x=1", ""] {
        breach(world.exchange(Phase::Perform, revoke()).send(form(other)));
    }
    assert_eq!(world.server.asked().len(), before);
}

#[test]
fn nothing_else_is_sent() {
    use Phase::{Observe, Perform, Prepare, State, Undo};
    let world = world();
    let delete = || request("DELETE", "orgs/acme/tokens/42");
    let get = || request("GET", "orgs/acme/tokens/42");
    let file = |segment: &str| {
        let path = vec!["files".to_owned(), segment.to_owned()];
        Request { method: "GET".to_owned(), path, ..Request::default() }
    };
    let with = |name: &str, value: Value| {
        let mut body = change();
        body[name] = value;
        put(&body)
    };
    let without = |name: &str| {
        let mut body = change();
        body.as_object_mut().unwrap().remove(name);
        put(&body)
    };
    let text = |body: &str| Request { body: Some(body.as_bytes().to_vec()), ..put(&json!(null)) };
    let cases: Vec<(&str, Phase, Request, &str)> = vec![
        ("a change in observe", Observe, delete(), "no template of this phase has that method"),
        ("a change in prepare", Prepare, delete(), "no template of this phase has that method"),
        ("a POST in prepare", Prepare, request("POST", "revoke"), "segment 1 of the path"),
        ("a change in state", State, put(&change()), "no template of this phase"),
        ("a change in undo", Undo, delete(), "no template of this phase"),
        ("an undo in perform", Perform, request("POST", "orgs/acme/tokens/42/enable"), "segments"),
        ("another id", Perform, request("DELETE", "orgs/acme/tokens/43"), "segment 4 of the path"),
        ("another org", Perform, request("DELETE", "orgs/acme2/tokens/42"), "segment 2 of the path"),
        ("a longer path", Perform, request("DELETE", "orgs/acme/tokens/42/keys"), "5 segments"),
        ("a shorter path", Perform, request("DELETE", "orgs/acme/tokens"), "3 segments"),
        ("case", Perform, request("DELETE", "orgs/Acme/tokens/42"), "segment 2"),
        ("another method", Perform, request("PATCH", "orgs/acme/tokens/42"), "no template of this phase"),
        ("no method", Perform, request("delete", "orgs/acme/tokens/42"), "method"),
        ("a method with a line", Perform, request("GET /x HTTP/1.1\r\n", "files/a"), "method"),
        ("dots", Observe, request("GET", "files/../orgs"), "leads to another folder"),
        ("one dot", Observe, request("GET", "files/."), "leads to another folder"),
        ("dots with a parameter", Observe, file("..;a=b"), "leads to another folder"),
        ("dots behind a slash", Observe, file("a/../b"), "leads to another folder"),
        ("dots behind a backslash", Observe, file("a\\..\\b"), "leads to another folder"),
        ("encoded dots", Observe, file("%2e%2e"), "is encoded already"),
        ("an encoded slash", Observe, file("a%2Fb"), "is encoded already"),
        ("an encoded twice", Observe, file("%252e"), "is encoded already"),
        ("a slash in a wildcard", Observe, file("a/b"), "segment 2"),
        ("another host", Observe, request("GET", "/evil.example/files/a"), "segment 1 of its path is empty"),
        ("an empty segment", Observe, request("GET", "files//a"), "is empty"),
        ("an empty end", Observe, request("GET", "files/a/"), "segment 2"),
        ("a line in a path", Observe, file("a\r\nHost: evil"), "control characters"),
        ("a null in a path", Observe, file("a\0"), "control characters"),
        ("a query more", Observe, asking(get(), "a", "b"), "query have something"),
        ("a query of a change", Perform, asking(delete(), "force", "true"), "query have something"),
        (
            "a query twice",
            Perform,
            asking(asking(request("POST", "revoke"), "dry", "no"), "dry", "yes"),
            "twice",
        ),
        ("a query missing", Perform, request("POST", "revoke"), "lack `dry`"),
        ("a line in a query", Observe, asking(get(), "a", "b\r\nc"), "control characters"),
        ("the host", Observe, headed(get(), "Host", "evil"), "`host` is the host's"),
        ("the credential", Observe, headed(get(), "Authorization", "x"), "`authorization` is the host's"),
        ("a cookie", Observe, headed(get(), "COOKIE", "x"), "`cookie` is the host's"),
        ("the connection", Observe, headed(get(), "Connection", "upgrade"), "is the host's"),
        ("a length", Perform, headed(put(&change()), "Content-Length", "1"), "is the host's"),
        ("chunks", Perform, headed(put(&change()), "Transfer-Encoding", "chunked"), "is the host's"),
        (
            "another method by header",
            Observe,
            headed(get(), "X-HTTP-Method-Override", "DELETE"),
            "is the host's",
        ),
        (
            "the same with underscores",
            Observe,
            headed(get(), "X_HTTP_Method_Override", "DELETE"),
            "is the host's",
        ),
        ("another address by header", Observe, headed(get(), "X-Original-URL", "/admin"), "is the host's"),
        ("a header more", Observe, headed(get(), "X-Admin", "1"), "headers have something"),
        ("a header twice", Observe, headed(headed(get(), "Accept", "a"), "accept", "b"), "twice"),
        ("a line in a header", Observe, headed(get(), "Accept", "a\r\nX: y"), "other characters"),
        ("a header's name", Observe, headed(get(), "Accept: a\r\nX", "y"), "other characters"),
        (
            "another content type",
            Perform,
            headed(put(&change()), "Content-Type", "text/xml"),
            "headers have something",
        ),
        (
            "another charset",
            Perform,
            headed(put(&change()), "Content-Type", "application/json; charset=utf-7"),
            "headers",
        ),
        (
            "a header missing",
            Perform,
            with_json(request("PUT", "orgs/acme/tokens/42"), &change()),
            "lack `if-match`",
        ),
        (
            "another etag",
            Perform,
            headed(with_json(request("PUT", "orgs/acme/tokens/42"), &change()), "if-match", "*"),
            "another `if-match`",
        ),
        ("a body of a read", Observe, with_json(get(), &json!({})), "it has a body"),
        ("a body of a change without", Perform, with_json(delete(), &json!({"all": true})), "it has a body"),
        ("no body", Perform, Request { body: None, ..put(&json!(null)) }, "lacks the body"),
        ("no JSON", Perform, text("state=off"), "is not JSON"),
        ("another value", Perform, with("state", json!("on")), "another value (in `state`)"),
        ("another type", Perform, with("reason", json!(["it leaked"])), "another value"),
        ("a number as text", Perform, with("n", json!("18446744073709551615")), "another value"),
        ("a number that is near", Perform, with("n", json!(18_446_744_073_709_551_614_u64)), "another value"),
        ("a member more", Perform, with("admin", json!(true)), "a member that the template does not have"),
        ("a member less", Perform, without("reason"), "lacks `reason`"),
        (
            "a member twice",
            Perform,
            text(r#"{"state":"off","state":"on","reason":"it leaked","n":1,"note":0}"#),
            "twice",
        ),
        ("two documents", Perform, text("{} {}"), "is not JSON"),
        ("a bomb", Perform, text(&"[".repeat(100_000)), "is not JSON"),
        ("a huge body", Perform, text(&format!("\"{}\"", "x".repeat(1 << 20))), "longer than 1 MiB"),
        (
            "a credential",
            Observe,
            Request { credential: Some("sealed:x".to_owned()), ..get() },
            "a credential",
        ),
        ("a placeholder that is none", Perform, with("note", json!("remit-secret-00")), "a placeholder"),
        (
            "a POST read that nobody opted in",
            Observe,
            with_json(request("POST", "graphql"), &json!({"query": "{ tokens }", "org": "acme"})),
            "post_reads",
        ),
    ];
    for (what, phase, request, why) in cases {
        let call = if what.contains("POST read") { list() } else { revoke() };
        let exchange = world.exchange(phase, call);
        let failure = breach(exchange.send(request));
        let Failure::Denied(told) = &failure else { panic!("{what}: {failure:?}") };
        assert!(told.contains(why), "{what}: {told}");
        assert!(told.starts_with("the connector npm wanted to send "), "{what}: {told}");
        assert!(!told.contains("leaked") && !told.contains("evil"), "{what}: {told}");
        // It is over: nothing more is sent, and the outcome is the breach, whatever the connector says.
        assert_eq!(breach(exchange.send(get())), failure, "{what}");
        assert_eq!(exchange.breach().as_ref(), Some(&failure), "{what}");
        assert!(exchange.sent().is_empty(), "{what}");
    }
    assert_eq!(world.server.asked(), Vec::<String>::new());
}

#[test]
fn one_change_a_call_and_eight_requests_a_phase() {
    let world = world();
    let perform = world.exchange(Phase::Perform, revoke());
    perform.send(request("DELETE", "orgs/acme/tokens/42")).unwrap();
    // What the first did is not known to be nothing: the state tells.
    let failure = breach(perform.send(request("DELETE", "orgs/acme/tokens/42")));
    assert!(matches!(&failure, Failure::Unavailable(told) if told.contains("a second change")), "{failure}");
    assert_eq!(world.server.asked().len(), 1);
    let undo = world.exchange(Phase::Undo, revoke());
    undo.send(request("POST", "orgs/acme/tokens/42/enable")).unwrap();
    breach(undo.send(request("POST", "orgs/acme/tokens/42/enable")));
    assert_eq!(world.server.asked().len(), 2);

    let observe = world.exchange(Phase::Observe, revoke());
    for _ in 0..8 {
        observe.send(request("GET", "files/a")).unwrap();
    }
    assert!(breach(observe.send(request("GET", "files/a"))).to_string().contains("at most 8"));
    assert_eq!(world.server.asked().len(), 10);
}

#[test]
fn reads_may_leave_out_pairs_and_post_only_where_the_operator_says_so() {
    let more = format!(
        "{}post_reads = true\n",
        crate::common::LOCAL.replace("credential", "post_reads = true\ncredential")
    );
    let more = more.replacen("post_reads = true\n", "", 1);
    let world = World::with(Server::answering(&[respond("200 OK", "{\"objects\":[]}")]), &more);
    let observe = world.exchange(Phase::Observe, list());
    observe.send(request("GET", "search")).unwrap();
    observe.send(asking(asking(request("GET", "search"), "page", "2"), "org", "acme")).unwrap();
    let graphql =
        |query: &str, org: &str| with_json(request("POST", "graphql"), &json!({"query": query, "org": org}));
    observe.send(graphql("{ tokens }", "acme")).unwrap();
    breach(world.exchange(Phase::Observe, list()).send(graphql("mutation { x }", "acme")));
    breach(world.exchange(Phase::Observe, list()).send(graphql("{ tokens }", "other")));
    breach(world.exchange(Phase::Observe, list()).send(asking(request("GET", "search"), "org", "other")));
    assert_eq!(world.server.asked().len(), 3);
}

#[test]
fn a_call_that_is_not_the_descriptions_does_not_begin() {
    let world = world();
    let begin = |call: Call| {
        let origin = Arc::clone(&world.origin);
        Exchange::new(description(), origin, Phase::Prepare, call, Arc::default()).unwrap_err().to_string()
    };
    for (call, why) in [
        (Call { path: "npm/acme".to_owned(), ..revoke() }, "not a path of the form NAME/{org}/{id}"),
        (Call { path: "npm/acme/42/x".to_owned(), ..revoke() }, "not a path of the form"),
        (Call { path: "gitlab/acme/42".to_owned(), ..revoke() }, "not served by the connector npm"),
        (Call { function: "acme:npm/tokens.drop".to_owned(), ..revoke() }, "no such function"),
        (
            Call { arguments: json!({"id": "43"}), ..revoke() },
            "`id` is a segment of the path and a parameter",
        ),
        (Call { arguments: json!({"fresh": "sealed:x"}), ..revoke() }, "`fresh` is not the handle"),
        (Call { arguments: json!({"fresh": 1}), ..revoke() }, "`fresh` is not the handle"),
    ] {
        let told = begin(call);
        assert!(told.contains(why), "{told}");
    }
}

/// An argument of the action cannot make another request of the template than the one that its author wrote.
#[test]
fn an_argument_stays_one_segment() {
    let text = r#"
interfaces = ["a:b/c@0.1.0"]
[function."a:b/c.f"]
effect = "irrevocable"
irrevocable_because = "it is gone"
kind = "thing"
path = "{id}"
change = ["DELETE /{project}/{id}", "DELETE /c/{config.project}/{id}", "DELETE /{scope}%2F{id}", "DELETE /of/{id}/{key}"]
"#;
    let description = Arc::new(remit_connector::Description::parse(text).unwrap());
    let more = crate::common::LOCAL.replace("tenant = 'blue'", "project = 'group/shop'");
    let world = World::with(Server::answering(&[respond("200 OK", "{}")]), &more);
    let send = |arguments: Value, path: &[&str]| {
        let call =
            Call { function: "a:b/c.f".to_owned(), path: "npm/7".to_owned(), arguments, ..Call::default() };
        let origin = Arc::clone(&world.origin);
        let exchange =
            Exchange::new(Arc::clone(&description), origin, Phase::Perform, call, Arc::default()).unwrap();
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        exchange.send(Request { method: "DELETE".to_owned(), path, ..Request::default() })
    };
    for project in ["a/b", "a\\b", "..", ".", "", "a/..", "a\r\nb", "%2e%2e", "remit-secret-aa"] {
        breach(send(json!({"project": project}), &[project, "7"]));
    }
    breach(send(json!({"key": ""}), &["of", "7", ""]));
    breach(send(json!({"scope": ".."}), &["../7"]));
    breach(send(json!({"scope": "a/b"}), &["a/b/7"]));
    breach(send(json!({}), &["c", "group", "shop", "7"]));
    assert!(world.server.asked().is_empty());
    send(json!({"project": "a b?#&="}), &["a b?#&=", "7"]).unwrap();
    send(json!({"scope": "@s"}), &["@s/7"]).unwrap();
    send(json!({}), &["c", "group/shop", "7"]).unwrap();
    let first: Vec<_> =
        world.server.asked().iter().map(|asked| asked.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        first,
        [
            "DELETE /a%20b%3F%23%26%3D/7 HTTP/1.1",
            "DELETE /%40s%2F7 HTTP/1.1",
            "DELETE /c/group%2Fshop/7 HTTP/1.1"
        ]
    );
}
