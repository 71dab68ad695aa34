//! Prepared here, signed by somebody who has no access to the home, and submitted: by the tools that people have.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::process::Command;

use crate::common::bao::Doubt;
use crate::common::{Ran, SECRET, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A machine of its own: it has a private key, and nothing of the home.
struct Elsewhere<'a> {
    world: &'a World,
    machine: tempfile::TempDir,
}

impl<'a> Elsewhere<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, machine: tempfile::TempDir::new().unwrap() }
    }

    /// Carries a prepared document there, has it signed by openssl, and carries the signature back.
    fn sign(&self, file: &str, key: &str) {
        let there = |name: &str| self.machine.path().join(name);
        fs::copy(self.world.path(file), there("document")).unwrap();
        fs::copy(self.world.path(key), there("key")).unwrap();
        let made = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign", "key", "-out", "signature", "document"])
            .current_dir(self.machine.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::copy(there("signature"), self.world.path(&format!("{file}.sig"))).unwrap();
    }
}

/// Prepares, has it signed, submits.
#[track_caller]
fn signed_elsewhere(world: &World, args: &[&str], name: &str, file: &str) -> Ran {
    let public = format!("{name}.pub");
    let prepared = world.remit(&[args, &["--key", &public, "--prepare", file]].concat()).exits(0);
    assert!(prepared.out.contains("ssh-keygen -Y sign -n remit"), "{}", prepared.out);
    Elsewhere::new(world).sign(file, &format!("{name}.key"));
    let about = if args[0] == "request" { &args[..1] } else { args };
    world.remit(&[about, &["--signed", file]].concat())
}

/// The document among the bytes that are signed.
fn document(world: &World, file: &str) -> Value {
    let bytes = fs::read(world.path(file)).unwrap();
    let start = bytes.iter().position(|byte| *byte == b'{').unwrap();
    serde_json::from_slice(&bytes[start..]).unwrap()
}

/// Puts another document in its place, in the right form.
fn replace(world: &World, file: &str, of: &str, document: &Value) {
    let payload = remit_trust::canonical(document).unwrap();
    world.write(file, remit_trust::dsse::pae(&format!("application/vnd.remit.{of}.v1+json"), &payload));
}

