//! Requests, approvals, standing scopes, break-glass: the shipped policies, as people and bots meet them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{POLICY, SECRET, World};
use jiff::{SignedDuration, Timestamp};
use remit_gate::{Pattern, Scope};
use remit_journal::{Event, Proof, Proven, Record, Started};
use remit_lifecycle::check_authority;
use remit_tlog::NoteVerifier;
use serde_json::Value;

const ACTION: &str = "rotate-secret.wasm";

fn input(path: &str) -> String {
    format!(r#"{{"path":"{path}","field":"api_key"}}"#)
}

/// A home with the policies that Remit ships.
fn shipped() -> World {
    let world = World::new();
    world.policies(remit_policy::shipped_files()[0].1);
    world
}

fn ask(world: &World, args: &[&str]) -> String {
    let asked = world.remit(&[&["request"], args, &["--reason", "r", "--json"]].concat()).exits(0).json();
    asked["request"]["id"].as_str().unwrap().to_owned()
}

fn shown(world: &World, id: &str) -> Value {
    world.remit(&["request", "show", id, "--json"]).exits(0).json()
}

#[test]
fn a_bot_asks_a_person_approves_the_bot_runs() {
    let world = shipped();
    let id = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key", "--incident", "INC-7"]);
    assert_eq!(world.current_version(SECRET), 1, "asking changes nothing");
    let told = world.remit(&["request", "show", &id]).exits(0).out;
    for words in
        ["waiting for 1 more of 1 human", "1, each can be undone", SECRET, "INC-7", "has never run here"]
    {
        assert!(told.contains(words), "no `{words}` in:\n{told}");
    }
    world.remit(&["run", &id, "--key", "bot.key"]).exits(3).says("approvals are missing: 1 of 1 human");
    assert_eq!(shown(&world, &id)["status"], "waiting");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    assert_eq!(shown(&world, &id)["status"], "approved");
    // Only whom the request names.
    world.remit(&["run", &id, "--key", "alice.key"]).exits(3).says("alice may not start it, only bot");
    world.remit(&["run", &id, "--key", "bot.key"]).exits(0);
    assert_eq!(world.current_version(SECRET), 2);
    assert_eq!(shown(&world, &id)["status"], "used");

    // The whole approval trail is on the run.
    let (run, _) = world.last_run();
    let told = world.remit(&["show", &run]).exits(0).out;
    for words in [&*id, "approved by alice", "started by bot", "for INC-7"] {
        assert!(told.contains(words), "no `{words}` in:\n{told}");
    }
    let again = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key"]);
    assert!(shown(&world, &again)["differs"][0].as_str().unwrap().starts_with("the same as at"));
    // To look needs nobody's leave.
    let look = r#"{"do":"look","path":"prod/payments/stripe"}"#;
    if world.remit(&["plan", "misbehave.wasm", "--input", look]).code == 0 {
        let free = ask(&world, &["misbehave.wasm", "--input", look, "--key", "bot.key"]);
        assert_eq!(shown(&world, &free)["status"], "approved");
    }
    world.remit(&["revert", &run, "--key", "bot.key"]).exits(3).says("no policy allows it");
    world.remit(&["revert", &run, "--key", "bob.key", "--reason", "wrong key"]).exits(0);
    world.audit_is_sound();
}

#[test]
fn a_denial_is_final_and_a_reason_is_asked_for() {
    let world = shipped();
    let id = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key"]);
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    world.remit(&["deny", &id, "--reason", " ", "--key", "bob.key"]).exits(3).says("a denial needs a reason");
    world.remit(&["deny", &id, "--reason", "wrong secret", "--key", "bob.key"]).exits(0);
    world.remit(&["run", &id, "--key", "bot.key"]).exits(3).says("bob denied it: wrong secret");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(3).says("bob denied it");
    assert_eq!(world.current_version(SECRET), 1);
    world.audit_is_sound();
}

#[test]
fn what_cannot_be_undone_needs_two_people_and_what_discloses_nobody_gets() {
    let world = shipped();
    let destroy = format!(r#"{{"do":"destroy","path":"{SECRET}","version":1}}"#);
    // Its least scope would not do: it imports more than it used.
    let least = ["request", "misbehave.wasm", "--input", &destroy, "--reason", "r", "--key", "bot.key"];
    world.remit(&least).exits(3).says("needs what the scope does not allow");
    let accepts = crate::common::scope("", SECRET)
        .replace("secrets/destroy\"", "secrets/destroy\"\nirrevocable = true");
    world.write("destroy.toml", accepts);
    let scope = ["--scope", "destroy.toml", "--key", "bot.key"];
    let id = ask(&world, &[&["misbehave.wasm", "--input", &destroy][..], &scope].concat());
    let told = world.remit(&["request", "show", &id]).exits(0).out;
    assert!(told.contains("1 CANNOT BE UNDONE") && told.contains("2 more of 2 humans"), "{told}");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    world.remit(&["run", &id, "--key", "bot.key"]).exits(3).says("1 of 2 humans");
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    world.remit(&["run", &id, "--key", "bot.key"]).exits(0);

    let scope =
        crate::common::scope("", SECRET).replace("secrets/reveal\"", "secrets/reveal\"\ndisclose = true");
    world.write("reveal.toml", scope);
    let reveal = format!(r#"{{"do":"reveal","path":"{SECRET}","field":"api_key"}}"#);
    let args = ["request", "misbehave.wasm", "--input", &reveal, "--scope", "reveal.toml", "--without-plan"];
    world
        .remit(&[&args[..], &["--reason", "r", "--key", "alice.key"]].concat())
        .exits(3)
        .says("secrets are not handed to actions here");
    let explained = world.remit(&["policy", "explain", &id]).exits(0).out;
    assert!(explained.contains("irrevocable-needs-two"), "{explained}");
    world.audit_is_sound();
}

#[test]
fn a_bot_acts_at_night_inside_a_standing_scope_and_asks_for_what_is_outside() {
    let world = shipped();
    world.remit(&["secret", "put", "prod/other/key", "api_key", "--generate"]).exits(0);
    let allow = |name| {
        format!(
            "[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:prod/payments/*\"]\n"
        )
    };
    world.write("night.toml", format!("[limits]\nchanges = 2\n{}{}", allow("inspect"), allow("rotate")));
    let standing = [ACTION, "--standing", "--scope", "night.toml", "--for", "bot", "--ttl", "168h"];
    let terms = ["--runs-per-hour", "2", "--changes-per-hour", "5", "--key", "alice.key"];
    let id = ask(&world, &[&standing[..], &terms].concat());
    let run = |path: &str| {
        let under = ["--under", &id, "--reason", "stale", "--key", "bot.key"];
        world.remit(&[&["run", ACTION, "--input", &input(path)][..], &under].concat())
    };
    run(SECRET).exits(3).says("2 of 2 humans");
    // Alice asked, so alice does not count.
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(3).says("nobody approves their own request");
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    run(SECRET).exits(3).says("1 of 2 humans");
    let principals = world.home().join("principals.toml");
    let text = fs::read_to_string(&principals).unwrap();
    world.remit(&["keys", "new", "--out", "home/keys/carol"]).exits(0);
    let carol =
        "\n[[principal]]\nname = \"carol\"\nkind = \"human\"\n[[principal.key]]\nfile = \"keys/carol.pub\"\n";
    fs::write(&principals, text + carol).unwrap();
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    run(SECRET).exits(3).says("the rules were changed since");

    let id = ask(&world, &[&standing[..], &terms].concat());
    let run = |path: &str| {
        let under = ["--under", &id, "--reason", "stale", "--key", "bot.key"];
        world.remit(&[&["run", ACTION, "--input", &input(path)][..], &under].concat())
    };
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    world.remit(&["approve", &id, "--key", "home/keys/carol.key"]).exits(0);
    run(SECRET).exits(0);
    assert_eq!(world.current_version(SECRET), 2);
    let (last, _) = world.last_run();
    let told = world.remit(&["show", &last]).exits(0).out;
    assert!(told.contains("approved by bob and carol") && told.contains("inside a standing scope"), "{told}");

    // Outside: nothing happens but a request.
    run("prod/other/key").exits(3).says("no resource pattern").says("a request was made instead");
    assert_eq!(world.current_version("prod/other/key"), 1);
    run(SECRET).exits(0);
    run(SECRET).exits(3).says("its budget of 2 run(s) an hour is spent");
    let waiting = world.remit(&["requests", "--json"]).exits(0).json();
    let waiting: Vec<&Value> =
        waiting["requests"].as_array().unwrap().iter().filter(|r| r["status"] == "waiting").collect();
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert_eq!(waiting[0]["request"]["requester"], "bot");
    // Another component is not what it names.
    let other = ["--input", "{}", "--under", &id, "--reason", "r", "--key", "bot.key"];
    world.remit(&[&["run", "misbehave.wasm"][..], &other].concat()).exits(3).says("it is for rotate-secret");
    world.remit(&["revoke", "request", &id, "--reason", "over", "--key", "alice.key"]).exits(0);
    run(SECRET).exits(3).says("gives no authority any more (alice: over)");
    world.audit_is_sound();
}

#[test]
fn break_glass_needs_its_quorum_and_a_review_before_the_next_time() {
    let world = shipped();
    // Nobody but alice approves anything here, by policy.
    let strict = remit_policy::shipped_files()[0].1.replace("@needs(\"1 human\")", "@needs(\"9 human\")");
    let ask_glass = || {
        let args = ["request", ACTION, "--input", &input(SECRET), "--break-glass", "--reason", "fire"];
        world.remit(&[&args[..], &["--key", "alice.key", "--json"]].concat())
    };
    world.policies(&strict);
    ask_glass().exits(2).says("principals.toml has no [break-glass]");
    let principals = world.home().join("principals.toml");
    let text = fs::read_to_string(&principals).unwrap();
    let on_call = text.replace(
        "name   = \"bob\"\nkind   = \"human\"\ngroups = []",
        "name   = \"bob\"\nkind   = \"human\"\ngroups = [\"on-call\"]",
    );
    fs::write(&principals, on_call + "\n[break-glass]\nquorum = 1\ngroup = \"on-call\"\n").unwrap();
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);

    let plain = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "alice.key"]);
    world.remit(&["approve", &plain, "--key", "bob.key"]).exits(0);
    world.remit(&["run", &plain, "--key", "alice.key"]).exits(3).says("8 of 9 humans");

    let id = ask_glass().exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
    world.remit(&["run", &id, "--key", "alice.key"]).exits(3).says("1 of 1 human of on-call");
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    world.remit(&["run", &id, "--key", "alice.key"]).exits(0);
    assert_eq!(world.current_version(SECRET), 2);
    let (run, _) = world.last_run();
    assert!(world.remit(&["show", &run]).exits(0).out.contains("WITHOUT THE USUAL POLICY"));
    ask_glass().exits(3).says("nobody has reviewed that").says(&run);
    world.remit(&["review", &run, "--reason", "fine", "--key", "alice.key"]).exits(3).says("somebody else");
    world.remit(&["review", &run, "--reason", "was needed", "--key", "bob.key"]).exits(0);
    // Nor does whoever started it review it.
    let args =
        ["request", ACTION, "--input", &input(SECRET), "--break-glass", "--reason", "fire", "--for", "bob"];
    let asked = world.remit(&[&args[..], &["--key", "alice.key", "--json"]].concat()).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap();
    world.remit(&["approve", id, "--key", "bob.key"]).exits(0);
    world.remit(&["run", id, "--key", "bob.key"]).exits(0);
    let (run, _) = world.last_run();
    world.remit(&["review", &run, "--reason", "fine", "--key", "bob.key"]).exits(3).says("somebody else");
    world.audit_is_sound();
}

