//! The connectors that are shipped, each against the real system that it is for.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod aws;
mod aws_users;
mod contract;
mod declarative;
mod github;
mod gitlab;
pub mod systems;

use std::fs;

use crate::common::World;
use crate::common::bao::Bao;
use serde_json::{Value, json};
use systems::System;

const REVOKE: &str = "revoke-leaked-token.wasm";
const FOLLOW: &str = "follow-up.wasm";
/// Each power of the package on every ticket of the tracker.
fn tickets() -> String {
    let allow = |name| {
        format!(
            "[[allow]]\ncapability = \"remit:tickets/{name}\"\nresources = [\"ticket:tracker\", \"ticket:tracker/*\"]\n"
        )
    };
    ["inspect", "open", "comment", "resolve"].map(allow).concat()
}

/// A home with an action, and a connector to a system under a name; `entry` is the rest of its `[[connector]]`.
fn world(action: &str, connector: &str, name: &str, origin: &str, entry: &str, secret: &str) -> World {
    let world = World::with(&[action]);
    private(&world, "home/credential.key", secret);
    world.connect(connector, name, origin, entry);
    world
}

fn private(world: &World, name: &str, value: &str) {
    world.private(name, value);
}

/// The bot asks for the revocation of what leaked at a place, alice approves.
fn revocation(world: &World, place: &str, token: &str) {
    private(world, "leaked", token);
    let input = json!({ "place": place }).to_string();
    let leaked = ["--secret-input", "token=@leaked"];
    let plan = ["plan", REVOKE, "--input", &input, "--emit-scope", "least.toml"];
    let planned = world.remit(&[&plan[..], &leaked].concat()).exits(0).out;
    assert!(planned.contains("revoke"), "{planned}");
    let least = fs::read_to_string(world.path("least.toml")).unwrap();
    assert!(least.contains("irrevocable = true"), "{least}");
    let request = ["request", REVOKE, "--input", &input, "--scope", "least.toml"];
    world.ask(&[&request[..], &leaked].concat(), "revocation");
    fs::remove_file(world.path("leaked")).unwrap();
}

#[test]
fn a_leaked_openbao_token_is_found_by_its_value_revoked_and_works_no_more() {
    let bao = Bao::start();
    let made =
        Bao::api(&bao.address, "POST", "auth/token/create", &json!({ "ttl": "1h", "display_name": "ci" }));
    let (token, accessor) =
        (made["auth"]["client_token"].as_str().unwrap(), made["auth"]["accessor"].as_str().unwrap());
    let entry = "post_reads = true\n[connector.credential]\nheader = { name = \"X-Vault-Token\", file = \"credential.key\" }";
    let world = world("revoke-leaked-token", "openbao-tokens", "bao", &bao.address, entry, Bao::TOKEN);
    revocation(&world, "bao", token);
    let lookup = || bao.client(&["list", "-format=json", "auth/token/accessors"]);
    assert!(lookup().contains(accessor), "a rehearsal revokes nothing");

    let ran = world.run("revocation").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    assert!(!lookup().contains(accessor));
    let (run, records) = world.last_run();
    let intents: Vec<&Value> = records.iter().map(|record| &record["event"]["intent"]).collect();
    let revoked = intents.iter().find(|intent| intent["effect"] == "irrevocable").unwrap();
    assert_eq!(revoked["resource"], format!("token:bao/{accessor}"));
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    for secret in [token, Bao::TOKEN] {
        assert!(!crate::common::contains(&world.all_bytes(), secret), "a secret is in the home");
    }
    // Who asks again is told that there is no such token; and nobody revokes the token that Remit itself uses.
    private(&world, "leaked", token);
    let plan = ["plan", REVOKE, "--input", "{\"place\":\"bao\"}", "--secret-input", "token=@leaked"];
    world.remit(&plan).exits(1).says("no token of bao");
    private(&world, "leaked", Bao::TOKEN);
    world.remit(&plan).exits(1).says("the token that Remit itself uses");
    world.audit_is_sound();
}

