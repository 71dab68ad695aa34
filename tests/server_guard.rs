//! What the server does not let: calls that are not what they should be, documents that do not count here, whoever is not who they say,
//! is too slow, or calls too often.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::server::{
    REQUESTS, RUNS, Server, ask, decide, end, id, key_id, problem, raw, start, upload,
};
use crate::common::{SECRET, World};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use remit_client::{Client, ToSign};
use remit_trust::Digest;
use serde_json::{Value, json};

#[test]
fn software_sees_what_is_its_own_and_people_see_all() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice, bob) =
        (server.client(&world, "bot"), server.client(&world, "alice"), server.client(&world, "bob"));
    let action = upload(&world, &alice, "rotate-secret");
    let request = id(&ask(&alice, &action));
    let run = {
        decide(&bob, &request, true).unwrap();
        start(&alice, &request).unwrap()["run"].as_str().unwrap().to_owned()
    };
    end(&alice, &run);
    for path in [
        format!("{REQUESTS}/{request}"),
        format!("{REQUESTS}/{request}/explanation"),
        format!("{RUNS}/{run}"),
        format!("{RUNS}/{run}/events"),
        format!("{RUNS}/{run}/revert"),
        format!("{RUNS}/{run}/proof"),
    ] {
        let (status, code, _) = problem(bot.get::<Value>(&path));
        assert_eq!(status, 404, "{path} {code}");
    }
    // Nor are they named to whoever guesses how they begin: one by itself, and two.
    let told = |path: &str| match bot.get::<Value>(path) {
        Err(remit_client::ClientError::Problem(problem)) => format!("{problem:?}"),
        other => panic!("{other:?}"),
    };
    assert!(!told(&format!("{REQUESTS}/{}", &request[..12])).contains(&request));
    let other = id(&ask(&alice, &action));
    let both = told(&format!("{REQUESTS}/req-0"));
    assert!(!both.contains(&request) && !both.contains(&other) && both.contains("whole name"), "{both}");
    assert!(!told(&format!("{RUNS}/run-0")).contains(&run));
    let requests: Value = bot.get(&format!("{REQUESTS}?all=true")).unwrap();
    assert_eq!(requests["requests"], json!([]));
    let runs: Value = bot.get(RUNS).unwrap();
    assert_eq!(runs["runs"], json!([]));
    assert_eq!(problem(bot.get::<Value>("/api/v1/status")).0, 403);
    let status: Value = alice.get("/api/v1/status").unwrap();
    assert!(status["frozen"].is_null());
}