#[test]
fn ssh_keys_sign_and_ssh_keygen_agrees() {
    let world = World::with(&["rotate-secret"]);
    let keygen = |args: &[&str], stdin: Stdio| {
        let mut command = Command::new("ssh-keygen");
        let done = command.args(args).current_dir(world.dir.path()).stdin(stdin).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    for (name, kind) in [("dora", "ed25519"), ("emil", "ecdsa")] {
        keygen(&["-q", "-t", kind, "-N", "", "-C", name, "-f", name], Stdio::null());
        let file = world.home().join(format!("keys/{name}.pub"));
        fs::copy(world.path(&format!("{name}.pub")), file).unwrap();
        let principals = world.home().join("principals.toml");
        let text = fs::read_to_string(&principals).unwrap();
        let more = format!(
            "\n[[principal]]\nname = \"{name}\"\nkind = \"human\"\n[[principal.key]]\nfile = \"keys/{name}.pub\"\n"
        );
        fs::write(&principals, text + &more).unwrap();
    }
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);

    // The private key in a file; ssh-keygen verifies what it signed.
    let id = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key"]);
    world.remit(&["approve", &id, "--key", "dora"]).exits(0);
    let public = fs::read_to_string(world.path("dora.pub")).unwrap();
    world.write("allowed", format!("dora namespaces=\"remit\" {public}"));
    fs::create_dir(world.path("out")).unwrap();
    world.remit(&["request", "export", &id, "--out", "out"]).exits(0);
    let signed = || Stdio::from(fs::File::open(world.path("out/approval-dora.signed")).unwrap());
    let verify =
        ["-Y", "verify", "-f", "allowed", "-I", "dora", "-n", "remit", "-s", "out/approval-dora.sig"];
    assert!(keygen(&verify, signed()).contains("Good \"remit\" signature for dora"));
    world.remit(&["run", &id, "--key", "bot.key"]).exits(0);

    // A signature that ssh-keygen made counts here.
    let id = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key"]);
    let prepare = ["approve", &id, "--key", "emil.pub", "--prepare", "a.signed"];
    world.remit(&prepare).exits(0);
    keygen(&["-q", "-Y", "sign", "-n", "remit", "-f", "emil", "a.signed"], Stdio::null());
    world.remit(&["approve", &id, "--signature", "a.signed"]).exits(0);
    world.remit(&["run", &id, "--key", "bot.key"]).exits(0);
    // For another purpose it does not.
    let id = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key"]);
    world.remit(&["approve", &id, "--key", "emil.pub", "--prepare", "b.signed"]).exits(0);
    keygen(&["-q", "-Y", "sign", "-n", "file", "-f", "emil", "b.signed"], Stdio::null());
    world.remit(&["approve", &id, "--signature", "b.signed"]).exits(3).says("made for `file`");

    // The agent.
    world.remit(&["approve", &id, "--key", "emil.pub"]).exits(2).says("ssh-agent");
    let socket = world.path("agent");
    let mut agent =
        Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let with_agent = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("SSH_AUTH_SOCK", &socket);
        crate::common::finish(command, "")
    };
    for _ in 0..100 {
        let mut add = Command::new("ssh-add");
        let add = add.arg("emil").current_dir(world.dir.path()).env("SSH_AUTH_SOCK", &socket);
        if add.stderr(Stdio::null()).status().unwrap().success() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    with_agent(&["approve", &id, "--key", "dora.pub"]).exits(2).says("does not have this key");
    with_agent(&["approve", &id, "--key", "emil.pub"]).exits(0);
    agent.kill().unwrap();
    agent.wait().unwrap();
    world.remit(&["run", &id, "--key", "bot.key"]).exits(0);
    world.audit_is_sound();
}

