//! A token leaked. A job of CI finds it with a real scanner, asks to revoke it, and believes nobody but the token itself that it is.

use std::cell::RefCell;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::kills::{Found, Killed};
use super::report;
use super::shim::Shim;
use super::stage::{self, Costs};
use super::systems::System;
use crate::common::bao::Bao;
use crate::common::issuer::Issuer;
use crate::common::job::{SHOP, in_job, in_job_with_stdin, rules, scan, software, with};
use crate::common::server::{Server, add_context};
use crate::common::{Ran, World, contains};

const ACTION: &str = "revoke-leaked-token.wasm";
/// A token of OpenBao looks like one of Vault.
const OF_BAO: &str = "betterleaks.vault-service-token";
/// Verdaccio's are of this form.
const OF_NPM: &str = "betterleaks.jwt";

/// A home in front of a secret store whose tokens leak; and the job, as its platform knows it.
fn home(bao: &str, issuer: &Issuer) -> World {
    let world = World::with(&["revoke-leaked-token"]);
    world.configure(
        "\n[[notify]]\nname = \"pager\"\nfile = \"pager.jsonl\"\non = [\"run-held\", \"run-in-doubt\"]\n",
    );
    world.private("home/bao.key", Bao::TOKEN);
    let entry = "post_reads = true\ntimeout = \"5s\"\n[connector.credential]\nheader = { name = \"X-Vault-Token\", file = \"bao.key\" }";
    world.connect("openbao-tokens", "bao", bao, entry);
    world.person("carol");
    with(&world, &(rules(issuer, "github", "") + &software("ci", SHOP)));
    // To ask whose a value is tells whether a guess is right: people allow it for this job and these places.
    let shipped = include_str!("../../host/policy/default/default.cedar");
    world.policies(&format!(
        "{shipped}\n@id(\"ci-asks-whose-a-token-is\")\npermit (principal == Remit::Principal::\"ci\", action == \
         Remit::Action::\"rehearse\", resource)\nwhen {{ resource.readsWithin.contains(Remit::Path::\"token:bao\") || \
         resource.readsWithin.contains(Remit::Path::\"token:npm\") }};\n"
    ));
    world
}

/// Where a job may look: at the tokens of one place, to revoke one for good.
fn scope(place: &str) -> String {
    let allow = |name, resource: &str, more| {
        format!("[[allow]]\ncapability = \"remit:tokens/{name}\"\nresources = [\"token:{resource}\"]\n{more}")
    };
    allow("identify", place, "")
        + &allow("check", place, "")
        + &allow("revoke", &format!("{place}/*"), "irrevocable = true\n")
}

/// A token of OpenBao, and its accessor.
fn token(bao: &Bao) -> (String, String) {
    let wanted = json!({"ttl": "1h", "display_name": "deploy"});
    let made = Bao::api(&bao.address, "POST", "auth/token/create", &wanted);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["auth"]["client_token"]), text(&made["auth"]["accessor"]))
}

/// Whether OpenBao's own client gets anything with that token.
fn works(bao: &Bao, token: &str) -> bool {
    let works = bao.client_as(token, &["token", "lookup"]).is_some();
    let told = if works { "it works" } else { "it does not work" };
    stage::finds("$ BAO_TOKEN=<what leaked> bao token lookup", told);
    works
}

/// A job of CI at the server.
struct Job<'w> {
    world: &'w World,
    token: String,
}

impl Job<'_> {
    /// It scans its own source, and asks to revoke what it found.
    fn scans_and_asks(&self, place: &str, leaked: &str, rule: &str) -> String {
        std::fs::create_dir_all(self.world.path("shop")).unwrap();
        self.world.write("shop/deploy.py", format!("TOKEN = \"{leaked}\"\n"));
        let found = scan(self.world, "shop", rule);
        stage::finds(&format!("ci$ kingfisher scan shop --rule {rule} --format json"), "1 finding");
        assert_eq!(found, leaked);
        // Which token it is, a rehearsal finds out. What is asked for then is that one alone.
        self.world.write("place.toml", scope(place));
        let input = format!("place={place}");
        let given = ["--input", &input, "--secret-input", "token=@-", "--context", "prod"];
        let plan = [&["plan", ACTION][..], &given, &["--scope", "place.toml", "--emit-scope", "least.toml"]]
            .concat();
        in_job_with_stdin(self.world, &self.token, &plan, &found).exits(0);
        let why = ["--reason", "a scanner found it in shop/deploy.py", "--json"];
        let ask = [&["request", ACTION][..], &given, &["--scope", "least.toml"], &why].concat();
        let asked = in_job_with_stdin(self.world, &self.token, &ask, &found).exits(0);
        assert!(!asked.out.contains(leaked) && !asked.err.contains(leaked));
        let id = asked.json()["request"]["id"].as_str().unwrap().to_owned();
        println!("\nci$ remit {} < found\nci$ remit {} < found\n{id}", plan.join(" "), ask.join(" "));
        id
    }

    fn starts(&self, request: &str, code: i32) -> Ran {
        let ran = in_job(self.world, &self.token, &["run", request, "--context", "prod", "--json"]);
        println!("\nci$ remit run {request}\n{}", ran.err);
        ran.exits(code)
    }
}

