//! What the journal proves to someone who has only a public key; and what a replay shows.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::witness::Witness;
use crate::common::{SECRET, World, finish, scope};
use serde_json::Value;

const ACTION: &str = "rotate-secret.wasm";

fn input() -> String {
    format!(r#"{{"path":"{SECRET}"}}"#)
}

/// A world with one run, and its name.
fn rotated() -> (World, String) {
    let world = World::new();
    world.grant(ACTION, &input(), "g");
    world.run("g").exits(0);
    let (run, _) = world.last_run();
    (world, run)
}

/// The log's public key, as someone else got it.
fn key(world: &World) -> String {
    fs::read_to_string(world.home().join("log.pub")).unwrap().trim().to_owned()
}

/// `check-proof` on a machine that has nothing: no home, no journal.
fn check(world: &World, file: &str, key: &str) -> crate::common::Ran {
    let mut command = world.command(&["audit", "check-proof", file, "--key", key]);
    command.env("REMIT_HOME", world.path("nowhere"));
    finish(command, "")
}

#[test]
fn a_proof_of_a_run_needs_nothing_but_the_key() {
    let (world, run) = rotated();
    world.remit(&["audit", "prove", &run, "--out", "run.proof"]).exits(0);
    let told = check(&world, "run.proof", &key(&world)).exits(0);
    for words in [&*run, "succeeded", "rotate.rotate on secret:prod/payments/stripe", "test.example/journal"]
    {
        assert!(told.out.contains(words), "{words} in\n{}", told.out);
    }

    // And who allowed it, to whoever knows the key of one who approved.
    let by = |approver: &str| {
        world.remit(&["audit", "check-proof", "run.proof", "--key", &key(&world), "--approver", approver])
    };
    assert!(by("alice.pub").exits(0).out.contains("its signature holds"));
    by("publisher.pub").exits(3).says("no approval on record is by this key");
    world.remit(&["plan", ACTION, "--input", &input(), "--out", "p.json"]).exits(0);
    let plan: Value = serde_json::from_slice(&fs::read(world.path("p.json")).unwrap()).unwrap();
    world.remit(&["audit", "prove", plan["run"].as_str().unwrap(), "--out", "plan.proof"]).exits(0);
    let args = ["audit", "check-proof", "plan.proof", "--key", &key(&world), "--approver", "alice.pub"];
    world.remit(&args).exits(3).says("no authority on record");

    // Whatever is changed in it is found.
    let proof: Value = serde_json::from_slice(&fs::read(world.path("run.proof")).unwrap()).unwrap();
    let records = proof["records"].as_array().unwrap().len();
    let tampered = |tamper: &dyn Fn(&mut Value)| {
        let mut proof = proof.clone();
        tamper(&mut proof);
        world.write("tampered.proof", proof.to_string());
        let told = check(&world, "tampered.proof", &key(&world));
        assert!(told.code == 4 || told.code == 2, "{told:?}");
    };
    for record in 0..records {
        tampered(&|proof| {
            let body = &mut proof["records"][record]["body"];
            *body = body.as_str().unwrap().replacen("run-", "ruN-", 1).into();
        });
        tampered(&|proof| proof["records"][record]["seq"] = 1_000.into());
        tampered(&|proof| proof["records"][record]["previous"] = "00".repeat(32).into());
        tampered(&|proof| drop(proof["records"][record]["path"].as_array_mut().unwrap().pop()));
        // One that is left out is missed, the last one too.
        tampered(&|proof| drop(proof["records"].as_array_mut().unwrap().remove(record)));
        tampered(&|proof| proof["records"][record]["place"] = 1_000.into());
    }
    tampered(&|proof| drop(proof.as_object_mut().unwrap().remove("end")));
    tampered(&|proof| {
        let end = &mut proof["end"];
        *end = end.as_str().unwrap().replacen("records ", "records 1", 1).into();
    });
    tampered(&|proof| {
        let note = &mut proof["checkpoint"];
        *note = note.as_str().unwrap().replacen("test.example", "best.example", 1).into();
    });
    tampered(&|proof| proof["kind"] = "remit.growth-proof.v1".into());

    // Another log's key, and no proof at all.
    let other = World::stranger();
    check(&world, "run.proof", &key(&other)).exits(4).says("not signed by the log's key");
    world.write("no.proof", "{}");
    check(&world, "no.proof", &key(&world)).exits(2).says("not a proof");
    check(&world, "run.proof", "not+a+key").exits(2);
    world.remit(&["audit", "prove", "run-zz"]).exits(2).says("no run");
}

#[test]
fn the_log_is_shown_to_have_only_grown() {
    let (world, _) = rotated();
    let old = world.remit(&["audit", "checkpoint"]).exits(0).out;
    world.write("old", &old);
    world.grant(ACTION, &input(), "h");
    world.remit(&["audit", "consistency", "old", "--out", "growth.proof"]).exits(0);
    let told = check(&world, "growth.proof", &key(&world)).exits(0);
    assert!(told.out.contains("no earlier record was changed"), "{}", told.out);
    let proof = fs::read_to_string(world.path("growth.proof")).unwrap();
    world.write("growth.proof", proof.replacen("\"path\": [\n    \"", "\"path\": [\n    \"AAAA", 1));
    assert_ne!(check(&world, "growth.proof", &key(&world)).code, 0);
    // A checkpoint of another log says nothing about this one.
    let other = World::stranger();
    world.write("other", other.remit(&["audit", "checkpoint"]).exits(0).out);
    world.remit(&["audit", "consistency", "other"]).exits(4);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { all.extend(files(&entry.path())) } else { all.push(entry.path()) }
    }
    all.sort();
    all
}

