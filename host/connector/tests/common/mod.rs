//! A server on loopback that does what a script says, and a connector of a test's own.

#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use remit_connector::{
    Call, Description, Entry, Exchange, NoAnswer, Origin, Phase, Placeholders, Request, Response,
};
use remit_gate::Failure;
use remit_text::Table;
use remit_trust::{Opening, SecretText, ValueHandle};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The origin's own token.
pub const TOKEN: &str = "tok-of-the-origin-5d1f";

/// A server; each connection is one request.
pub struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Both ends of a connection.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Server {
    /// Answers each request with the next of `answers`, then with the last.
    pub fn answering(answers: &[String]) -> Self {
        let answers = answers.to_vec();
        Self::with(move |count, _, stream| {
            let _ = stream.write_all(answers[count.min(answers.len() - 1)].as_bytes());
        })
    }

    /// Lets `answer` answer: it is told which request this is, and the request.
    pub fn with(answer: impl Fn(usize, &str, &mut dyn Stream) + Send + Sync + 'static) -> Self {
        Self::start("http", move |stream| Some(Box::new(stream)), answer)
    }

    /// The same over what `wrap` makes of a connection.
    pub fn start(
        scheme: &str,
        wrap: impl Fn(std::net::TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
        answer: impl Fn(usize, &str, &mut dyn Stream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(mut stream) = wrap(stream) else { continue };
                let Some(request) = message(&mut *stream) else { continue };
                let count = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(request.clone());
                    noted.len() - 1
                };
                answer(count, &request, &mut *stream);
                let _ = stream.flush();
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }
}

/// Head and body of one request; none if the other end says nothing.
fn message(stream: &mut dyn Stream) -> Option<String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let length = head.lines().filter_map(|line| line.split_once(':'));
            let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length = length.next().map_or(0, |(_, length)| length.trim().parse().unwrap());
            if bytes.len() >= at + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&part[..length]),
        }
    }
}

/// An answer with more headers, each with its line's end.
pub fn respond_with(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

pub fn respond(status: &str, body: &str) -> String {
    respond_with(status, "Content-Type: application/json\r\n", body)
}

pub fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    private(&home, "token", TOKEN);
    home
}