/// Verdaccio answers that a token is revoked, and goes on taking it: only the token itself shows that.
#[test]
fn a_registry_that_says_revoked_and_takes_the_token_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let npm = System::verdaccio(&folder.path().join("verdaccio"));
    let user = json!({ "name": "alice", "password": "the-password-of-alice" });
    let (status, made) = npm.api("PUT", "/-/user/org.couchdb.user:alice", &[], &user);
    assert_eq!(status, 201, "{made}");
    let session = made["token"].as_str().unwrap();
    let bearer = format!("Bearer {session}");
    let headers = [("authorization", bearer.as_str())];
    let body =
        json!({ "password": "the-password-of-alice", "readonly": true, "cidr_whitelist": ["127.0.0.1/32"] });
    let (status, made) = npm.api("POST", "/-/npm/v1/tokens", &headers, &body);
    assert_eq!(status, 200, "{made}");
    let (token, key) = (made["token"].as_str().unwrap(), made["key"].as_str().unwrap());

    let entry = "[connector.credential]\nbearer_file = \"credential.key\"";
    let world = world("revoke-leaked-token", "npm-tokens", "npm", &npm.address, entry, session);
    revocation(&world, "npm", token);
    let ran = world.run("revocation");
    assert_ne!(ran.code, 0, "{}{}", ran.out, ran.err);
    let (run, _) = world.last_run();
    let shown = world.remit(&["show", &run]).out;
    assert!(shown.contains("the leaked value still works"), "{shown}");
    let (_, listed) = npm.api("GET", "/-/npm/v1/tokens", &headers, &Value::Null);
    assert!(!listed.to_string().contains(key), "the registry says that it is gone: {listed}");
    assert!(!crate::common::contains(&world.all_bytes(), token));
    world.audit_is_sound();
}

#[test]
fn a_ticket_is_opened_commented_resolved_and_all_of_it_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = System::roundup(&folder.path().join("tracker"), "the-password-of-admin");
    let entry = format!(
        "config = {{ web = \"{}\", resolved = \"resolved\" }}\n[connector.credential]\n\
         basic = {{ user = \"admin\", password_file = \"credential.key\" }}",
        tracker.address
    );
    let world =
        world("follow-up", "roundup-tickets", "tracker", &tracker.address, &entry, "the-password-of-admin");
    // `admin:the-password-of-admin`
    let basic = [("authorization", "Basic YWRtaW46dGhlLXBhc3N3b3JkLW9mLWFkbWlu")];
    let issues = || {
        let (status, found) = tracker.api(
            "GET",
            "/rest/data/issue?@fields=title,status,messages&@verbose=2",
            &basic,
            &Value::Null,
        );
        assert_eq!(status, 200, "{found}");
        found["data"]["collection"].as_array().unwrap().clone()
    };
    let all = json!({ "place": "tracker", "text": "It was revoked.", "resolve": true }).to_string();
    world.grant(FOLLOW, &all, "all");
    assert!(issues().is_empty(), "a rehearsal opens nothing");
    let ran = world.run("all").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    let issue = &issues()[0];
    assert_eq!(issue["title"], "A token leaked");
    assert_eq!(issue["status"]["name"], "resolved");
    assert_eq!(issue["messages"].as_array().unwrap().len(), 2, "{issue}");
    let (run, _) = world.last_run();
    world.remit(&["revert", &run]).exits(0);
    assert!(issues().is_empty(), "it is retired: {:?}", issues());
    // It keeps its number, which the next one does not get.
    let planned = world.remit(&["plan", FOLLOW, "--input", &all]).exits(0).out;
    assert!(planned.contains("ticket:tracker/2") && !planned.contains("ticket:tracker/1"), "{planned}");

    // What a person answered is not taken back with it.
    let open = json!({ "place": "tracker" }).to_string();
    world.grant_scope(&tickets(), FOLLOW, &open, "open");
    world.run("open").exits(0);
    let (run, _) = world.last_run();
    let id = issues()[0]["id"].as_str().unwrap().to_owned();
    let comment = json!({ "path": format!("tracker/{id}"), "text": "I had a look." }).to_string();
    world.grant_scope(&tickets(), FOLLOW, &comment, "comment");
    world.run("comment").exits(0);
    let (commented, _) = world.last_run();
    assert_ne!(world.remit(&["revert", &run]).code, 0);
    assert_eq!(issues().len(), 1);
    world.remit(&["revert", &commented]).exits(0);
    let issue = &issues()[0];
    assert_eq!(issue["messages"].as_array().unwrap().len(), 1, "{issue}");
    assert_eq!(issue["status"]["name"], "unread", "as before the comment");
    assert!(!crate::common::contains(&world.all_bytes(), "the-password-of-admin"));
    world.audit_is_sound();
}