#[test]
fn tamper_with_each_published_file() {
    let (world, _) = rotated();
    world.remit(&["audit", "publish", "--to", "www"]).exits(0);
    // It grows as the log does.
    world.grant(ACTION, &input(), "h");
    world.remit(&["audit", "publish", "--to", "www"]).exits(0);
    let verify = || world.remit(&["audit", "verify", "--published", "www"]);
    assert!(verify().exits(0).out.contains("every tile"));
    let size: u64 =
        fs::read_to_string(world.path("www/checkpoint")).unwrap().lines().nth(1).unwrap().parse().unwrap();
    let newest = |file: &Path| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name == "checkpoint" || name == size.to_string()
    };
    let published: Vec<_> = files(&world.path("www")).into_iter().filter(|file| newest(file)).collect();
    assert_eq!(published.len(), 3, "the checkpoint, one tile of hashes, one of entries: {published:?}");
    for file in published {
        let whole = fs::read(&file).unwrap();
        let name = file.strip_prefix(world.path("www")).unwrap().to_str().unwrap().to_owned();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for bytes in [flipped, whole[..whole.len() - 1].to_vec(), [whole.clone(), whole.clone()].concat()] {
            fs::write(&file, bytes).unwrap();
            verify().exits(4).says(&name);
        }
        fs::remove_file(&file).unwrap();
        verify().exits(4).says(&name);
        fs::write(&file, whole).unwrap();
        verify().exits(0);
    }
    // Into the folder of another log nothing is written.
    let other = World::stranger();
    let to = world.path("www");
    other.remit(&["audit", "publish", "--to", to.to_str().unwrap()]).exits(4);
    verify().exits(0);
}

