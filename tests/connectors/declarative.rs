//! The worked examples of connectors in TOML, each against a real server: a user suspended, a rule switched.

use std::sync::Arc;

use serde_json::{Value, json};

use super::systems::System;
use super::{private, world};
use crate::common::{self, World, proxy};

const SUSPEND: &str = "suspend.wasm";
const CLOSE: &str = "close.wasm";
const TOKEN: &str = "the-token-of-remit";
const BEARER: &str = "[connector.credential]\nbearer_file = \"credential.key\"";

/// A directory with one user, by her identifier.
fn directory() -> (System, String) {
    let scim = System::scim(TOKEN);
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "alice", "displayName": "Alice", "active": true
    });
    let (status, made) = scim.api("POST", "/scim/v2/Users", &[bearer()], &user);
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    (scim, id)
}

fn bearer() -> (&'static str, &'static str) {
    ("authorization", "Bearer the-token-of-remit")
}

fn user(scim: &System, id: &str) -> Value {
    scim.api("GET", &format!("/scim/v2/Users/{id}"), &[bearer()], &Value::Null).1
}

/// Somebody else changes an attribute.
fn patch(scim: &System, id: &str, path: &str, value: &Value) {
    let operation = json!({ "op": "replace", "path": path, "value": value });
    let body =
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] });
    let (status, answer) = scim.api("PATCH", &format!("/scim/v2/Users/{id}"), &[bearer()], &body);
    assert!(status < 300, "{status} {answer}");
}

fn input(id: &str) -> String {
    json!({ "path": format!("people/{id}") }).to_string()
}

#[test]
fn a_user_is_suspended_and_activated_again() {
    let (scim, id) = directory();
    let world = world("suspend", "scim-accounts", "people", &scim.address, BEARER, TOKEN);
    // The host itself serves accounts beside it, and the path says whose they are. Nobody is there.
    world.configure(
        "\n[[accounts]]\nname = \"directory\"\nbackend = \"active-directory\"\naddress = \"ldap://127.0.0.1:1\"\n\
         bind_dn = \"cn=remit\"\npassword_file = \"credential.key\"\nbase = \"dc=example\"\n",
    );
    let elsewhere = json!({ "path": "directory/alice" }).to_string();
    let elsewhere = world.remit(&["plan", SUSPEND, "--input", &elsewhere]);
    elsewhere.exits(1).says("ldap://127.0.0.1:1 cannot be reached");
    let planned = world.remit(&["plan", SUSPEND, "--input", &input(&id)]).exits(0).out;
    assert!(planned.contains("activate alice again"), "{planned}");
    assert_eq!(user(&scim, &id)["active"], true, "a rehearsal changes nothing");

    world.grant(SUSPEND, &input(&id), "suspend");
    let ran = world.run("suspend").exits(0).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
    assert_eq!(user(&scim, &id)["active"], false);
    let (run, records) = world.last_run();
    let mut intents = records.iter().map(|record| &record["event"]["intent"]);
    let change = intents.find(|intent| intent["effect"] == "change").unwrap();
    assert_eq!(change["resource"], format!("account:people/{id}"));
    assert_eq!(change["before"], json!({ "was": true, "name": "alice" }));
    let ended = records.iter().rev().find_map(|record| record["event"]["ended"].as_object()).unwrap();
    assert_eq!(ended["output"], json!({ "name": "alice", "groups": [], "disabled": ["alice"] }));
    assert!(world.remit(&["replay", &run]).exits(0).out.contains("identical"));

    // What is done already, and who is not there.
    world.remit(&["plan", SUSPEND, "--input", &input(&id)]).exits(1).says("is false already");
    world
        .remit(&["plan", SUSPEND, "--input", &input("nobody")])
        .exits(1)
        .says("could not look at people/nobody");

    world.remit(&["revert", &run]).exits(0);
    assert_eq!(user(&scim, &id)["active"], true);
    world.remit(&["revert", &run]).exits(0);
    assert_eq!(user(&scim, &id)["meta"]["version"], "W/\"3\"", "undone once");

    // In a rehearsal, what was done before counts.
    let twice = json!({ "path": format!("people/{id}"), "twice": true }).to_string();
    world.remit(&["plan", SUSPEND, "--input", &twice]).exits(1).says("is false already");
    assert!(!common::contains(&world.all_bytes(), TOKEN));
    world.audit_is_sound();
}

