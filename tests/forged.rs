//! What whoever wants more than is theirs sends to a running server, as bytes: to each route what it does not take, and documents that
//! were altered, signed by somebody else, or moved to where they do not belong. Each gets a clear problem, and nothing changes.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::issuer::Issuer;
use crate::common::server::{REQUESTS, RUNS, Server, ask, decide, end, id, key_id, raw, signed, upload};
use crate::common::{SECRET, World};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use remit_client::{Client, ToSign};
use remit_journal::RunId;
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, SecretText, Signer, SigningKey, canonical};
use serde_json::{Value, json};

/// What a call was answered.
struct Told {
    status: u16,
    code: String,
    detail: String,
}

/// Reads an answer, which has to be a problem as docs/server.md has it.
#[track_caller]
fn told(what: &str, (status, answer): (u16, String)) -> Told {
    assert!((400..500).contains(&status), "{what}: {answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{what}: {answer}");
    let problem: Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {answer}"));
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let (class, code) = (text("class"), text("code"));
    assert_eq!(problem["status"], status, "{what}");
    assert_eq!(code.split("::").next().unwrap(), class, "{what}: {problem}");
    assert!(
        !text("detail").is_empty() && text("type").starts_with("urn:remit:problem:"),
        "{what}: {problem}"
    );
    Told { status, code, detail: text("detail") }
}

/// How many records the journal has. None more means that nothing was done.
fn records(world: &World) -> Value {
    world.remit(&["audit", "verify", "--json"]).exits(0).json()["records"].clone()
}

/// Headers as they are sent.
fn lines(headers: &[(&str, String)]) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat()
}

fn head(server: &Server) -> String {
    server.url.strip_prefix("http://").unwrap().to_owned()
}

/// A route, with its parameters filled in.
#[derive(Debug)]
struct Route {
    method: String,
    path: String,
    in_session: bool,
    takes: Option<String>,
}

/// Every route that the server has, by its own description, and `/mcp`.
fn routes(alice: &Client) -> Vec<Route> {
    let described: Value = alice.get("/api/v1/openapi.json").unwrap();
    let digest = Digest::of(b"").to_string();
    let fill = |path: &str| {
        let run = "run-01jd2m4k9x8s7t6v5w4y3z2a1b";
        let handle = format!("sealed:token:{}", "0".repeat(64));
        let of = [("request", "req-01jd2m4k9x8s7t6v5w4y3z2a1b"), ("run", run), ("path", "0/000")];
        let more = [("digest", &*digest), ("old", &*digest), ("new", &*digest), ("handle", &*handle)];
        let filled = of
            .iter()
            .chain(&more)
            .fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        assert!(!filled.contains('{'), "{filled}");
        filled
    };
    let mut routes = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let takes = operation["requestBody"]["content"].as_object();
            routes.push(Route {
                method: method.to_uppercase(),
                path: fill(path),
                in_session: operation["security"] != json!([]),
                takes: takes.map(|types| types.keys().next().unwrap().clone()),
            });
        }
    }
    assert!(routes.len() > 30, "{routes:?}");
    let takes = Some("application/json".to_owned());
    routes.push(Route { method: "POST".to_owned(), path: "/mcp".to_owned(), in_session: true, takes });
    routes
}

/// Whoever calls as bytes.
struct Caller<'a> {
    authority: String,
    client: &'a Client,
}

