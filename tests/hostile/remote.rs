//! The same acts through a server: each principal is a client with a key of its own, outside the home.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use remit_client::{Client, ClientError, ToSign};
use remit_gate::Scope;
use remit_journal::{RequestId, RunId};
use remit_trust::{Digest, Handle, Opening, SecretText, Signer};
use serde_json::{Value, json};

use super::drive::{Asked, REASON, Ran, Started, Who};
use super::script::Script;

pub struct Remote {
    server: Child,
    clients: BTreeMap<Who, Client>,
    action: String,
    url: String,
    log: PathBuf,
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Remote {
    /// Serves the home in this folder, where the keys and the action are too.
    pub fn new(folder: &Path) -> Self {
        let config = folder.join("home/remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        let rate = "[server.rate]\nper_minute = 1_000_000\nburst = 1_000_000\n";
        fs::write(&config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n{rate}")).unwrap();
        let log = folder.join("server.log");
        let mut server = Command::new(env!("CARGO_BIN_EXE_remit"))
            .args(["-vv", "serve", "--home", "home"])
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("serving").expect("it serves").trim().to_owned();
        let clients: BTreeMap<Who, Client> = Who::ALL
            .map(|who| {
                let signer = Signer::load(&folder.join(format!("{}.key", who.name()))).unwrap();
                (who, Client::connect(ureq::Agent::new_with_defaults(), &url, signer).unwrap())
            })
            .into();
        let action = fs::read(folder.join("action.wasm")).unwrap();
        let signature = fs::read_to_string(folder.join("action.wasm.sig")).unwrap();
        let digest = Digest::of(&action).to_string();
        clients[&Who::Bot].upload(&digest, action, &signature).unwrap();
        Self { server, clients, action: digest, url, log }
    }

    /// The principal acts with this key from now on, for which it exchanges a token.
    pub fn certify(&mut self, who: Who, signer: Signer, token: String) -> Result<(), String> {
        let client = Client::connect(ureq::Agent::new_with_defaults(), &self.url, signer).unwrap();
        let done = client.certify(&SecretText::new(token)).map_err(|error| words(&error));
        self.clients.insert(who, client);
        done.map(|certified| assert_eq!(certified.principal, who.name()))
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> Vec<u8> {
        fs::read(&self.log).unwrap()
    }

    /// Prepares at one route, signs, submits at another.
    fn act(&self, by: Who, prepare: &str, body: &Value, submit: &str) -> Result<Value, ClientError> {
        let client = &self.clients[&by];
        let prepared: ToSign = client.post(&format!("/api/v1/{prepare}"), body)?;
        let mut signed = serde_json::to_value(client.sign(&prepared)?).unwrap();
        if submit == "runs" {
            signed = json!({"document": signed});
            if let Some(input) = body.get("input") {
                signed["input"] = input.clone();
            }
        }
        client.submit(&format!("/api/v1/{submit}"), &signed)
    }

    pub fn seal(&self, by: Who, handle: &Handle, opening: &Opening) -> Result<(), String> {
        self.clients[&by].seal(handle, opening).map(drop).map_err(|error| words(&error))
    }

    pub fn rehearse(&self, by: Who, script: &Script, scope: Option<&Scope>) -> Result<Value, String> {
        let mut body = json!({"action": self.action, "input": script, "reason": REASON});
        if let Some(scope) = scope {
            body["scope"] = serde_json::to_value(scope).unwrap();
        }
        self.clients[&by].post("/api/v1/plans", &body).map_err(|error| words(&error))
    }

    pub fn request(
        &self,
        by: Who,
        script: &Script,
        (scope, open): (Option<&Scope>, bool),
        starters: &[Who],
    ) -> Result<Asked, String> {
        self.ask(by, scope, starters, json!({"input": script, "without_plan": open}))
    }

    pub fn request_standing(
        &self,
        by: Who,
        scope: &Scope,
        starters: &[Who],
        runs_per_hour: u32,
    ) -> Result<Asked, String> {
        let standing = json!({"runs_per_hour": runs_per_hour, "changes_per_hour": 100});
        self.ask(by, Some(scope), starters, json!({"standing": standing}))
    }

    fn ask(
        &self,
        by: Who,
        scope: Option<&Scope>,
        starters: &[Who],
        mut body: Value,
    ) -> Result<Asked, String> {
        body["action"] = json!(self.action);
        body["reason"] = json!(REASON);
        body["triggers"] = starters.iter().map(|who| who.name()).collect();
        if let Some(scope) = scope {
            body["scope"] = serde_json::to_value(scope).unwrap();
        }
        self.act(by, "requests/prepare", &body, "requests").map(asked).map_err(|error| words(&error))
    }

    pub fn approve(&self, by: Who, id: RequestId) -> Result<(), String> {
        let body = json!({"approve": true, "reason": "looks right"});
        let decided = self.act(by, &format!("requests/{id}/decisions/prepare"), &body, "decisions");
        decided.map(drop).map_err(|error| words(&error))
    }

    fn order(&self, by: Who, order: Value) -> Result<Value, String> {
        let body = json!({"reason": REASON, "order": order});
        self.act(by, "orders/prepare", &body, "orders").map_err(|error| words(&error))
    }

    pub fn revoke(&self, by: Who, id: RequestId) -> Result<(), String> {
        self.order(by, json!({"revoke-request": id.to_string()})).map(drop)
    }

    pub fn freeze(&self, frozen: bool) {
        self.order(Who::Alice, json!(if frozen { "freeze" } else { "unfreeze" })).unwrap();
    }

    pub fn revert(&self, by: Who, run: RunId) -> Result<(), String> {
        let done = self.order(by, json!({"revert": {"run": run.to_string()}}))?;
        if done["result"]["state"] == "reverted" { Ok(()) } else { Err(done["result"].to_string()) }
    }

    pub fn start(&self, by: Who, id: RequestId) -> Result<Started, String> {
        self.started(by, self.act(by, "runs/prepare", &json!({"request": id.to_string()}), "runs"))
    }

    pub fn start_standing(&self, by: Who, id: RequestId, script: &Script) -> Result<Started, String> {
        let body =
            json!({"request": id.to_string(), "action": self.action, "input": script, "reason": REASON});
        self.started(by, self.act(by, "runs/prepare", &body, "runs"))
    }

    fn started(&self, by: Who, begun: Result<Value, ClientError>) -> Result<Started, String> {
        let client = &self.clients[&by];
        match begun {
            Ok(begun) => {
                let name = begun["run"].as_str().unwrap();
                // The stream ends with the run.
                let events = client.follow(&format!("/api/v1/runs/{name}/events"));
                for line in events.map_err(|error| words(&error))?.lines() {
                    line.unwrap();
                }
                let page: Value =
                    client.get("/api/v1/runs?live=true&limit=10").map_err(|error| words(&error))?;
                let found = page["runs"].as_array().unwrap().iter().find(|run| run["run"] == name).unwrap();
                let state = found["state"].as_str().unwrap().to_owned();
                Ok(Started::Ran(Ran { run: name.parse().unwrap(), state, words: found.to_string() }))
            }
            // Outside its standing scope: what can be asked for instead.
            Err(ClientError::Problem(problem)) if problem.prepared.is_some() => {
                let prepared: ToSign = serde_json::from_value(problem.prepared.unwrap()).unwrap();
                let signed = client.sign(&prepared).unwrap();
                let case = client.submit("/api/v1/requests", &signed).map_err(|error| words(&error))?;
                Ok(Started::Asked(asked(case)))
            }
            Err(error) => Err(words(&error)),
        }
    }
}

fn asked(case: Value) -> Asked {
    let request = case["request"].clone();
    Asked { id: request["id"].as_str().unwrap().parse().unwrap(), request }
}

fn words(error: &ClientError) -> String {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
    format!("{error} | {error:?} | {help}")
}
