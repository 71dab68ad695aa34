//! A key leaked. An agent keeps it from being read at once, tells people, and asks to replace it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::report;
use super::stage::{self, Costs};
use super::systems::System;
use crate::common::World;
use crate::common::agent::{Agent, agent};
use crate::common::bao::Bao;
use crate::common::server::{Server, add_context};

const PASSWORD: &str = "the-password-of-admin";
/// `admin:the-password-of-admin`
const BASIC: [(&str, &str); 1] = [("authorization", "Basic YWRtaW46dGhlLXBhc3N3b3JkLW9mLWFkbWlu")];

/// What the agent starts.
const ACTIONS: [&str; 4] = ["isolate-api-key", "lift-isolation", "replace-api-key", "tell-ticket"];

/// A home in front of a secret store and a tracker, with the actions and the rules that are shipped, and one more.
pub fn home(bao: &str, tracker: &System, behind: &str) -> World {
    let world = World::with(&ACTIONS);
    world.configure(&format!(
        "\n[[secrets]]\nprefix = \"prod\"\nbackend = \"openbao\"\naddress = \"{bao}\"\ntoken_env = \"TEST_TOKEN\"\n\
         timeout = \"2s\"\n[[notify]]\nname = \"pager\"\nfile = \"pager.jsonl\"\non = [\"run-due\", \"run-held\"]\n"
    ));
    world.private("home/credential.key", PASSWORD);
    let entry = format!(
        "config = {{ web = \"{}\", resolved = \"resolved\" }}\n[connector.credential]\n\
         basic = {{ user = \"admin\", password_file = \"credential.key\" }}",
        tracker.address
    );
    world.connect("roundup-tickets", "tracker", behind, &entry);
    // Two people approve what stands ahead of need, and neither is who asks.
    world.person("carol");
    let shipped = include_str!("../../host/policy/default/default.cedar");
    world.policies(&format!(
        "{shipped}\n@id(\"an-isolation-is-lifted-by-who-started-it\")\npermit (principal == Remit::Principal::\"bot\", \
         action == Remit::Action::\"revert\", resource is Remit::Request)\nwhen {{ resource.actionName == \"isolate-api-key\" }};\n"
    ));
    for name in ACTIONS {
        world.remit(&["install", &format!("{name}.wasm")]).exits(0);
    }
    world
}

fn allow(capabilities: &[&str], resources: &str) -> String {
    let rule = |name| format!("[[allow]]\ncapability = \"remit:{name}\"\nresources = [{resources}]\n");
    capabilities.iter().map(rule).collect()
}

/// What people allow the agent ahead of need.
pub struct Standing {
    /// To isolate keys of payments: undone after eight hours.
    pub payments: String,
    /// To lift an isolation of keys of payments: isolated again after half a minute.
    pub lift: String,
    /// To isolate keys of batch jobs: undone after a few seconds, of which a server looks every five.
    pub batch: String,
    /// To write into the tracker.
    pub tickets: String,
}

impl Standing {
    pub fn of(world: &World) -> Self {
        let powers = ["tickets/open", "tickets/comment", "tickets/resolve", "tickets/inspect"];
        let tickets = allow(&powers, "\"ticket:tracker\", \"ticket:tracker/*\"") + "[limits]\nchanges = 2\n";
        Self {
            payments: Self::to_isolate(world, "page_after = \"1h\"\nrestore_after = \"8h\"", "payments"),
            lift: Self::to_lift(world, "30s"),
            batch: Self::to_isolate(world, "page_after = \"1s\"\nrestore_after = \"12s\"", "batch"),
            tickets: standing(world, "tell-ticket.wasm", &tickets, "people follow it in the tracker"),
        }
    }

    /// To isolate any key of a place.
    pub fn to_isolate(world: &World, head: &str, place: &str) -> String {
        let powers = ["secrets/disable", "secrets/inspect"];
        let scope = format!("{head}\n{}", allow(&powers, &format!("\"secret:prod/{place}/*\"")));
        standing(world, "isolate-api-key.wasm", &scope, "keys that leak are isolated at once")
    }

    /// To make keys of payments readable again, for so long.
    pub fn to_lift(world: &World, time: &str) -> String {
        let powers = ["secrets/enable", "secrets/inspect"];
        let scope = format!("restore_after = \"{time}\"\n{}", allow(&powers, "\"secret:prod/payments/*\""));
        standing(
            world,
            "lift-isolation.wasm",
            &scope,
            "a key can be read for the moment in which it is replaced",
        )
    }
}

