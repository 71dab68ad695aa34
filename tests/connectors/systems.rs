//! The real systems that connectors are tested against, each on a free loopback port, gone with the value.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A program of `cargo xtask NAME`, by the variable that says where it is.
pub(super) fn program(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests with `cargo xtask test`"))
}

/// A server that ends with the test.
pub struct System {
    child: Child,
    pub address: String,
}

impl System {
    /// An npm registry: Verdaccio, with the tokens of its experiment.
    pub fn verdaccio(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let config = "storage: ./storage\nauth: { htpasswd: { file: ./htpasswd } }\nuplinks: {}\n\
                      packages: { '**': { access: $all, publish: $authenticated } }\n\
                      security: { api: { jwt: { sign: { expiresIn: 29d } } } }\nflags: { tokens: true }\n\
                      log: { type: stdout, format: json, level: fatal }\n";
        std::fs::write(folder.join("config.yaml"), config).unwrap();
        let script = program("REMIT_VERDACCIO");
        serving("a Verdaccio", "/-/ping", |port| {
            let mut node = Command::new("node");
            let listen = format!("127.0.0.1:{port}");
            node.arg(&script).args(["--config", "config.yaml", "--listen", &listen]).current_dir(folder);
            node
        })
    }

    /// A directory of accounts at `/scim/v2` (RFC 7644), in memory; who has this token may do everything.
    pub fn scim(token: &str) -> Self {
        let program = program("REMIT_SCIM");
        serving("a directory", "/scim/v2/ServiceProviderConfig", |port| {
            let mut scim = Command::new(&program);
            scim.args(["--port", port, "--tenant", "scim", "--bearer-token", token]);
            scim
        })
    }

    /// A `PocketBase` in a folder of its own; `admin@example.com` has this password.
    pub fn pocketbase(folder: &Path, password: &str) -> Self {
        let program = program("REMIT_POCKETBASE");
        let command = |args: &[&str]| {
            let mut pocketbase = Command::new(&program);
            // It also writes beside its folder.
            pocketbase.arg("--dir").arg(folder.join("data")).args(args);
            pocketbase
        };
        let made = command(&["superuser", "upsert", "admin@example.com", password]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        serving("a PocketBase", "/api/health", |port| {
            command(&["serve", "--http", &format!("127.0.0.1:{port}")])
        })
    }

    /// A Roundup tracker; `admin` has this password.
    pub fn roundup(folder: &Path, password: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/connectors/tracker.py");
        let mut python = Command::new(program("REMIT_ROUNDUP"));
        python.arg(script).arg(folder).arg(password).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = python.spawn().unwrap();
        // It is told where it listens once it does.
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, address: format!("http://127.0.0.1:{}", port.trim()) }
    }

    /// The server's own API: what it answers, as JSON, whatever its status.
    pub fn api(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }
}

/// Starts what serves on a port, until it answers at `path`, whatever it does.
fn serving(what: &str, path: &str, command: impl Fn(&str) -> Command) -> System {
    // The port is free now; the rare loser of the race for it tries again.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let child = command(&port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut system = System { child, address: format!("http://127.0.0.1:{port}") };
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until && system.child.try_wait().unwrap().is_none() {
            match ureq::get(format!("{}{path}", system.address)).call() {
                Ok(_) | Err(ureq::Error::StatusCode(_)) => return system,
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
    panic!("{what} did not come up");
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
