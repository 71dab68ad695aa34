//! The server, from outside: whoever talks to it has a key, and nothing of the home.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::common::bao::Bao;
use crate::common::server::{
    Begun, REQUESTS, RUNS, Server, ask, decide, end, id, problem, raw, signed, start, upload,
};
use crate::common::{SECRET, World, proxy, scope};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use remit_client::{Client, ToSign};
use remit_trust::Digest;
use serde_json::{Value, json};

#[test]
fn a_bot_repairs_what_a_person_allows_and_a_person_takes_it_back() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");

    let asked = ask(&bot, &action);
    let request = id(&asked);
    assert_eq!(asked["status"], "waiting");
    // It is the same that the command line shows.
    let shown = world.remit(&["request", "show", &request, "--json"]).exits(0).json();
    assert_eq!(asked["digest"], shown["digest"]);
    let (status, code, detail) = problem(start(&bot, &request));
    assert_eq!((status, &*code), (403, "refused::request"), "{detail}");
    let (status, _, detail) = problem(decide(&bot, &request, true));
    assert_eq!(status, 403, "{detail}");
    assert!(detail.contains("nobody approves their own request"), "{detail}");

    let listed: Value = alice.get(&format!("{REQUESTS}?state=waiting")).unwrap();
    assert_eq!(listed["requests"][0]["request"]["id"], *request);
    assert_eq!(decide(&alice, &request, true).unwrap()["status"], "approved");
    let before = world.current_version(SECRET);
    let run = start(&bot, &request).unwrap()["run"].as_str().unwrap().to_owned();
    assert_eq!(end(&bot, &run)["state"], "succeeded");
    assert_eq!(world.current_version(SECRET), before + 1);

    // Anybody can prove it with the log's key alone.
    let proof: Value = alice.get(&format!("{RUNS}/{run}/proof")).unwrap();
    world.write("proof.json", proof.to_string());
    let check =
        ["audit", "check-proof", "proof.json", "--key", &alice.about().log_key, "--approver", "alice.pub"];
    world.remit(&check).exits(0);

    let preview: Value = alice.get(&format!("{RUNS}/{run}/revert")).unwrap();
    assert_eq!(preview["dry_run"], true);
    let order = json!({"reason": "not needed", "order": {"revert": {"run": run}}});
    let done = signed(&alice, "/api/v1/orders/prepare", &order, "/api/v1/orders").unwrap();
    assert_eq!(done["result"]["state"], "reverted");
    assert_eq!(end(&bot, &run)["state"], "reverted");
    assert!(server.stop(), "it stops when it is asked to");
    world.audit_is_sound();
}

#[test]
fn a_document_that_was_accepted_is_accepted_once_and_answered_again() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    let body = json!({"action": action, "input": {"path": SECRET}, "reason": "leaked"});
    let prepared: ToSign = bot.post("/api/v1/requests/prepare", &body).unwrap();
    let envelope = bot.sign(&prepared).unwrap();
    let first: Value = bot.submit(REQUESTS, &envelope).unwrap();
    let again: Value = bot.submit(REQUESTS, &envelope).unwrap();
    assert_eq!(first, again);
    let request = id(&first);
    decide(&alice, &request, true).unwrap();
    let trigger: ToSign = bot.post("/api/v1/runs/prepare", &json!({"request": request})).unwrap();
    let trigger = json!({"document": bot.sign(&trigger).unwrap()});
    // Two at once, for one use.
    let (one, other) = std::thread::scope(|scope| {
        let start = || bot.submit::<Value>(RUNS, &trigger);
        let one = scope.spawn(start);
        let other = scope.spawn(start);
        (one.join().unwrap(), other.join().unwrap())
    });
    let runs: Vec<Value> = [one, other].into_iter().flatten().collect();
    assert!(!runs.is_empty());
    assert!(runs.iter().all(|run| run == &runs[0]));
    end(&bot, runs[0]["run"].as_str().unwrap());
    let page: Value = alice.get(&format!("{RUNS}?live=true")).unwrap();
    assert_eq!(page["runs"].as_array().unwrap().len(), 1, "{page}");
}