fn standing(world: &World, action: &str, scope: &str, reason: &str) -> String {
    world.write("scope.toml", scope);
    let what = ["request", action, "--standing", "--scope", "scope.toml", "--for", "bot", "--ttl", "7d"];
    let budget = ["--runs-per-hour", "40", "--changes-per-hour", "20", "--reason", reason, "--json"];
    let asked = world.remit(&[&what[..], &budget, &["--key", "alice.key"]].concat()).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap().to_owned();
    for person in ["bob.key", "carol.key"] {
        world.remit(&["approve", &id, "--key", person]).exits(0);
    }
    id
}

/// What the replacement of a key may do. A new value stays: whoever took it back would put the one that leaked in its place.
pub fn replacing(path: &str) -> String {
    let powers = ["secrets/inspect", "secrets/rotate", "secrets/disable"];
    format!("on_failure = \"hold\"\n{}[limits]\nchanges = 2\n", allow(&powers, &format!("\"secret:{path}\"")))
}

/// Whoever answers to alarms, and what it has.
struct Responder<'w> {
    bot: Agent,
    standing: &'w Standing,
    isolate: String,
    lift: String,
    replace: String,
    tell: String,
}

/// What it did about one key.
struct Incident {
    /// The run that isolated the key,
    isolation: String,
    /// the request to replace it,
    request: String,
    /// and the ticket with both.
    ticket: String,
    /// How long the key could still be read, and until people were told.
    isolated: Duration,
    told: Duration,
    /// Every run for it so far.
    runs: Vec<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

impl<'w> Responder<'w> {
    fn new(world: &'w World, standing: &'w Standing, url: &str) -> Self {
        let mut bot = agent(world, "bot", url);
        let listed = bot.call("list_actions", &json!({}));
        let digest = |name: &str| {
            let found = listed["actions"].as_array().unwrap().iter().find(|found| found["name"] == name);
            text(&found.unwrap()["digest"])
        };
        let [isolate, lift, replace, tell] = ACTIONS.map(digest);
        Self { bot, standing, isolate, lift, replace, tell }
    }

    fn start(&mut self, under: &str, action: &str, input: &Value, reason: &str) -> Value {
        let what = json!({"request": under, "action": action, "input": input, "reason": reason});
        let started = stage::uses(&mut self.bot, "start_run", &what);
        let ended = stage::ends(&mut self.bot, &started);
        assert_eq!(ended["state"], "succeeded", "{ended}");
        ended
    }

    /// What comes first, whoever decides what later.
    fn answers(&mut self, path: &str, under: &str) -> Incident {
        let (began, reason) = (Instant::now(), format!("{path} is in a public repository"));
        // It asks first: a rehearsal has to see the version that is to be replaced, and takes no time to speak of.
        let input = json!({"path": path, "leaked": 1});
        let scope: toml::Value = toml::from_str(&replacing(path)).unwrap();
        let asked =
            json!({"action": self.replace, "input": input, "scope": scope, "reason": reason, "ttl": "8h"});
        let asked = stage::uses(&mut self.bot, "propose", &asked);
        let isolate = self.isolate.clone();
        let isolated = self.start(under, &isolate, &json!({"path": path, "version": 1}), &reason);
        let took = began.elapsed();
        let said = format!(
            "Version 1 of {path} is in a public repository. Nobody can read it any more, since {}: {}.\n\
             It should be replaced: look at {}, and decide.\nIf nobody does, it can be read again from {} on.",
            text(&isolated["ended"]),
            text(&isolated["run"]),
            text(&asked["approval_url"]),
            text(&isolated["restore_at"])
        );
        let ticket = json!({"place": "tracker", "title": format!("{path} leaked"), "text": said});
        let (tickets, tell) = (self.standing.tickets.clone(), self.tell.clone());
        let opened = self.start(&tickets, &tell, &ticket, &reason);
        Incident {
            isolation: text(&isolated["run"]),
            request: text(&asked["request"]),
            ticket: text(&opened["output"]["ticket"]),
            isolated: took,
            told: began.elapsed(),
            runs: vec![text(&isolated["run"]), text(&opened["run"])],
        }
    }

    fn says(&mut self, incident: &mut Incident, said: &str, resolve: bool) {
        let input = json!({"ticket": incident.ticket, "text": said, "resolve": resolve});
        let (tickets, tell) = (self.standing.tickets.clone(), self.tell.clone());
        let ended = self.start(&tickets, &tell, &input, "what became of it");
        incident.runs.push(text(&ended["run"]));
    }

    fn request(&mut self, incident: &Incident) -> Value {
        stage::uses(&mut self.bot, "get_request", &json!({"request": incident.request}))
    }