#[test]
fn witnesses_cosign_what_only_grows() {
    let (world, run) = rotated();
    let first = Witness::of("one.test/w", "test.example/journal", &key(&world));
    let second = Witness::of("two.test/w", "test.example/journal", &key(&world));
    world.remit(&["audit", "witness"]).exits(2).says("[[witness]]");
    let config = world.home().join("remit.toml");
    let plain = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{plain}{}{}", first.config(), second.config())).unwrap();
    world.remit(&["audit", "checkpoint", "--cosigned"]).exits(2).says("no witness");

    for _ in 0..2 {
        let asked = world.remit(&["audit", "witness", "--json"]).exits(0).json();
        let size = asked[0]["size"].as_u64().unwrap();
        assert_eq!(
            (asked[0]["witness"].as_str(), asked[1]["size"].as_u64()),
            (Some("one.test/w"), Some(size))
        );
        let note = world.remit(&["audit", "checkpoint", "--cosigned"]).exits(0).out;
        assert!(note.contains("\u{2014} one.test/w ") && note.contains("\u{2014} two.test/w "), "{note}");
        // A proof carries what they signed.
        world.remit(&["audit", "prove", &run, "--out", "run.proof"]).exits(0);
        check(&world, "run.proof", &key(&world)).exits(0);
        assert!(fs::read_to_string(world.path("run.proof")).unwrap().contains("two.test/w"));
        world.grant(ACTION, &input(), "more");
    }

    // The journal is put back as it was, and goes on differently: the witness has seen the other story.
    let twin = World::stranger();
    for name in ["log.key", "log.pub"] {
        fs::copy(world.home().join(name), twin.home().join(name)).unwrap();
    }
    fs::remove_file(twin.home().join("journal.db")).unwrap();
    let theirs = twin.home().join("remit.toml");
    let text = fs::read_to_string(&theirs).unwrap();
    fs::write(&theirs, text + &first.config()).unwrap();
    twin.remit(&["secret", "put", SECRET, "k", "--generate"]).exits(0);
    for round in 0..6 {
        twin.grant(ACTION, &input(), &format!("g{round}"));
    }
    let refused = twin.remit(&["audit", "witness"]).exits(1);
    assert!(refused.err.contains("another history"), "{}", refused.err);

    // One that is gone is reported; the other still signs.
    drop(second);
    let asked = world.remit(&["audit", "witness"]).exits(1).says("two.test/w did not cosign");
    assert!(asked.out.contains("one.test/w"), "{}", asked.out);
    // A witness whose key is not the configured one.
    let wrong = format!(
        "\n[[witness]]\nurl = \"{}\"\nkey = \"{}\"\n",
        first.url,
        Witness::of("one.test/w", "x", &key(&world)).key
    );
    fs::write(&config, format!("{plain}{wrong}")).unwrap();
    world.remit(&["audit", "witness"]).exits(1).says("one.test/w did not cosign");
}