#[test]
fn a_call_that_is_not_what_it_should_be_gets_a_problem_and_changes_nothing() {
    let world = World::new();
    let server = Server::of(&world);
    let authority = server.url.strip_prefix("http://").unwrap().to_owned();
    let get = |head: &str| raw(&authority, &format!("{head}\r\nConnection: close\r\n\r\n"));
    let post = |path: &str, headers: &str, body: &str| {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {length}");
        raw(&authority, &format!("{head}\r\n{headers}Connection: close\r\n\r\n{body}"))
    };
    let size = world.remit(&["audit", "verify", "--json"]).exits(0).json()["records"].clone();

    // Another name for this server, and a page of another site.
    assert_eq!(get("GET /api/v1 HTTP/1.1\r\nHost: evil.example").0, 421);
    assert_eq!(get(&format!("GET /api/v1 HTTP/1.1\r\nHost: {authority}\r\nHost: {authority}")).0, 421);
    assert_eq!(get(&format!("GET http://evil.example/api/v1 HTTP/1.1\r\nHost: {authority}")).0, 421);
    assert_eq!(
        get(&format!("GET /api/v1 HTTP/1.1\r\nHost: {authority}\r\nOrigin: http://evil.example")).0,
        403
    );
    assert_eq!(get(&format!("GET /api/v1 HTTP/1.1\r\nHost: {authority}\r\nOrigin: null")).0, 403);
    assert_eq!(get(&format!("GET /api/v1 HTTP/1.1\r\nHost: {authority}")).0, 200);
    assert_eq!(get(&format!("GET /nothing HTTP/1.1\r\nHost: {authority}")).0, 404);
    assert_eq!(get(&format!("DELETE /api/v1 HTTP/1.1\r\nHost: {authority}")).0, 405);
    // Nobody.
    for path in ["/api/v1/status", "/api/v1/requests", "/api/v1/runs", "/api/v1/principals"] {
        let (status, answer) = get(&format!("GET {path} HTTP/1.1\r\nHost: {authority}"));
        assert_eq!(status, 401, "{path}");
        assert!(answer.to_lowercase().contains("www-authenticate: dpop"), "{answer}");
        let bearer = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer abc");
        assert_eq!(get(&bearer).0, 401);
        let unknown =
            format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: DPoP abc\r\nDPoP: a.b.c");
        assert_eq!(get(&unknown).0, 401);
    }
    // Bodies.
    let json_type = "Content-Type: application/json\r\n";
    for (headers, body, expected) in [
        ("", "{}", 415),
        ("Content-Type: text/plain\r\n", "{}", 415),
        (json_type, "", 400),
        (json_type, "{", 400),
        (json_type, "[]", 400),
        (json_type, "{\"payload\":\"e30=\",\"payload\":\"e30=\"}", 400),
        (json_type, "{\"payload\":\"e30=\",\"payloadType\":\"x\",\"signatures\":[],\"more\":1}", 400),
        (json_type, "\u{feff}nonsense", 400),
    ] {
        for path in [REQUESTS, "/api/v1/decisions", "/api/v1/orders"] {
            let (status, answer) = post(path, headers, body);
            assert_eq!(status, expected, "{path} {body}: {answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
    }
    let huge = format!("{{\"document\": \"{}\"}}", "a".repeat(2 * 1024 * 1024));
    assert_eq!(post(RUNS, json_type, &huge).0, 413);
    // Half a body: the client goes away.
    let mut half = TcpStream::connect(&authority).unwrap();
    let head =
        format!("POST {REQUESTS} HTTP/1.1\r\nHost: {authority}\r\n{json_type}Content-Length: 1000\r\n\r\n{{");
    half.write_all(head.as_bytes()).unwrap();
    drop(half);

    assert_eq!(world.remit(&["audit", "verify", "--json"]).exits(0).json()["records"], size);
    assert!(server.stop());
}

#[test]
fn a_document_counts_only_here_and_only_while_its_key_does() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    let request = id(&ask(&bot, &action));

    // Prepared for alice, signed by the bot.
    let path = format!("{REQUESTS}/{request}/decisions/prepare");
    let approval: ToSign = alice.post(&path, &json!({"approve": true})).unwrap();
    let by_bot = bot.sign(&approval).unwrap();
    assert_eq!(problem(bot.submit::<Value>("/api/v1/decisions", &by_bot)).0, 403);
    // An approval is no order, and no session.
    let by_alice = alice.sign(&approval).unwrap();
    assert_eq!(problem(alice.submit::<Value>("/api/v1/orders", &by_alice)).0, 400);
    let as_session = json!({"document": by_alice});
    assert_eq!(problem(alice.submit::<Value>("/api/v1/sessions", &as_session)).0, 400);

    // Another home of the same people.
    let other = World::new();
    fs::remove_dir_all(other.home()).unwrap();
    let trust = ["--publisher", "publisher.pub", "--admin", "admin.key"];
    let people = ["--human", "alice.pub", "--human", "bob.pub", "--agent", "bot.pub"];
    other.remit(&[&["init", "--log", "other.example/journal"][..], &trust, &people].concat()).exits(0);
    other.policies(crate::common::POLICY);
    let elsewhere = Server::of(&other);
    let there = elsewhere.client(&other, "alice");
    let (status, code, detail) = problem(there.submit::<Value>("/api/v1/decisions", &by_alice));
    assert_eq!((status, &*code), (403, "refused::document"), "{detail}");
    assert!(detail.contains("it is for the journal test.example/journal"), "{detail}");
    drop(elsewhere);

    // Her key is taken away: what she signed before does not count, and her session is over.
    world.remit(&["revoke", "principal", "alice", "--reason", "laptop lost", "--key", "bob.key"]).exits(0);
    assert_eq!(problem(alice.submit::<Value>("/api/v1/decisions", &by_alice)).0, 403);
    assert_eq!(problem(alice.get::<Value>("/api/v1/status")).0, 403);
    world.audit_is_sound();
}

/// Whatever it is a reason for: people read it, and the journal keeps it.
#[test]
fn no_reason_is_longer_than_people_read() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    let request = id(&ask(&bot, &action));
    let records = || world.remit(&["audit", "verify", "--json"]).exits(0).json()["records"].clone();
    let (before, reason) = (records(), "\u{e9}".repeat(4001));
    let run = json!({"action": action, "input": {"path": SECRET}, "reason": reason});
    for (path, body) in [
        ("/api/v1/plans", run.clone()),
        ("/api/v1/requests/prepare", run),
        (&format!("{REQUESTS}/{request}/decisions/prepare"), json!({"approve": true, "reason": reason})),
        ("/api/v1/orders/prepare", json!({"order": "freeze", "reason": reason})),
    ] {
        let (status, code, detail) = problem(alice.post::<Value>(path, &body));
        assert_eq!((status, &*code), (400, "usage::request"), "{path}: {detail}");
        assert!(detail.contains("4001 characters, and may have 4000"), "{path}: {detail}");
    }
    let plan = ["plan", "rotate-secret.wasm", "--input", &format!("path={SECRET}"), "--reason"];
    world.remit(&[&plan[..], &[&reason]].concat()).exits(2).says("may have 4000");
    assert_eq!(records(), before);
    world.remit(&[&plan[..], &[&reason[2..]]].concat()).exits(0);
}