/// A rule about a team that nobody is in would never apply: it is not signed, and where it is in force, the doctor says so.
#[test]
fn rules_name_only_those_who_are_there() {
    let world = World::new();
    let (rules, principals) =
        (world.home().join("policies/team.cedar"), world.home().join("principals.toml"));
    let written = fs::read_to_string(&principals).unwrap();
    let team = |name: &str| {
        format!(
            "@id(\"team\")\nforbid (principal in Remit::Group::\"{name}\", action == Remit::Action::\"approve\", resource);"
        )
    };
    let signed = fs::read(world.home().join("rules.signed.json")).unwrap();
    fs::write(&rules, team("contracters")).unwrap();
    for args in [&["policy", "check"][..], &["rules", "check"], &["rules", "sign", "--key", "admin.key"]] {
        world.remit(args).exits(2).says("no principal is in the group `contracters`").says("team.cedar:2:");
    }
    assert_eq!(fs::read(world.home().join("rules.signed.json")).unwrap(), signed);
    world.remit(&["principals"]).exits(0);

    // A group that the last one left.
    fs::write(&rules, team("contractors")).unwrap();
    fs::write(&principals, written.replacen("groups = []", "groups = [\"contractors\"]", 1)).unwrap();
    world.remit(&["policy", "check"]).exits(0);
    world.remit(&["rules", "sign", "--key", "admin.key"]).exits(0);
    world.remit(&["doctor"]).exits(0);

    fs::write(&principals, format!("{written}\n[break-glass]\nquorum = 2\ngroup = \"nobody\"\n")).unwrap();
    fs::remove_file(&rules).unwrap();
    world.remit(&["policy", "check"]).exits(3).says("names the group nobody, and nobody is in it");
}

