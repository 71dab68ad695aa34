//! `remit serve`, and what talks to it from outside.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use remit_client::{Client, ClientError, ToSign};
use remit_trust::{Digest, Signer};
use serde_json::{Value, json};

use super::{SECRET, World};

/// A running server. It ends with the test.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Serves a world's home at a port that the system chooses.
    pub fn of(world: &World) -> Self {
        Self::with(world, &[])
    }

    /// The same with more in its environment.
    pub fn with(world: &World, environment: &[(&str, &std::ffi::OsStr)]) -> Self {
        Self::start(world, &[], environment, Stdio::null())
    }

    /// The same for whoever calls without end, and with all that can be logged in the file `server.log`.
    pub fn unlimited(world: &World) -> Self {
        let config = world.home().join("remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        let rate = "[server.rate]\nper_minute = 1_000_000\nburst = 1_000_000\n";
        fs::write(&config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n{rate}")).unwrap();
        let log = fs::File::create(world.path("server.log")).unwrap();
        Self::start(world, &["-vv", "--log-format", "json"], &[], log.into())
    }

    fn start(world: &World, more: &[&str], environment: &[(&str, &std::ffi::OsStr)], stderr: Stdio) -> Self {
        let config = world.home().join("remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        if !text.contains("[server]") {
            fs::write(&config, text + "\n[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
        }
        // A path relative to the working directory, as people give it.
        let mut command = world.command(&[&["serve", "--home", "home"], more].concat());
        command.envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("serving").expect("it serves").trim().to_owned();
        Self { child, url }
    }

    /// Whoever holds this key, at this server.
    pub fn client(&self, world: &World, name: &str) -> Client {
        let signer = Signer::load(&world.path(&format!("{name}.key"))).unwrap();
        Client::connect(ureq::Agent::new_with_defaults(), &self.url, signer).unwrap()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it did.
    pub fn stop(self) -> bool {
        self.is_to_stop();
        self.ends()
    }

    /// Asks it to stop.
    pub fn is_to_stop(&self) {
        rustix::process::kill_process(self.process(), rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end; whether it ended well.
    pub fn ends(mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// Whether it goes on.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Its name and port.
    pub fn authority(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whoever types this has a key and a context, and nothing of the home.
pub fn elsewhere(world: &World, name: &str, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command.env_remove("REMIT_HOME").env_remove("REMIT_KEY").env("HOME", "/nonexistent");
    command.env("XDG_CONFIG_HOME", world.path(&format!("{name}.config")));
    command
}

/// A context `prod` of this principal, with its key.
pub fn add_context(world: &World, name: &str, url: &str) {
    let key = format!("{name}.key");
    let add = ["context", "add", "prod", url, "--key", &key];
    super::finish(elsewhere(world, name, &add), "").exits(0);
}

pub const REQUESTS: &str = "/api/v1/requests";
pub const RUNS: &str = "/api/v1/runs";

/// Uploads an action, and returns its digest.
pub fn upload(world: &World, client: &Client, name: &str) -> String {
    let bytes = fs::read(world.path(&format!("{name}.wasm"))).unwrap();
    let signature = fs::read_to_string(world.path(&format!("{name}.wasm.sig"))).unwrap();
    let digest = Digest::of(&bytes).to_string();
    let kept = client.upload(&digest, bytes, &signature).unwrap();
    assert_eq!(kept["digest"], digest);
    digest
}

/// Asks for a rotation.
pub fn ask(client: &Client, action: &str) -> Value {
    let body = json!({"action": action, "input": {"path": SECRET}, "reason": "leaked"});
    signed(client, "/api/v1/requests/prepare", &body, REQUESTS).unwrap()
}

pub fn id(request: &Value) -> String {
    request["request"]["id"].as_str().unwrap().to_owned()
}

pub fn decide(client: &Client, request: &str, approve: bool) -> Result<Value, ClientError> {
    let body = json!({"approve": approve, "reason": "looked at it"});
    signed(client, &format!("{REQUESTS}/{request}/decisions/prepare"), &body, "/api/v1/decisions")
}

pub fn start(client: &Client, request: &str) -> Result<Value, ClientError> {
    signed(client, "/api/v1/runs/prepare", &json!({"request": request}), RUNS)
}

/// Waits for the end of a run.
pub fn end(client: &Client, run: &str) -> Value {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let page: Value = client.get(&format!("{RUNS}?live=true")).unwrap();
        let found =
            page["runs"].as_array().unwrap().iter().find(|found| found["run"] == run).unwrap().clone();
        if !found["state"].is_null() {
            return found;
        }
        assert!(Instant::now() < limit, "it has no end: {found}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One call as bytes; its status and the rest of the answer.
pub fn raw(authority: &str, call: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(call.as_bytes()).unwrap();
    answer(stream)
}

/// What comes until the connection is closed; the status first.
fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

/// A call of which the server has the first part.
pub struct Begun {
    stream: TcpStream,
    rest: String,
}

impl Begun {
    /// Sends a call as far as `part` of it.
    pub fn with(authority: &str, call: &str, part: usize) -> Self {
        let mut stream = TcpStream::connect(authority).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(&call.as_bytes()[..part]).unwrap();
        Self { stream, rest: call[part..].to_owned() }
    }

    /// Waits until the server asks for the rest, which a call does with `Expect: 100-continue`.
    pub fn is_asked_for_the_rest(&mut self) {
        let mut line = [0; 25];
        self.stream.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Sends the rest; the status and the whole answer.
    pub fn finish(mut self) -> (u16, String) {
        self.stream.write_all(self.rest.as_bytes()).unwrap();
        answer(self.stream)
    }
}

pub fn key_id(world: &World, name: &str) -> String {
    let all = world.remit(&["principals", "--json"]).exits(0).json();
    let found = all.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap();
    found["key"].as_str().unwrap().to_owned()
}

/// Prepares at one route, signs, submits at another.
pub fn signed(client: &Client, prepare: &str, body: &Value, submit: &str) -> Result<Value, ClientError> {
    let prepared: ToSign = client.post(prepare, body)?;
    let envelope = client.sign(&prepared)?;
    let body = match submit {
        "/api/v1/runs" => json!({"document": envelope}),
        _ => serde_json::to_value(envelope).unwrap(),
    };
    client.submit(submit, &body)
}

/// The problem that a call ended with.
#[track_caller]
pub fn problem<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String, String) {
    match result {
        Err(ClientError::Problem(problem)) => (problem.status, problem.code, problem.detail),
        other => panic!("no problem: {other:?}"),
    }
}