/// A certificate for this machine by an authority of its own, and that authority.
fn certificate(names: &[&str]) -> (String, String, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    (certificate.pem(), key.serialize_pem(), root.pem())
}

fn agent(root: &str) -> ureq::Agent {
    let root = ureq::tls::Certificate::from_pem(root.as_bytes()).unwrap();
    let roots = ureq::tls::RootCerts::new_with_certs(&[root]);
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    ureq::Agent::config_builder().tls_config(tls).build().into()
}

#[test]
fn tls_has_its_own_certificate_and_takes_a_new_one_while_it_serves() {
    let world = World::empty();
    let keep = |name: &str, text: &str| {
        let path = world.home().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    let config = world.home().join("remit.toml");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{before}\n[server]\nlisten = \"0.0.0.0:0\"\nurl = \"https://localhost\"\n"))
        .unwrap();
    // Others could listen to what is said.
    world.remit(&["serve"]).exits(2).says("there is no certificate");
    let tls = "[server.tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n";
    fs::write(&config, format!("{before}\n[server]\nlisten = \"127.0.0.1:0\"\n{tls}")).unwrap();
    world.remit(&["serve"]).exits(2).says("chain.pem");
    let (chain, key, root) = certificate(&["127.0.0.1"]);
    keep("chain.pem", &chain);
    keep("key.pem", "nonsense");
    world.remit(&["serve"]).exits(2).says("key.pem");
    keep("key.pem", &key);
    let server = Server::of(&world);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let connect = |root: &str| {
        let signer = remit_trust::Signer::load(&world.path("alice.key")).unwrap();
        Client::connect(agent(root), &server.url, signer)
    };
    let status: Value = connect(&root).unwrap().get("/api/v1/status").unwrap();
    assert!(status["frozen"].is_null());
    // No TLS at all, and somebody else's authority.
    let authority = server.url.strip_prefix("https://").unwrap();
    assert_ne!(raw(authority, &format!("GET /api/v1 HTTP/1.1\r\nHost: {authority}\r\n\r\n")).0, 200);
    let (chain, key, other) = certificate(&["127.0.0.1"]);
    assert!(connect(&other).is_err());
    // A certificate that cannot be used leaves the one before in use; a good one is used at once.
    keep("chain.pem", "nonsense");
    connect(&root).unwrap();
    keep("key.pem", &key);
    keep("chain.pem", &chain);
    connect(&other).unwrap();
    assert!(connect(&root).is_err());
}