/// What needs more people than there are can be wanted, and is told.
#[test]
fn rules_that_ask_for_more_people_than_there_are() {
    let world = World::new();
    let text = remit_policy::shipped_files()[0].1.replace("@needs(\"2 human\")", "@needs(\"9 human\")");
    fs::write(world.home().join("policies/default.cedar"), text).unwrap();
    let words = "policy `irrevocable-needs-two` asks for 9 humans, and there are ";
    world.remit(&["policy", "check"]).exits(0).says(words);
    world.remit(&["rules", "sign", "--key", "admin.key"]).exits(0).says(words);
    let told = world.remit(&["doctor"]).exits(0);
    assert!(told.out.contains(words), "{}", told.out);
}

#[test]
fn rules_are_in_force_as_an_administrator_signed_them() {
    let world = World::new();
    world.remit(&["rules", "check"]).exits(0);
    world.remit(&["policy", "check"]).exits(0);
    let file = world.home().join("policies/default.cedar");
    fs::write(&file, format!("{POLICY}\npermit (principal, action == Remit::Action::\"aprove\", resource);"))
        .unwrap();
    world.remit(&["policy", "check"]).exits(2).says("default.cedar:").says("^").says("aprove");
    fs::write(&file, POLICY).unwrap();
    world.remit(&["rules", "check"]).exits(0);
    world.write("cases.toml", "[[case]]\nname = \"bots do not approve\"\nverb = \"approve\"\nexpect = \"deny\"\nwho = { name = \"bot\", kind = \"agent\" }\n[case.matter]\nchanges = 1\n[[case]]\nname = \"a change needs one\"\nexpect = [\"1 human\"]\n");
    let told = world.remit(&["policy", "test", "cases.toml"]).exits(0).out;
    assert!(told.contains("2 passed, 0 failed"), "{told}");
    world.write("cases.toml", "[[case]]\nname = \"wrong\"\nexpect = [\"2 human\"]\n");
    world.remit(&["policy", "test", "cases.toml"]).exits(1);
    let principals = world.home().join("principals.toml");
    fs::write(&principals, "[[principal]]\nnam = \"x\"\n").unwrap();
    world.remit(&["principals"]).exits(2).says("nam").says("^");
}

