//! The ways in to a home. An attack is written once, as the commands that somebody types at the home; each way carries out the same
//! commands, and answers as `remit` does there.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::Deref;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remit_client::{Client, ClientError, ToSign};
use remit_gate::Scope;
use remit_journal::{Basis, Revocation, RunId};
use remit_lifecycle::{Approval, Document, Input, Order, OrderKind, Trigger};
use remit_trust::dsse::Envelope;
use remit_trust::{Digest, Signer, canonical};
use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::server::{RUNS, Server};
use crate::common::{Ran, World, finish};

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `remit` in front of the home.
    Home,
    /// Calls of the HTTP API, with documents that its caller wrote: nothing is looked at before it is sent.
    Http,
    /// Software uses the tools of `remit mcp`; people make calls of the API.
    Tools,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Home, Self::Http, Self::Tools];
}

/// Why an attack is only played at the home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyAtHome {
    /// It is made by somebody without a key. Whoever comes through a server has one, and a call by nobody is refused whatever it asks
    /// for (`server_guard`).
    WithoutAKey,
}

/// One attack, and how it goes in by one way.
pub struct At {
    way: Way,
}

impl At {
    /// Plays an attack by each way in, all at the same time.
    pub fn each(attack: fn(&At), only: Option<OnlyAtHome>) {
        let ways = if only.is_some() { &Way::ALL[..1] } else { &Way::ALL };
        std::thread::scope(|scope| {
            let played: Vec<_> =
                ways.iter().map(|way| (way, scope.spawn(|| attack(&At { way: *way })))).collect();
            for (way, played) in played {
                assert!(played.join().is_ok(), "by the way {way:?}");
            }
        });
    }

    /// A world with these policies.
    pub fn world(&self, policies: &str) -> Stand {
        let stand = self.stand(&[]);
        stand.world.policies(policies);
        stand
    }

    /// A world with these actions.
    pub fn with(&self, actions: &[&str]) -> Stand {
        self.stand(actions)
    }

    fn stand(&self, actions: &[&str]) -> Stand {
        let world = match actions {
            [] => World::new(),
            actions => World::with(actions),
        };
        Stand { world, way: self.way, server: OnceLock::new(), agents: Mutex::default() }
    }
}

/// A world, and a way in.
pub struct Stand {
    world: World,
    way: Way,
    server: OnceLock<Server>,
    agents: Mutex<HashMap<String, Agent>>,
}

impl Deref for Stand {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Told {
    ran: Ran,
    /// It cannot even be asked for: there is no tool that does it, or what it is about is not there for who asks.
    out_of_reach: bool,
}

impl Deref for Told {
    type Target = Ran;

    fn deref(&self) -> &Ran {
        &self.ran
    }
}

impl From<Ran> for Told {
    fn from(ran: Ran) -> Self {
        Self { ran, out_of_reach: false }
    }
}

impl Told {
    fn done(out: impl Into<String>) -> Self {
        Ran { code: 0, out: out.into(), err: String::new() }.into()
    }

    /// What was refused, by its code (`refused::policy`) and its words.
    fn refused(code: &str, err: String) -> Self {
        let code = match code.split("::").next().unwrap() {
            "usage" => 2,
            "refused" => 3,
            "integrity" => 4,
            "doubt" => 5,
            _ => 1,
        };
        Ran { code, out: String::new(), err }.into()
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        // What cannot be asked for is not refused with a code.
        if !self.out_of_reach || code == 0 {
            assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        }
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.out_of_reach || self.err.contains(words), "no `{words}` in:\n{}", self.err);
        self
    }
}

/// A command as it was typed.
struct Typed<'a>(&'a [&'a str]);

impl<'a> Typed<'a> {
    const VALUES: [&'static str; 8] =
        ["--key", "--input", "--reason", "--scope", "--ttl", "--digest", "--under", "--file"];

    fn value(&self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|arg| *arg == name)?;
        self.0.get(at + 1).copied()
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    /// What is neither an option nor the value of one.
    fn words(&self) -> Vec<&'a str> {
        let mut words = Vec::new();
        let mut args = self.0.iter();
        while let Some(arg) = args.next() {
            if Self::VALUES.contains(arg) {
                args.next();
            } else if !arg.starts_with("--") {
                words.push(*arg);
            }
        }
        words
    }

    /// Who typed it: the name of the key.
    fn who(&self) -> &'a str {
        self.value("--key").unwrap_or("alice.key").strip_suffix(".key").unwrap()
    }

    fn reason(&self) -> &'a str {
        self.value("--reason").unwrap_or_default()
    }

    fn input(&self) -> Value {
        serde_json::from_str(self.value("--input").unwrap_or("null")).unwrap()
    }
}

