//! What a server adds: to a read, to a start, to memory; and what it does when many come at once.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use remit_client::{Client, ClientError, ToSign};
use remit_trust::jws::{Jwk, Unverified};
use remit_trust::{Digest, Signer};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Place;
use crate::house::{House, Memory};
use crate::measure::{Figure, Section, median};

/// Connections at once, where reads and starts are measured.
const CONNECTIONS: usize = 8;
/// Calls of each connection in a round.
const CALLS: usize = 200;
/// Starts of each in a round.
const STARTS: usize = 20;
const ROUNDS: usize = 15;
/// Clients of a crowd, and for how many seconds they come, where `REMIT_BENCH_CROWD` says nothing else.
const CROWD: usize = 200;
const MINUTE: u64 = 60;
const WATCHERS: usize = 1_000;

/// A home that a process of its own serves.
struct Served {
    child: Child,
    authority: String,
    url: String,
    request: String,
    digest: String,
    dir: TempDir,
}

impl Served {
    /// With a request that any number of runs may be started under.
    fn new(place: &Place, action: &str, input: &str, rate: &str) -> Self {
        let dir = House::found(&place.disk, &place.plugin(action));
        let house = House::open(dir.path(), Memory::default());
        let runtime = Runtime::new().expect("threads");
        let request = runtime.block_on(house.approved(input, u32::MAX)).to_string();
        drop(house);
        let config = dir.path().join("home/remit.toml");
        let text = fs::read_to_string(&config).expect("a file");
        fs::write(&config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n{rate}")).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_remit"))
            .args(["serve", "--home", "home"])
            .current_dir(dir.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says something");
        let url = line.strip_prefix("serving").expect("it serves").trim().to_owned();
        let authority = url.strip_prefix("http://").expect("without TLS").to_owned();
        let digest = Digest::of(&place.plugin(action)).to_string();
        Self { child, authority, url, request, digest, dir }
    }

    fn client(&self, name: &str) -> Client {
        let signer = Signer::load(&self.dir.path().join(format!("{name}.key"))).expect("a key");
        Client::connect(remit_client::agent(None).expect("an agent"), &self.url, signer).expect("it serves")
    }

    /// What it has in memory, in MiB.
    fn memory(&self) -> f64 {
        let file = Path::new("/proc").join(self.child.id().to_string()).join("smaps_rollup");
        let told = fs::read_to_string(file).expect("a file");
        let line = told.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No limit that is reached here.
const UNLIMITED: &str = "[server.rate]\nper_minute = 100_000_000\nburst = 100_000_000\n";

/// A connection that is kept.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn open(authority: &str) -> Self {
        let stream = TcpStream::connect(authority).expect("connected");
        stream.set_nodelay(true).expect("a setting");
        Self(BufReader::new(stream))
    }

    /// The status and the body of an answer.
    fn call(&mut self, request: &str) -> (u16, Vec<u8>) {
        self.0.get_mut().write_all(request.as_bytes()).expect("sent");
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        while self.0.read_line(&mut line).expect("an answer") > 2 {
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
            } else if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the body");
        (status, body)
    }
}

/// Calls a second of several connections, each with its own calls.
fn calls_a_second(authority: &str, calls: &[Vec<String>]) -> f64 {
    let since = Instant::now();
    std::thread::scope(|scope| {
        for calls in calls {
            scope.spawn(move || {
                let mut connection = Kept::open(authority);
                for call in calls {
                    assert_eq!(connection.call(call).0, 200);
                }
            });
        }
    });
    calls.iter().map(Vec::len).sum::<usize>() as f64 / since.elapsed().as_secs_f64()
}

/// What of a proof of possession takes a handler time that looks at nothing but its signature.
#[derive(Deserialize)]
struct Proof {
    alg: String,
    jwk: Jwk,
}

/// A handler that has the bytes ready; one that `verifies` looks whether the proof that a call brings is signed.
fn bare(runtime: &Runtime, body: Vec<u8>, verifies: bool) -> String {
    let body = axum::body::Bytes::from(body);
    let is_signed = |headers: &HeaderMap| {
        let proof = headers.get("dpop")?.to_str().ok()?;
        let proof = Unverified::<Proof>::parse(proof).ok()?;
        proof.verify::<Value>(&proof.header.alg, &proof.header.jwk).ok()
    };
    let serve = move |headers: HeaderMap| {
        let body = body.clone();
        async move {
            let good = !verifies || is_signed(&headers).is_some();
            let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            (status, [(CONTENT_TYPE, "application/json")], body)
        }
    };
    let router = axum::Router::new().fallback(serve);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let authority = listener.local_addr().expect("an address").to_string();
    runtime.spawn(async move { axum::serve(listener, router).await });
    authority
}