#[test]
fn what_somebody_else_did_is_not_overwritten() {
    let (scim, id) = directory();
    // In the moment between the last look and the change: the ETag is another.
    // Not kept by the proxy, which ends with the process: the directory ends with the test.
    let scim = Arc::new(scim);
    let (weak, whom) = (Arc::downgrade(&scim), id.clone());
    let between = proxy::before(&scim.address, move |line| {
        if let Some(scim) = weak.upgrade().filter(|_| line.starts_with("PATCH")) {
            patch(&scim, &whom, "displayName", &json!("Alice, on leave"));
        }
    });
    let world = world("suspend", "scim-accounts", "people", &between, BEARER, TOKEN);
    world.grant(SUSPEND, &input(&id), "suspend");
    let ran = world.run("suspend");
    assert_ne!(ran.code, 0, "{}", ran.out);
    let (run, _) = world.last_run();
    let shown = world.remit(&["show", &run]).out;
    assert!(shown.contains("status 412"), "{shown}");
    assert_eq!(user(&scim, &id)["active"], true);

    // What was approved is alice: an account that is called something else now is none of it.
    world.grant(SUSPEND, &input(&id), "renamed");
    patch(&scim, &id, "userName", &json!("mallory"));
    world.run("renamed").exits(3);
    assert_eq!(user(&scim, &id)["active"], true);
    world.audit_is_sound();
}

/// The directory did what it was asked, and nobody was told.
#[test]
fn a_lost_answer_is_resolved_by_looking() {
    let (scim, id) = directory();
    let lossy = proxy::swallowing_once(&scim.address, "PATCH");
    let world = world("suspend", "scim-accounts", "people", &lossy, BEARER, TOKEN);
    world.grant(SUSPEND, &input(&id), "suspend");
    let ran = world.run("suspend");
    assert_ne!(ran.code, 0, "{}", ran.out);
    // Suspended by the first request, and activated by the second: the host found out, and took it back.
    let now = user(&scim, &id);
    assert_eq!((&now["active"], &now["meta"]["version"]), (&json!(true), &json!("W/\"3\"")), "{now}");
    let (_, records) = world.last_run();
    let ended = records.iter().rev().find_map(|record| record["event"]["ended"]["state"].as_str());
    assert_eq!(ended, Some("reverted"), "{records:#?}");

    // Who is not there any more is not taken back, and a person is told.
    world.grant(SUSPEND, &input(&id), "again");
    world.run("again").exits(0);
    let (run, _) = world.last_run();
    assert_eq!(scim.api("DELETE", &format!("/scim/v2/Users/{id}"), &[bearer()], &Value::Null).0, 204);
    assert_ne!(world.remit(&["revert", &run]).code, 0);
    world.audit_is_sound();
}

#[test]
fn a_rule_is_switched_and_put_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let app = System::pocketbase(folder.path(), "the-password-of-admin");
    let login = json!({ "identity": "admin@example.com", "password": "the-password-of-admin" });
    let (status, session) = app.api("POST", "/api/collections/_superusers/auth-with-password", &[], &login);
    assert_eq!(status, 200, "{session}");
    let token = session["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let rule = || app.api("GET", "/api/collections/users", &headers, &Value::Null).1["createRule"].clone();
    let set = |rule: &str| {
        let body = json!({ "createRule": rule });
        assert_eq!(app.api("PATCH", "/api/collections/users", &headers, &body).0, 200);
    };
    let sign_up = |name: &str| {
        let body = json!({ "email": format!("{name}@example.com"), "password": "12345678", "passwordConfirm": "12345678" });
        app.api("POST", "/api/collections/users/records", &[], &body)
    };
    let world = World::with(&[]);
    private(&world, "home/credential.key", &token);
    world.write(CLOSE, wat::parse_str(include_str!("close.wat")).unwrap());
    world.remit(&["sign", CLOSE, "--key", "publisher.key"]).exits(0);
    world.connect("pocketbase-rules", "app", &app.address, BEARER);
    let (status, answer) = sign_up("first");
    assert_eq!(status, 200, "{answer}");

    for was in ["", "@request.auth.id != \"\""] {
        set(was);
        world.grant(CLOSE, "{}", "close");
        assert_eq!(rule(), was, "a rehearsal changes nothing");
        world.run("close").exits(0);
        assert_eq!(rule(), Value::Null);
        assert_eq!(sign_up("second").0, 403);
        let (run, _) = world.last_run();
        world.remit(&["plan", CLOSE, "--input", "{}"]).exits(1).says("is null already");
        world.remit(&["revert", &run]).exits(0);
        assert_eq!(rule(), was);
    }
    // Somebody else's rule stays.
    world.grant(CLOSE, "{}", "close");
    set("verified = true");
    world.run("close").exits(3);
    world.grant(CLOSE, "{}", "close");
    world.run("close").exits(0);
    let (run, _) = world.last_run();
    set("id = \"\"");
    assert_ne!(world.remit(&["revert", &run]).code, 0);
    assert_eq!(rule(), "id = \"\"");
    assert!(!common::contains(&world.all_bytes(), &token));
    world.audit_is_sound();
}