/// Before an administrator signs, the requests that are open under the rules in force are told, and no others.
#[test]
fn new_rules_tell_which_requests_they_void() {
    let world = shipped();
    let ask_one = || ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key"]);
    let sign_more = |more: &str| {
        let file = world.home().join("policies/default.cedar");
        fs::write(&file, fs::read_to_string(&file).unwrap() + more).unwrap();
        world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0).err
    };
    let (denied, used, open) = (ask_one(), ask_one(), ask_one());
    world.remit(&["deny", &denied, "--reason", "wrong secret", "--key", "bob.key"]).exits(0);
    world.remit(&["approve", &used, "--key", "alice.key"]).exits(0);
    world.remit(&["run", &used, "--key", "bot.key"]).exits(0);
    let told = sign_more("// one\n");
    assert!(told.contains(&open) && !told.contains(&denied) && !told.contains(&used), "{told}");
    let later = ask_one();
    let told = sign_more("// two\n");
    assert!(told.contains(&later) && !told.contains(&open), "{told}");
}

#[test]
fn everyone_is_told_at_least_once_and_in_order() {
    let world = World::new();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let notify = "\n[[notify]]\nname = \"all\"\nfile = \"events.jsonl\"\n[[notify]]\nname = \"bad\"\non = [\"run-reverted\", \"frozen\"]\nfile = \"gone/events.jsonl\"\n";
    fs::write(&config, text + notify).unwrap();
    world.remit(&["notify"]).exits(0);
    let events = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(world.home().join(file)).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let fails = format!(r#"{{"do":"rotate-then-fail","path":"{SECRET}"}}"#);
    world.grant_scope(&crate::common::scope("", SECRET), "misbehave.wasm", &fails, "g");
    let ran = world.run("g");
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("the notifier `bad` failed"), "{}", ran.err);
    world.remit(&["freeze", "--reason", "now"]).exits(0);
    world.remit(&["unfreeze", "--reason", "over"]).exits(0);
    assert_eq!(events("events.jsonl"), ["requested", "run-reverted", "frozen", "unfrozen"]);
    // Whoever is to decide about a request is told its digest, which they are shown again where they sign.
    let told = fs::read_to_string(world.home().join("events.jsonl")).unwrap();
    let told: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    let shown = world.remit(&["request", "show", &world.request("g"), "--json"]).exits(0).json();
    assert_eq!(told["digest"], shown["digest"]);
    let (before, reason) = told["summary"].as_str().unwrap().split_once(" asks for ").unwrap();
    assert!(before.contains(shown["digest"].as_str().unwrap()) && reason.contains("by bot"), "{told}");
    world.remit(&["notify"]).exits(1).says("gone");
    // What waits is told when it can be, each once, in order.
    fs::create_dir(world.home().join("gone")).unwrap();
    world.remit(&["notify"]).exits(0);
    assert_eq!(events("gone/events.jsonl"), ["run-reverted", "frozen"]);
    // What runs out of time is found.
    let short =
        ["request", ACTION, "--input", &input(SECRET), "--reason", "r", "--ttl", "1s", "--key", "bot.key"];
    world.remit(&short).exits(0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    world.remit(&["notify"]).exits(0);
    world.remit(&["notify"]).exits(0);
    assert_eq!(events("events.jsonl")[4..], ["requested", "request-expired"]);
    assert_eq!(events("gone/events.jsonl").len(), 2);
    world.audit_is_sound();
}

#[test]
fn a_standing_scope_for_a_publishers_versions_and_hours() {
    let world = World::new();
    let allow =
        |name| format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:**\"]\n");
    world.write("s.toml", format!("{}{}", allow("inspect"), allow("rotate")));
    let standing = |more: &[&str]| {
        let args = [ACTION, "--standing", "--scope", "s.toml", "--for", "bot", "--key", "alice.key"];
        let id = ask(&world, &[&args[..], more].concat());
        world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
        let under = ["--under", &id, "--reason", "r", "--key", "bot.key"];
        world.remit(&[&["run", ACTION, "--input", &input(SECRET)][..], &under].concat())
    };
    standing(&["--versions", "^0.1"]).exits(0);
    a_proof_shows_what_was_inside(&world);
    standing(&["--versions", "^2"]).exits(3).says("it is for rotate-secret ^2 by the publisher");
    // An hour that is never now: the day before yesterday's.
    let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // 1970 began on a Thursday.
    let past = day[usize::try_from((now / 86_400 + 3 + 5) % 7).unwrap()];
    standing(&["--hours", &format!("{past} 08:00-09:00")])
        .exits(3)
        .says("it is valid")
        .says("a request was made instead");
    for wrong in [&["--hours", "mon 8-9"][..], &["--ttl", "721h"], &["--runs-per-hour", "0"]] {
        let args =
            ["request", ACTION, "--standing", "--scope", "s.toml", "--reason", "r", "--key", "alice.key"];
        world.remit(&[&args[..], wrong].concat()).exits(2);
    }
    world.audit_is_sound();
}