#[test]
fn lists_page() {
    let world = World::new();
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let action = upload(&world, &alice, "rotate-secret");
    let mut made: Vec<String> = (0..5).map(|_| id(&ask(&alice, &action))).collect();
    made.reverse();
    let mut found = Vec::new();
    let mut path = format!("{REQUESTS}?limit=2");
    loop {
        let page: Value = alice.get(&path).unwrap();
        found.extend(page["requests"].as_array().unwrap().iter().map(id));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{REQUESTS}?limit=2&before={next}");
    }
    assert_eq!(found, made);
    // Each was rehearsed: so many runs.
    let page: Value = alice.get(&format!("{RUNS}?limit=3")).unwrap();
    assert_eq!(page["runs"].as_array().unwrap().len(), 3);
    let rest: Value = alice.get(&format!("{RUNS}?before={}", page["next"].as_str().unwrap())).unwrap();
    assert_eq!(rest["runs"].as_array().unwrap().len(), 2);
    assert!(rest["next"].is_null());
    for wrong in ["limit=0", "limit=201", "limit=-1", "limits=2", "before=run-1"] {
        assert_eq!(problem(alice.get::<Value>(&format!("{REQUESTS}?{wrong}"))).0, 400, "{wrong}");
    }
}

#[test]
fn a_server_that_is_killed_leaves_each_run_in_a_named_state() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    let request = id(&ask(&bot, &action));
    decide(&alice, &request, true).unwrap();
    let run = start(&bot, &request).unwrap()["run"].as_str().unwrap().to_owned();
    server.kill();
    // Whoever was told of the run finds it; and the next server brings it to a state before it serves.
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let state = end(&alice, &run)["state"].clone();
    assert!(["succeeded", "failed", "reverted"].iter().any(|named| state == *named), "{state}");
    assert!(server.stop());
    world.audit_is_sound();
}

#[test]
fn a_run_is_followed_to_its_end() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    let request = id(&ask(&bot, &action));
    decide(&alice, &request, true).unwrap();
    let run = start(&bot, &request).unwrap()["run"].as_str().unwrap().to_owned();
    let lines = bot.follow(&format!("{RUNS}/{run}/events")).unwrap().lines();
    let mut events = Vec::new();
    for line in lines {
        if let Some(event) = line.unwrap().strip_prefix("event: ") {
            events.push(event.to_owned());
        }
    }
    assert_eq!(events.first().map(String::as_str), Some("started"));
    assert_eq!(events.last().map(String::as_str), Some("ended"));
    assert!(events.iter().any(|event| event == "intent"), "{events:?}");
}

/// Every route and every field of what they take and answer is on the page, every link on it leads somewhere on it, and it asks for
/// nothing but its style.
fn the_page_says_the_same(told: &Value, page: &str) {
    let (head, page) = page.split_once("\r\n\r\n").unwrap();
    let policy = "content-security-policy: default-src 'none'; style-src 'self'; form-action 'none'; base-uri 'none'; \
                  frame-ancestors 'none'";
    assert!(head.to_lowercase().contains(policy), "{head}");
    for (path, methods) in told["paths"].as_object().unwrap() {
        for (_, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("<section id=\"{id}\">")) && page.contains(path), "{id}");
        }
    }
    for field in ["break_glass", "runs_per_hour", "keep_going", "payloadType", "restore_at", "waits_for_room"]
    {
        assert!(page.contains(&format!("<code>{field}</code>")), "{field}");
    }
    let after = |what: &str| -> Vec<String> {
        page.split(what).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let ids = after("id=\"");
    for link in after("href=\"") {
        let local = link.strip_prefix('#').is_some_and(|id| ids.iter().any(|known| known == id));
        let known = ["/api/v1/docs/style.css", "/api/v1/openapi.json"];
        assert!(local || known.contains(&link.as_str()), "{link} leads nowhere");
    }
    for from_elsewhere in ["<script", "src=", "style=", "http://", "@import"] {
        assert!(!page.contains(from_elsewhere), "{from_elsewhere}");
    }
}

#[test]
fn the_description_is_the_committed_one() {
    let world = World::empty();
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let told: Value = alice.get("/api/v1/openapi.json").unwrap();
    let authority = server.url.strip_prefix("http://").unwrap();
    let page = raw(
        authority,
        &format!("GET /api/v1/docs HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"),
    );
    the_page_says_the_same(&told, &page.1);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let text = serde_json::to_string_pretty(&told).unwrap() + "\n";
    if std::env::var_os("REMIT_UPDATE").is_some() {
        fs::write(path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), text, "write it anew with REMIT_UPDATE=1");
}