impl Caller<'_> {
    /// A call with these headers and this body, which is said to be `length` bytes long.
    fn says(&self, route: &Route, headers: &[(&str, String)], length: usize, body: &str) -> (u16, String) {
        let Route { method, path, .. } = route;
        let headers = lines(headers);
        let host =
            if headers.contains("Host: ") { String::new() } else { format!("Host: {}\r\n", self.authority) };
        let head = format!("{method} {path} HTTP/1.1\r\n{host}Content-Length: {length}\r\n{headers}");
        raw(&self.authority, &format!("{head}Connection: close\r\n\r\n{body}"))
    }

    fn calls(&self, route: &Route, headers: &[(&str, String)]) -> (u16, String) {
        self.says(route, headers, 0, "")
    }

    fn proof(&self, route: &Route) -> Vec<(&'static str, String)> {
        self.client.prove(&route.method, &route.path).unwrap().to_vec()
    }

    /// What proves nobody, at a route that needs somebody.
    fn who_proves_nothing(&self, route: &Route) {
        let name = |what: &str| format!("{what} at {} {}", route.method, route.path);
        let refused = |what: &str, headers: &[(&str, String)]| {
            let told = told(&name(what), self.calls(route, headers));
            assert_eq!(told.status, 401, "{}: {}", name(what), told.detail);
        };
        refused("nobody", &[]);
        let other = |method: &str, path: &str| self.client.prove(method, path).unwrap().to_vec();
        refused("a proof for another URL", &other(&route.method, "/api/v1/nowhere"));
        refused("a proof for another method", &other("DELETE", &route.path));
        let [authorization, (_, proof)] = self.client.prove(&route.method, &route.path).unwrap();
        refused("a token without a proof", std::slice::from_ref(&authorization));
        refused("a proof without a token", &[("dpop", proof.clone())]);
        refused("a token of nobody", &[("authorization", "DPoP abc".to_owned()), ("dpop", proof.clone())]);
        let [header, claims, signature] = proof.split('.').collect::<Vec<_>>()[..] else { panic!("{proof}") };
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        for (algorithm, signature) in [("none", ""), ("none", signature), ("HS256", signature)] {
            let header = URL_SAFE_NO_PAD.encode(text.replace("ES256", algorithm));
            let forged = format!("{header}.{claims}.{signature}");
            refused(algorithm, &[authorization.clone(), ("dpop", forged)]);
        }
        // A proof that is good is good once.
        let good = [authorization, ("dpop", proof)];
        assert_ne!(self.calls(route, &good).0, 401, "{}", name("a good proof"));
        refused("a proof that was used", &good);
    }

    /// What a route does not take, by somebody who may call it.
    fn what_is_not_taken(&self, route: &Route, takes: &str) {
        let who = || if route.in_session { self.proof(route) } else { Vec::new() };
        let with = |more: &[(&'static str, String)]| [&who()[..], more].concat();
        let of_type = |media_type: &str| with(&[("content-type", media_type.to_owned())]);
        let name = |what: &str| format!("{what} at {} {}", route.method, route.path);
        // `/mcp` answers these as its protocol has it: `tests/mcp.rs`.
        if route.path == "/mcp" {
            return;
        }
        let wrong_type = told(&name("a wrong type"), self.says(route, &of_type("text/plain"), 2, "{}"));
        let untyped = told(&name("no type"), self.says(route, &who(), 2, "{}"));
        assert_eq!((wrong_type.status, untyped.status), (415, 415), "{}", wrong_type.detail);
        let more =
            json!({"more": 1, "document": {}, "key": "x", "reason": "x", "approve": true, "order": "freeze"});
        for body in ["", "{", "[]", "null", "\"x\"", "\u{0}", &more.to_string()] {
            let told = told(&name(body), self.says(route, &of_type(takes), body.len(), body));
            // A request that is not there, or a component that nobody signed, comes first.
            assert!([400, 403, 404].contains(&told.status), "{}: {}", name(body), told.detail);
        }
        // Half a body: the client goes away.
        let headers = lines(&of_type(takes));
        let mut half = TcpStream::connect(&self.authority).unwrap();
        let Route { method, path, .. } = route;
        let call = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: 1000\r\n\r\n{{",
            self.authority
        );
        half.write_all(call.as_bytes()).unwrap();
    }

    /// Half a body, and then a byte a second.
    fn slowly(&self, route: &Route, takes: &str) {
        let who = if route.in_session { self.proof(route) } else { Vec::new() };
        let headers = lines(&who);
        let Route { method, path, .. } = route;
        let call = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Type: {takes}\r\nContent-Length: 1000\r\n\r\n{{",
            self.authority
        );
        let mut slow = TcpStream::connect(&self.authority).unwrap();
        slow.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        slow.write_all(call.as_bytes()).unwrap();
        let (began, mut answer, mut some) = (Instant::now(), Vec::new(), [0; 4096]);
        while began.elapsed() < Duration::from_secs(60) {
            match slow.read(&mut some) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(&some[..length]),
                // Nothing within a second.
                Err(_) if slow.write_all(b" ").is_ok() => {}
                Err(_) => break,
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let told = told(&format!("slowly at {path}"), (status, answer));
        assert_eq!((told.status, &*told.code), (408, "usage::slow"), "{path}: {}", told.detail);
        assert!(began.elapsed() < Duration::from_secs(45), "{path}: {:?}", began.elapsed());
    }
}

#[test]
fn attack_what_no_route_takes() {
    let world = World::new();
    let server = Server::unlimited(&world);
    let alice = server.client(&world, "alice");
    let caller = Caller { authority: head(&server), client: &alice };
    let routes = routes(&alice);
    let before = records(&world);
    for route in &routes {
        let name = |what: &str| format!("{what} at {} {}", route.method, route.path);
        let refused = |what: &str, headers: &[(&str, String)], status: u16, code: &str| {
            let told = told(&name(what), caller.calls(route, headers));
            assert_eq!((told.status, &*told.code), (status, code), "{}", name(what));
        };
        refused("another host", &[("Host", "evil.example".to_owned())], 421, "refused::host");
        refused("another site", &[("Origin", "https://evil.example".to_owned())], 403, "refused::origin");
        refused("no site", &[("Origin", "null".to_owned())], 403, "refused::origin");
        let both = [("Cookie", "a=b".to_owned()), ("Authorization", "DPoP abc".to_owned())];
        refused("both", &both, 400, "usage::cookie");
        // A terabyte, of which not one byte is sent: nobody waits for it.
        let began = Instant::now();
        let told = told(&name("a terabyte"), caller.says(route, &[], 1 << 40, ""));
        assert_eq!((told.status, &*told.code), (413, "usage::too_large"), "{}", told.detail);
        assert!(began.elapsed() < Duration::from_secs(5), "{}: {:?}", name("a terabyte"), began.elapsed());
        if route.in_session {
            caller.who_proves_nothing(route);
        }
        if let Some(takes) = &route.takes {
            caller.what_is_not_taken(route, takes);
        }
    }
    // A component may take 100 s to arrive: its route is left out here.
    std::thread::scope(|scope| {
        for route in routes.iter().filter(|route| !route.path.starts_with("/api/v1/actions")) {
            if let Some(takes) = &route.takes {
                scope.spawn(|| caller.slowly(route, takes));
            }
        }
    });
    assert_eq!(records(&world), before, "something was done");
    assert!(server.stop());
    world.audit_is_sound();
}

/// A document that its signer signed as it should be, and that was not sent yet.
struct Good {
    kind: &'static str,
    by: &'static str,
    route: &'static str,
    envelope: Value,
}

impl Good {
    fn document(&self) -> Value {
        let payload = STANDARD.decode(self.envelope["payload"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&payload).unwrap()
    }

    fn payload_type(&self) -> String {
        self.envelope["payloadType"].as_str().unwrap().to_owned()
    }

    /// As it is sent.
    fn body(&self, envelope: &Value) -> String {
        match self.kind {
            "trigger" | "session" => json!({"document": envelope}).to_string(),
            _ => envelope.to_string(),
        }
    }

    fn send(&self, authority: &str, envelope: &Value) -> (u16, String) {
        post(authority, self.route, &self.body(envelope))
    }

    /// With these bytes in place of its own, and the signature that it had.
    fn with_payload(&self, payload: &[u8]) -> Value {
        let mut envelope = self.envelope.clone();
        envelope["payload"] = STANDARD.encode(payload).into();
        envelope
    }

    /// Another document, signed by the key of this name.
    fn signed(&self, world: &World, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut document = self.document();
        change(&mut document);
        sign(world, name, &self.payload_type(), &canonical(&document).unwrap())
    }

    /// The field with the time at which it was made, and the one with whose it is.
    fn fields(&self) -> (&'static str, &'static str) {
        if self.kind == "request" { ("not_before", "requester") } else { ("at", "principal") }
    }
}

fn sign(world: &World, name: &str, payload_type: &str, payload: &[u8]) -> Value {
    let signer = Signer::load(&world.path(&format!("{name}.key"))).unwrap();
    json!(Envelope::sign(payload_type, payload, &signer).unwrap())
}

fn post(authority: &str, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json");
    raw(authority, &format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

/// One of each kind. The request is a new one, the approval is of `first`, and the trigger is for `approved`.
fn one_of_each(
    world: &World,
    [bot, alice]: [&Client; 2],
    action: &str,
    [first, approved]: [&str; 2],
) -> Vec<Good> {
    let prepared = |client: &Client, path: &str, body: Value| {
        let prepared: ToSign = client.post(path, &body).unwrap();
        json!(client.sign(&prepared).unwrap())
    };
    let rotation = json!({"action": action, "input": {"path": SECRET}, "reason": "leaked"});
    let freeze = json!({"reason": "looks bad", "order": "freeze"});
    let session = json!({"key": key_id(world, "alice"), "thumbprint": "x".repeat(43)});
    let decision = format!("{REQUESTS}/{first}/decisions/prepare");
    let good = |kind, by, route, envelope| Good { kind, by, route, envelope };
    vec![
        good("request", "bot", REQUESTS, prepared(bot, "/api/v1/requests/prepare", rotation)),
        good("approval", "alice", "/api/v1/decisions", prepared(alice, &decision, json!({"approve": true}))),
        good("trigger", "bot", RUNS, prepared(bot, "/api/v1/runs/prepare", json!({"request": approved}))),
        good("order", "alice", "/api/v1/orders", prepared(alice, "/api/v1/orders/prepare", freeze)),
        good("session", "alice", "/api/v1/sessions", prepared(alice, "/api/v1/sessions/prepare", session)),
    ]
}

/// Ways to make another document of a good one. None of them is what its principal signed for here and now.
fn forgeries(world: &World, good: &Good) -> Vec<(&'static str, Value, &'static [&'static str])> {
    const SIGNATURE: &[&str] = &["refused::signature"];
    const DOCUMENT: &[&str] = &["refused::document"];
    let (at, principal) = good.fields();
    let document = good.document();
    let other = if good.by == "alice" { "bob" } else { "alice" };
    let altered = |name: &str, value: Value| {
        let mut document = document.clone();
        assert!(!document[name].is_null(), "{name}");
        document[name] = value;
        good.with_payload(&canonical(&document).unwrap())
    };
    let (what, value) = match good.kind {
        "request" => ("not_after", json!("2036-01-01T00:00:00Z")),
        "approval" => ("approve", json!(false)),
        "trigger" => ("run", json!(RunId::new())),
        "order" => ("order", json!({"unfreeze": {"seen": 1_u64 << 40}})),
        _ => ("thumbprint", json!("y".repeat(43))),
    };
    let with = |name: &str, value: Value| {
        let mut envelope = good.envelope.clone();
        envelope[name] = value;
        envelope
    };
    let mut empty = good.envelope.clone();
    empty["signatures"][0]["sig"] = "".into();
    let mut zeros = good.envelope.clone();
    zeros["signatures"][0]["sig"] = STANDARD.encode([0; 64]).into();
    let mut algorithm = good.envelope.clone();
    algorithm["signatures"][0]["alg"] = "none".into();
    let named = |by: &str| {
        let mut envelope = good.signed(world, by, |_| {});
        envelope["signatures"][0]["keyid"] = key_id(world, good.by).into();
        envelope
    };
    let hours = |hours: i64| (Timestamp::now() + SignedDuration::from_hours(hours)).to_string();
    let moved =
        |name: &'static str, value: Value| good.signed(world, good.by, |document| document[name] = value);
    let other_type = if good.kind == "order" { "trigger" } else { "order" };
    let other_type = format!("application/vnd.remit.{other_type}.v1+json");
    let pretty = serde_json::to_vec_pretty(&document).unwrap();
    vec![
        ("altered, with the signature of before", altered(what, value), SIGNATURE),
        ("given to somebody else, with the signature of before", altered(principal, json!(other)), SIGNATURE),
        ("signed by somebody else", good.signed(world, other, |_| {}), DOCUMENT),
        ("signed by somebody else, under the name of the key", named(other), DOCUMENT),
        ("signed by a key that is nobody's", good.signed(world, "nobody", |_| {}), SIGNATURE),
        ("signed by who may, in the name of somebody else", moved(principal, json!(other)), DOCUMENT),
        ("signed by nobody", with("signatures", json!([])), SIGNATURE),
        ("with an empty signature", empty, SIGNATURE),
        ("with a signature of zeros", zeros, SIGNATURE),
        ("with an algorithm", algorithm, &["usage::document"]),
        ("as another kind of document", with("payloadType", json!(other_type)), &["refused::payload_type"]),
        ("for another log", moved("log", json!("other.example/journal")), DOCUMENT),
        ("in another spelling", sign(world, good.by, &good.payload_type(), &pretty), DOCUMENT),
        ("with a field more", moved("more", json!(1)), &["usage::document"]),
        ("made long ago", moved(at, json!(hours(-25))), DOCUMENT),
        ("not valid yet", moved(at, json!(hours(2))), DOCUMENT),
    ]
}

#[test]
fn attack_documents_that_were_forged() {
    let world = World::new();
    world.add("measure");
    world.remit(&["keys", "new", "--out", "nobody"]).exits(0);
    let server = Server::unlimited(&world);
    let authority = head(&server);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let (action, harmless) = (upload(&world, &bot, "rotate-secret"), upload(&world, &bot, "measure"));
    let [first, second, approved] = [(); 3].map(|()| id(&ask(&bot, &action)));
    decide(&alice, &approved, true).unwrap();
    let all = one_of_each(&world, [&bot, &alice], &action, [&first, &approved]);
    let [request, approval, trigger, order, session] = &all[..] else { panic!() };
    // For whatever is inside a scope; and yet for the action that people looked at, and not for any other that is kept here.
    let secret = format!("secret:{SECRET}");
    let allow = |name: &str| json!({"capability": format!("remit:secrets/{name}"), "resources": [secret]});
    let scope = json!({"allow": [allow("inspect"), allow("rotate")], "limits": {"changes": 1}});
    let wide = json!({"action": action, "input": {"path": SECRET}, "reason": "r", "scope": scope, "without_plan": true});
    let wide = signed(&bot, "/api/v1/requests/prepare", &wide, REQUESTS).unwrap();
    decide(&alice, &id(&wide), true).unwrap();
    let digest_of =
        |request: &str| alice.get::<Value>(&format!("{REQUESTS}/{request}")).unwrap()["digest"].clone();
    let (before, version) = (records(&world), world.current_version(SECRET));

    let refused = |good: &Good, what: &str, envelope: &Value, codes: &[&str]| {
        let name = format!("{} {what}", good.kind);
        let told = told(&name, good.send(&authority, envelope));
        assert!(
            codes.iter().any(|code| told.code.starts_with(code)),
            "{name}: {} {}",
            told.code,
            told.detail
        );
        assert_eq!(told.status, if told.code.starts_with("usage") { 400 } else { 403 }, "{name}");
        assert_eq!(records(&world), before, "{name}");
    };
    for good in &all {
        for (what, envelope, codes) in forgeries(&world, good) {
            refused(good, what, &envelope, codes);
        }
        // Where another kind is taken.
        for other in all.iter().filter(|other| other.kind != good.kind) {
            refused(
                other,
                &format!("that is a {}", good.kind),
                &good.envelope,
                &["usage::document", "refused::signature"],
            );
        }
    }
    // Moved to another request, of which only half is said; and to one that nobody approved.
    let half = approval.signed(&world, "alice", |approval| approval["id"] = second.as_str().into());
    refused(approval, "of another request", &half, &["refused::approval"]);
    let half = approval.signed(&world, "alice", |approval| approval["request"] = digest_of(&second));
    refused(approval, "of another digest", &half, &["refused::approval"]);
    let half = trigger.signed(&world, "bot", |trigger| trigger["request"] = digest_of(&first));
    refused(trigger, "of another digest", &half, &["refused::document"]);
    let unapproved = trigger.signed(&world, "bot", |trigger| {
        trigger["id"] = first.as_str().into();
        trigger["request"] = digest_of(&first);
    });
    refused(trigger, "for what nobody approved", &unapproved, &["refused::request"]);
    for (request, digest) in [(&approved, digest_of(&approved)), (&id(&wide), wide["digest"].clone())] {
        for (name, other) in [("action", harmless.clone()), ("input", Digest::of(b"{}").to_string())] {
            let other = trigger.signed(&world, "bot", |trigger| {
                trigger["id"] = request.as_str().into();
                trigger["request"] = digest.clone();
                trigger[name] = other.into();
            });
            refused(trigger, &format!("of another {name}"), &other, &["refused::document"]);
        }
    }
    let elsewhere =
        session.signed(&world, "alice", |session| session["audience"] = "https://evil.example".into());
    refused(session, "for another server", &elsewhere, &["refused::document"]);
    assert_eq!(world.current_version(SECRET), version);

    // What was forged has used nothing up.
    for good in [request, approval, session] {
        assert_eq!(good.send(&authority, &good.envelope).0, 201, "{}", good.kind);
    }
    // Twice at the same moment, and once more: it is one run.
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let sent: Vec<_> =
            (0..2).map(|_| scope.spawn(|| trigger.send(&authority, &trigger.envelope))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|(status, _)| *status == 202), "{answers:?}");
    end(&bot, trigger.document()["run"].as_str().unwrap());
    assert_eq!(trigger.send(&authority, &trigger.envelope).0, 202);
    let another = trigger.signed(&world, "bot", |trigger| {
        trigger["run"] = json!(RunId::new());
        trigger["at"] = json!(Timestamp::now());
    });
    let told = told("a second run", trigger.send(&authority, &another));
    assert_eq!((told.status, &*told.code), (403, "refused::request"), "{}", told.detail);
    assert_eq!(world.current_version(SECRET), version + 1);
    assert_eq!(order.send(&authority, &order.envelope).0, 200);
    assert_eq!(world.remit(&["status", "--json"]).exits(3).json()["frozen"]["by"], "alice");
    world.audit_is_sound();
    says_nothing_secret(&world, &authority, &[&alice, &bot]);
}

/// Neither the log, at its loudest, nor what is counted has what lets somebody in, or what is kept secret.
#[track_caller]
fn says_nothing_secret(world: &World, authority: &str, clients: &[&Client]) {
    let log = fs::read_to_string(world.path("server.log")).unwrap();
    assert!(log.lines().count() > 20, "{log}");
    let metrics =
        raw(authority, &format!("GET /metrics HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"));
    assert_eq!(metrics.0, 200);
    for client in clients {
        let [(_, token), _] = client.prove("GET", RUNS).unwrap();
        let token = token.strip_prefix("DPoP ").unwrap();
        assert!(!log.contains(token) && !metrics.1.contains(token), "a token is told");
    }
    for what in ["PRIVATE KEY", "\"sig\"", SECRET, "req-", "run-"] {
        assert!(!metrics.1.contains(what), "{what} is counted");
    }
    assert!(!log.contains("PRIVATE KEY"));
}

#[test]
fn attack_keys_that_do_not_count_any_more() {
    let issuer = Issuer::new();
    let world = World::new();
    let principals = world.home().join("principals.toml");
    let original = fs::read_to_string(&principals).unwrap();
    let rules = |more: &str, text: &str| {
        let url = &issuer.url;
        let issuer = format!(
            "[[issuer]]\nname = 'jobs'\nkind = 'github'\nurl = '{url}'\naudience = 'remit'\n{more}\n"
        );
        let identity = "repository_id = '74'\nrepository_owner_id = '65'\n";
        let job = format!(
            "\n[[principal]]\nname = 'ci'\nkind = 'service'\n[[principal.identity]]\nissuer = 'jobs'\n{identity}"
        );
        fs::write(&principals, format!("{issuer}\n{text}{job}")).unwrap();
        world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    };
    rules("ttl = '10s'", &original);
    let server = Server::unlimited(&world);
    let authority = head(&server);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    let [first, approved] = [(); 2].map(|()| id(&ask(&bot, &action)));
    decide(&alice, &approved, true).unwrap();
    let rotation = json!({"action": action, "input": {"path": SECRET}, "reason": "leaked"});
    let refused = |what: &str, route: &str, body: &str, words: &str| {
        let (before, told) = (records(&world), told(what, post(&authority, route, body)));
        assert_eq!(told.status, 403, "{what}: {} {}", told.code, told.detail);
        assert!(
            told.code.starts_with("refused::") && told.detail.contains(words),
            "{what}: {} {}",
            told.code,
            told.detail
        );
        assert_eq!(records(&world), before, "{what}");
    };

    // A job's certificate comes to its end before its request is sent.
    let job = Client::connect(
        ureq::Agent::new_with_defaults(),
        &server.url,
        Signer::from(SigningKey::generate().unwrap()),
    );
    let job = job.unwrap();
    let token = issuer.token(&issuer.github());
    job.certify(&SecretText::new(token.clone())).unwrap();
    let prepared: ToSign = job.post("/api/v1/requests/prepare", &rotation).unwrap();
    let request = json!(job.sign(&prepared).unwrap()).to_string();
    std::thread::sleep(Duration::from_secs(11));
    refused("a certificate that ended", REQUESTS, &request, "until");
    // What somebody sends instead of what is exchanged for a key: nothing of it is told again, to anybody.
    let other = issuer.token(&issuer.github());
    for body in [
        json!(other),
        json!({"token": other}),
        json!({"token": [other], "key": "x", "proof": {}}),
        json!({"token": other, "key": "x", "proof": {}, (other.as_str()): 1}),
        json!({"token": other, "key": other, "proof": other}),
        json!({"token": "a.b.c", "key": other, "proof": {}}),
    ] {
        let told = told("a token in disorder", post(&authority, "/api/v1/certificates", &body.to_string()));
        assert!(!told.detail.contains(&other[..20]), "{}", told.detail);
    }

    // A key of a person: it comes to its end by the rules, and another one is taken away.
    let all = one_of_each(&world, [&bot, &alice], &action, [&first, &approved]);
    let by = |name: &'static str| all.iter().filter(move |good| good.by == name);
    let file = world.kept_key("principals", "alice");
    let until = Timestamp::now() - SignedDuration::from_secs(1);
    let line = format!("file   = \"{file}\"");
    assert!(original.contains(&line), "{original}");
    rules("", &original.replace(&line, &format!("{line}\nuntil = {until}")));
    for good in by("alice") {
        refused(
            &format!("{} by a key that ended", good.kind),
            good.route,
            &good.body(&good.envelope),
            "not in force now",
        );
    }
    rules("", &original);
    world.remit(&["revoke", "key", &key_id(&world, "bot"), "--reason", "lost", "--key", "bob.key"]).exits(0);
    world.remit(&["revoke", "principal", "alice", "--reason", "left", "--key", "bob.key"]).exits(0);
    for good in by("alice").chain(by("bot")) {
        refused(
            &format!("{} by a key that was revoked", good.kind),
            good.route,
            &good.body(&good.envelope),
            "revoked",
        );
    }
    assert!(world.remit(&["status", "--json"]).json()["frozen"].is_null());
    assert_eq!(world.current_version(SECRET), 1);
    world.audit_is_sound();
    let log = fs::read_to_string(world.path("server.log")).unwrap();
    for token in [&token, &other] {
        for part in token.split('.') {
            assert!(!log.contains(part), "a token is in the log");
        }
    }
    says_nothing_secret(&world, &authority, &[]);
}