#[test]
fn whoever_sends_a_body_too_slowly_is_sent_away() {
    let world = World::empty();
    let server = Server::of(&world);
    let authority = server.url.strip_prefix("http://").unwrap().to_owned();
    // Half a body, and then a byte a second.
    let mut slow = TcpStream::connect(&authority).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let head = format!(
        "POST {REQUESTS} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).unwrap();
    let began = Instant::now();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while began.elapsed() < Duration::from_secs(60) {
        match slow.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => answer.push(byte[0]),
            // Nothing within a second.
            Err(_) if slow.write_all(b" ").is_ok() => {}
            Err(_) => break,
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("usage::slow"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(40), "it was kept for {:?}", began.elapsed());
}

/// A client that writes its whole body before it reads must not find the connection reset in place of an answer; nor may it take a
/// connection again that is about to be closed.
#[test]
fn whoever_is_refused_before_the_body_is_read_gets_the_answer() {
    let world = World::empty();
    let server = Server::of(&world);
    let authority = server.url.strip_prefix("http://").unwrap().to_owned();
    let connect = || {
        let client = TcpStream::connect(&authority).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        BufReader::new(client)
    };
    let head = |path: &str, more: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n"
        )
    };
    // The status, and whether the connection is kept.
    let answer = |client: &mut BufReader<TcpStream>| {
        let (mut text, mut length) = (String::new(), 0);
        while !text.ends_with("\r\n\r\n") {
            let mut line = String::new();
            client.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the connection was closed: {text}");
            text.push_str(&line.to_lowercase());
            length = line
                .to_lowercase()
                .strip_prefix("content-length: ")
                .map_or(length, |l| l.trim().parse().unwrap());
        }
        client.read_exact(&mut vec![0; length]).unwrap();
        (text[9..12].to_owned(), !text.contains("connection: close"))
    };
    let piece = [b' '; 1024];

    // Nobody's calls, one after the other on one connection: what is not looked at is read.
    let mut client = connect();
    for _ in 0..3 {
        client.get_mut().write_all(head("/api/v1/plans", "", 256 * piece.len()).as_bytes()).unwrap();
        for _ in 0..256 {
            client.get_mut().write_all(&piece).unwrap();
        }
        assert_eq!(answer(&mut client), ("401".to_owned(), true));
    }
    // A client that asks first whether it may send the body.
    client.get_mut().write_all(head("/api/v1/plans", "Expect: 100-continue\r\n", 10).as_bytes()).unwrap();
    assert_eq!(answer(&mut client), ("401".to_owned(), false));

    // A body that is too large: the server stops to read in the middle of it.
    let mut client = connect();
    client.get_mut().write_all(head(REQUESTS, "", 8192 * piece.len()).as_bytes()).unwrap();
    for sent in 0..8192 {
        client.get_mut().write_all(&piece).unwrap_or_else(|error| panic!("after {sent} KiB: {error}"));
    }
    assert_eq!(answer(&mut client), ("413".to_owned(), false));
}

#[test]
fn whoever_says_nothing_is_sent_away() {
    let world = World::empty();
    let server = Server::of(&world);
    let mut slow = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let began = Instant::now();
    for byte in b"GET /api/v1 HTTP/1.1\r\nX-Slow: " {
        // A byte a second does not keep the connection.
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
        if began.elapsed() > Duration::from_secs(25) {
            break;
        }
    }
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(began.elapsed() < Duration::from_secs(40), "it was kept for {:?}", began.elapsed());
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    let _: Value = server.client(&world, "alice").get("/api/v1/status").unwrap();
}

#[test]
fn a_stream_ends_with_the_key_of_its_reader() {
    let world = World::new();
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    let limits = "[limits]\nfuel = 1_000_000_000_000\nwall_time = \"5m\"\n";
    world.grant_scope(&crate::common::scope(limits, SECRET), "misbehave.wasm", &input, "endless");
    let server = Server::of(&world);
    // Nothing of the run depends on him.
    let (bob, bot) = (server.client(&world, "bob"), server.client(&world, "bot"));
    let run = start(&bot, &world.request("endless")).unwrap()["run"].as_str().unwrap().to_owned();
    let mut lines = bob.follow(&format!("{RUNS}/{run}/events")).unwrap().lines();
    assert!(lines.any(|line| line.unwrap().starts_with("event: intent")), "it goes on");
    world.remit(&["revoke", "key", &key_id(&world, "bob"), "--reason", "lost"]).exits(0);
    // It ends, although the run does not.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(!rest.iter().any(|line| line == "event: ended"), "{rest:?}");
    let runs = world.remit(&["runs", "--live", "--json"]).exits(0).json();
    assert_eq!(runs[0]["state"], Value::Null);
    world.remit(&["freeze", "--reason", "over"]).exits(0);
    end(&bot, &run);
}