/// The home serves at this port from now on.
fn at_the_same_port(world: &World, server: &Server) {
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let authority = server.url.strip_prefix("http://").unwrap();
    fs::write(&config, text.replace("127.0.0.1:0", authority)).unwrap();
}

/// The lock of a run, or of what is named like one, as another process holds it.
fn lock_of(world: &World, name: &str) -> fs::File {
    let file = fs::OpenOptions::new().create(true).append(true).open(world.home().join("runs.lock")).unwrap();
    let digest = Digest::of(name.as_bytes());
    let start = i64::from_be_bytes(digest.as_bytes()[..8].try_into().unwrap()) & i64::MAX;
    let [l_type, l_whence] = [libc::F_WRLCK, libc::SEEK_SET].map(|n| i16::try_from(n).unwrap());
    let byte = libc::flock { l_type, l_whence, l_start: start, l_len: 1, l_pid: 0 };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&byte)).unwrap();
    file
}

#[test]
fn after_a_kill_clients_go_on_and_what_was_half_received_is_gone() {
    let world = World::new();
    let server = Server::of(&world);
    let alice = server.client(&world, "alice");
    let _: Value = alice.get("/api/v1/status").unwrap();
    at_the_same_port(&world, &server);
    server.kill();
    // What an upload leaves that is cut, and one that another process works on.
    let received = world.home().join("received");
    fs::create_dir_all(&received).unwrap();
    let left = || {
        let folder = received.join(remit_journal::RunId::new().to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("component.wasm"), "half").unwrap();
        folder
    };
    let (dead, live) = (left(), left());
    let _lock = lock_of(&world, live.file_name().unwrap().to_str().unwrap());

    let server = Server::of(&world);
    assert!(!dead.exists());
    assert!(live.join("component.wasm").exists());
    // The session went with the first server: the client opens another by itself.
    let _: Value = alice.get("/api/v1/status").unwrap();
    let action = upload(&world, &alice, "rotate-secret");
    assert!(action.starts_with("sha256:"));
    let entries: Vec<_> = fs::read_dir(&received).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(entries, [live], "only what somebody else works on");
    drop(server);
}

#[test]
fn the_same_is_not_asked_for_twice() {
    let world = World::new();
    let server = Server::of(&world);
    let (bot, alice) = (server.client(&world, "bot"), server.client(&world, "alice"));
    let action = upload(&world, &bot, "rotate-secret");
    let ask = |client: &Client, reason: &str| -> Value {
        let body = json!({"action": action, "input": {"path": SECRET}, "reason": reason});
        let prepared: ToSign = client.post("/api/v1/requests/prepare", &body).unwrap();
        client.submit_once(REQUESTS, "a-key", &client.sign(&prepared).unwrap()).unwrap()
    };
    let first = ask(&bot, "leaked");
    assert_eq!(ask(&bot, "leaked"), first);
    // Somebody else's, another reason, and without the header.
    let others = [ask(&alice, "leaked"), ask(&bot, "stale"), crate::common::server::ask(&bot, &action)];
    for (n, other) in others.iter().enumerate() {
        assert_ne!(id(other), id(&first), "{n}");
    }
    // An approved one is open as well, one that was used is not.
    decide(&alice, &id(&first), true).unwrap();
    decide(&alice, &id(&others[2]), false).unwrap();
    let again = ask(&bot, "leaked");
    assert_eq!((id(&again), &again["status"]), (id(&first), &json!("approved")));
    let run = start(&bot, &id(&first)).unwrap()["run"].as_str().unwrap().to_owned();
    end(&bot, &run);
    assert_ne!(id(&ask(&bot, "leaked")), id(&first));
    for key in ["", &"k".repeat(256)] {
        let sent = bot.submit_once::<Value>(REQUESTS, key, &json!({}));
        assert_eq!(problem(sent).0, 400, "{key}");
    }
    world.audit_is_sound();
}