pub fn serve(place: &Place) -> Section {
    let runtime = Runtime::new().expect("threads");
    let served = Served::new(place, "measure", "0", UNLIMITED);
    let bot = served.client("bot");
    let mut figures = vec![Figure::new("a server that does nothing", served.memory(), "MiB").at_most(60.0)];
    for (what, path, proven) in [
        ("reads of a request, each with its proof", format!("/api/v1/requests/{}", served.request), true),
        ("reads of the checkpoint, by anybody", "/api/v1/log/checkpoint".to_owned(), false),
    ] {
        let call = || {
            let proof = if proven { bot.prove("GET", &path).expect("signed").to_vec() } else { Vec::new() };
            let headers: String =
                proof.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", served.authority)
        };
        let (status, body) = Kept::open(&served.authority).call(&call());
        assert_eq!(status, 200);
        let mut floors =
            vec![("a bare axum handler with the same bytes", bare(&runtime, body.clone(), false))];
        if proven {
            floors.push(("one that verifies the proof's signature", bare(&runtime, body, true)));
        }
        let (mut bares, mut reads) = (vec![Vec::new(); floors.len()], Vec::new());
        for round in 0..=ROUNDS {
            // Made before: what a client does for its proof is not the server's.
            let calls: Vec<Vec<String>> =
                (0..CONNECTIONS).map(|_| (0..CALLS).map(|_| call()).collect()).collect();
            let bare: Vec<f64> =
                floors.iter().map(|(_, authority)| calls_a_second(authority, &calls)).collect();
            let read = calls_a_second(&served.authority, &calls);
            if round > 0 {
                bares.iter_mut().zip(bare).for_each(|(all, one)| all.push(one));
                reads.push(read);
            }
        }
        let read = median(reads);
        figures.extend(floors.into_iter().zip(bares).map(|((floor, _), bares)| {
            Figure::new(what, read, "/s").over(floor, median(bares)).at_least_times(0.5)
        }));
    }
    figures.push(starts(place, &runtime, &served));
    Section {
        title: "A server",
        figures,
        notes: vec![format!(
            "{CONNECTIONS} connections at once, in turns with what they are held against. A start is prepared, signed and submitted; \
             a round ends when the last of its runs has."
        )],
    }
}

/// Starts of runs, until the last one has come to its end: through the server, and in this process.
fn starts(place: &Place, runtime: &Runtime, served: &Served) -> Figure {
    let house = Arc::new(House::new(&place.disk, &place.plugin("measure")));
    let request = runtime.block_on(house.approved("0", u32::MAX));
    let here = || {
        let since = Instant::now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    let house = Arc::clone(&house);
                    tokio::spawn(async move {
                        let mut begun = Vec::new();
                        for _ in 0..STARTS {
                            let started = house.bot.start(&house.host, request, None, None).await;
                            match started.expect("it starts") {
                                remit_lifecycle::Under::Started(started) => begun.push(started),
                                remit_lifecycle::Under::Asked { .. } => panic!("it is outside its scope"),
                            }
                        }
                        for started in begun {
                            assert!(started.end().await.expect("it ends").cause.is_none());
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        });
        (CONNECTIONS * STARTS) as f64 / since.elapsed().as_secs_f64()
    };
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| served.client("bot")).collect();
    let there = || {
        let since = Instant::now();
        std::thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| {
                    for _ in 0..STARTS {
                        start(client, &served.request).expect("it starts");
                    }
                });
            }
        });
        let unfinished =
            || -> Value { clients[0].get("/api/v1/runs?state=unfinished&limit=1").expect("a page") };
        while unfinished()["runs"] != json!([]) {
            std::thread::sleep(Duration::from_millis(2));
        }
        (CONNECTIONS * STARTS) as f64 / since.elapsed().as_secs_f64()
    };
    let (mut floor, mut through) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (here, there) = (here(), there());
        if round > 0 {
            floor.push(here);
            through.push(there);
        }
    }
    Figure::new("runs started through it, to their end", median(through), "/s")
        .over("the same in one process", median(floor))
        .at_least_times(0.8)
}

fn start(client: &Client, request: &str) -> Result<String, ClientError> {
    let prepared: ToSign = client.post("/api/v1/runs/prepare", &json!({"request": request}))?;
    let begun: Value = client.submit("/api/v1/runs", &json!({"document": client.sign(&prepared)?}))?;
    Ok(begun["run"].as_str().expect("a run").to_owned())
}