/// What can be done from anywhere.
const ANYWHERE: [&str; 9] =
    ["plan", "request", "approve", "deny", "run", "revoke", "freeze", "unfreeze", "review"];

impl Stand {
    /// Fewer where each takes longer or they come one after the other.
    pub fn times(&self, at_home: usize) -> usize {
        if self.way == Way::Home { at_home } else { at_home.div_ceil(4) }
    }

    /// Carries out a command by this way, if it can be done from anywhere.
    #[track_caller]
    pub fn remit(&self, args: &[&str]) -> Told {
        let typed = Typed(args);
        let is_software = typed.who().starts_with("bot");
        // There is no tool for the rules either.
        let by_a_way =
            ANYWHERE.contains(&args[0]) || self.way == Way::Tools && args[0] == "rules" && is_software;
        if !by_a_way {
            return self.world.remit(args).into();
        }
        match self.way {
            Way::Home => self.world.remit(args).into(),
            Way::Tools if is_software => self.by_tool(&typed),
            Way::Http | Way::Tools => self.by_http(&typed),
        }
    }

    fn server(&self) -> &Server {
        self.server.get_or_init(|| {
            let file = self.home().join("remit.toml");
            let text = fs::read_to_string(&file).unwrap();
            // What is attacked here is not how often somebody may call.
            let rate = "[server.rate]\nper_minute = 1_000_000\nburst = 1_000_000\n";
            fs::write(file, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n{rate}")).unwrap();
            Server::of(&self.world)
        })
    }

    /// `remit` where there is no home.
    fn elsewhere(&self, who: &str, args: &[&str]) -> Command {
        let config = self.path(&format!("{who}.config"));
        let command = |args: &[&str]| {
            let mut command = self.command(args);
            command.env_remove("REMIT_HOME").env_remove("REMIT_KEY").env("HOME", "/nonexistent");
            command.env("XDG_CONFIG_HOME", &config);
            command
        };
        let url = &self.server().url;
        if !config.exists() {
            let key = format!("{who}.key");
            finish(command(&["context", "add", "prod", url, "--key", &key]), "").exits(0);
        }
        command(args)
    }

    fn digest(&self, file: &str) -> String {
        Digest::of(&fs::read(self.path(file)).unwrap()).to_string()
    }

    fn scope(&self, typed: &Typed<'_>) -> Option<Value> {
        let text = fs::read_to_string(self.path(typed.value("--scope")?)).unwrap();
        Some(serde_json::to_value(toml::from_str::<Scope>(&text).unwrap()).unwrap())
    }

    /// What is asked for by `request`, as the API takes it.
    fn wanted(&self, typed: &Typed<'_>) -> Value {
        let mut wanted = json!({"action": self.digest(typed.words()[1]), "reason": typed.reason()});
        if typed.has("--standing") {
            wanted["standing"] = json!({"runs_per_hour": 10, "changes_per_hour": 10});
        } else {
            wanted["input"] = typed.input();
        }
        if let Some(scope) = self.scope(typed) {
            wanted["scope"] = scope;
        }
        if let Some(ttl) = typed.value("--ttl") {
            wanted["ttl"] = ttl.into();
        }
        for flag in ["--break-glass", "--without-plan"] {
            if typed.has(flag) {
                wanted[flag[2..].replace('-', "_")] = true.into();
            }
        }
        wanted
    }
}

fn refusal(error: ClientError) -> Told {
    match error {
        ClientError::Problem(problem) => {
            assert!([400, 403, 404, 409, 500, 502].contains(&problem.status), "{problem:?}");
            Told::refused(&problem.code, format!("{}\n{}", problem.detail, problem.help.unwrap_or_default()))
        }
        other => panic!("{other:?}"),
    }
}

/// Calls of the API.
impl Stand {
    fn client(&self, who: &str) -> Result<Client, ClientError> {
        let signer = Signer::load(&self.path(&format!("{who}.key"))).unwrap();
        Client::connect(remit_client::agent(None)?, &self.server().url, signer)
    }

    fn upload(&self, client: &Client, file: &str) -> Result<Value, ClientError> {
        let signature = fs::read_to_string(self.path(&format!("{file}.sig"))).unwrap();
        client.upload(&self.digest(file), fs::read(self.path(file)).unwrap(), &signature)
    }

    fn by_http(&self, typed: &Typed<'_>) -> Told {
        let client = match self.client(typed.who()) {
            Ok(client) => client,
            Err(error) => return refusal(error),
        };
        match self.called(&client, typed) {
            Ok(told) => told,
            // What others asked for is not there for software.
            Err(ClientError::Problem(problem))
                if problem.code == "usage::no_such_request" && typed.who().starts_with("bot") =>
            {
                let ran = Ran { code: 2, out: String::new(), err: problem.detail.clone() };
                Told { ran, out_of_reach: true }
            }
            Err(error) => {
                // Whoever is told no at the first step takes the second one all the same.
                if let Some((path, body)) = self.forged(&client, typed) {
                    let submitted = client.submit::<Value>(path, &body);
                    assert!(submitted.is_err(), "{:?} was refused, and then done: {submitted:?}", typed.0);
                    refusal(submitted.unwrap_err());
                }
                refusal(error)
            }
        }
    }