#[test]
fn clients_may_need_a_certificate() {
    let world = World::empty();
    let keep = |name: &str, text: &str| {
        let path = world.home().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    let (chain, key, root) = certificate(&["127.0.0.1"]);
    let (own, own_key, clients) = certificate(&["alice"]);
    let (theirs, their_key, _) = certificate(&["alice"]);
    for (name, text) in [("chain.pem", &chain), ("key.pem", &key), ("clients.pem", &clients)] {
        keep(name, text);
    }
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let tls = "certificate = \"chain.pem\"\nkey = \"key.pem\"\nclient_authorities = \"clients.pem\"\n";
    fs::write(&config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n[server.tls]\n{tls}")).unwrap();
    let server = Server::of(&world);
    let connect = |certificate: Option<(&String, &String)>| {
        use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
        let root = Certificate::from_pem(root.as_bytes()).unwrap();
        let mut tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root]));
        if let Some((certificate, key)) = certificate {
            let chain = [Certificate::from_pem(certificate.as_bytes()).unwrap()];
            let key = PrivateKey::from_pem(key.as_bytes()).unwrap();
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls.build()).build().into();
        let signer = remit_trust::Signer::load(&world.path("alice.key")).unwrap();
        Client::connect(agent, &server.url, signer)
    };
    assert!(connect(None).is_err());
    assert!(connect(Some((&theirs, &their_key))).is_err());
    let status: Value = connect(Some((&own, &own_key))).unwrap().get("/api/v1/status").unwrap();
    assert!(status["frozen"].is_null());
}

/// A document as somebody signs it who changed it first.
fn changed(client: &Client, prepared: &ToSign, change: impl FnOnce(&mut Value)) -> Value {
    let mut document = prepared.document().unwrap();
    change(&mut document);
    let body = json!({
        "payloadType": prepared.payload_type,
        "payload": STANDARD.encode(remit_trust::canonical(&document).unwrap()),
        "keyid": prepared.keyid,
    });
    let altered: ToSign = serde_json::from_value(body).unwrap();
    serde_json::to_value(client.sign(&altered).unwrap()).unwrap()
}

#[test]
fn a_document_counts_only_in_its_time_and_for_its_audience() {
    let world = World::new();
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let later = |hours: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string();
    let freeze = json!({"reason": "looks bad", "order": "freeze"});
    let order: ToSign = alice.post("/api/v1/orders/prepare", &freeze).unwrap();
    for (hours, why) in [(-2, "more than 1 h ago"), (2, "and it is only")] {
        let at = changed(&alice, &order, |order| order["at"] = later(hours).into());
        let (status, code, detail) = problem(alice.submit::<Value>("/api/v1/orders", &at));
        assert_eq!((status, &*code), (403, "refused::document"), "{detail}");
        assert!(detail.contains(why), "{detail}");
    }
    for (field, value) in [("log", "other.example/journal"), ("principal", "bob"), ("more", "x")] {
        let other = changed(&alice, &order, |order| order[field] = value.into());
        let (status, _, detail) = problem(alice.submit::<Value>("/api/v1/orders", &other));
        assert!(matches!(status, 400 | 403), "{field}: {detail}");
    }
    let about = json!({"key": key_id(&world, "alice"), "thumbprint": "x".repeat(43)});
    let session: ToSign = alice.submit("/api/v1/sessions/prepare", &about).unwrap();
    for (field, value) in
        [("audience", "https://evil.example".to_owned()), ("at", later(-2)), ("at", later(2))]
    {
        let other = changed(&alice, &session, |session| session[field] = value.into());
        let opened = alice.submit::<Value>("/api/v1/sessions", &json!({"document": other}));
        assert_eq!(problem(opened).0, 403, "{field}");
    }
    let status: Value = alice.get("/api/v1/status").unwrap();
    assert!(status["frozen"].is_null());
    world.audit_is_sound();
}

