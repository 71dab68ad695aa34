//! `remit serve`, and what talks to it from outside.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use remit_client::{Client, ClientError, ToSign};
use remit_trust::Signer;
use serde_json::{Value, json};

use super::World;

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
        let config = world.home().join("remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        if !text.contains("[server]") {
            fs::write(&config, text + "\n[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
        }
        // A path relative to the working directory, as people give it.
        let mut command = world.command(&["serve", "--home", "home"]);
        command.envs(environment.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
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
    pub fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