#[test]
fn every_kind_of_run_replays() {
    let (world, run) = rotated();
    let same = |run: &str| {
        let told = world.remit(&["replay", run, "--json"]).exits(0).json();
        assert_eq!(told["divergence"], Value::Null, "{told}");
        assert_eq!(told["fuel"][0], told["fuel"][1], "{told}");
        told
    };
    assert_eq!(same(&run)["calls"], 5);
    // The world goes on; the replay does not notice.
    world.remit_with_stdin(&["secret", "put", SECRET, "api_key"], "theirs").exits(0);
    same(&run);
    let before = fs::read(world.home().join("journal.db")).unwrap();
    same(&run);
    assert_eq!(fs::read(world.home().join("journal.db")).unwrap(), before, "nothing was written");

    world.remit(&["secret", "put", "prod/other", "k", "--generate"]).exits(0);
    let deeds = [
        "rotate-then-fail",
        "rotate-then-panic",
        "rotate-then-outside",
        "verify-fails",
        "change-in-verify",
        "recursion",
        "flood",
        "log-bomb",
        "fail",
    ];
    for deed in deeds {
        let input = format!(r#"{{"do":"{deed}","path":"{SECRET}","paths":["prod/other"]}}"#);
        let head = "[limits]\nfuel = 20_000_000\nhost_calls = 50\nlog_bytes = \"1KiB\"\n";
        world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "g");
        let ran = world.run("g");
        assert_ne!(ran.code, 0, "{deed}");
        let run = ran.json()["run"].as_str().unwrap().to_owned();
        same(&run);
        // Whatever became of it, it can be proven whole.
        world.remit(&["audit", "prove", &run, "--out", "any.proof"]).exits(0);
    }
    // Cut short from outside: by its time, and by a kill.
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    let head = "[limits]\nfuel = 1_000_000_000_000\nwall_time = \"300ms\"\n";
    world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "g");
    let ran = world.run("g").exits(1).json();
    let told = world.remit(&["replay", ran["run"].as_str().unwrap(), "--json"]).exits(0).json();
    assert_eq!((told["complete"].as_bool(), &told["divergence"]), (Some(false), &Value::Null), "{told}");

    let input = format!(r#"{{"do":"flood","path":"{SECRET}"}}"#);
    let head = "[limits]\nfuel = 1_000_000_000_000\nhost_calls = 1_000_000_000\nanswers = \"1 TiB\"\n";
    world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, "g");
    let request = world.request("g");
    let args = ["run", &request, "--key", "bot.key"];
    let mut host = world.command(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    host.kill().unwrap();
    host.wait().unwrap();
    let (run, records) = world.last_run();
    assert!(records.len() > 10, "it was under way: {}", records.len());
    world.remit(&["recover"]).exits(0);
    let told = world.remit(&["replay", &run, "--json"]).exits(0).json();
    assert_eq!((told["complete"].as_bool(), &told["divergence"]), (Some(false), &Value::Null), "{told}");
    assert!(told["calls"].as_u64().unwrap() > 5, "{told}");
    // A rehearsal, by its plan.
    let plan: Value = {
        world.remit(&["plan", ACTION, "--input", &self::input(), "--out", "p.json"]).exits(0);
        serde_json::from_slice(&fs::read(world.path("p.json")).unwrap()).unwrap()
    };
    same(plan["run"].as_str().unwrap());
    world.remit(&["replay", "run-0"]).exits(2);
}

#[test]
fn a_replay_takes_what_is_compiled_and_writes_nothing() {
    let (world, run) = rotated();
    let kept = || {
        let files = fs::read_dir(world.home().join("cache")).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let before = kept();
    assert!(!world.remit(&["replay", &run, "-v"]).exits(0).err.contains("compiling again"));
    assert_eq!(kept(), before);
    // It looks there: code that is not as it was kept is not executed, and it says so.
    for (path, bytes) in before.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "cwasm"))
    {
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        fs::write(path, changed).unwrap();
    }
    let spoilt = kept();
    assert_ne!(spoilt, before);
    let replay = world.remit(&["replay", &run, "-v"]).exits(0).says("compiling again");
    assert!(replay.out.contains("identical"), "{}", replay.out);
    assert_eq!(kept(), spoilt);
}