fn request() -> Vec<String> {
    let input = format!("path={SECRET}");
    ["request", "rotate-secret.wasm", "--input", &input, "--reason", "leaked"].map(ToOwned::to_owned).to_vec()
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn all_four_documents_are_signed_where_no_home_is() {
    let world = World::with(&["rotate-secret"]);
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    let args = request();
    let told = signed_elsewhere(&world, &words(&args), "bot", "request.doc").exits(0);
    let id = told.out.split_whitespace().next().unwrap().to_owned();
    assert!(told.out.contains("waiting for 1 more of 1 human"), "{}", told.out);
    signed_elsewhere(&world, &["approve", &id], "alice", "approval.doc").exits(0);
    let ran = signed_elsewhere(&world, &["run", &id], "bot", "trigger.doc").exits(0);
    assert!(ran.out.contains("succeeded"), "{}", ran.out);
    // Sent again: what was a yes once is none a second time, and a trigger starts one run.
    world.remit(&["approve", &id, "--signed", "approval.doc"]).exits(3).says("on record already");
    world.remit(&["request", "--signed", "request.doc"]).exits(3).says("on record already");
    world.remit(&["run", &id, "--signed", "trigger.doc"]).exits(3).says("on record already");
}

/// Who signed it knew of an earlier freeze, and not of the one that came since.
#[test]
fn an_old_order_to_unfreeze_does_not_lift_a_later_freeze() {
    let world = World::with(&["rotate-secret"]);
    world.remit(&["freeze", "--reason", "INC-9"]).exits(0);
    let unfreeze = ["unfreeze", "--reason", "over"];
    world.remit(&[&unfreeze[..], &["--key", "bob.pub", "--prepare", "old.doc"]].concat()).exits(0);
    Elsewhere::new(&world).sign("old.doc", "bob.key");
    world.remit(&["unfreeze", "--reason", "over"]).exits(0);
    world.remit(&["freeze", "--reason", "INC-10"]).exits(0);
    world.remit(&["unfreeze", "--signed", "old.doc"]).exits(3).says("frozen again").says("sign a new order");
    let frozen = world.remit(&["status", "--json"]).exits(3).json();
    assert_eq!(frozen["frozen"]["reason"], "INC-10");
    signed_elsewhere(&world, &unfreeze, "bob", "new.doc").exits(0);
    world.remit(&["status"]).exits(0).out.contains("not frozen").then_some(()).unwrap();
}

#[test]
fn an_order_counts_once_and_in_its_own_home() {
    let world = World::with(&["rotate-secret"]);
    let freeze = ["freeze", "--reason", "INC-9"];
    signed_elsewhere(&world, &freeze, "alice", "freeze.doc").exits(0);
    signed_elsewhere(&world, &["unfreeze", "--reason", "over"], "bob", "unfreeze.doc").exits(0);
    world.remit(&["freeze", "--signed", "freeze.doc"]).exits(3).says("on record already");
    // Nor is it another order.
    world.remit(&["unfreeze", "--signed", "freeze.doc"]).exits(2).says("it orders something else");
    // Somebody else's signature.
    world.remit(&[&freeze[..], &["--key", "alice.pub", "--prepare", "other.doc"]].concat()).exits(0);
    Elsewhere::new(&world).sign("other.doc", "bot.key");
    world.remit(&["freeze", "--signed", "other.doc"]).exits(3);
    // One byte of the document is another.
    world.remit(&[&freeze[..], &["--key", "alice.pub", "--prepare", "changed.doc"]].concat()).exits(0);
    Elsewhere::new(&world).sign("changed.doc", "alice.key");
    let mut changed = document(&world, "changed.doc");
    changed["reason"] = "INC-8".into();
    replace(&world, "changed.doc", "order", &changed);
    world.remit(&["freeze", "--signed", "changed.doc"]).exits(3);
    // Made long ago, or not yet; for another journal; in another spelling.
    for (key, value, says) in [
        ("at", (Timestamp::now() - SignedDuration::from_hours(2)).to_string(), "more than 1 h ago"),
        ("at", (Timestamp::now() + SignedDuration::from_hours(2)).to_string(), "it is only"),
        ("log", "other.example/journal".to_owned(), "it is for the journal other.example/journal"),
        ("principal", "bob".to_owned(), "does not fit"),
    ] {
        let mut order = changed.clone();
        order[key] = value.into();
        replace(&world, "order.doc", "order", &order);
        Elsewhere::new(&world).sign("order.doc", "alice.key");
        let refused = world.remit(&["freeze", "--signed", "order.doc"]).exits(3);
        assert!(key == "principal" || refused.err.contains(says), "{}", refused.err);
    }
    let payload = serde_json::to_string_pretty(&changed).unwrap();
    world.write(
        "spelt.doc",
        remit_trust::dsse::pae("application/vnd.remit.order.v1+json", payload.as_bytes()),
    );
    Elsewhere::new(&world).sign("spelt.doc", "alice.key");
    world.remit(&["freeze", "--signed", "spelt.doc"]).exits(3).says("canonical JSON");
    assert!(world.remit(&["status"]).out.contains("not frozen"));
    world.audit_is_sound();
}

/// A run that rotated the secret.
fn rotated(world: &World) -> String {
    world.grant("rotate-secret.wasm", &format!(r#"{{"path":"{SECRET}"}}"#), "g");
    world.run("g").exits(0).json()["run"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_is_reverted_by_an_order_that_was_signed_elsewhere() {
    let world = World::new();
    let run = rotated(&world);
    world.remit(&["revert", &run, "--key", "bob.pub", "--prepare", "go.doc", "--keep-going"]).exits(0);
    Elsewhere::new(&world).sign("go.doc", "bob.key");
    world.remit(&["revert", &run, "--signed", "go.doc"]).exits(2).says("it orders something else");
    world.remit(&["revert", &run, "--dry-run", "--signed", "go.doc"]).exits(2).says("--dry-run");
    let args = ["revert", &run, "--reason", "wrong key"];
    let reverted = signed_elsewhere(&world, &args, "bob", "revert.doc").exits(0);
    assert!(reverted.out.contains("reverted"), "{}", reverted.out);
    let shown = world.remit(&["show", &run]).exits(0).out;
    assert!(shown.contains("bob") && shown.contains("wrong key"), "{shown}");
    world.remit(&["revert", &run, "--signed", "revert.doc"]).exits(3).says("on record already");
    // Prepared by one whom no policy allows it.
    world.policies(&format!(
        "{}@id(\"n\")\nforbid (principal, action == Remit::Action::\"revert\", resource);\n",
        crate::common::POLICY
    ));
    world.remit(&["revert", &run, "--signed", "go.doc", "--keep-going"]).exits(3).says("may not");
    world.audit_is_sound();
}

#[test]
fn a_call_in_doubt_is_resolved_by_an_order_that_was_signed_elsewhere() {
    let doubt = Doubt::about_a_destroy("");
    let resolve = ["resolve", &doubt.run, "--happened"];
    let reason = ["--reason", "the vault's own log says so"];
    let public = ["--key", "bob.pub", "--prepare", "resolve.doc"];
    let prepared = doubt.does(&[&resolve[..], &reason, &public].concat()).exits(0);
    assert!(
        prepared.out.contains(&format!("remit resolve {} --happened --signed", doubt.run)),
        "{prepared:?}"
    );
    Elsewhere::new(&doubt.world).sign("resolve.doc", "bob.key");
    let signed = ["--signed", "resolve.doc"];
    let other = ["resolve", &doubt.run, "--did-not-happen"];
    doubt.does(&[&other[..], &signed].concat()).exits(2).says("it orders something else");
    // The reason on record is the one that was signed.
    let held = doubt.does(&[&resolve[..], &signed, &["--reason", "a guess"]].concat()).exits(5);
    assert!(held.out.contains("held"), "{held:?}");
    let shown = doubt.does(&["show", &doubt.run]).exits(0).out;
    assert!(shown.contains("it happened, says bob: the vault's own log says so"), "{shown}");
    doubt.does(&[&resolve[..], &signed].concat()).exits(2).says("not in doubt");
    doubt.world.audit_is_sound();
}

#[test]
fn an_event_is_given_up_by_an_order_that_was_signed_elsewhere() {
    let world = World::with(&[]);
    let config = world.home().join("remit.toml");
    let notify = "\n[[notify]]\nname = \"pager\"\nfile = \"gone/events.jsonl\"\n";
    fs::write(&config, fs::read_to_string(&config).unwrap() + notify).unwrap();
    let give_up = ["notify", "--give-up", "pager", "--reason", "that pager is gone"];
    let public = ["--key", "alice.pub", "--prepare", "none.doc"];
    let nothing = world.remit(&[&give_up[..], &public].concat()).exits(0);
    assert!(nothing.out.contains("nothing waits for pager") && !world.path("none.doc").exists());
    world.remit(&["freeze", "--reason", "r"]).exits(0);
    world.remit(&["unfreeze", "--reason", "r"]).exits(0);
    // The event after it still cannot be sent.
    let given_up = signed_elsewhere(&world, &give_up, "alice", "up.doc").exits(1);
    assert!(given_up.out.contains("given up  pager"), "{}", given_up.out);
    world
        .remit(&["notify", "--give-up", "pager", "--signed", "up.doc"])
        .exits(3)
        .says("it orders something else");
    world.remit(&["notify", "--signed", "up.doc"]).exits(2).says("--give-up");
    world.remit(&["notify", "--give-up", "pager"]).exits(2).says("--reason");
    // With --json, stdout has nothing else.
    let json = world.remit(&["notify", "--give-up", "pager", "--reason", "r", "--json"]).exits(0);
    assert_eq!(json.says("given up  pager").json()["told"], serde_json::json!([]));
    world.audit_is_sound();
    // Without an administrator no key counts: a signature would change nothing.
    world.remit(&["init", "--home", "other", "--log", "test.example/other"]).exits(0);
    let args =
        [&["--home", "other"], &give_up[..], &["--key", "alice.pub", "--prepare", "none.doc"]].concat();
    world.remit(&args).exits(2).says("names no administrator");
}

#[test]
fn undo_data_is_deleted_up_to_the_moment_that_was_signed_elsewhere() {
    let world = World::new();
    let expire = ["journal", "expire-undo"];
    let age = ["--older-than", "0s"];
    let public = ["--key", "alice.pub", "--prepare", "none.doc"];
    world.remit(&[&expire[..], &["--older-than", "1h"], &public].concat()).exits(0);
    assert!(!world.path("none.doc").exists(), "there is nothing to delete");
    let old = rotated(&world);
    let public = ["--key", "alice.pub", "--prepare", "expire.doc"];
    world.remit(&[&expire[..], &age, &public].concat()).exits(0);
    Elsewhere::new(&world).sign("expire.doc", "alice.key");
    let new = rotated(&world);
    let signed = ["--signed", "expire.doc"];
    world.remit(&[&expire[..], &age, &signed].concat()).exits(2).says("--older-than");
    world.remit(&expire).exits(2).says("--older-than");
    let expired = world.remit(&[&expire[..], &signed].concat()).exits(0).out;
    assert!(expired.contains(&old) && !expired.contains(&new), "{expired}");
    assert!(world.remit(&["show", &old]).exits(0).out.contains("by alice: ended before "));
    world.remit(&["revert", &old]).exits(1).says("can no longer be reverted");
    world.remit(&["revert", &new]).exits(0);
    world.audit_is_sound();
}

/// A plan is what the host observed, and a name says when it was made, whoever signs otherwise.
#[test]
fn a_request_that_its_requester_wrote_is_not_one_that_was_prepared() {
    let world = World::with(&["rotate-secret"]);
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    let args = request();
    let refused = |change: &dyn Fn(&mut Value), says: &str| {
        world.remit(&[&words(&args)[..], &["--key", "bot.pub", "--prepare", "r.doc"]].concat()).exits(0);
        let mut request = document(&world, "r.doc");
        change(&mut request);
        replace(&world, "r.doc", "request", &request);
        Elsewhere::new(&world).sign("r.doc", "bot.key");
        world
            .remit(&["request", "--signed", "r.doc"])
            .exits(if ["at most 24h", "another name or version"].contains(&says) { 2 } else { 3 })
            .says(says);
    };
    let steps = |request: &mut Value| request["asks"]["run"]["plan"]["steps"].as_array_mut().unwrap().len();
    refused(
        &|request| {
            assert!(steps(request) > 1);
            request["asks"]["run"]["plan"]["steps"].as_array_mut().unwrap().pop();
        },
        "its plan is not what this host observes",
    );
    refused(&|request| request["not_before"] = "2026-01-01T00:00:00Z".into(), "ago");
    refused(&|request| request["id"] = "req-01jd2m4k9x8s7t6v5w4y3z2a1b".into(), "its identifier was made");
    refused(&|request| request["not_after"] = "2036-01-01T00:00:00Z".into(), "at most 24h");
    refused(&|request| request["requester"] = "alice".into(), "");
    for field in ["name", "version"] {
        refused(
            &|request| request["asks"]["run"]["action"][field] = "0.9.9".into(),
            "another name or version",
        );
    }
    assert!(world.remit(&["requests", "--all"]).out.contains("no request"));
    // One that needs a yes for what nobody prepared is void of it.
    world.audit_is_sound();
}

/// Software may not look at content by a rehearsal, and so not by one that the host makes because it was sent a request with
/// a plan that nobody observed.
#[test]
fn attack_a_rehearsal_by_a_request_that_nobody_prepared() {
    const CONTENT: &str = "what only people may read";
    let world = World::with(&["hostile"]);
    world.policies(remit_policy::shipped_files()[0].1);
    fs::create_dir(world.path("etc")).unwrap();
    world.write("etc/app.conf", CONTENT);
    let config = world.home().join("remit.toml");
    let files = format!("\n[[files]]\nname = \"etc\"\npath = \"{}\"\n", world.path("etc").display());
    fs::write(&config, fs::read_to_string(&config).unwrap() + &files).unwrap();

    // One that looks at nothing is prepared, and filled in: a script that reads, and a plan that says so.
    let ask = ["request", "hostile.wasm", "--input", r#"{"run":[]}"#, "--scope", "s.toml", "--reason", "r"];
    world.write("s.toml", crate::common::scope("", SECRET));
    world.remit(&[&ask[..], &["--key", "bot.pub", "--prepare", "r.doc"]].concat()).exits(0);
    let mut request = document(&world, "r.doc");
    let rule = serde_json::json!({"capability": "remit:files/read", "resources": ["file:etc/**"]});
    request["scope"]["allow"].as_array_mut().unwrap().push(rule);
    let read = serde_json::json!({"read": "/etc/app.conf"});
    request["asks"]["run"]["input"] = serde_json::json!({"run": [read]});
    replace(&world, "r.doc", "request", &request);
    Elsewhere::new(&world).sign("r.doc", "bot.key");
    world.remit(&["request", "--signed", "r.doc"]).exits(3).says("bot may not rehearse this");
    let records = world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
    assert!(!records.contains(CONTENT), "{records}");
    assert!(world.remit(&["requests", "--all"]).out.contains("no request"));
    world.audit_is_sound();
}
