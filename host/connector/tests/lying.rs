//! A server that answers what it should not, late, or to somebody else: the connector learns what it may know, in time.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{
    LOCAL, Server, Stream, TOKEN, World, entry, failure, home, json_of, list, private, request, respond,
    respond_with, revoke,
};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use remit_connector::{Exchange, NoAnswer, Origin, Phase};
use remit_engine::{Limits, Meter};
use remit_gate::Failure;
use serde_json::json;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

const JSON: &str = "Content-Type: application/json\r\n";

fn file() -> remit_connector::Request {
    request("GET", "files/a")
}

fn delete() -> remit_connector::Request {
    request("DELETE", "orgs/acme/tokens/42")
}

#[test]
fn what_a_server_answers_to_a_change_is_told_once_and_never_sent_again() {
    for (status, headers, body, seen) in [
        ("200 OK", JSON, "{\"ok\":true}", Some(200)),
        ("204 No Content", "", "", Some(204)),
        ("500 Oh", JSON, "{\"error\":\"it is done\"}", Some(500)),
        ("503 Later", "Retry-After: 0\r\n", "", Some(503)),
        ("429 Slow Down", "Retry-After: 0\r\n", "", Some(429)),
        // Somebody else changed it meanwhile.
        ("412 Precondition Failed", "ETag: \"8\"\r\n", "", Some(412)),
        ("302 Found", "Location: https://evil.example/\r\n", "", Some(302)),
        ("308 Moved", "Location: /orgs/acme/tokens/43\r\n", "", Some(308)),
        // Errors are often pages of a proxy.
        ("502 Bad Gateway", "Content-Type: text/html\r\n", "<html>", Some(502)),
        ("200 OK", "Content-Type: text/html\r\n", "<html>", None),
    ] {
        let world = World::new(Server::answering(&[respond_with(status, headers, body)]));
        let perform = world.exchange(Phase::Perform, revoke());
        match (perform.send(delete()), seen) {
            (Ok(response), Some(seen)) => assert_eq!(response.status, seen, "{status}"),
            // Whether it happened the state tells.
            (Err(NoAnswer::Failure(Failure::Unavailable(_))), None) => {}
            (other, _) => panic!("{status}: {other:?}"),
        }
        assert_eq!(world.server.asked().len(), 1, "{status}");
        assert_eq!(perform.sent().len(), 1);
        assert!(perform.breach().is_none());
        crate::common::breach(perform.send(delete()));
        assert_eq!(world.server.asked().len(), 1, "{status}");
    }
    // No answer at all.
    let world = World::new(Server::with(|_, _, _| {}));
    let perform = world.exchange(Phase::Perform, revoke());
    assert!(matches!(failure(perform.send(delete())), Failure::Unavailable(_)));
    assert_eq!((world.server.asked().len(), perform.sent()[0].status), (1, None));
}

