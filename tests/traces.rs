//! What a collector of traces gets: which call led to which run and which host calls, and nothing that anybody would keep to themselves.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use crate::common::receiver::receiver;
use crate::common::server::{REQUESTS, RUNS, Server, end, problem, raw, start};
use crate::common::{SECRET, World, contains, scope};
use serde_json::{Value, json};

/// A server that sends its traces to this address.
fn traced(world: &World, endpoint: &str) -> Server {
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let server = format!("[server]\nlisten = \"127.0.0.1:0\"\n[server.traces]\nendpoint = \"{endpoint}\"\n");
    fs::write(&config, format!("{text}\n{server}")).unwrap();
    Server::of(world)
}

fn attribute<'v>(span: &'v Value, name: &str) -> &'v str {
    let all = span["attributes"].as_array().unwrap();
    let found = all.iter().find(|attribute| attribute["key"] == name);
    let value = &found.unwrap_or_else(|| panic!("no {name} in {span}"))["value"];
    value["stringValue"].as_str().or(value["intValue"].as_str()).unwrap()
}

#[test]
fn a_run_is_traced_from_the_call_that_started_it_and_no_secret_is_in_it() {
    let world = World::empty();
    let value = "Zx81-correct-horse-battery";
    world.remit_with_stdin(&["secret", "put", SECRET, "api_key"], value).exits(0);
    let input = format!(r#"{{"do":"reveal","path":"{SECRET}","field":"api_key"}}"#);
    let disclosing = scope("", SECRET).replace("secrets/reveal\"", "secrets/reveal\"\ndisclose = true");
    world.grant_scope(&disclosing, "misbehave.wasm", &input, "told");
    world.grant("rotate-secret.wasm", &format!(r#"{{"path":"{SECRET}"}}"#), "rotated");
    let (address, bodies) = receiver();
    let server = traced(&world, &address);
    let authority = server.url.strip_prefix("http://").unwrap().to_owned();
    let bot = server.client(&world, "bot");
    // Somebody whose call is part of something greater, and says which.
    let [(_, token), (_, proof)] = bot.prove("GET", RUNS).unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nX-Request-Id: call-17");
    let head = format!("Authorization: {token}\r\nDPoP: {proof}\r\n{parent}\r\nConnection: close\r\n\r\n");
    let call = |head: &str| raw(&authority, &format!("GET {RUNS} HTTP/1.1\r\nHost: {authority}\r\n{head}"));
    assert_eq!(call(&head).0, 200);
    // One who does not want it to be recorded, and whose call is refused: the answer has the call's name.
    let unwanted = "0af7651916cd43dd8448eb211c80319c";
    let (status, answer) = call(&format!(
        "traceparent: 00-{unwanted}-00f067aa0ba902b7-00\r\nX-Request-Id: call-18\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(status, 401);
    assert!(answer.contains("\"instance\":\"urn:remit:call:call-18\""), "{answer}");
    let runs: Vec<String> = ["told", "rotated"]
        .map(|name| start(&bot, &world.request(name)).unwrap()["run"].as_str().unwrap().to_owned())
        .to_vec();
    for run in &runs {
        assert_eq!(end(&bot, run)["state"], "succeeded");
    }
    let body = json!({"action": "sha256:0", "input": {"path": SECRET}, "reason": "a reason of their own"});
    assert_eq!(problem(bot.post::<Value>(&format!("{REQUESTS}/prepare"), &body)).0, 400);
    assert!(server.stop(), "what is left is sent as it stops");

    let bodies: Vec<Value> = bodies.try_iter().collect();
    let all = serde_json::to_vec(&bodies).unwrap();
    let token = token.strip_prefix("DPoP ").unwrap();
    for private in
        [value, SECRET, "api_key", token, &proof, "a reason of their own", unwanted, "alice", "eyJ"]
    {
        assert!(!contains(&all, private), "{private}: {}", String::from_utf8_lossy(&all));
    }
    let spans: Vec<&Value> = bodies
        .iter()
        .flat_map(|body| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap())
        .collect();
    let named =
        |name: &str| -> Vec<&Value> { spans.iter().copied().filter(|span| span["name"] == name).collect() };
    let listed = named("list_runs").into_iter().find(|span| span["traceId"] == trace).expect("it is traced");
    assert_eq!((&listed["parentSpanId"], &listed["kind"]), (&json!("00f067aa0ba902b7"), &json!(2)));
    assert_eq!(attribute(listed, "remit.call"), "call-17");
    assert_eq!(attribute(listed, "http.response.status_code"), "200");
    for (run, operation) in runs.iter().zip(["remit:secrets/reveal.reveal", "remit:secrets/rotate.rotate"]) {
        let span = named("run").into_iter().find(|span| attribute(span, "remit.run") == run).unwrap();
        let started =
            named("start_run").into_iter().find(|call| call["spanId"] == span["parentSpanId"]).unwrap();
        assert_eq!(started["traceId"], span["traceId"]);
        assert_eq!(attribute(started, "http.response.status_code"), "202");
        let calls = named(operation);
        let of_run = calls.iter().find(|call| call["parentSpanId"] == span["spanId"]);
        let of_run = of_run.unwrap_or_else(|| panic!("no {operation} in {spans:?}"));
        assert_eq!(of_run["traceId"], span["traceId"]);
        assert_eq!(attribute(of_run, "remit.resource.kind"), "secret");
        // A call is over when it is answered, not when what it began is.
        let nanos = |span: &Value, at: &str| span[at].as_str().unwrap().parse::<u128>().unwrap();
        assert!(nanos(started, "endTimeUnixNano") <= nanos(span, "endTimeUnixNano"));
        assert!(nanos(span, "startTimeUnixNano") <= nanos(of_run, "startTimeUnixNano"));
    }
    // The start of the second was rehearsed once more.
    assert!(!named("rehearsal").is_empty());
    world.audit_is_sound();
}

#[test]
fn a_collector_that_is_down_stops_nothing() {
    let world = World::empty();
    // It takes the connection, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = traced(&world, &format!("http://{}", silent.local_addr().unwrap()));
    let alice = server.client(&world, "alice");
    for _ in 0..50 {
        let _: Value = alice.get(RUNS).unwrap();
    }
    let began = std::time::Instant::now();
    assert!(server.stop());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let text = fs::read_to_string(world.home().join("remit.toml")).unwrap();
    let elsewhere = text.replace("http://127.0.0.1:", "http://192.0.2.1:");
    fs::write(world.home().join("remit.toml"), elsewhere).unwrap();
    world.remit(&["serve"]).exits(2).says("http://127.0.0.1:4318 on this machine");
}