#[test]
fn a_standing_scope_has_no_more_changes_than_its_hour() {
    let world = World::new();
    let short = "@id(\"short\")\nforbid (principal, action == Remit::Action::\"propose\", resource)\nwhen { !resource.standing && resource.ttlSeconds > 14400 };";
    world.policies(&format!("{POLICY}{short}"));
    let allow =
        |name| format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:**\"]\n");
    world.write("s.toml", format!("[limits]\nchanges = 1\n{}{}", allow("inspect"), allow("rotate")));
    let args = [ACTION, "--standing", "--scope", "s.toml", "--for", "bot", "--key", "alice.key"];
    let id = ask(&world, &[&args[..], &["--runs-per-hour", "9", "--changes-per-hour", "1"]].concat());
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    let run = || {
        let under = ["--under", &id, "--reason", "r", "--key", "bot.key"];
        world.remit(&[&["run", ACTION, "--input", &input(SECRET)][..], &under].concat())
    };
    run().exits(0);
    run().exits(3).says("its budget of 1 change(s) an hour would be exceeded: 1 used, the run would make 1");
    assert_eq!(world.current_version(SECRET), 2);
    // What was asked for instead can wait as long as the policies allow: four hours.
    let waiting = world.remit(&["requests", "--state", "waiting", "--json"]).exits(0).json();
    let time =
        |at: &str| waiting["requests"][0]["request"][at].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(time("not_after").duration_since(time("not_before")), SignedDuration::from_hours(4));
    world.audit_is_sound();
}

/// Of a run under a standing scope that bob approved: each thing that was not approved is found in its record.
fn a_proof_shows_what_was_inside(world: &World) {
    let (run, _) = world.last_run();
    world.remit(&["audit", "prove", &run, "--out", "standing.proof"]).exits(0);
    let check = |approver: &str| {
        world.remit(&[
            "audit",
            "check-proof",
            "standing.proof",
            "--key",
            "home/log.pub",
            "--approver",
            approver,
        ])
    };
    check("bob.pub").exits(0);
    check("admin.pub").exits(3).says("no approval on record is by this key");

    let key = NoteVerifier::parse(fs::read_to_string(world.home().join("log.pub")).unwrap().trim()).unwrap();
    let proof = Proof::parse(&fs::read_to_string(world.path("standing.proof")).unwrap()).unwrap();
    let genuine = proof.check(&key).unwrap();
    let forged = |why: &str, forge: &dyn Fn(&mut Started, &mut Vec<(u64, Record)>)| {
        let Proven::Run { run, log, size, state, count, mut records } = genuine.clone() else {
            unreachable!()
        };
        let Event::Started(started) = &records[0].1.event else { unreachable!() };
        let mut started = started.clone();
        forge(&mut started, &mut records);
        records[0].1.event = Event::Started(started);
        let forged = Proven::Run { run, log, size, state, count, records };
        let refused = check_authority(&forged, &world.path("bob.pub")).unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    };
    let other = remit_trust::Digest::of(b"another");
    let scoped = |started: &mut Started, change: &dyn Fn(&mut Scope)| {
        let mut scope: Scope = serde_json::from_str(started.scope.as_ref().unwrap().get()).unwrap();
        change(&mut scope);
        started.scope_digest = scope.digest().unwrap();
        started.scope = Some(serde_json::value::to_raw_value(&scope).unwrap());
    };
    let intents = |records: &[(u64, Record)]| -> Vec<usize> {
        let of =
            |(_, record): &(u64, Record)| matches!(&record.event, Event::Intent(i) if i.before.is_some());
        (0..records.len()).filter(|at| of(&records[*at])).collect()
    };
    forged("its trigger is for something else", &|started, _| started.action.digest = other);
    forged("its trigger is for something else", &|started, _| started.input_digest = other);
    forged("its trigger is for something else", &|started, _| started.started_by = Some("alice".to_owned()));
    forged("it is for rotate-secret", &|started, _| "another".clone_into(&mut started.action.name));
    forged("it is for rotate-secret", &|started, _| started.publisher = Some(other.to_string()));
    forged("its scope is not the one", &|started, _| started.scope_digest = other);
    forged("it had another scope", &|started, _| {
        scoped(started, &|scope| scope.allow[0].resources.push(Pattern::new("file:**").unwrap()));
    });
    forged("it had another scope", &|started, _| scoped(started, &|scope| scope.limits.changes = 2));
    forged("it made 2 changes", &|_, records| {
        let change = records[intents(records)[0]].clone();
        records.push(change);
    });
    forged("no resource pattern", &|_, records| {
        let at = intents(records)[0];
        let Event::Intent(intent) = &mut records[at].1.event else { unreachable!() };
        "file:etc/passwd".clone_into(&mut intent.resource);
    });
    forged("another time", &|_, records| records[0].1.at = jiff::Timestamp::UNIX_EPOCH);
}

