//! Commands through a server: whoever types them has a key, and nothing of the home.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::common::server::Server;
use crate::common::{Ran, SECRET, World, proxy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_trust::{Sign as _, Signer};
use serde_json::{Value, json};

const ACTION: &str = "rotate-secret.wasm";

/// `remit` where there is no home, with the contexts of this principal.
fn user(world: &World, name: &str, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command.env_remove("REMIT_HOME").env_remove("REMIT_KEY").env("HOME", "/nonexistent");
    command.env("XDG_CONFIG_HOME", world.path(&format!("{name}.config")));
    command
}

#[track_caller]
fn as_user(world: &World, name: &str, args: &[&str]) -> Ran {
    let ran = crate::common::finish(user(world, name, args), "");
    crate::common::schema::hold(args, &ran.out);
    ran
}

/// The same through the server.
#[track_caller]
fn at(world: &World, name: &str, args: &[&str]) -> Ran {
    as_user(world, name, &[args, &["--context", "prod"]].concat())
}

fn add(world: &World, name: &str, url: &str) -> Ran {
    let key = format!("{name}.key");
    as_user(world, name, &["context", "add", "prod", url, "--key", &key])
}

fn input() -> String {
    format!(r#"{{"path":"{SECRET}"}}"#)
}

#[track_caller]
fn ask(world: &World) -> String {
    let input = input();
    let asked = ["request", ACTION, "--input", &input, "--reason", "leaked", "--json"];
    at(world, "bot", &asked).exits(0).json()["request"]["id"].as_str().unwrap().to_owned()
}

/// A list or a view without what differs from one moment to the next.
fn without_times(text: &str) -> String {
    let tells_time =
        |line: &&str| ["until", "note:", " ago ", "ends in ", ": in "].iter().any(|word| line.contains(word));
    text.lines().filter(|line| !tells_time(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_repair_from_three_machines_is_the_same_commands() {
    let world = World::new();
    let server = Server::of(&world);
    for name in ["bot", "alice", "bob"] {
        let added = add(&world, name, &server.url).exits(0);
        assert!(added.out.contains("test.example/journal"), "{}", added.out);
    }
    // What is sent could be read on its way, or the URL is none.
    for (url, told) in [
        ("http://remit.example", "http:// to another machine"),
        ("http://127.0.0.1.evil.example", "http:// to another machine"),
        ("https://bot:secret@remit.example", "a user or password in it"),
        ("remit.example", "no scheme or no host"),
        ("https://remit.example/api", "it has a path"),
    ] {
        add(&world, "bot", url).exits(2).says(told);
    }
    let listed = as_user(&world, "bot", &["context", "list", "--json"]).exits(0).json();
    assert_eq!((&listed[0]["name"], &listed[0]["log"]), (&json!("prod"), &json!("test.example/journal")));

    let request = ask(&world);
    at(&world, "bot", &["run", &request]).exits(3).says("approvals are missing");
    at(&world, "bot", &["approve", &request]).exits(3);
    // The same command says the same at the home.
    let input = input();
    for args in [
        &["request", "show", &*request][..],
        &["requests"],
        &["request", "show", "last", "--json"],
        &["policy", "explain", &request],
        &["plan", ACTION, "--input", &input],
        &["status"],
    ] {
        let (there, here) = (at(&world, "alice", args).exits(0), world.remit(args).exits(0));
        if args == ["requests"] {
            assert!(there.out.contains(&request), "{}", there.out);
        } else {
            assert_eq!(without_times(&there.out), without_times(&here.out));
        }
    }
    // A kept action is named by its digest, or by a file that has it.
    let digest =
        world.remit(&["inspect", ACTION, "--json"]).exits(0).json()["digest"].as_str().unwrap().to_owned();
    for named in [ACTION, &*digest] {
        for more in [&[][..], &["--json"]] {
            let args = [&["inspect", named][..], more].concat();
            assert_eq!(at(&world, "bot", &args).exits(0).out, world.remit(&args).exits(0).out, "{args:?}");
        }
    }
    at(&world, "bot", &["inspect", &format!("sha256:{}", "0".repeat(64))]).exits(2);
    let diff = ["inspect", "--diff", &*digest, &*digest];
    assert_eq!(at(&world, "bot", &diff).exits(0).out, world.remit(&diff).exits(0).out);
    at(&world, "alice", &["approve", &request, "--digest", &format!("sha256:{}", "0".repeat(64))]).exits(3);
    let approved = at(&world, "alice", &["approve", &request, "--reason", "looked at it"]).exits(0);
    assert!(approved.out.contains("approved"), "{}", approved.out);

    let ran = at(&world, "bot", &["run", &request, "--json"]).exits(0).json();
    let run = ran["run"].as_str().unwrap().to_owned();
    assert_eq!((&ran["state"], world.current_version(SECRET)), (&json!("succeeded"), 2));
    for args in [&["show", &*run][..], &["show", "last", "--json"], &["runs", "--live", "--json"]] {
        assert_eq!(at(&world, "alice", args).exits(0).out, world.remit(args).exits(0).out, "{args:?}");
    }
    for more in [&[][..], &["--keep-going"]] {
        let shown = at(&world, "bob", &[&["revert", &run, "--dry-run"][..], more].concat()).exits(0);
        assert!(shown.out.contains("would be undone"), "{}", shown.out);
    }
    for args in [&["principals"][..], &["principals", "--json"]] {
        assert_eq!(at(&world, "bot", args).exits(0).out, world.remit(args).exits(0).out, "{args:?}");
    }
    at(&world, "bob", &["revert", &run]).exits(2).says("--reason");
    let reverted = at(&world, "bob", &["revert", &run, "--reason", "wrong"]).exits(0);
    assert!(reverted.out.contains("undone"), "{}", reverted.out);
    assert_eq!(world.remit(&["runs", "--live", "--json"]).json()[0]["state"], "reverted");

    // Orders, and a document that is signed elsewhere.
    at(&world, "alice", &["freeze", "--reason", "INC-9"]).exits(0);
    assert_eq!(world.remit(&["status", "--json"]).exits(3).json()["frozen"]["by"], "alice");
    at(&world, "bob", &["unfreeze", "--reason", "over", "--prepare", "order.doc"]).exits(0);
    let signer = Signer::load(&world.path("bob.key")).unwrap();
    world.write("order.doc.sig", signer.sign(&fs::read(world.path("order.doc")).unwrap()).unwrap());
    at(&world, "bob", &["unfreeze", "--reason", "over", "--signed", "order.doc"]).exits(0);
    let second = ask(&world);
    at(&world, "alice", &["deny", &second, "--reason", "no"]).exits(0);
    let third = ask(&world);
    at(&world, "alice", &["revoke", "request", &third, "--reason", "not now"]).exits(0);
    at(&world, "alice", &["revoke", "principal", "bot", "--reason", "INC-9"]).exits(0);
    at(&world, "bot", &["requests"]).exits(3);
    world.audit_is_sound();

    // What only a home can do says so, and what is not there is told.
    for args in [&["doctor"][..], &["audit", "verify"], &["show", "last", "--own-words"]] {
        at(&world, "alice", args).exits(2).says("works at a home only");
    }
    as_user(&world, "alice", &["requests", "--context", "other"]).exits(2).says("no context `other`");
    server.stop();
    at(&world, "alice", &["requests"]).exits(1).says("cannot be reached");
    as_user(&world, "alice", &["context", "remove", "prod"]).exits(0);
}

#[test]
fn a_person_elsewhere_says_what_became_of_a_call_in_doubt_and_watches() {
    use std::io::{BufRead as _, BufReader};
    let doubt = crate::common::bao::Doubt::about_a_destroy("");
    let (world, run) = (&doubt.world, doubt.run.as_str());
    let server = Server::of(world);
    add(world, "alice", &server.url).exits(0);
    let mut watching = user(world, "alice", &["runs", "--watch", "--json", "--context", "prod"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("\"in-doubt\"")));
    let resolve = ["resolve", run, "--happened", "--reason", "the vault's own log says so"];
    at(world, "alice", &[&resolve[..], &["--call", "9"]].concat()).exits(2).says("not in doubt");
    let told = at(world, "alice", &resolve).exits(5);
    assert!(told.out.contains("held"), "{told:?}");
    assert!(lines.any(|line| line.contains("\"held\"")));
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert_eq!(world.remit(&["runs", "--live", "--json"]).exits(0).json()[0]["state"], "held");
    world.audit_is_sound();
}

/// The exit code is the error's class, and what was taken back is told: here and from elsewhere.
#[test]
fn a_run_that_fails_ends_the_same_from_elsewhere() {
    let world = World::new();
    world.remit(&["secret", "put", "prod/other", "value", "--generate"]).exits(0);
    let server = Server::of(&world);
    for name in ["bot", "alice"] {
        add(&world, name, &server.url).exits(0);
    }
    for (deed, head, code) in [
        ("rotate-then-fail", "on_failure = \"revert\"", 1),
        ("rotate-then-outside", "on_failure = \"revert\"", 3),
        ("rotate-then-outside", "on_failure = \"hold\"", 5),
        ("flood", "[limits]\nhost_calls = 5", 1),
    ] {
        world.write("scope.toml", crate::common::scope(head, SECRET));
        let input = format!(r#"{{"do":"{deed}","path":"{SECRET}","paths":["prod/other"]}}"#);
        let ask = ["request", "misbehave.wasm", "--input", &input, "--without-plan", "--scope", "scope.toml"];
        let ask = [&ask[..], &["--uses", "2", "--reason", "r", "--json"]].concat();
        let id = at(&world, "bot", &ask).exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
        at(&world, "alice", &["approve", &id]).exits(0);
        let there = at(&world, "bot", &["run", &id]).exits(code);
        let here = world.remit(&["run", &id, "--key", "bot.key"]).exits(code);
        let told = |ran: &Ran| {
            let lines = ran.out.lines().filter(|line| !line.starts_with("used"));
            let lines = lines.map(|line| line.split_once("  ").unwrap_or_default().1);
            lines.map(|line| line.replace(|c: char| c.is_ascii_digit(), "N")).collect::<Vec<_>>()
        };
        assert_eq!(told(&there), told(&here), "{deed}");
        assert_eq!(there.out.contains("undo #"), head.contains("revert"), "{}", there.out);
    }
}

/// Whoever has the public keys needs nothing of Remit's to see who signed what, wherever it was signed.
#[test]
fn what_was_signed_elsewhere_is_verified_by_ssh_keygen_and_openssl() {
    let world = World::new();
    let run = |program: &str, args: &[&str], stdin: Option<&str>| {
        let stdin =
            stdin.map_or(Stdio::null(), |file| Stdio::from(fs::File::open(world.path(file)).unwrap()));
        let done =
            Command::new(program).args(args).current_dir(world.dir.path()).stdin(stdin).output().unwrap();
        assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "dora", "-f", "dora.key"], None);
    let public = fs::read_to_string(world.path("dora.key.pub")).unwrap();
    fs::write(world.home().join("keys/dora.pub"), &public).unwrap();
    let principals = world.home().join("principals.toml");
    let text = fs::read_to_string(&principals).unwrap();
    let dora =
        "\n[[principal]]\nname = \"dora\"\nkind = \"human\"\n[[principal.key]]\nfile = \"keys/dora.pub\"\n";
    fs::write(&principals, text + dora).unwrap();
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    let server = Server::of(&world);
    for name in ["bot", "dora"] {
        add(&world, name, &server.url).exits(0);
    }
    let request = ask(&world);
    at(&world, "dora", &["approve", &request]).exits(0);

    fs::create_dir(world.path("out")).unwrap();
    world.remit(&["request", "export", &request, "--out", "out"]).exits(0);
    world.write("allowed", format!("dora namespaces=\"remit\" {public}"));
    let args = ["-Y", "verify", "-f", "allowed", "-I", "dora", "-n", "remit", "-s", "out/approval-dora.sig"];
    let told = run("ssh-keygen", &args, Some("out/approval-dora.signed"));
    assert!(told.contains("Good \"remit\" signature for dora"), "{told}");

    let exported = world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
    let asked = exported.lines().find(|line| line.contains("\"requested\"")).unwrap();
    let (_, signature) = asked.split_once("\"sig\":\"").unwrap();
    let signature = STANDARD.decode(signature.split_once('"').unwrap().0).unwrap();
    world.write("request.sig", signature);
    run("openssl", &["pkey", "-in", "bot.key", "-pubout", "-out", "bot.pem"], None);
    let args =
        ["dgst", "-sha256", "-verify", "bot.pem", "-signature", "request.sig", "out/request-bot.signed"];
    assert!(run("openssl", &args, None).contains("Verified OK"));
}

#[test]
fn a_standing_scope_from_elsewhere_asks_for_what_is_outside() {
    let world = World::new();
    let server = Server::of(&world);
    for name in ["bot", "alice"] {
        add(&world, name, &server.url).exits(0);
    }
    world.write("night.toml", crate::common::scope("", SECRET));
    let standing = ["--standing", "--scope", "night.toml", "--for", "bot", "--reason", "night", "--json"];
    let asked = at(&world, "bot", &[&["request", ACTION][..], &standing].concat()).exits(0).json();
    let id = asked["request"]["id"].as_str().unwrap();
    at(&world, "alice", &["approve", id]).exits(0);
    let (inside, outside) = (input(), r#"{"path":"prod/other"}"#);
    let under = ["--under", id, "--reason", "INC-7"];
    at(&world, "bot", &[&["run", ACTION, "--input", &inside][..], &under].concat()).exits(0);
    world.remit(&["secret", "put", "prod/other", "api_key", "--generate"]).exits(0);
    at(&world, "bot", &[&["run", ACTION, "--input", outside][..], &under].concat())
        .exits(3)
        .says("a request was made instead");
    assert!(at(&world, "alice", &["requests"]).exits(0).out.contains("prod/other"));
    world.audit_is_sound();
}

type Lie = Box<dyn Fn(&str, &mut Value) + Send>;

/// A server that passes on what another answers, and may change it.
struct Liar {
    url: String,
    lie: Arc<Mutex<Lie>>,
}

impl Liar {
    fn before(server: &Server) -> Self {
        let lie: Arc<Mutex<Lie>> = Arc::new(Mutex::new(Box::new(|_, _| ())));
        let told = Arc::clone(&lie);
        let url = proxy::changing(&server.url, move |path, answer| told.lock().unwrap()(path, answer));
        Self { url, lie }
    }

    fn tells(&self, lie: impl Fn(&str, &mut Value) + Send + 'static) {
        *self.lie.lock().unwrap() = Box::new(lie);
    }
}

/// Changes the document that waits for its signature.
fn altered(answer: &mut Value, change: impl FnOnce(&mut Value)) {
    let payload = STANDARD.decode(answer["payload"].as_str().unwrap()).unwrap();
    let mut document: Value = serde_json::from_slice(&payload).unwrap();
    change(&mut document);
    answer["payload"] = STANDARD.encode(remit_trust::canonical(&document).unwrap()).into();
}

/// A server that was taken over prepares something else than what it was asked for, or shows something else than is signed.
#[test]
fn attack_by_a_server_that_lies() {
    let world = World::new();
    let server = Server::of(&world);
    let liar = Liar::before(&server);
    for name in ["bot", "alice", "bob"] {
        add(&world, name, &liar.url).exits(0);
    }
    let (request, other) = (ask(&world), ask(&world));
    let is_refused = |lie: fn(&mut Value), name: &str, args: &[&str]| {
        liar.tells(move |path, answer| {
            if path.ends_with("/prepare") && !path.contains("sessions") {
                altered(answer, lie);
            }
        });
        at(&world, name, args).exits(3).says("the server prepared something else");
    };
    let approve = ["approve", &request];
    is_refused(|document| document["approve"] = false.into(), "alice", &approve);
    is_refused(|document| document["reason"] = "whatever".into(), "alice", &approve);
    is_refused(|document| document["log"] = "other.example/journal".into(), "alice", &approve);
    is_refused(
        |document| document["request"] = format!("sha256:{}", "0".repeat(64)).into(),
        "alice",
        &approve,
    );
    is_refused(|document| document["order"] = "freeze".into(), "alice", &["unfreeze", "--reason", "over"]);
    let revoke = ["revoke", "request", &request, "--reason", "x"];
    is_refused(
        |document| document["order"]["revoke"] = json!([{"basis": "all", "earlier_only": true}]),
        "alice",
        &revoke,
    );
    is_refused(
        |document| {
            let more = json!({"basis": "all", "earlier_only": true});
            document["order"]["revoke"].as_array_mut().unwrap().push(more);
        },
        "alice",
        &revoke,
    );
    let input = input();
    let ask_again = ["request", ACTION, "--input", &input, "--reason", "leaked"];
    for lie in [
        (|document| document["asks"]["run"]["input"] = json!({"path": "prod/other"})) as fn(&mut Value),
        |document| document["uses"] = 9.into(),
        |document| document["triggers"] = json!(["bot", "mallory"]),
        |document| document["break_glass"] = true.into(),
        |document| document["scope"]["allow"][0]["disclose"] = true.into(),
        |document| document["not_after"] = "2099-01-01T00:00:00Z".into(),
    ] {
        is_refused(lie, "bot", &ask_again);
    }
    // What is shown is another request than what is signed.
    liar.tells(|path, answer| {
        if path.contains("/requests/req-") && !path.ends_with("/prepare") {
            answer["request"]["reason"] = "harmless".into();
        }
    });
    let wrong = at(&world, "alice", &approve);
    assert_ne!(wrong.code, 0, "{}", wrong.out);
    // What follows from a request is computed where it is shown, not by the server.
    liar.tells(|_, answer| {
        let views = answer["requests"].as_array_mut().into_iter().flatten().map(|view| &mut *view);
        let lie = |view: &mut Value| {
            view["target"] = json!(["secret:dev/harmless"]);
            view["powers"]["all"] = json!([]);
            view["digest"] = format!("sha256:{}", "0".repeat(64)).into();
        };
        views.for_each(lie);
        if answer["powers"].is_object() {
            lie(answer);
        }
    });
    let honest = world.remit(&["request", "show", &request, "--json"]).exits(0).json();
    let shown = at(&world, "alice", &["request", "show", &request, "--json"]).exits(0).json();
    let listed = at(&world, "alice", &["requests", "--json"]).exits(0).json();
    let listed =
        listed["requests"].as_array().unwrap().iter().find(|view| view["digest"] == honest["digest"]);
    for view in [&shown, listed.unwrap()] {
        for what in ["digest", "powers", "target"] {
            assert_eq!(view[what], honest[what], "{what}");
        }
    }
    // It says that it is another one.
    let (shown, signed) = (request.clone(), other.clone());
    liar.tells(move |path, answer| {
        if path.ends_with("/prepare") && !path.contains("sessions") {
            altered(answer, |document| document["id"] = signed.clone().into());
        }
    });
    at(&world, "alice", &["approve", &shown]).exits(3).says("it is about");
    // Another home answers.
    liar.tells(|path, answer| {
        if path == "/api/v1" {
            answer["log_key"] = "other.example/journal+00000000+AAAA".into();
        }
    });
    at(&world, "alice", &["requests"]).exits(3).says("has another journal than when it was added");

    // Nothing of it was signed.
    liar.tells(|_, _| ());
    let requests = at(&world, "alice", &["requests", "--all", "--json"]).exits(0).json();
    for view in requests["requests"].as_array().unwrap() {
        assert_eq!((&view["status"], view["approvals"].as_array().unwrap().len()), (&json!("waiting"), 0));
    }
    assert_eq!((requests["requests"].as_array().unwrap().len(), &requests["orders"]), (2, &json!([])));
    world.audit_is_sound();
}