    fn called(&self, client: &Client, typed: &Typed<'_>) -> Result<Told, ClientError> {
        let words = typed.words();
        let reason = typed.reason();
        let signed = |prepare: &str, body: &Value| -> Result<Envelope, ClientError> {
            client.sign(&client.post::<ToSign>(prepare, body)?)
        };
        let order = |order: Value| -> Result<Told, ClientError> {
            let envelope = signed("/api/v1/orders/prepare", &json!({"reason": reason, "order": order}))?;
            let done: Value = client.submit("/api/v1/orders", &envelope)?;
            let mut out = String::new();
            for run in done["stopping"].as_array().unwrap() {
                writeln!(out, "stopping  {}", run.as_str().unwrap()).unwrap();
            }
            Ok(Told::done(out))
        };
        match words[0] {
            "plan" => {
                self.upload(client, words[1])?;
                let mut body = json!({"action": self.digest(words[1]), "input": typed.input()});
                if let Some(scope) = self.scope(typed) {
                    body["scope"] = scope;
                }
                Ok(Told::done(client.post::<Value>("/api/v1/plans", &body)?.to_string()))
            }
            "request" => {
                self.upload(client, words[1])?;
                let envelope = signed("/api/v1/requests/prepare", &self.wanted(typed))?;
                Ok(Told::done(client.submit::<Value>("/api/v1/requests", &envelope)?.to_string()))
            }
            verb @ ("approve" | "deny") => {
                let mut body = json!({"approve": verb == "approve", "reason": reason});
                if let Some(digest) = typed.value("--digest") {
                    body["digest"] = digest.into();
                }
                let path = format!("/api/v1/requests/{}/decisions/prepare", words[1]);
                let envelope = signed(&path, &body)?;
                Ok(Told::done(client.submit::<Value>("/api/v1/decisions", &envelope)?.to_string()))
            }
            "run" => {
                let (mut body, mut input) = (json!({"request": words[1]}), None);
                if let Some(request) = typed.value("--under") {
                    self.upload(client, words[1])?;
                    input = Some(typed.input());
                    body = json!({"request": request, "action": self.digest(words[1]), "input": input, "reason": reason});
                }
                let envelope = signed("/api/v1/runs/prepare", &body)?;
                let started: Value = client.submit(RUNS, &json!({"document": envelope, "input": input}))?;
                let run = started["run"].as_str().unwrap();
                Ok(self.ended(run))
            }
            "revoke" => order(match (words[1], words.get(2)) {
                ("all", _) => "revoke-all".into(),
                ("request", Some(id)) => json!({"revoke-request": id}),
                ("principal", Some(name)) => json!({"revoke-principal": name}),
                other => panic!("{other:?}"),
            }),
            verb @ ("freeze" | "unfreeze") => order(verb.into()),
            "review" => order(json!({"review": words[1]})),
            other => panic!("{other}"),
        }
    }