#[test]
fn a_power_that_the_plan_does_not_use_is_shown_and_judged() {
    let world = shipped();
    let rule = |name: &str, on: &str, more: &str| {
        format!("[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:{on}\"]\n{more}\n")
    };
    let least = rule("inspect", SECRET, "") + &rule("rotate", SECRET, "");
    let args = |scope: &str, more: String| {
        world.write(scope, format!("[limits]\nchanges = 7\n{least}{more}"));
        let asks = [
            ACTION,
            "--input",
            &input(SECRET),
            "--scope",
            scope,
            "--reason",
            "r",
            "--key",
            "bot.key",
            "--json",
        ];
        world.remit(&[&["request"], &asks[..]].concat())
    };
    // The plan rotates one secret; the scope would let it rotate any, for good.
    let wide = args("wide.toml", rule("rotate", "prod/**", "irrevocable = true"));
    wide.exits(3).says("more than 10 targets");
    let wide = args("wide.toml", rule("rotate", "prod/other", "irrevocable = true")).exits(0).json();
    let powers = wide["powers"]["all"].as_array().unwrap();
    let unused: Vec<&Value> = powers.iter().filter(|power| power["steps"] == 0).collect();
    assert_eq!(unused.len(), 2, "{powers:?}");
    assert!(unused.iter().all(|power| power["resource"] == "secret:prod/other" && power["at_most"] == 7));
    let id = wide["request"]["id"].as_str().unwrap();
    let told = world.remit(&["request", "show", id]).exits(0).out;
    for words in [
        "2 more of 2 humans",
        "1, each can be undone; ITS SCOPE IS WIDER THAN ITS PLAN: up to 7",
        "CANNOT BE UNDONE  secret:prod/other",
        "NOT USED BY THE PLAN, up to 7",
        "1 step of the plan",
        "changes 7",
    ] {
        assert!(told.contains(words), "no `{words}` in:\n{told}");
    }
    // One that hands out secrets is refused, although the plan uses none.
    args("reveal.toml", rule("reveal", SECRET, "disclose = true")).exits(3).says("secrets are not handed");
    // The least scope adds nothing.
    let plain = ask(&world, &[ACTION, "--input", &input(SECRET), "--key", "bot.key"]);
    let told = world.remit(&["request", "show", &plain]).exits(0).out;
    assert!(told.contains("waiting for 1 more of 1 human") && !told.contains("NOT USED"), "{told}");
}

/// What `policy explain` says of each principal is what happens when they try.
#[test]
fn explain_agrees_with_what_then_happens() {
    let world = shipped();
    let house = "@id(\"bob-not-in-prod\") forbid (principal == Remit::Principal::\"bob\", action == Remit::Action::\"approve\", resource in Remit::Path::\"secret:prod\") when { resource has incident };";
    world.policies(&format!("{}\n{house}", remit_policy::shipped_files()[0].1));
    let make = |more: &[&str], by: &str| {
        ask(&world, &[&[ACTION, "--input", &input(SECRET), "--key", by][..], more].concat())
    };
    let cases: [(&[&str], &str, &[&str]); 5] = [
        (&[], "bot.key", &[]),
        (&[], "alice.key", &[]),
        (&["--incident", "INC-7"], "bot.key", &[]),
        (&["--for", "bot", "--for", "bob"], "bot.key", &["alice.key"]),
        (&["--incident", "INC-7"], "bot.key", &["alice.key"]),
    ];
    let mut seen = 0;
    for (more, by, approved) in cases {
        for name in ["alice", "bob", "bot"] {
            for verb in ["approve", "start", "revoke"] {
                // Each on a request of its own: what is tried changes it.
                let id = make(more, by);
                for key in approved {
                    world.remit(&["approve", &id, "--key", key]).exits(0);
                }
                let told = world.remit(&["policy", "explain", &id]).exits(0).out;
                let line = format!("{verb:<7} {name}: ");
                let says = told
                    .lines()
                    .find_map(|found| found.strip_prefix(&line))
                    .unwrap_or_else(|| panic!("no `{line}` in {told}"));
                let key = format!("{name}.key");
                let did = match verb {
                    "approve" => world.remit(&["approve", &id, "--key", &key]),
                    "start" => world.remit(&["run", &id, "--key", &key]),
                    _ => world.remit(&["revoke", "request", &id, "--reason", "r", "--key", &key]),
                };
                assert_eq!(
                    did.code == 0,
                    says.starts_with("allowed"),
                    "{verb} by {name} ({more:?}): {says}\n{}",
                    did.err
                );
                seen += usize::from(did.code == 0);
            }
        }
    }
    assert!(seen > 8, "{seen}");
    world.audit_is_sound();
}