#[test]
fn a_proof_is_for_one_call() {
    let world = World::empty();
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let authority = server.url.strip_prefix("http://").unwrap();
    let call = |path: &str, headers: &[(&str, String)]| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        raw(
            authority,
            &format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n{headers}Connection: close\r\n\r\n"),
        )
    };
    let path = "/api/v1/status";
    let good = alice.prove("GET", path).unwrap();
    assert_eq!(call(path, &good).0, 200);
    let (status, answer) = call(path, &good);
    assert_eq!(status, 401, "{answer}");
    assert!(answer.contains("used before"), "{answer}");
    assert_eq!(call("/api/v1/runs", &alice.prove("GET", path).unwrap()).0, 401);
    assert_eq!(call(path, &alice.prove("POST", path).unwrap()).0, 401);
    // Without a signature, and with the algorithm of another kind of key.
    let [authorization, (_, proof)] = alice.prove("GET", path).unwrap();
    let [header, claims, signature] = proof.split('.').collect::<Vec<_>>()[..] else { panic!("{proof}") };
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    for (algorithm, signature) in [("none", ""), ("HS256", signature), ("EdDSA", signature)] {
        let header = URL_SAFE_NO_PAD.encode(header.replace("ES256", algorithm));
        let forged = [authorization.clone(), ("dpop", format!("{header}.{claims}.{signature}"))];
        let (status, answer) = call(path, &forged);
        assert_eq!(status, 401, "{algorithm}: {answer}");
    }
    // Two proofs, two tokens, and a cookie beside a token.
    let [authorization, dpop] = alice.prove("GET", path).unwrap();
    assert_eq!(call(path, &[authorization.clone(), dpop.clone(), dpop.clone()]).0, 401);
    assert_eq!(call(path, &[authorization.clone(), authorization.clone(), dpop.clone()]).0, 401);
    let cookie = ("cookie", "session=1".to_owned());
    assert_eq!(call(path, &[authorization.clone(), dpop.clone(), cookie]).0, 400);
    // None of these used it up.
    assert_eq!(call(path, &[authorization, dpop]).0, 200);
}

#[test]
fn a_component_is_kept_only_as_its_publisher_signed_it() {
    let world = World::empty();
    let server = Server::of(&world);
    let bot = server.client(&world, "bot");
    let bytes = fs::read(world.path("rotate-secret.wasm")).unwrap();
    let signature = fs::read_to_string(world.path("rotate-secret.wasm.sig")).unwrap();
    let other = fs::read_to_string(world.path("misbehave.wasm.sig")).unwrap();
    let digest = Digest::of(&bytes).to_string();
    let nothing = Digest::of(b"").to_string();
    let kept = |digest: &str, bytes: &[u8], signature: &str| {
        problem(bot.upload(digest, bytes.to_vec(), signature)).0
    };
    assert_eq!(kept(&nothing, &bytes, &signature), 400);
    assert_eq!(kept("sha256:00", &bytes, &signature), 400);
    assert_eq!(kept(&digest, &bytes[1..], &signature), 400);
    assert_eq!(kept(&digest, &bytes, &other), 403);
    assert_eq!(kept(&digest, &bytes, "nonsense"), 403);
    let cut = &bytes[..bytes.len() / 2];
    assert!(matches!(kept(&Digest::of(cut).to_string(), cut, &signature), 400 | 403));
    // None of it is kept.
    let body = json!({"action": digest, "input": {"path": SECRET}});
    assert_eq!(problem(bot.post::<Value>("/api/v1/plans", &body)).0, 404);
    let left = fs::read_dir(world.home().join("received")).unwrap().count();
    assert_eq!(left, 0);
    bot.upload(&digest, bytes, &signature).unwrap();
}