#[test]
fn a_secret_that_was_disclosed_replays_until_it_expires() {
    let world = World::new();
    let input = format!(r#"{{"do":"reveal","path":"{SECRET}","field":"api_key"}}"#);
    let scope =
        scope("", SECRET).replace("\"remit:secrets/reveal\"", "\"remit:secrets/reveal\"\ndisclose = true");
    world.grant_scope(&scope, "misbehave.wasm", &input, "g");
    let ran = world.run("g").exits(0).json();
    let run = ran["run"].as_str().unwrap();
    assert_eq!(world.remit(&["replay", run, "--json"]).exits(0).json()["divergence"], Value::Null);
    world.remit(&["journal", "expire-undo", "--older-than", "0s"]).exits(0);
    world.remit(&["replay", run]).exits(1).says("was deleted");
    world.audit_is_sound();
}

#[test]
fn a_replay_of_something_else_is_found_out() {
    let (world, run) = rotated();
    // Another component under the name of the one that ran.
    let components = world.home().join("components");
    let kept = files(&components).remove(0);
    let whole = fs::read(&kept).unwrap();
    fs::copy(world.path("misbehave.wasm"), &kept).unwrap();
    world.remit(&["replay", &run]).exits(4).says("is not the component");
    fs::remove_file(&kept).unwrap();
    world.remit(&["replay", &run]).exits(2).says("is not kept here");
    fs::write(&kept, whole).unwrap();
    world.remit(&["replay", &run]).exits(0);
    // A record, properly signed, of a run in which the action asked for something else.
    let (_, records) = world.last_run();
    let other = remit_journal::RunId::new();
    let seed = fs::read(world.home().join("log.key")).unwrap().try_into().unwrap();
    let signer = remit_tlog::NoteSigner::from_seed("test.example/journal", &seed).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let journal = remit_journal::Journal::open(&world.home().join("journal.db"), signer).unwrap();
        for record in &records {
            let mut record = record.clone();
            record.as_object_mut().unwrap().remove("seq");
            // A clock that goes back starts nothing.
            record["at"] = jiff::Timestamp::now().to_string().into();
            let text = record.to_string().replace(&run, &other.to_string());
            let text = text.replace("\"uses\":1", "\"uses\":9").replace("inspect.metadata", "reveal.reveal");
            let record: remit_journal::Record = serde_json::from_str(&text).unwrap();
            match record.event {
                remit_journal::Event::Started(_) => {
                    journal.start(record, remit_trust::Sealed::from_bytes(Vec::new())).await.unwrap();
                }
                _ => journal.commit(record).await.unwrap(),
            }
        }
    });
    let told = world.remit(&["replay", &other.to_string()]).exits(4);
    assert!(
        told.err.contains("differs from the record at call") && told.err.contains("inspect.metadata"),
        "{told:?}"
    );
    // One that someone altered: nobody acts on its word.
    let database = world.home().join("journal.db");
    let sql = "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'secrets/inspect.metadata', 'secrets/reveal.reveal') AS BLOB)";
    rusqlite::Connection::open(database).unwrap().execute(sql, []).unwrap();
    for args in [
        vec!["replay", &*run],
        vec!["revert", &run],
        vec!["revert", &run, "--dry-run"],
        vec!["audit", "prove", &run],
    ] {
        world.remit(&args).exits(4).says("is not in the log");
    }
    assert_eq!(world.current_version(SECRET), 2, "nothing was touched");
    world.remit(&["revert", ""]).exits(2);
}

#[test]
fn attack_a_bad_witness_decides_about_nobody_else() {
    let (world, run) = rotated();
    let good = Witness::of("good.test/w", "test.example/journal", &key(&world));
    // Keys of witnesses that exist; who answers for them lies.
    let names = ["shorter", "longer", "huge", "words", "forged", "endless", "closed", "silent"];
    let keys =
        names.map(|name| Witness::of(&format!("{name}.test/w"), "x.example/log", &key(&world)).key.clone());
    let answer = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    let mut entries = String::new();
    for (name, key) in names.iter().zip(&keys) {
        let says = match *name {
            "shorter" => answer("409 Conflict", "0\n"),
            "longer" => answer("409 Conflict", "1000000\n"),
            "huge" => answer("409 Conflict", &format!("{}\n", u64::MAX)),
            "words" => answer("200 OK", "all is well\n"),
            "forged" => answer("200 OK", &format!("{}\n", forged(key))),
            "endless" => answer("200 OK", &"x".repeat(1 << 20)),
            "closed" => String::new(),
            _ => "silence".to_owned(),
        };
        write!(entries, "\n[[witness]]\nurl = \"{}\"\nkey = \"{key}\"\n", liar(says)).unwrap();
    }
    entries += "\n[[witness]]\nurl = \"http://127.0.0.1:1\"\nkey = \"no key\"\n";
    let config = world.home().join("remit.toml");
    let plain = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{plain}{entries}{}", good.config())).unwrap();

    let asked = world.remit(&["audit", "witness", "--json"]).exits(1);
    let (answers, err) = (asked.json(), &asked.err);
    for (n, name) in names.iter().enumerate() {
        assert_eq!(answers[n]["size"], Value::Null, "{name}");
        assert!(err.contains(&format!("{name}.test/w did not cosign")), "{name} in {err}");
    }
    assert!(err.contains("127.0.0.1:1 did not cosign: its `key` in remit.toml"), "{err}");
    let last = &answers[names.len() + 1];
    assert_eq!(last["witness"], "good.test/w");
    assert!(last["size"].as_u64().unwrap() > 0, "{answers}");
    // And it is kept, where proofs find it.
    let kept = || world.remit(&["audit", "checkpoint", "--cosigned"]).exits(0).out;
    assert!(kept().contains("\u{2014} good.test/w "), "{}", kept());
    world.remit(&["audit", "prove", &run, "--out", "run.proof"]).exits(0);
    assert!(fs::read_to_string(world.path("run.proof")).unwrap().contains("good.test/w"));

    // Whoever has signed this checkpoint has done so, also when another is asked and it is gone.
    let other = Witness::of("a.test/w", "test.example/journal", &key(&world));
    let two = format!("{plain}{}{}", good.config(), other.config());
    drop(good);
    fs::write(&config, two).unwrap();
    world.remit(&["audit", "witness"]).exits(1).says("good.test/w did not cosign");
    assert!(kept().contains("\u{2014} good.test/w ") && kept().contains("\u{2014} a.test/w "), "{}", kept());
    world.audit_is_sound();
}