/// Every fact that policies are told is what is so: policies that allow a step only where all of them are, each with its
/// value, let it happen; and nothing else.
#[test]
fn policies_are_told_what_is_so() {
    let world = World::new();
    let config = world.home().join("remit.toml");
    fs::write(&config, format!("environment = \"production\"\n{}", fs::read_to_string(&config).unwrap()))
        .unwrap();
    // Something was spent before: one change, by the bot, with this action, on a secret under `prod`.
    world.grant(ACTION, &input(SECRET), "before");
    world.run("before").exits(0);
    world.grant(ACTION, &input(SECRET), "taken-back");
    world.run("taken-back").exits(0);
    let (back, _) = world.last_run();
    world.remit(&["revert", &back, "--key", "alice.key", "--reason", "r"]).exits(0);
    let inspected = world.remit(&["inspect", ACTION, "--json"]).exits(0).json();
    let digest = inspected["digest"].as_str().unwrap();
    let base = format!(
        "resource.requester == Remit::Principal::\"bot\" && resource.actionName == \"rotate-secret\"
         && resource.actionVersion == \"0.1.0\" && resource.actionDigest == \"{digest}\"
         && resource has environment && resource.environment == \"production\" && !resource.breakGlass"
    );
    let spent = |requester: u32, starter: u32, action: u32, prefix: u32| {
        format!(
            "resource.spentByRequester == {requester} && resource.spentByStarter == {starter}
             && resource.spentByAction == {action} && resource.spentByPrefix == {prefix}"
        )
    };
    let asked = format!(
        "{base} && resource has incident && resource.incident == \"INC-7\" && resource.ttlSeconds == 1800
         && resource.uses == 2 && !resource.standing && !resource.underStanding && resource.hasPlan
         && resource.change == 1 && resource.changes == 1 && resource.irrevocable == 0 && resource.disclose == 0"
    );
    let permit = |verb: &str, when: &str| {
        format!("permit (principal, action == Remit::Action::\"{verb}\", resource) when {{ {when} }};\n")
    };
    let who = "principal == Remit::Principal::\"bot\"";
    let rules = |more: &str| {
        let rehearse = |spent: String| {
            let when = format!("{who} && {base} && {spent} && resource.uses == 1 && !resource.hasPlan");
            permit("rehearse", &when)
        };
        // Asked before, and after the first of two runs.
        let rehearsals = rehearse(spent(1, 1, 1, 0)) + &rehearse(spent(2, 2, 2, 0));
        let propose = permit("propose", &format!("{who} && {asked} && {}", spent(1, 0, 1, 1)));
        let need = "@needs(\"1 human\")\n".to_owned() + &permit("require", &asked);
        let kind = "principal.kind == \"human\" && resource.requester.kind == \"agent\"";
        let approve = permit("approve", &format!("{kind} && {asked}"));
        let trigger = permit("trigger", &format!("{who} && {asked} && {}", spent(1, 1, 1, 1)));
        [rehearsals, propose, need, approve, trigger, more.to_owned()].concat()
    };
    world.policies(&rules(""));
    let asks = |ttl: &str, uses: &str, incident: &str| {
        let terms =
            ["--ttl", ttl, "--uses", uses, "--incident", incident, "--key", "bot.key", "--reason", "r"];
        world.remit(&[&["request", ACTION, "--input", &input(SECRET), "--json"][..], &terms].concat())
    };
    for (ttl, uses, incident) in [("31m", "2", "INC-7"), ("30m", "1", "INC-7"), ("30m", "2", "INC-8")] {
        asks(ttl, uses, incident).exits(3).says("no policy allows it");
    }
    let id = asks("30m", "2", "INC-7").exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    world.remit(&["run", &id, "--key", "bot.key"]).exits(0);

    // A standing scope is told from a request, and a run under it from both: what the run uses is told, not what it might.
    let standing = format!(
        "{base} && resource.ttlSeconds == 86400 && resource.uses > 1000 && {} && resource.targetCount > 1000",
        "!resource.hasPlan && resource.standing && !resource.underStanding && resource.changes == 2"
    );
    let under = format!(
        "{base} && {} && resource.targetCount == 1 && resource.change == 1 && resource.changes == 1 && {}",
        "resource.underStanding && !resource.standing",
        spent(2, 2, 2, 2)
    );
    world.policies(&rules(
        &[
            permit("propose", &standing),
            "@needs(\"1 human\")\n".to_owned() + &permit("require", &standing),
            permit("approve", &standing),
            permit("trigger", &under),
        ]
        .concat(),
    ));
    let allow = |name| {
        format!(
            "[[allow]]\ncapability = \"remit:secrets/{name}\"\nresources = [\"secret:prod/payments/*\"]\n"
        )
    };
    world.write("night.toml", format!("[limits]\nchanges = 2\n{}{}", allow("inspect"), allow("rotate")));
    let terms = ["--standing", "--scope", "night.toml", "--for", "bot", "--ttl", "24h", "--key", "bot.key"];
    let night =
        ask(&world, &[&[ACTION][..], &terms, &["--runs-per-hour", "9", "--changes-per-hour", "9"]].concat());
    world.remit(&["approve", &night, "--key", "alice.key"]).exits(0);
    let run =
        ["run", ACTION, "--input", &input(SECRET), "--under", &night, "--reason", "r", "--key", "bot.key"];
    world.remit(&run).exits(0);
    // Three are spent.
    world.remit(&run).exits(3);
    world.audit_is_sound();
}