/// A server where each has a bucket of 200 points, which does not fill again while a test runs.
fn limited(world: &World) -> Server {
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let rate = "[server.rate]\nper_minute = 1\nburst = 200\n";
    fs::write(&config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n{rate}")).unwrap();
    Server::of(world)
}

/// How often a call is served until it is refused because it came too often.
fn until_refused(call: impl Fn() -> Result<Value, remit_client::ClientError>) -> u32 {
    (0..=200)
        .find(|_| match call() {
            Err(remit_client::ClientError::Problem(problem)) if problem.status == 429 => {
                assert_eq!(problem.code, "failed::rate");
                assert!(problem.help.unwrap().starts_with("try again in "), "{}", problem.detail);
                true
            }
            _ => false,
        })
        .expect("it is refused in the end")
}

#[test]
fn whoever_calls_too_often_waits_and_nobody_else_does() {
    let world = World::empty();
    let server = limited(&world);
    let authority = server.url.strip_prefix("http://").unwrap();
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    // A session for 5, an upload for 20, a rehearsal of what is not there for 20.
    let nothing = json!({"action": Digest::of(b"").to_string(), "input": {}});
    assert_eq!(problem(bot.post::<Value>("/api/v1/plans", &nothing)).0, 404);
    let served = until_refused(|| bot.get(RUNS));
    assert!((155..160).contains(&served), "{served}");
    let [(_, authorization), (_, proof)] = bot.prove("GET", RUNS).unwrap();
    let head = format!("Authorization: {authorization}\r\nDPoP: {proof}\r\nConnection: close\r\n\r\n");
    let again = || raw(authority, &format!("GET {RUNS} HTTP/1.1\r\nHost: {authority}\r\n{head}"));
    let (status, answer) = again();
    assert_eq!(status, 429);
    // Its proof was not used, so nothing has to be remembered of it.
    assert_eq!(again().0, 429);
    let wait =
        answer.to_lowercase().split_once("retry-after: ").unwrap().1.split_once('\r').unwrap().0.to_owned();
    assert!((1..=61).contains(&wait.parse::<u32>().unwrap()), "{answer}");
    // It has one bucket, however many sessions it opens, and wherever it calls.
    assert_eq!(problem(server.client(&world, "bot").get::<Value>(RUNS)).0, 429);
    let plan = json!({"action": action, "input": {"path": SECRET}});
    assert_eq!(problem(bot.post::<Value>("/api/v1/plans", &plan)).0, 429);
    let status: Value = alice.get("/api/v1/status").unwrap();
    assert!(status["frozen"].is_null());
    let counted =
        raw(authority, &format!("GET /metrics HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")).1;
    assert!(counted.contains("remit_http_rate_refused_total{whose=\"principal\"} "), "{counted}");
    assert!(!counted.contains("whose=\"address\""), "{counted}");
}

#[test]
fn nobody_empties_the_bucket_of_another() {
    let world = World::new();
    let server = limited(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &alice, "rotate-secret");
    let request = id(&ask(&bot, &action));
    // What alice signed is on record, where the bot reads it: it can be sent by anybody, as often as they like.
    let path = format!("{REQUESTS}/{request}/decisions/prepare");
    let approval: ToSign = alice.post(&path, &json!({"approve": true})).unwrap();
    let approval = alice.sign(&approval).unwrap();
    for _ in 0..2 {
        let approved: Value = bot.submit("/api/v1/decisions", &approval).unwrap();
        assert_eq!(approved["status"], "approved");
    }
    until_refused(|| bot.submit("/api/v1/decisions", &approval));
    // So can a document that names her, and that she did not sign.
    let freeze = json!({"reason": "looks bad", "order": "freeze"});
    let order: ToSign = alice.post("/api/v1/orders/prepare", &freeze).unwrap();
    let forged = bot.sign(&order).unwrap();
    until_refused(|| bot.submit("/api/v1/orders", &forged));
    // And anybody can ask for a session in her name, which they cannot sign.
    let asked = json!({"key": key_id(&world, "alice"), "thumbprint": "x".repeat(43)});
    until_refused(|| bot.submit("/api/v1/sessions/prepare", &asked));
    // And whoever overheard a call of hers can send that again.
    let authority = server.url.strip_prefix("http://").unwrap();
    let [(_, authorization), (_, proof)] = alice.prove("GET", RUNS).unwrap();
    let head = format!("Authorization: {authorization}\r\nDPoP: {proof}\r\nConnection: close\r\n\r\n");
    let overheard = || raw(authority, &format!("GET {RUNS} HTTP/1.1\r\nHost: {authority}\r\n{head}")).0;
    assert_eq!(overheard(), 200);
    assert!((0..250).all(|_| overheard() == 401), "a proof that was used is no call of hers");
    // She reads and orders as before, and others open sessions.
    let frozen: Value = alice.submit("/api/v1/orders", &alice.sign(&order).unwrap()).unwrap();
    assert_eq!(frozen["order"], "freeze");
    let status: Value = alice.get("/api/v1/status").unwrap();
    assert!(!status["frozen"].is_null());
    let _: Value = server.client(&world, "bob").get("/api/v1/status").unwrap();
    let _: Value = bot.get(RUNS).unwrap();
    world.audit_is_sound();
}