#[test]
fn the_log_is_served_as_files_that_may_be_kept() {
    let world = World::new();
    // More than a full tile of records: it looks until it may not look any more.
    let flood = format!(r#"{{"do":"flood","path":"{SECRET}"}}"#);
    world.write("scope.toml", crate::common::scope("[limits]\nhost_calls = 150\n", SECRET));
    world.remit(&["plan", "misbehave.wasm", "--input", &flood, "--scope", "scope.toml"]).exits(1);
    let server = Server::of(&world);
    let authority = server.url.strip_prefix("http://").unwrap();
    let get = |path: &str| -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(authority).unwrap();
        let call =
            format!("GET /api/v1/log/{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        stream.write_all(call.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        (head[9..12].parse().unwrap(), head, answer[end + 4..].to_vec())
    };
    // The same bytes as `audit publish` writes.
    world.remit(&["audit", "publish", "--to", "site"]).exits(0);
    let mut files = vec![world.path("site")];
    let mut seen = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(world.path("site")).unwrap().to_str().unwrap().to_owned();
        let (status, head, body) = get(&name);
        assert_eq!(status, 200, "{name}");
        assert_eq!(body, fs::read(&path).unwrap(), "{name}");
        let how = if name == "checkpoint" { "max-age=5" } else { "immutable" };
        assert!(head.contains("cache-control: public") && head.contains(how), "{name}: {head}");
        seen.push(name);
    }
    assert!(seen.iter().any(|name| name == "tile/0/000"), "{seen:?}");
    assert!(seen.iter().any(|name| name.starts_with("tile/entries/001.p/")), "{seen:?}");
    // Nothing that is not there yet, or is written in another way.
    for name in
        ["tile/0/001", "tile/0/001.p/255", "tile/1/000", "tile/0/0", "tile/9/000", "tile/entries/x001/000"]
    {
        let (status, head, _) = get(name);
        assert_eq!(status, 404, "{name}");
        assert!(head.contains("no-store"), "{head}");
    }
}

#[test]
fn an_action_is_inspected_and_compared_from_outside() {
    let world = World::empty();
    let server = Server::of(&world);
    let bot = server.client(&world, "bot");
    let (rotate, misbehave) = (upload(&world, &bot, "rotate-secret"), upload(&world, &bot, "misbehave"));
    let found: Value = bot.get(&format!("/api/v1/actions/{rotate}")).unwrap();
    let shown = world.remit(&["inspect", "rotate-secret.wasm", "--json"]).exits(0).json();
    assert_eq!(found, shown);
    let diff: Value = bot.get(&format!("/api/v1/actions/{rotate}/diff/{misbehave}")).unwrap();
    let shown =
        world.remit(&["inspect", "--diff", "rotate-secret.wasm", "misbehave.wasm", "--json"]).exits(0).json();
    assert_eq!(diff, shown);
    assert!(!diff["added"].as_array().unwrap().is_empty());
    let unknown = Digest::of(b"").to_string();
    assert_eq!(problem(bot.get::<Value>(&format!("/api/v1/actions/{unknown}"))).0, 404);
    assert_eq!(problem(bot.get::<Value>("/api/v1/actions/nonsense")).0, 400);
}

/// A call to get a path, on a connection of its own.
fn get(authority: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
}