    /// What is submitted although nobody prepared it, and where; none where there is nothing to sign.
    fn forged(&self, client: &Client, typed: &Typed<'_>) -> Option<(&'static str, Value)> {
        let words = typed.words();
        let signer = Signer::load(&self.path(&format!("{}.key", typed.who()))).unwrap();
        let (log, at) = (client.about().log.clone(), Timestamp::now());
        // Of a key that is nobody's: in the name of the one whose it is said to be.
        let principal = typed.who().trim_end_matches("-2").to_owned();
        let principal = if typed.who() == "bot-2" { "bot-2".to_owned() } else { principal };
        let reason = typed.reason().to_owned();
        let asked = || self.client("bob").ok()?.get::<Value>(&format!("/api/v1/requests/{}", words[1])).ok();
        let order = |order| {
            let order =
                Order { log: log.clone(), principal: principal.clone(), at, reason: reason.clone(), order };
            Some(("/api/v1/orders", envelope(&order, &signer)))
        };
        let revoked = |basis| order(OrderKind::Revoke(vec![Revocation { basis, earlier_only: false }]));
        match words[0] {
            verb @ ("approve" | "deny") => {
                let asked = asked()?;
                let digest = typed.value("--digest").or(asked["digest"].as_str()).unwrap();
                let approval = Approval {
                    request: digest.parse().unwrap(),
                    id: words[1].parse().unwrap(),
                    log,
                    principal,
                    approve: verb == "approve",
                    at,
                    reason,
                };
                Some(("/api/v1/decisions", envelope(&approval, &signer)))
            }
            "run" if !typed.has("--under") => {
                let asked = asked()?;
                let run = asked["request"]["asks"].get("run")?;
                let trigger = Trigger {
                    request: asked["digest"].as_str()?.parse().unwrap(),
                    id: words[1].parse().unwrap(),
                    log,
                    run: RunId::new(),
                    action: run["action"]["digest"].as_str()?.parse().unwrap(),
                    input: Input::of(&run["input"]).unwrap().digest(),
                    principal,
                    at,
                    reason: None,
                };
                Some((RUNS, json!({"document": envelope(&trigger, &signer)})))
            }
            "freeze" => order(OrderKind::Freeze),
            "unfreeze" => order(OrderKind::Unfreeze { seen: 1 << 40 }),
            "review" => order(OrderKind::Review(words[1].parse().unwrap())),
            "revoke" => match (words[1], words.get(2)) {
                ("all", _) => revoked(Basis::All),
                ("request", Some(id)) => revoked(Basis::Request(id.parse().unwrap())),
                ("principal", Some(name)) => revoked(Basis::Principal((*name).to_owned())),
                _ => None,
            },
            _ => None,
        }
    }
}

fn envelope<D: Document>(document: &D, signer: &Signer) -> Value {
    json!(Envelope::sign(D::TYPE, &canonical(document).unwrap(), signer).unwrap())
}

impl Stand {
    /// How a run ended. Whoever started it may have lost their key meanwhile: somebody else looks.
    fn ended(&self, run: &str) -> Told {
        let bob = self.client("bob").unwrap();
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            let story: Value = bob.get(&format!("{RUNS}/{run}")).unwrap();
            let records = story["records"].as_array().unwrap();
            if let Some(ended) =
                records.last().map(|record| &record["event"]["ended"]).filter(|e| !e.is_null())
            {
                let out = json!({"run": run, "state": ended["state"]}).to_string();
                if ended["state"] == "succeeded" {
                    return Told::done(out);
                }
                let code = ended["code"].as_str().unwrap_or("refused");
                let told = Told::refused(code, ended["detail"].as_str().unwrap().to_owned());
                return Told { ran: Ran { out, ..told.ran }, ..told };
            }
            assert!(Instant::now() < limit, "it does not end: {story}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Tools.
impl Stand {
    fn by_tool(&self, typed: &Typed<'_>) -> Told {
        let words = typed.words();
        let who = typed.who();
        let keep = |file: &str| self.world.remit(&["install", file]).exits(0);
        let (tool, arguments) = match words[0] {
            "plan" => {
                keep(words[1]);
                ("rehearse", json!({"action": self.digest(words[1]), "input": typed.input()}))
            }
            "request" if !typed.has("--break-glass") && !typed.has("--standing") => {
                keep(words[1]);
                ("propose", self.wanted(typed))
            }
            "run" => match typed.value("--under") {
                Some(request) => {
                    keep(words[1]);
                    let action = self.digest(words[1]);
                    let input = typed.input();
                    (
                        "start_run",
                        json!({"request": request, "action": action, "input": input, "reason": typed.reason()}),
                    )
                }
                None => ("start_run", json!({"request": words[1]})),
            },
            "revoke" => {
                let what = match (words[1], words.get(2)) {
                    ("all", _) => json!("all"),
                    (kind, Some(name)) => json!({kind: name}),
                    other => panic!("{other:?}"),
                };
                ("revoke", json!({"what": what, "reason": typed.reason()}))
            }
            "freeze" => ("freeze", json!({"reason": typed.reason()})),
            other => (other, json!({})),
        };
        let command = || self.elsewhere(who, &["mcp", "--context", "prod"]);
        let mut agents = self.agents.lock().unwrap();
        let agent = agents.entry(who.to_owned()).or_insert_with(|| Agent::start(command()));
        let answer = agent.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        if result.is_null() || !agent.has(tool) {
            // A tool that decides would be one too many.
            assert!(!agent.has(tool) && !result["structuredContent"].is_object(), "{answer}");
            let ran = Ran { code: 3, out: String::new(), err: format!("there is no tool `{tool}`") };
            return Told { ran, out_of_reach: true };
        }
        if result["isError"] == true {
            let text = result["content"][0]["text"].as_str().unwrap();
            let (code, _) = text.split_once(": ").unwrap();
            return Told::refused(code, text.to_owned());
        }
        let told = &result["structuredContent"];
        match tool {
            "propose" => Told::done(json!({"request": {"id": told["request"]}}).to_string()),
            "start_run" => self.ended(told["run"].as_str().unwrap()),
            _ => Told::done(told.to_string()),
        }
    }
}