/// A server that says the same to everyone, or keeps silent; its address.
fn liar(says: String) -> String {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut caller in server.incoming().flatten() {
            if says == "silence" {
                open.push(caller);
                continue;
            }
            let mut request = vec![0; 64 * 1024];
            let _ = std::io::Read::read(&mut caller, &mut request);
            let _ = std::io::Write::write_all(&mut caller, says.as_bytes());
        }
    });
    url
}

/// A signature line of that key, with a signature by nobody.
fn forged(key: &str) -> String {
    let mut parts = key.split('+');
    let (name, id) = (parts.next().unwrap(), parts.next().unwrap());
    let mut bytes = u32::from_str_radix(id, 16).unwrap().to_be_bytes().to_vec();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    bytes.extend(now.to_be_bytes());
    bytes.extend([7; 64]);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut line = format!("\u{2014} {name} ");
    for three in bytes.chunks(3) {
        let mut bits = 0_usize;
        for n in 0..3 {
            bits = bits << 8 | usize::from(*three.get(n).unwrap_or(&0));
        }
        for n in 0..4 {
            line.push(if n <= three.len() { alphabet[bits >> (18 - 6 * n) & 63].into() } else { '=' });
        }
    }
    line
}

/// Runs whose state came from a recovery, a person's word, a revert, and one under a standing scope: who approved them is
/// proven, and nothing can be taken out of their proofs, doubled, moved, or brought in from the proof of another.
#[test]
fn attack_the_proofs_of_runs_that_did_not_simply_end() {
    use remit_journal::{Proof, ProvenRecord, RunProof};
    let world = World::new();
    let under = |head: &str| scope(head, SECRET);
    // Killed, and recovered.
    let endless = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    let head = "[limits]\nfuel = 1_000_000_000_000\nwall_time = \"5m\"\n";
    world.grant_scope(&under(head), "misbehave.wasm", &endless, "g");
    let request = world.request("g");
    let mut host = world.command(&["run", &request, "--key", "bot.key"]);
    let mut host =
        host.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    while world.current_version(SECRET) == 1 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    host.kill().unwrap();
    host.wait().unwrap();
    world.remit(&["recover"]).exits(0);
    let recovered = world.last_run().0;
    // Reverted by a person.
    world.grant(ACTION, &input(), "g");
    let reverted = world.run("g").exits(0).json()["run"].as_str().unwrap().to_owned();
    world.remit(&["revert", &reverted]).exits(0);
    // Under a standing scope.
    world.write("s.toml", under(""));
    let ask = [
        "request",
        ACTION,
        "--standing",
        "--scope",
        "s.toml",
        "--for",
        "bot",
        "--ttl",
        "1h",
        "--reason",
        "r",
    ];
    let ask = world.remit(&[&ask[..], &["--key", "bob.key", "--json"]].concat()).exits(0).json();
    let id = ask["request"]["id"].as_str().unwrap();
    world.remit(&["approve", id, "--key", "alice.key"]).exits(0);
    let run =
        ["run", ACTION, "--input", &input(), "--under", id, "--reason", "r", "--key", "bot.key", "--json"];
    let standing = world.remit(&run).exits(0).json()["run"].as_str().unwrap().to_owned();
    // Of which a person said what became of it, at another home.
    let doubt = crate::common::bao::Doubt::about_a_destroy("");
    doubt.does(&["resolve", &doubt.run, "--happened", "--reason", "looked"]).exits(5);

    let homes = [(&world, vec![recovered, reverted, standing]), (&doubt.world, vec![doubt.run.clone()])];
    let mut strangers: Vec<RunProof> = Vec::new();
    for (world, runs) in homes {
        let log = remit_tlog::NoteVerifier::parse(&key(world)).unwrap();
        let prove = |run: &String| {
            world.remit(&["audit", "prove", run, "--out", "run.proof"]).exits(0);
            let by = |approver: &str| {
                let args =
                    ["audit", "check-proof", "run.proof", "--key", &key(world), "--approver", approver];
                world.remit(&args)
            };
            by("alice.pub").exits(0);
            by("bob.pub").exits(3).says("no approval on record is by this key");
            match Proof::parse(&fs::read_to_string(world.path("run.proof")).unwrap()).unwrap() {
                Proof::Run(proof) => proof,
                Proof::Growth(_) => unreachable!(),
            }
        };
        let proofs: Vec<RunProof> = runs.iter().map(prove).collect();
        for (own, proof) in proofs.iter().enumerate() {
            let refused = |what: &str, at: usize, changed: RunProof| {
                let checked = Proof::Run(changed).check(&log);
                assert!(checked.is_err(), "{}: {what} at {at}: {checked:?}", proof.run);
            };
            let with = |records: Vec<ProvenRecord>| RunProof { records, ..proof.clone() };
            let whole = &proof.records;
            for at in 0..whole.len() {
                for length in [1, 2, 5, whole.len()] {
                    let until = whole.len().min(at + length);
                    refused("cut", at, with([&whole[..at], &whole[until..]].concat()));
                    refused("twice", at, with([&whole[..until], &whole[at..]].concat()));
                }
                for other in [at + 1, whole.len() - 1].into_iter().filter(|other| at < *other) {
                    let mut swapped = whole.clone();
                    let Some(places) = swapped.get(other).map(|o| (whole[at].place, o.place)) else {
                        continue;
                    };
                    swapped.swap(at, other);
                    refused("swapped", at, with(swapped.clone()));
                    // And each called by the other's place.
                    (swapped[at].place, swapped[other].place) = places;
                    refused("swapped, renamed", at, with(swapped));
                }
            }
            let others = proofs.iter().enumerate().filter(|(at, _)| *at != own).map(|(_, other)| other);
            for other in others.chain(&strangers) {
                for (at, stranger) in other.records.iter().enumerate() {
                    let at = at.min(whole.len());
                    let mut inserted = whole.clone();
                    inserted.insert(at, stranger.clone());
                    refused("a stranger", at, with(inserted));
                    if at < whole.len() {
                        let mut replaced = whole.clone();
                        replaced[at] = stranger.clone();
                        refused("a stranger instead", at, with(replaced));
                    }
                    // Its words in place of these: the same place and path, another text.
                    if at < whole.len() {
                        let mut reworded = whole.clone();
                        reworded[at].body.clone_from(&stranger.body);
                        refused("a stranger's words", at, with(reworded));
                    }
                }
                refused("another's end", 0, RunProof { end: other.end.clone(), ..proof.clone() });
                refused("another's records", 0, with(other.records.clone()));
                refused("another's name", 0, RunProof { run: other.run, ..proof.clone() });
            }
        }
        strangers.extend(proofs);
    }
}