#[test]
fn a_server_that_is_to_stop_starts_nothing_and_brings_what_runs_to_its_end() {
    const OTHER: &str = "prod/other";
    let bao = Bao::start();
    for secret in [SECRET, OTHER] {
        let body = json!({"data": {"api_key": "old"}});
        Bao::api(&bao.address, "POST", &format!("secret/data/{secret}"), &body);
    }
    // A store that takes a change of one secret, but not before it may.
    let ((comes, came), (may, waits)) = (channel(), channel::<()>());
    let waits = Mutex::new(waits);
    let slow = proxy::before(&bao.address, move |line| {
        if line.starts_with(&format!("POST /v1/secret/data/{SECRET}")) {
            comes.send(()).unwrap();
            let _ = waits.lock().unwrap().recv();
        }
    });
    let world = World::empty();
    let config = world.home().join("remit.toml");
    let served = bao.config().replace(&bao.address, &slow).replace("\"2s\"", "\"1m\"");
    fs::write(&config, fs::read_to_string(&config).unwrap() + &served).unwrap();
    let rotate = json!({"path": SECRET}).to_string();
    world.grant("rotate-secret.wasm", &rotate, "slow");
    world.grant("rotate-secret.wasm", &rotate, "late");
    let until_stopped = json!({"do": "rotate-then-loop", "path": OTHER}).to_string();
    let limits = "[limits]\nfuel = 1000000000000\nwall_time = \"3s\"\n";
    world.grant_scope(&scope(limits, OTHER), "misbehave.wasm", &until_stopped, "endless");

    let mut server = Server::of(&world);
    let authority = server.authority().to_owned();
    let bot = server.client(&world, "bot");
    let run = |name: &str| start(&bot, &world.request(name)).unwrap()["run"].as_str().unwrap().to_owned();
    let slow = run("slow");
    came.recv_timeout(Duration::from_secs(60)).expect("the run changes the secret");
    let endless = run("endless");
    // Whoever is in the middle of a call is heard to its end, and sees that the server stops.
    let of_the_head = |path: &str| Begun::with(&authority, &get(&authority, path), 20);
    let (ready, health) = (of_the_head("/readyz"), of_the_head("/healthz"));
    let trigger: ToSign =
        bot.post("/api/v1/runs/prepare", &json!({"request": world.request("late")})).unwrap();
    let body = json!({"document": bot.sign(&trigger).unwrap()}).to_string();
    let head = format!(
        "POST {RUNS} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut late = Begun::with(&authority, &format!("{head}{body}"), head.len() + body.len() / 2);
    late.is_asked_for_the_rest();

    server.is_to_stop();
    let limit = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(&authority).is_ok() {
        assert!(Instant::now() < limit, "it takes connections although it stops");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (status, answer) = late.finish();
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("failed::stopping") && answer.contains("starts nothing more"), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: "), "{answer}");
    let (status, answer) = ready.finish();
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("about to stop"), "{answer}");
    assert_eq!(health.finish().0, 200);
    assert!(server.lives(), "it waits for what runs");
    drop(may);
    assert!(server.ends(), "it ends well");

    let ended = |run: &str| world.remit(&["show", run, "--json"]).exits(0).json()["story"]["state"].clone();
    assert_eq!(ended(&slow), "succeeded");
    assert_eq!(ended(&endless), "reverted");
    let late = world.remit(&["request", "show", &world.request("late"), "--json"]).exits(0).json();
    assert_eq!(late["status"], "approved", "{late}");
    let all = world.remit(&["runs", "--json"]).exits(0).json();
    let real = all.as_array().unwrap().iter().filter(|run| run["mode"] == "live").count();
    assert_eq!(real, 2, "{all}");
    world.audit_is_sound();
}

#[test]
fn whoever_asks_is_told_why_a_server_is_not_ready_and_it_lives_on() {
    let world = World::new();
    let server = Server::of(&world);
    let calls = |server: &Server, path: &str| raw(server.authority(), &get(server.authority(), path));
    let is_ready = |server: &Server| {
        let (status, answer) = calls(server, "/readyz");
        assert_eq!(status, 200, "{answer}");
    };
    let is_not = |why: &str| {
        let (status, answer) = calls(&server, "/readyz");
        assert!(status == 503 && answer.contains(why), "{why}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert_eq!(calls(&server, "/healthz").0, 200, "{why}");
    };
    is_ready(&server);
    // Files of the home that are not what they were, and are again.
    let publisher = world.kept_key("publishers", "publisher");
    for (file, text, why) in [
        (
            "policies/default.cedar",
            "// Nobody signed this.\n",
            "policies/ is not what the administrator signed",
        ),
        ("principals.toml", "nonsense", "principals.toml"),
        ("remit.toml", "nonsense = 1\n", "nonsense"),
        (&*publisher, "no key", "publisher"),
    ] {
        let path = world.home().join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        is_not(why);
        fs::write(&path, before).unwrap();
        is_ready(&server);
    }

    // A disk that takes nothing more. What is not on record counts for nothing, and is not done.
    let bot = server.client(&world, "bot");
    let action = upload(&world, &bot, "rotate-secret");
    let body = json!({"action": action, "input": {"path": SECRET}, "reason": "leaked"});
    let prepared: ToSign = bot.post("/api/v1/requests/prepare", &body).unwrap();
    let full = |current| {
        let limit = rustix::process::Rlimit { current, maximum: None };
        rustix::process::prlimit(Some(server.process()), rustix::process::Resource::Fsize, limit).unwrap();
    };
    full(Some(0));
    let (status, _, detail) = problem(bot.submit::<Value>(REQUESTS, &bot.sign(&prepared).unwrap()));
    assert_eq!(status, 502, "{detail}");
    is_not("journal");
    // What the journal holds is sure only to a process that reads it anew.
    full(None);
    is_not("journal");
    server.kill();
    let server = Server::of(&world);
    is_ready(&server);
    assert!(server.stop());
    world.audit_is_sound();
}