    /// Somebody said yes: the key is readable again for the moment that it takes to replace it. Should the agent go away in that
    /// moment, the host isolates the key again.
    fn replaces(&mut self, incident: &mut Incident, path: &str) -> Value {
        assert_eq!(self.request(incident)["status"], "approved");
        let (standing, lift) = (self.standing.lift.clone(), self.lift.clone());
        let lifted = self.start(&standing, &lift, &json!({"path": path, "version": 1}), "it is replaced now");
        incident.runs.push(text(&lifted["run"]));
        let shown = stage::uses(&mut self.bot, "revert", &json!({"run": incident.isolation}));
        let lift =
            json!({"run": incident.isolation, "preview": shown["preview"], "reason": "it is replaced now"});
        assert_eq!(stage::uses(&mut self.bot, "revert", &lift)["state"], "reverted");
        let started = stage::uses(&mut self.bot, "start_run", &json!({"request": incident.request}));
        let ended = stage::ends(&mut self.bot, &started);
        assert_eq!(ended["state"], "succeeded", "{ended}");
        incident.runs.push(text(&ended["run"]));
        let proven = stage::uses(&mut self.bot, "verify_run", &json!({"run": ended["run"]}));
        let said = format!(
            "Replaced by {run}: version 2 is new, and nobody can read version 1 any more.\n\
             Proof: {records} records of that run are in the log {log} at size {size}, checked with its key {key}. \
             At the home, `remit audit prove {run} --out FILE` writes it; `remit audit check-proof FILE --key {key}` checks it anywhere.",
            run = text(&ended["run"]),
            records = proven["records"],
            log = text(&proven["log"]),
            size = proven["log_size"],
            key = text(&proven["log_key"]),
        );
        self.says(incident, &said, true);
        ended
    }
}

/// What the systems' own clients say.
pub struct Systems {
    pub bao: Bao,
    pub tracker: System,
}

impl Systems {
    pub fn start(folder: &std::path::Path) -> Self {
        Self { bao: Bao::start(), tracker: System::roundup(&folder.join("tracker"), PASSWORD) }
    }

    pub fn put(&self, path: &str, value: &str) {
        self.bao.client(&["kv", "put", "-mount=secret", path, &format!("api_key={value}")]);
    }

    /// What who reads the key gets.
    pub fn reads(&self, path: &str) -> Option<String> {
        let read = ["kv", "get", "-mount=secret", "-field=api_key", path];
        let found = self.bao.try_client(&read);
        let told = if found.is_some() { "a value" } else { "no value" };
        stage::finds(&format!("$ bao {}", read.join(" ")), told);
        found
    }

    pub fn is_readable(&self, path: &str, version: u64) -> bool {
        let version = format!("-version={version}");
        self.bao.try_client(&["kv", "get", "-mount=secret", "-field=api_key", &version, path]).is_some()
    }

    /// The status of a ticket, and what is said in it.
    pub fn ticket(&self, path: &str) -> (String, Vec<String>) {
        let id = path.strip_prefix("tracker/").unwrap();
        let get =
            |path: &str| self.tracker.api("GET", path, &BASIC, &Value::Null).1["data"]["attributes"].clone();
        let issue = get(&format!("/rest/data/issue/{id}?@fields=title,status,messages&@verbose=2"));
        let said = issue["messages"].as_array().unwrap().iter().map(|message| {
            let message = get(&format!("/rest/data/msg/{}?@verbose=3", text(&message["id"])));
            text(&message["content"])
        });
        let (status, said): (_, Vec<String>) = (text(&issue["status"]["name"]), said.collect());
        let all = said.join("\n\n").replace('\n', "\n      ");
        stage::finds(&format!("issue{id}: {}, {status}", text(&issue["title"])), &all);
        (status, said)
    }