pub fn private(home: &TempDir, name: &str, text: &str) {
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// An entry for this origin, with more settings.
pub fn entry(origin: &str, more: &str) -> Entry {
    let text = format!(
        "[[connector]]\nname = 'npm'\ncomponent = 'npm.wasm'\norigin = '{origin}'\ntimeout = '20s'\n{more}"
    );
    Entry::read(Table::parse(&text).unwrap().entries("connector").unwrap().remove(0)).unwrap()
}

/// On loopback, with the token.
pub const LOCAL: &str = "allow_private = ['127.0.0.1/32']\nconfig = { tenant = 'blue' }\ncredential = { bearer_file = 'token' }\n";

pub const DESCRIPTION: &str = r#"
interfaces = ["acme:npm/tokens@0.1.0"]
auth = ["bearer"]

[function."acme:npm/tokens.list"]
effect = "observe"
kind = "token"
path = "{org}"
reads = [
    "GET /orgs/*/tokens",
    { send = "GET /search", query = { page = "{*}", org = "{org}" } },
    { send = "POST /graphql", json = { query = "{{ tokens }}", org = "{org}" } },
    { send = "GET /me", credential = "{leaked}" },
]
secrets = ["/objects/*/token"]
sealed = ["leaked"]

[function."acme:npm/tokens.revoke"]
effect = "change"
kind = "token"
path = "{org}/{id}"
reads = [
    "GET /orgs/{org}/tokens/{id}",
    "GET /files/**",
    { send = "GET /me", credential = "{fresh}" },
    { send = "POST /lookup", json = { token = "{fresh}" } },
]
change = [
    "DELETE /orgs/{org}/tokens/{id}",
    { send = "PUT /orgs/{org}/tokens/{id}", headers = { if-match = "{undo.etag}" }, json = { state = "off", reason = "{reason}", n = "{n:number}", note = "{*}" } },
    { send = "POST /revoke", form = { id = "{id}", tenant = "{config.tenant}" }, query = { dry = "no" } },
    { send = "POST /known/{id}", form = { token = "{fresh}", n = "{n}", kind = "a {id}" } },
    { send = "POST /rotate/{id}", json = { old = "{secret}", new = "{fresh}" } },
]
undo = [
    "POST /orgs/{org}/tokens/{id}/enable",
    { send = "POST /made/{got.id}", json = { token = "{secret}" } },
]
secrets = ["/token", "/objects/*/token"]
sealed = ["fresh"]
response_headers = ["x-total"]
countermeasure = "evict"
"#;

pub fn description() -> Arc<Description> {
    Arc::new(Description::parse(DESCRIPTION).unwrap())
}

/// The call of `revoke` that tests make.
pub fn revoke() -> Call {
    Call {
        function: "acme:npm/tokens.revoke".to_owned(),
        path: "npm/acme/42".to_owned(),
        arguments: json!({"token": "npm/acme/42", "reason": "it leaked", "n": "18446744073709551615"}),
        undo: json!({"etag": "\"7\""}),
        ..Call::default()
    }
}

pub fn list() -> Call {
    Call {
        function: "acme:npm/tokens.list".to_owned(),
        path: "npm/acme".to_owned(),
        arguments: json!({"org": "npm/acme"}).as_object().map(|_| json!({})).unwrap(),
        ..Call::default()
    }
}

pub struct World {
    pub server: Server,
    pub home: TempDir,
    pub origin: Arc<Origin>,
}

impl World {
    pub fn new(server: Server) -> Self {
        Self::with(server, LOCAL)
    }

    pub fn with(server: Server, more: &str) -> Self {
        let home = home();
        let origin = Arc::new(Origin::open(&entry(&server.address, more), home.path()).unwrap());
        Self { server, home, origin }
    }

    pub fn exchange(&self, phase: Phase, call: Call) -> Exchange {
        self.after(phase, call, Arc::default())
    }

    pub fn after(&self, phase: Phase, call: Call, placeholders: Arc<Placeholders>) -> Exchange {
        Exchange::new(description(), Arc::clone(&self.origin), phase, call, placeholders).unwrap()
    }
}

pub fn request(method: &str, path: &str) -> Request {
    Request {
        method: method.to_owned(),
        path: path.split('/').map(ToOwned::to_owned).collect(),
        ..Request::default()
    }
}

pub fn with_json(mut request: Request, body: &Value) -> Request {
    request.body = Some(body.to_string().into_bytes());
    request
}

#[track_caller]
pub fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

/// The words of a breach.
#[track_caller]
pub fn breach(answer: Result<Response, NoAnswer>) -> Failure {
    match answer {
        Err(NoAnswer::Breach(failure)) => failure,
        other => panic!("no breach: {other:?}"),
    }
}

#[track_caller]
pub fn failure(answer: Result<Response, NoAnswer>) -> Failure {
    match answer {
        Err(NoAnswer::Failure(failure)) => failure,
        other => panic!("no failure: {other:?}"),
    }
}

/// The body of the change by `PUT`.
pub fn put(body: &Value) -> Request {
    let mut put = with_json(request("PUT", "orgs/acme/tokens/42"), body);
    put.headers.push(("If-Match".to_owned(), "\"7\"".to_owned()));
    put
}

pub fn change() -> Value {
    json!({"state": "off", "reason": "it leaked", "n": 18_446_744_073_709_551_615_u64, "note": {"by": "me"}})
}

pub fn headed(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

/// The call of `revoke` with a sealed argument, and its handle.
pub fn with_fresh(value: &str) -> (Call, String) {
    let opening = Opening::new(SecretText::new(value.to_owned())).unwrap();
    let handle = opening.handle("log", "fresh");
    let mut call = revoke();
    call.arguments["fresh"] = json!(handle.to_string());
    call.sealed =
        Arc::new([(ValueHandle::Input(handle.clone()), opening.into_value())].into_iter().collect());
    (call, handle.to_string())
}