pub fn crowd(place: &Place) -> Section {
    let mut figures = crowded(place);
    figures.extend(watched(place));
    Section { title: "Many at once", figures, notes: Vec::new() }
}

/// Everybody does everything, under the limits that are shipped.
fn crowded(place: &Place) -> Vec<Figure> {
    let seconds = std::env::var("REMIT_BENCH_CROWD").ok().and_then(|text| text.parse().ok());
    let seconds = seconds.unwrap_or(MINUTE);
    let served = Served::new(place, "measure", "0", "");
    let clients = [served.client("bot"), served.client("alice")];
    let (answered, refused, strange) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let since = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..CROWD {
            let (client, served) = (&clients[n % 2], &served);
            let (answered, refused, strange) = (&answered, &refused, &strange);
            scope.spawn(move || {
                let plan = json!({"action": served.digest, "input": 0, "reason": "a crowd"});
                for turn in n.. {
                    if since.elapsed().as_secs() >= seconds {
                        return;
                    }
                    let done = match turn % 5 {
                        0 => client.post::<Value>("/api/v1/plans", &plan).map(drop),
                        1 => start(client, &served.request).map(drop),
                        2 => client.get::<Value>(&format!("/api/v1/requests/{}", served.request)).map(drop),
                        _ => client.get::<Value>("/api/v1/runs?limit=10").map(drop),
                    };
                    match done {
                        Ok(()) => answered.fetch_add(1, Ordering::Relaxed),
                        Err(ClientError::Problem(problem)) if matches!(problem.status, 409 | 429 | 503) => {
                            // As `Retry-After` asks, but sooner: it is a crowd.
                            std::thread::sleep(Duration::from_millis(50));
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        // Alice may not start what names the bot.
                        Err(ClientError::Problem(problem)) if n % 2 == 1 && problem.status == 403 => 0,
                        Err(error) => {
                            eprintln!("{error:?}");
                            strange.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    let took = since.elapsed().as_secs_f64();
    let figure =
        |what: String, count: &AtomicU64| Figure::new(what, count.load(Ordering::Relaxed) as f64, "");
    vec![
        figure(format!("answers to {CROWD} clients other than 2xx, 409, 429, 503"), &strange).exactly(0.0),
        Figure::new("calls that were served", answered.load(Ordering::Relaxed) as f64 / took, "/s"),
        Figure::new(
            "calls that were refused for their number",
            refused.load(Ordering::Relaxed) as f64 / took,
            "/s",
        ),
        Figure::new("the server's memory after that", served.memory(), "MiB"),
    ]
}

/// Everybody watches one run.
fn watched(place: &Place) -> Vec<Figure> {
    let served = Served::new(place, "misbehave", r#"{"do":"loop"}"#, UNLIMITED);
    let (bot, alice) = (served.client("bot"), served.client("alice"));
    let run = start(&bot, &served.request).expect("it starts");
    let path = format!("/api/v1/runs/{run}/events");
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (mut took, mut memory) = (Duration::ZERO, 0.0);
    std::thread::scope(|scope| {
        for _ in 0..WATCHERS {
            let (alice, path, begun, ended) = (&alice, &path, &begun, &ended);
            let watch = move || {
                for line in alice.follow(path).expect("a stream").lines().map_while(Result::ok) {
                    match line.as_str() {
                        "event: started" => begun.fetch_add(1, Ordering::Relaxed),
                        "event: ended" => ended.fetch_add(1, Ordering::Relaxed),
                        _ => 0,
                    };
                }
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, watch).expect("a thread");
        }
        let limit = Instant::now() + Duration::from_secs(120);
        while begun.load(Ordering::Relaxed) < WATCHERS && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(20));
        }
        memory = served.memory();
        let freeze = json!({"reason": "a benchmark", "order": "freeze"});
        let prepared: ToSign = alice.post("/api/v1/orders/prepare", &freeze).expect("prepared");
        let since = Instant::now();
        let _: Value =
            alice.submit("/api/v1/orders", &alice.sign(&prepared).expect("signed")).expect("frozen");
        while ended.load(Ordering::Relaxed) < WATCHERS && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(2));
        }
        took = since.elapsed();
    });
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed) as f64;
    vec![
        Figure::new("of 1,000 who watch a run are told of its end", count(&ended), "")
            .exactly(WATCHERS as f64),
        Figure::new("after the order to freeze the last of them knows", took.as_secs_f64() * 1e3, "ms"),
        Figure::new("the server's memory with all of them", memory, "MiB"),
    ]
}