    /// How many tickets there are that are not retired.
    pub fn tickets(&self) -> usize {
        let found = self.tracker.api("GET", "/rest/data/issue", &BASIC, &Value::Null).1;
        found["data"]["collection"].as_array().unwrap().len()
    }
}

#[test]
fn the_job_isolate_api_key() {
    let folder = tempfile::tempdir().unwrap();
    let systems = Systems::start(folder.path());
    let [approved, denied, unanswered] = ["prod/payments/stripe", "prod/payments/adyen", "prod/batch/mailer"];
    for path in [approved, denied, unanswered] {
        systems.put(path, &format!("the old key of {path}"));
    }
    let world = home(&systems.bao.address, &systems.tracker, &systems.tracker.address);
    stage::scene("isolate-api-key: what people allowed ahead of need");
    let standing = Standing::of(&world);
    stage::types_at_home(&world, &["request", "show", &standing.payments], 0);
    let server = Server::of(&world);
    add_context(&world, "alice", &server.url);
    let mut responder = Responder::new(&world, &standing, &server.url);
    let costs = Costs { world: &world, job: "isolate-api-key" };

    stage::scene("An alarm: a key is in a public repository. The agent asks, isolates, and tells");
    assert!(systems.reads(approved).is_some());
    let mut incident = responder.answers(approved, &standing.payments);
    assert_eq!(systems.reads(approved), None);
    let (status, said) = systems.ticket(&incident.ticket);
    assert_eq!((&*status, said.len()), ("unread", 1));
    assert!(said[0].contains(&incident.isolation) && said[0].contains(&incident.request), "{said:?}");
    costs.tell("the key cannot be read any more", incident.isolated, &[&incident.runs[0]]);
    costs.tell("people are told", incident.told, &[&incident.runs[0], &incident.runs[1]]);

    stage::scene("Alice looks, and says yes. The key is replaced");
    stage::types(&world, "alice", &["request", "show", &incident.request], 0);
    stage::types(&world, "alice", &["approve", &incident.request, "--reason", "it did leak"], 0);
    let began = Instant::now();
    let replaced = responder.replaces(&mut incident, approved);
    let took = began.elapsed();
    assert_ne!(systems.reads(approved).as_deref(), Some("the old key of prod/payments/stripe"));
    assert!(!systems.is_readable(approved, 1) && systems.is_readable(approved, 2));
    let (status, said) = systems.ticket(&incident.ticket);
    assert_eq!((&*status, said.len()), ("resolved", 2));
    let runs: Vec<&str> = incident.runs[2..].iter().map(String::as_str).collect();
    costs.tell("from the approval to the resolved ticket", took, &runs);
    // Whoever reads the ticket can check it, with nothing but what it says.
    let run = text(&replaced["run"]);
    let key = said[1].split("--key ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    stage::types_at_home(&world, &["audit", "prove", &run, "--out", "replaced.proof"], 0);
    stage::types_at_home(&world, &["audit", "check-proof", "replaced.proof", "--key", key], 0);
    report::tell(&world, &run, "replace-api-key", &[]);

    stage::scene("Alice takes it back: the old key is the one that is read");
    stage::types(&world, "alice", &["revert", &run, "--reason", "a drill"], 0);
    assert_eq!(systems.reads(approved).as_deref(), Some("the old key of prod/payments/stripe"));
    assert!(systems.is_readable(approved, 1));

    stage::scene("Another key. Alice says no, and the ticket says so");
    let mut incident = responder.answers(denied, &standing.payments);
    stage::types(&world, "alice", &["deny", &incident.request, "--reason", "a key of the sandbox"], 0);
    let request = responder.request(&incident);
    assert_eq!(request["status"], "closed");
    responder.says(&mut incident, &format!("Not replaced: {}", text(&request["stands"])), false);
    let (status, said) = systems.ticket(&incident.ticket);
    assert_eq!(status, "chatting");
    assert!(said[1].contains("a key of the sandbox"), "{said:?}");
    assert_eq!(systems.reads(denied), None);
    stage::types(&world, "alice", &["revert", &incident.isolation, "--reason", "a key of the sandbox"], 0);
    assert_eq!(systems.reads(denied).as_deref(), Some("the old key of prod/payments/adyen"));

    stage::scene("A third key, and nobody answers: people are called, and then the key can be read again");
    let began = Instant::now();
    let mut incident = responder.answers(unanswered, &standing.batch);
    assert_eq!(systems.reads(unanswered), None);
    let limit = Instant::now() + Duration::from_secs(60);
    let isolation = json!({"run": incident.isolation});
    while responder.bot.call("get_run", &isolation)["state"] != "reverted" {
        assert!(Instant::now() < limit, "it is not restored");
        std::thread::sleep(Duration::from_millis(100));
    }
    stage::uses(&mut responder.bot, "get_run", &isolation);
    assert_eq!(systems.reads(unanswered).as_deref(), Some("the old key of prod/batch/mailer"));
    let withdrawn = json!({"request": incident.request, "reason": "nobody answered in time"});
    stage::uses(&mut responder.bot, "withdraw", &withdrawn);
    responder.says(&mut incident, "Nobody answered: the key can be read again, and was not replaced.", false);
    assert_eq!(systems.ticket(&incident.ticket).1.len(), 2);
    let took = began.elapsed();
    let runs: Vec<&str> = incident.runs.iter().map(String::as_str).collect();
    costs.tell("nobody answers for 12 s, and it is restored", took, &runs);
    world.remit(&["notify"]).exits(0);
    let called = std::fs::read_to_string(world.home().join("pager.jsonl")).unwrap();
    assert!(called.contains("\"run-due\"") && called.contains(&incident.isolation), "{called}");
    assert!(responder.bot.leave());
    assert!(server.stop());
    for secret in [PASSWORD, Bao::TOKEN, "the old key of"] {
        assert!(!crate::common::contains(&world.all_bytes(), secret), "{secret} is in the home");
    }
    world.audit_is_sound();
}