#[test]
fn reads_are_tried_again_while_that_may_help() {
    let later = |header: &str| respond_with("429 Slow Down", header, "");
    let ok = respond("200 OK", "{}");
    for (answers, status, asked) in [
        (vec![respond("500 Oh", "{}"), ok.clone()], 200, 2),
        (vec![respond("502 Oh", "{}")], 502, 3),
        (vec![later("Retry-After: 0\r\n"), ok.clone()], 200, 2),
        (vec![respond("404 Gone", "{}"), ok.clone()], 404, 1),
        // Longer than the phase may take: the connector is told now.
        (vec![later("Retry-After: 3600\r\n"), ok.clone()], 429, 1),
        (
            vec![later(
                "Date: Mon, 30 Nov 2026 10:00:00 GMT\r\nRetry-After: Mon, 30 Nov 2026 11:00:00 GMT\r\n",
            )],
            429,
            1,
        ),
        (vec![String::new(), ok.clone()], 200, 2),
    ] {
        let world = World::new(Server::answering(&answers));
        let observe = world.exchange(Phase::Observe, revoke());
        let answer = observe.send(file()).unwrap();
        assert_eq!((answer.status, world.server.asked().len()), (status, asked), "{answers:?}");
        // One request of the connector is one in the record.
        assert_eq!(observe.sent().len(), 1);
    }
    let world = World::new(Server::answering(&[later("Retry-After: 1\r\n"), ok]));
    let started = Instant::now();
    world.exchange(Phase::Observe, revoke()).send(file()).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn endless_huge_and_slow_answers_end_in_time() {
    let write = |stream: &mut dyn Stream, text: &str| stream.write_all(text.as_bytes()).is_ok();
    let huge = move |_: usize, _: &str, stream: &mut dyn Stream| {
        write(stream, "HTTP/1.1 200 OK\r\n\r\n");
        while write(stream, &"x".repeat(4096)) {}
    };
    let headers = move |_: usize, _: &str, stream: &mut dyn Stream| {
        write(stream, "HTTP/1.1 200 OK\r\n");
        while write(stream, &format!("X-Y: {}\r\n", "x".repeat(1000))) {}
    };
    let slow = move |_: usize, _: &str, stream: &mut dyn Stream| {
        write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while write(stream, "x") {
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let world = World::new(Server::with(huge));
    let told = failure(world.exchange(Phase::Observe, revoke()).send(file())).to_string();
    assert!(told.contains("longer than 1 MiB"), "{told}");
    assert_eq!(world.server.asked().len(), 1, "it would be as long again");
    let world = World::new(Server::with(headers));
    let told = failure(world.exchange(Phase::Observe, revoke()).send(file())).to_string();
    assert!(told.starts_with("unavailable:"), "{told}");

    let world = World::new(Server::with(slow));
    let mut entry = entry(&world.server.address, LOCAL);
    entry.timeout = jiff::SignedDuration::from_millis(900);
    let origin = Arc::new(Origin::open(&entry, world.home.path()).unwrap());
    let exchange = |phase| {
        let description = crate::common::description();
        Exchange::new(description, Arc::clone(&origin), phase, revoke(), Arc::default()).unwrap()
    };
    for (phase, request) in [(Phase::Observe, file()), (Phase::Perform, delete())] {
        let exchange = exchange(phase);
        let started = Instant::now();
        let told = failure(exchange.send(request)).to_string();
        assert!(told.contains("did not answer within") || told.contains("needed longer"), "{told}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        // The time is that of the phase, not of each request.
        let asked = world.server.asked().len();
        let told = failure(exchange.send(file())).to_string();
        assert!(told.contains("needed longer than 900ms"), "{told}");
        assert_eq!(world.server.asked().len(), asked);
    }

    // A run that has less time than the origin ends its requests with it.
    let world = World::new(Server::with(slow));
    let limits = Limits { fuel: 1, wall_time: Duration::from_millis(600), memory: 1, table_elements: 1 };
    let started = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let twice = async {
        let exchange = world.exchange(Phase::Observe, revoke());
        Ok([0, 1].map(|_| failure(remit_engine::blocking(|| exchange.send(file()))).to_string()))
    };
    let told = runtime.block_on(async { Meter::start(limits).until_deadline(twice).await });
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let [first, then] = told.unwrap();
    assert!(first.contains("did not answer within"), "{first}");
    assert!(then.contains("the run's own ends"), "{then}");
}

#[test]
fn a_body_that_cannot_be_looked_through_is_not_shown() {
    let latin = "HTTP/1.1 STATUS x\r\nContent-Type: application/json; charset=iso-8859-1\r\nConnection: close\r\n\r\n{\"token\":\"abc\"}";
    let utf16: String = "HTTP/1.1 STATUS x\r\nConnection: close\r\n\r\n{\0\"\0t\0".to_owned();
    let json = |body: &str| respond_with("STATUS x", JSON, body);
    for answer in [
        latin.to_owned(),
        utf16,
        json("token=abc"),
        json("<xml>abc</xml>"),
        json("{\"token\":\"abc\""),
        json("{\"token\":\"x\",\"token\":\"abc\"}"),
        json("\u{feff}{\"token\":\"abc\"}"),
        json(&format!("{}\"abc\"{}", "[".repeat(5000), "]".repeat(5000))),
    ] {
        let world = World::new(Server::answering(&[answer.replace("STATUS", "200")]));
        let told = failure(world.exchange(Phase::Observe, revoke()).send(file())).to_string();
        assert!(told.contains("a body that is not"), "{answer}: {told}");
        assert!(!told.contains("abc"), "{told}");
        let world = World::new(Server::answering(&[answer.replace("STATUS", "400")]));
        let seen = world.exchange(Phase::Observe, revoke()).send(file()).unwrap();
        assert_eq!((seen.status, seen.body.len()), (400, 0), "{answer}");
    }
    // Bytes that are no text are not looked through either.
    let world = World::new(Server::with(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\xff\xfe\xfd").unwrap();
    }));
    assert!(
        failure(world.exchange(Phase::Observe, list()).send(request("GET", "search")))
            .to_string()
            .contains("UTF-8")
    );
    // More secrets than a call may see.
    let many: Vec<_> = (0..300).map(|n| json!({"token": format!("t{n}-secret")})).collect();
    let world = World::new(Server::answering(&[respond("200 OK", &json!({"objects": many}).to_string())]));
    let told = failure(world.exchange(Phase::Observe, revoke()).send(file())).to_string();
    assert!(told.contains("more than 256 secrets"), "{told}");
}

#[test]
fn what_the_host_sent_is_not_told_back_to_the_connector() {
    let coded = "tok%2Dof%2Dthe%2Dorigin";
    let headers = format!(
        "{JSON}ETag: \"8\"\r\nX-Total: 3\r\nSet-Cookie: s=1\r\nX-Other: a\r\nX-RateLimit-Remaining: 7\r\nLocation: https://x/?t={TOKEN}\r\nLink: <a>\r\n"
    );
    let body = json!({"you": format!("Bearer {TOKEN}"), TOKEN: 1, "n": [TOKEN], "other": coded});
    let world = World::new(Server::answering(&[respond_with("200 OK", &headers, &body.to_string())]));
    let seen = world.exchange(Phase::Observe, revoke()).send(file()).unwrap();
    let text = String::from_utf8(seen.body.clone()).unwrap();
    assert!(!text.contains("tok-of-the-origin"), "{text}");
    assert_eq!(json_of(&seen)["you"], "Bearer …");
    let names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "etag", "x-total", "x-ratelimit-remaining", "link"]);
    // In a body that is not JSON, where no secrets are declared to be found, and as a server writes a basic credential.
    let text = r#"
interfaces = ["a:b/c@0.1.0"]
[function."a:b/c.f"]
effect = "observe"
kind = "thing"
path = "{id}"
reads = ["GET /**"]
"#;
    let home = home();
    private(&home, "password", "pass/word+9");
    let server = Server::with(|_, asked, stream| {
        let sent = asked.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization")).unwrap();
        let body = format!("{sent} pass/word+9 pass\\/word+9 pass%2Fword%2B9");
        stream.write_all(respond_with("200 OK", "Content-Type: text/plain\r\n", &body).as_bytes()).unwrap();
    });
    let more = "allow_private = ['127.0.0.0/8']\ncredential = { basic = { user = 'remit', password_file = 'password' } }\n";
    let origin = Arc::new(Origin::open(&entry(&server.address, more), home.path()).unwrap());
    let call = remit_connector::Call {
        function: "a:b/c.f".to_owned(),
        path: "npm/1".to_owned(),
        ..remit_connector::Call::default()
    };
    let description = Arc::new(remit_connector::Description::parse(text).unwrap());
    let exchange = Exchange::new(description, origin, Phase::Observe, call, Arc::default()).unwrap();
    let seen = String::from_utf8(exchange.send(request("GET", "a")).unwrap().body).unwrap();
    assert_eq!(seen.to_ascii_lowercase(), "authorization: basic … … … …");
}

/// A resolver that answers each time with the next list.
struct Changing(Vec<Vec<IpAddr>>, AtomicUsize, u16);

impl std::fmt::Debug for Changing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Changing")
    }
}