#[test]
fn the_job_revoke_leaked_token() {
    let folder = tempfile::tempdir().unwrap();
    let (bao, issuer) = (Bao::start(), Issuer::new());
    let npm = System::verdaccio(&folder.path().join("verdaccio"));
    let world = home(&bao.address, &issuer);
    let (session, leaked_npm, key) = npm_token(&npm);
    world.private("home/npm.key", &session);
    world.connect("npm-tokens", "npm", &npm.address, "[connector.credential]\nbearer_file = \"npm.key\"");
    let server = Server::of(&world);
    let job = Job { world: &world, token: issuer.token(&issuer.github()) };
    let add = ["context", "add", "prod", &*server.url, "--id-token", "env:REMIT_ID_TOKEN"];
    in_job(&world, &job.token, &add).exits(0);
    for person in ["alice", "bob"] {
        add_context(&world, person, &server.url);
    }
    let approved = |request: &str| {
        stage::types(&world, "alice", &["request", "show", request], 0);
        for person in ["alice", "bob"] {
            stage::types(&world, person, &["approve", request, "--reason", "it did leak"], 0);
        }
    };
    let costs = Costs { world: &world, job: "revoke-leaked-token" };

    stage::scene(
        "revoke-leaked-token: a token of OpenBao is in a repository. A job of CI finds it, and asks",
    );
    let (leaked, accessor) = token(&bao);
    assert!(works(&bao, &leaked));
    let began = Instant::now();
    let request = job.scans_and_asks("bao", &leaked, OF_BAO);
    job.starts(&request, 3).says("approvals are missing");
    assert!(works(&bao, &leaked), "a rehearsal revokes nothing");
    stage::scene("It cannot be undone, so that two people look and approve. The job starts it");
    approved(&request);
    let ran = job.starts(&request, 0).json();
    let took = began.elapsed();
    assert_eq!(ran["state"], "succeeded");
    assert!(!works(&bao, &leaked));
    assert!(!bao.client(&["list", "auth/token/accessors"]).contains(&accessor));
    let run = ran["run"].as_str().unwrap();
    costs.tell("from the scan to the token that works no more", took, &[run]);
    report::tell(&world, run, "revoke-leaked-token", &[]);
    assert!(stage::types_at_home(&world, &["replay", run], 0).out.contains("identical"));

    stage::scene("A token of npm: the registry says that it is revoked, and goes on taking it");
    let began = Instant::now();
    let request = job.scans_and_asks("npm", &leaked_npm, OF_NPM);
    approved(&request);
    let ran = job.starts(&request, 5).json();
    let took = began.elapsed();
    let run = ran["run"].as_str().unwrap();
    let bearer = format!("Bearer {leaked_npm}");
    let (status, who) = npm.api("GET", "/-/whoami", &[("authorization", &bearer)], &Value::Null);
    stage::finds("$ npm whoami, with what leaked", &format!("{status} {who}"));
    assert_eq!((status, &who["username"]), (200, &json!("alice")), "{who}");
    let bearer = format!("Bearer {session}");
    let (_, listed) = npm.api("GET", "/-/npm/v1/tokens", &[("authorization", &bearer)], &Value::Null);
    stage::finds(
        "$ npm token list, with alice's session",
        &format!("it is listed: {}", listed.to_string().contains(&key)),
    );
    assert!(!listed.to_string().contains(&key));
    let shown = stage::types(&world, "alice", &["show", run, "--format", "markdown"], 0).out;
    assert!(shown.contains("the leaked value still works"), "{shown}");
    costs.tell("from the scan to people who are told", took, &[run]);
    world.remit(&["notify"]).exits(0);
    let called = std::fs::read_to_string(world.home().join("pager.jsonl")).unwrap();
    assert!(called.contains("\"run-held\"") && called.contains(run), "{called}");
    assert!(server.stop());
    for secret in [&*leaked, &leaked_npm, &session, Bao::TOKEN] {
        assert!(!contains(&world.all_bytes(), secret), "a secret is in the home");
    }
    world.audit_is_sound();
}