impl Resolver for Changing {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let at = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        let mut found = self.empty();
        for ip in &self.0[at] {
            found.push(SocketAddr::new(*ip, self.2));
        }
        Ok(found)
    }
}

#[test]
fn a_name_is_checked_each_time_and_an_address_at_once() {
    let server = Server::answering(&[respond("200 OK", "{}")]);
    let home = home();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let open = |answers: Vec<Vec<IpAddr>>, allowed: &str| {
        let more = LOCAL.replace("['127.0.0.1/32']", allowed);
        let named = entry(&format!("http://localhost:{}", server.port()), &more);
        let resolver = Changing(answers, AtomicUsize::new(0), server.port());
        Arc::new(Origin::open_with(&named, home.path(), resolver).unwrap())
    };
    let begin = |origin: &Arc<Origin>, phase| {
        Exchange::new(crate::common::description(), Arc::clone(origin), phase, revoke(), Arc::default())
            .unwrap()
    };
    // Only what is listed, and whoever mixes another in is refused with both.
    for (answers, allowed) in [
        (vec!["127.0.0.1"], "[]"),
        (vec!["127.0.0.1"], "['10.0.0.0/8']"),
        (vec!["127.0.0.2"], "['127.0.0.1/32']"),
        (vec!["127.0.0.1", "127.0.0.2"], "['127.0.0.1/32']"),
        (vec!["::1"], "['127.0.0.1/32']"),
        (vec!["::ffff:127.0.0.1"], "[]"),
    ] {
        let origin = open(vec![answers.iter().map(|text| ip(text)).collect()], allowed);
        let told = failure(begin(&origin, Phase::Observe).send(file())).to_string();
        assert!(told.starts_with("denied:") && told.contains("`allow_private`"), "{answers:?}: {told}");
    }
    // By http:// nobody but this machine is asked, whatever its name says.
    for address in ["10.0.0.1", "8.8.8.8"] {
        let origin = open(vec![vec![ip(address)]], "['10.0.0.0/8']");
        let told = failure(begin(&origin, Phase::Observe).send(file())).to_string();
        assert!(told.contains(&format!("{address} is another machine's")), "{told}");
    }
    assert!(server.asked().is_empty());
    // It changes its mind between two requests. What was not sent was not the one change.
    let local = vec![ip("127.0.0.1")];
    let origin = open(vec![local.clone(), vec![ip("127.0.0.2")], local], "['127.0.0.1/32']");
    let perform = begin(&origin, Phase::Perform);
    perform.send(file()).unwrap();
    let told = failure(perform.send(delete())).to_string();
    assert!(told.contains("127.0.0.2 is this machine's"), "{told}");
    perform.send(delete()).unwrap();
    assert_eq!(server.asked().len(), 2);

    // An address in the configuration is refused when it is read.
    for (origin, what) in [
        ("http://127.0.0.1:1", "this machine's"),
        ("https://10.0.0.1", "private"),
        ("https://169.254.169.254", "link-local"),
        ("https://[fd00::1]:8443", "private"),
        ("https://[::ffff:192.168.0.1]", "private"),
    ] {
        let told =
            Origin::open(&entry(origin, "credential = { bearer_file = 'token' }"), home.path()).unwrap_err();
        assert!(told.to_string().contains(&format!(" is {what}, and `allow_private`")), "{origin}: {told}");
    }
}