/// A session of alice at the registry, and a token of hers with its key.
fn npm_token(npm: &System) -> (String, String, String) {
    let password = "the-password-of-alice";
    let user = json!({ "name": "alice", "password": password });
    let (status, made) = npm.api("PUT", "/-/user/org.couchdb.user:alice", &[], &user);
    assert_eq!(status, 201, "{made}");
    let session = made["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {session}");
    let body = json!({ "password": password, "readonly": true, "cidr_whitelist": ["127.0.0.1/32"] });
    let (status, made) = npm.api("POST", "/-/npm/v1/tokens", &[("authorization", &bearer)], &body);
    assert_eq!(status, 200, "{made}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (session, text(&made["token"]), text(&made["key"]))
}

/// Alice asks at the home for the end of a token, two others approve: how to start it.
fn asked(world: &World, leaked: &str) -> [String; 5] {
    world.private("leaked", leaked);
    let given = [ACTION, "--input", "place=bao", "--secret-input", "token=@leaked"];
    world.remit(&[&["plan"][..], &given, &["--emit-scope", "least.toml"]].concat()).exits(0);
    let why = ["--scope", "least.toml", "--reason", "it leaked", "--json"];
    let asked = world.remit(&[&["request"][..], &given, &why].concat()).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap();
    for person in ["bob.key", "carol.key"] {
        world.remit(&["approve", id, "--key", person]).exits(0);
    }
    ["run", id, "--json", "--key", "alice.key"].map(ToOwned::to_owned)
}

#[test]
fn revoke_leaked_token_fails_well() {
    let bao = Bao::start();
    let gateway = Gateway::before(&bao.address);
    let world = home(&gateway.address, &Issuer::new());
    stage::plays_offline(&world, "revoke-leaked-token");
    killed(&bao, &world);
    let does = |args: &[String; 5]| world.remit(&args.each_ref().map(String::as_str));
    let is_revocation: fn(&str) -> bool = |line| line.contains("/revoke");

    // The system is down; everything is frozen; its owner revoked it in between: nothing is done.
    let (leaked, _) = token(&bao);
    let run = asked(&world, &leaked);
    gateway.does(|_, _, _| None);
    assert_ne!(does(&run).code, 0);
    gateway.passes();
    world.remit(&["freeze", "--reason", "INC-9"]).exits(0);
    does(&run).exits(3).says("frozen");
    world.remit(&["unfreeze", "--reason", "looked", "--key", "bob.key"]).exits(0);
    assert!(works(&bao, &leaked));
    let (leaked, _) = token(&bao);
    let run = asked(&world, &leaked);
    bao.client(&["token", "revoke", &leaked]);
    does(&run).exits(3);

    // Two at once: it is revoked, and each run says what became of it.
    let (leaked, _) = token(&bao);
    let both = [asked(&world, &leaked), asked(&world, &leaked)].map(|args| {
        let mut host = world.command(&args.each_ref().map(String::as_str));
        host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    let ended = both.map(|mut host| host.wait().unwrap().code().unwrap());
    assert!(ended.contains(&0), "{ended:?}");
    assert!(!works(&bao, &leaked));

    // Everything is frozen, or what allowed it is revoked, while the system does it; or it is slow to say so. What was done stands, and a
    // person is told.
    for stop in ["freeze", "revoke", "slow"] {
        let (leaked, _) = token(&bao);
        let run = asked(&world, &leaked);
        let (freeze, revoke) =
            (["freeze", "--reason", "INC-9"], ["revoke", "request", &run[1], "--reason", "INC-9"]);
        match stop {
            "freeze" => gateway.lets_type(&world, &freeze, is_revocation),
            "revoke" => gateway.lets_type(&world, &revoke, is_revocation),
            _ => gateway.does(move |_, line, ask| {
                let answer = ask();
                if is_revocation(line) {
                    std::thread::sleep(Duration::from_secs(7));
                }
                Some(answer)
            }),
        }
        does(&run).exits(5);
        assert!(!works(&bao, &leaked), "{stop}");
        gateway.passes();
        if stop == "freeze" {
            world.remit(&["unfreeze", "--reason", "looked", "--key", "bob.key"]).exits(0);
        }
    }
    world.audit_is_sound();
}

/// Nobody but a person can say whether a killed host revoked it, and asks the token itself.
fn killed(bao: &Bao, template: &World) {
    let leaked = RefCell::new(String::new());
    let begin = |world: &World| {
        *leaked.borrow_mut() = token(bao).0;
        asked(world, &leaked.borrow()).to_vec()
    };
    let found = || if works(bao, &leaked.borrow()) { Found::Before } else { Found::After };
    let name = "revoke-leaked-token";
    Killed { name, template, begin: &begin, found: &found, held: Found::After }
        .at_each_step(&Shim::compile());
}