/// A server with a certificate of the CA for this name, until this year.
fn tls(name: &str, until: i32) -> (Server, String) {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |stream| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).ok()?;
        Some(Box::new(rustls::StreamOwned::new(session, stream)) as Box<dyn Stream>)
    };
    let server = Server::start("https", wrap, |_, _, stream| {
        let _ = stream.write_all(respond("200 OK", "{}").as_bytes());
    });
    (server, ca.pem())
}

#[test]
fn tls_is_for_this_name_now_and_by_this_authority() {
    let send = |(server, ca): (Server, String), trusted: &str| {
        let home = home();
        private(&home, "ca.pem", if trusted == "its own" { &ca } else { trusted });
        let more = format!("ca_file = 'ca.pem'\n{LOCAL}");
        let origin = Arc::new(Origin::open(&entry(&server.address, &more), home.path()).unwrap());
        let exchange =
            Exchange::new(crate::common::description(), origin, Phase::Observe, revoke(), Arc::default())
                .unwrap();
        let answer = exchange.send(file());
        (answer.map(|response| response.status), server.asked().len())
    };
    let other = tls("127.0.0.1", 2100).1;
    assert_eq!(send(tls("127.0.0.1", 2100), "its own"), (Ok(200), 1));
    for (server, trusted) in [
        (tls("other.example", 2100), "its own"),
        (tls("127.0.0.1", 2021), "its own"),
        (tls("127.0.0.1", 2100), other.as_str()),
    ] {
        let (answer, asked) = send(server, trusted);
        let Err(NoAnswer::Failure(Failure::Unavailable(told))) = answer else { panic!("{answer:?}") };
        assert!(told.contains("TLS") || told.contains("certificate"), "{told}");
        assert_eq!(asked, 0, "nothing was sent: {told}");
    }
}
