//! Whoever wants authority that nobody gave: each attempt fails, and says why.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod ways;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{POLICY, SECRET, World, finish, scope};
use remit_journal::{About, Act, Journal, LedgerEvent, SignedStatement};
use remit_tlog::NoteSigner;
use serde_json::Value;
use ways::{At, OnlyAtHome, Stand, Told};

const ACTION: &str = "rotate-secret.wasm";

/// The table of attacks. Each is played by every way in ([`ways::Way`]), unless it says why it is not.
macro_rules! attacks {
    ($($attack:ident $(only at home: $why:ident)?;)*) => {
        #[cfg(test)]
        mod attack {
            use super::{At, OnlyAtHome};
            $(
                #[test]
                fn $attack() {
                    let only: &[OnlyAtHome] = &[$(OnlyAtHome::$why)?];
                    At::each(super::$attack, only.first().copied());
                }
            )*
        }
    };
}

attacks! {
    with_an_approval_by_someone_who_is_revoked;
    self_approval_under_a_second_key;
    the_same_approver_twice;
    an_approval_of_something_else;
    out_of_time;
    a_swapped_component;
    a_plan_that_is_not_so_any_more;
    the_rules_themselves;
    agents_alone;
    a_budget_in_small_steps;
    one_use_from_fifty_processes;
    a_start_that_races_with_its_revocation;
    what_is_taken_away_stops_what_goes_on;
    random_agents;
    a_world_that_needs_one_change_more;
    a_rehearsal_without_leave;
    a_rehearsal_by_nobody only at home: WithoutAKey;
}

fn input() -> String {
    format!(r#"{{"path":"{SECRET}","field":"api_key"}}"#)
}

/// The policies that Remit ships.
fn shipped() -> &'static str {
    remit_policy::shipped_files()[0].1
}

/// A new request: whoever proposes what is open already gets that, so each has another reason.
fn asked(world: &Stand, by: &str) -> String {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let reason = format!("r {}", ASKED.fetch_add(1, Ordering::Relaxed));
    let args = ["request", ACTION, "--input", &input(), "--reason", &reason, "--key", by, "--json"];
    world.remit(&args).exits(0).json()["request"]["id"].as_str().unwrap().to_owned()
}

fn run(world: &Stand, id: &str) -> Told {
    world.remit(&["run", id, "--key", "bot.key"])
}

fn with_an_approval_by_someone_who_is_revoked(at: &At) {
    let world = at.world(POLICY);
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    world.remit(&["revoke", "principal", "alice", "--reason", "left", "--key", "bob.key"]).exits(0);
    run(&world, &id).exits(3).says("1 of 1 human").says("alice was revoked (bob: left)");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(3).says("was revoked");
    // Another's approval is as good as before.
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(0);
    run(&world, &id).exits(0);
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();
}

/// Adds to principals.toml, with an administrator's consent.
fn principals(world: &World, more: &str) {
    let file = world.home().join("principals.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap() + more).unwrap();
}

fn untouched(world: &World) {
    assert_eq!(world.current_version(SECRET), 1);
    world.audit_is_sound();
}

/// What someone who can write the journal, and has its key, puts there.
fn inject(world: &World, acts: &[Act]) {
    let seed = fs::read(world.home().join("log.key")).unwrap().try_into().unwrap();
    let signer = NoteSigner::from_seed("test.example/journal", &seed).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let journal = Journal::open(&world.home().join("journal.db"), signer).unwrap();
        for act in acts {
            journal.act(act).await.unwrap();
        }
    });
}

/// The approvals on record of a request.
fn approvals(world: &World, id: &str) -> Vec<SignedStatement> {
    let reader = Journal::open_read_only(&world.home().join("journal.db")).unwrap();
    let acts = reader.acts(About::Request(id.parse().unwrap())).unwrap();
    let approved = |(_, act): (u64, Act)| match act.event {
        LedgerEvent::Approved(word) => Some(word),
        _ => None,
    };
    acts.into_iter().filter_map(approved).collect()
}

fn approval(id: &str, word: SignedStatement) -> Act {
    Act::now(About::Request(id.parse().unwrap()), LedgerEvent::Approved(word))
}

fn self_approval_under_a_second_key(at: &At) {
    let world = at.world(shipped());
    world.remit(&["keys", "new", "--out", "alice-2"]).exits(0);
    let id = asked(&world, "alice.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(3).says("nobody approves their own request");
    // A key nobody knows.
    world.remit(&["approve", &id, "--key", "alice-2.key"]).exits(3).says("belongs to no principal");
    // A second key of her own.
    fs::copy(world.path("alice-2.pub"), world.home().join("keys/alice-2.pub")).unwrap();
    let file = world.home().join("principals.toml");
    let text = fs::read_to_string(&file).unwrap();
    let key = format!("[[principal.key]]\nfile   = \"{}\"\n", world.kept_key("principals", "alice"));
    fs::write(&file, text.replace(&key, &format!("{key}[[principal.key]]\nfile = \"keys/alice-2.pub\"\n")))
        .unwrap();
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    let id = asked(&world, "alice.key");
    world.remit(&["approve", &id, "--key", "alice-2.key"]).exits(3).says("nobody approves their own request");
    // The same key under a second name, in whatever form.
    principals(
        &world,
        "\n[[principal]]\nname = \"alicia\"\nkind = \"human\"\n[[principal.key]]\nfile = \"keys/alice-2.pub\"\n",
    );
    world.remit(&["rules", "sign", "--key", "admin.key"]).exits(2).says("one key proves one identity");
    untouched(&world);
}

fn the_same_approver_twice(at: &At) {
    let world = at.world(&POLICY.replace("1 human", "2 human"));
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(3).says("alice has approved it already");
    inject(&world, &[approval(&id, approvals(&world, &id).remove(0))]);
    run(&world, &id).exits(3).says("1 of 2 humans").says("alice repeats an earlier one");
    untouched(&world);
}

fn an_approval_of_something_else(at: &At) {
    let world = at.world(POLICY);
    let (first, second) = (asked(&world, "bot.key"), asked(&world, "bot.key"));
    let wrong = format!("sha256:{}", "0".repeat(64));
    world
        .remit(&["approve", &second, "--digest", &wrong, "--key", "alice.key"])
        .exits(3)
        .says("not the request you looked at");
    world.remit(&["approve", &first, "--key", "alice.key"]).exits(0);
    // Replayed, as if it were about the other.
    inject(&world, &[approval(&second, approvals(&world, &first).remove(0))]);
    run(&world, &second).exits(3).says("the approval by alice is about another request");
    // Altered, trimmed, signed by nobody, signed by somebody else in her name.
    let real = approvals(&world, &first).remove(0);
    let document: Value = serde_json::from_str(real.document.get()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = document.clone();
        change(&mut document);
        let document = serde_json::value::RawValue::from_string(document.to_string()).unwrap();
        approval(&second, SignedStatement { document, ..real.clone() })
    };
    let acts = [
        with(&|d| d["signatures"] = Value::Array(Vec::new())),
        with(&|d| d["signatures"][0]["sig"] = "".into()),
        with(&|d| d["payload"] = d["payload"].as_str().unwrap().replace('A', "B").into()),
        with(&|d| d["payloadType"] = "application/vnd.remit.request.v1+json".into()),
        with(&|d| d["signatures"][0]["alg"] = "none".into()),
    ];
    inject(&world, &acts);
    run(&world, &second).exits(3).says("approvals are missing: 1 of 1 human");
    run(&world, &first).exits(0);
    // Used up, and replayed.
    inject(&world, &[approval(&first, real)]);
    run(&world, &first).exits(3).says("used up");
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();
}

fn out_of_time(at: &At) {
    let world = at.world(POLICY);
    let args = [
        "request",
        ACTION,
        "--input",
        &input(),
        "--reason",
        "r",
        "--ttl",
        "20s",
        "--json",
        "--key",
        "bot.key",
    ];
    let id = world.remit(&args).exits(0).json()["request"]["id"].as_str().unwrap().to_owned();
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    std::thread::sleep(Duration::from_millis(20_100));
    run(&world, &id).exits(3).says("it expired at");
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(3).says("it expired at");
    let zero = ["request", ACTION, "--input", &input(), "--reason", "r", "--key", "bot.key", "--ttl"];
    for ttl in ["0s", "25h"] {
        world.remit(&[&zero[..], &[ttl]].concat()).exits(2).says("at most 24h");
    }
    world.remit(&["request", ACTION, "--input", &input(), "--reason", " ", "--key", "bot.key"]).exits(2);

    // A clock that is set back gives nothing new life: the journal knows better.
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    let mut word = approvals(&world, &id).remove(0);
    word.principal = String::from("nobody");
    let mut act = approval(&id, word);
    act.at += Duration::from_secs(3600);
    inject(&world, &[act]);
    run(&world, &id).exits(3).says("the journal already has a record of").says("set back");
    untouched(&world);
}

fn a_swapped_component(at: &At) {
    let world = at.world(POLICY);
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    let kept: Vec<_> = fs::read_dir(world.home().join("components")).unwrap().flatten().collect();
    let kept = kept.iter().find(|file| file.path().extension().is_some_and(|e| e == "wasm")).unwrap();
    fs::copy(world.path("misbehave.wasm"), kept.path()).unwrap();
    run(&world, &id).exits(4).says("is not the component");
    untouched(&world);
}

fn a_plan_that_is_not_so_any_more(at: &At) {
    let world = at.world(POLICY);
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    world.remit(&["secret", "put", SECRET, "api_key", "--generate"]).exits(0);
    run(&world, &id)
        .exits(3)
        .says("it would do something else")
        .says("version 1 back")
        .says("version 2 back");
    run(&world, &id).exits(3).says("it was voided");
    world.remit(&["approve", &id, "--key", "bob.key"]).exits(3).says("it was voided");
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();
}

fn the_rules_themselves(at: &At) {
    let world = at.world(POLICY);
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    let file = world.home().join("principals.toml");
    let text = fs::read_to_string(&file).unwrap();
    // An agent's key, listed as a human's by someone who is no administrator.
    let human = text.replace("kind   = \"agent\"", "kind   = \"human\"");
    fs::write(&file, &human).unwrap();
    run(&world, &id)
        .exits(3)
        .says("principals.toml, or a key it names, is not what the administrator signed");
    world.remit(&["rules", "sign", "--key", "bot.key"]).exits(3).says("is no administrator's");
    // A key file under an unchanged principals.toml.
    fs::write(&file, &text).unwrap();
    let [alice, bot] = ["alice", "bot"].map(|name| world.home().join(world.kept_key("principals", name)));
    let real = fs::read(&alice).unwrap();
    world.remit(&["keys", "new", "--out", "mallory"]).exits(0);
    fs::copy(world.path("mallory.pub"), &alice).unwrap();
    run(&world, &id).exits(3).says("is not what the administrator signed");
    fs::write(&alice, &real).unwrap();
    // Policies: unsigned, then signed again. Either way what was approved under the old ones is void.
    let policy = world.home().join("policies/default.cedar");
    fs::write(&policy, POLICY.replace("1 human", "0")).unwrap();
    run(&world, &id).exits(3).says("policies/ is not what the administrator signed");
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    run(&world, &id).exits(3).says("the rules were changed since");
    // Signed for another home.
    let other = World::new();
    fs::copy(other.home().join("rules.signed.json"), world.home().join("rules.signed.json")).unwrap();
    run(&world, &id).exits(3).says("the rules of this home are not in force");
    fs::remove_file(world.home().join("rules.signed.json")).unwrap();
    run(&world, &id).exits(3).says("no administrator has signed them");
    assert!(bot.exists());
    untouched(&world);
}

fn agents_alone(at: &At) {
    let world = at.world(shipped());
    principals(
        &world,
        "\n[[principal]]\nname = \"bot-2\"\nkind = \"agent\"\ngroups = [\"operators\"]\n[[principal.key]]\nfile = \"keys/bot-2.pub\"\n",
    );
    world.remit(&["keys", "new", "--out", "bot-2"]).exits(0);
    fs::copy(world.path("bot-2.pub"), world.home().join("keys/bot-2.pub")).unwrap();
    world.remit(&["rules", "sign", "--key", "admin.key", "--yes"]).exits(0);
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "bot-2.key"]).exits(3).says("software never approves");
    world.remit(&["deny", &id, "--reason", "r", "--key", "bot-2.key"]).exits(3);
    world.remit(&["revoke", "principal", "alice", "--reason", "r", "--key", "bot-2.key"]).exits(3);
    world.remit(&["freeze", "--reason", "r", "--key", "bot.key"]).exits(3).says("no policy allows it");
    run(&world, &id).exits(3).says("1 of 1 human");
    // Its own request it may withdraw.
    world.remit(&["revoke", "request", &id, "--reason", "no need", "--key", "bot.key"]).exits(0);
    untouched(&world);
}

fn a_budget_in_small_steps(at: &At) {
    let world = at.world(shipped());
    let mut made = 0;
    // Twenty changes an hour in one place and for one requester: a run here makes five.
    for index in 0..6 {
        world.remit(&["secret", "put", &format!("app/s{index}"), "k", "--generate"]).exits(0);
    }
    let paths: Vec<String> = (0..5).map(|index| format!("\"app/s{index}\"")).collect();
    let five = format!(r#"{{"do":"rotate-many","paths":[{}]}}"#, paths.join(","));
    // By name: `app/*` would be more than ten targets.
    let named: Vec<String> = (0..5).map(|index| format!("\"secret:app/s{index}\"")).collect();
    world.write("s.toml", scope("[limits]\nchanges = 5", "X").replace("\"secret:X\"", &named.join(",")));
    for round in 0..5 {
        let args =
            ["request", "misbehave.wasm", "--input", &five, "--scope", "s.toml", "--reason", "r", "--json"];
        let id = world.remit(&[&args[..], &["--key", "bot.key"]].concat()).exits(0).json()["request"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
        let ran = run(&world, &id);
        if ran.code == 0 {
            made += 5;
            continue;
        }
        assert_eq!(round, 4);
        ran.exits(3).says("more than 20 changes an hour");
    }
    assert_eq!(made, 20);
    world.audit_is_sound();
}

fn one_use_from_fifty_processes(at: &At) {
    let world = at.world(POLICY);
    let id = asked(&world, "bot.key");
    world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..world.times(50)).map(|_| scope.spawn(|| run(&world, &id).code)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| *code == 0 || *code == 3), "{codes:?}");
    assert_eq!(world.current_version(SECRET), 2);
    world.audit_is_sound();
}

/// Either the run came first, and was allowed to, or the revocation did, and nothing happened.
fn a_start_that_races_with_its_revocation(at: &At) {
    let world = at.world(POLICY);
    for round in 0..world.times(12) {
        let before = world.current_version(SECRET);
        let id = asked(&world, "bot.key");
        world.remit(&["approve", &id, "--key", "alice.key"]).exits(0);
        let ran = std::thread::scope(|scope| {
            let ran = scope.spawn(|| run(&world, &id));
            std::thread::sleep(Duration::from_millis(25) * u32::try_from(round).unwrap());
            world.remit(&["revoke", "request", &id, "--reason", "race", "--key", "alice.key"]).exits(0);
            ran.join().unwrap()
        });
        let after = world.current_version(SECRET);
        match ran.code {
            0 => assert_eq!(after, before + 1),
            // Stopped between its change and its end: taken back.
            3 => assert!(after == before || after == before + 2, "{ran:?}"),
            _ => panic!("{ran:?}"),
        }
        run(&world, &id).exits(3);
        assert_eq!(world.current_version(SECRET), after, "never after its revocation");
    }
    // The journal knows the order: a change after its revocation would be found.
    world.audit_is_sound();
}

/// A request for a run that rotates the secret and then computes for ever.
fn endless(world: &World, head: &str, name: &str) -> String {
    let input = format!(r#"{{"do":"rotate-then-loop","path":"{SECRET}"}}"#);
    world.grant_scope(&scope(head, SECRET), "misbehave.wasm", &input, name);
    world.request(name)
}

/// Waits until a run has rotated the secret.
fn has_begun(world: &World, before: u64) {
    let until = Instant::now() + Duration::from_secs(60);
    while world.current_version(SECRET) == before {
        assert!(Instant::now() < until, "the run does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn what_is_taken_away_stops_what_goes_on(at: &At) {
    const ENDLESS: &str = "[limits]\nfuel = 1000000000000\nwall_time = \"1h\"\n";
    let world = at.world(POLICY);
    let ways: [(&str, &[&str], &str); 6] = [
        ("request", &["revoke", "request", "REQUEST"], "gives no authority any more (alice: now)"),
        ("key", &["revoke", "action-digest", "DIGEST"], "was revoked"),
        ("all", &["revoke", "all"], "all authority was revoked"),
        ("frozen", &["freeze"], "everything is frozen (alice: now)"),
        ("held", &["revoke", "all"], "all authority was revoked"),
        ("principal", &["revoke", "principal", "bot"], "was revoked"),
    ];
    for (name, command, says) in ways {
        if name == "key" {
            // An action that is revoked never comes back: it is tried last, below.
            continue;
        }
        let head =
            if name == "held" { format!("on_failure = \"hold\"\n{ENDLESS}") } else { ENDLESS.to_owned() };
        let before = world.current_version(SECRET);
        let id = endless(&world, &head, name);
        let command: Vec<&str> =
            command.iter().map(|arg| if *arg == "REQUEST" { &*id } else { *arg }).collect();
        let stop = [&command[..], &["--reason", "now", "--key", "alice.key"]].concat();
        let ended = std::thread::scope(|scope| {
            let goes_on = scope.spawn(|| world.remit(&["run", &id, "--key", "bot.key", "--json"]));
            has_begun(&world, before);
            let told = world.remit(&stop).exits(0);
            assert!(told.out.contains("stopping  run-"), "{}", told.out);
            goes_on.join().unwrap()
        });
        let ran = ended.json();
        let ended = ended.says(says);
        assert_ne!(ended.code, 0);
        let held = name == "held";
        assert_eq!(ran["state"], if held { "held" } else { "reverted" }, "{name}");
        assert_eq!(world.current_version(SECRET), before + if held { 1 } else { 2 });
        let shown = world.remit(&["show", ran["run"].as_str().unwrap()]).exits(0).out.clone();
        assert!(shown.contains(says), "{name}: {shown}");
        run(&world, &id).exits(3);
        if name == "frozen" {
            world.remit(&["plan", ACTION, "--input", &input()]).exits(3).says("everything is frozen");
            world.remit(&["unfreeze", "--reason", "over", "--key", "alice.key"]).exits(0);
            world.remit(&["plan", ACTION, "--input", &input()]).exits(0);
        }
    }
    // The bot is gone for good: its key proves nothing any more.
    let args = ["request", ACTION, "--input", &input(), "--reason", "r", "--key", "bot.key"];
    world.remit(&args).exits(3).says("was revoked");
    let listed = world.remit(&["requests", "--all"]).exits(0).out.clone();
    assert!(
        listed.contains("frozen by alice: now") && listed.contains("revoked all by alice: now"),
        "{listed}"
    );
    world.audit_is_sound();
}

/// Whatever agents alone do, in whatever order: no change happens that no person approved.
fn random_agents(at: &At) {
    let world = at.world(shipped());
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |below: usize| {
        // xorshift64*: the same walk on every machine.
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        usize::try_from(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below
    };
    let mut requests: Vec<String> = Vec::new();
    let mut approved: Vec<String> = Vec::new();
    let mut version = world.current_version(SECRET);
    world.write("s.toml", scope("", SECRET));
    for step in 0..world.times(90) {
        let some = |next: &mut dyn FnMut(usize) -> usize, of: &[String]| {
            if of.is_empty() {
                "req-01jd2m4k9x8s7t6v5w4y3z2a1b".to_owned()
            } else {
                of[next(of.len())].clone()
            }
        };
        let id = some(&mut next, &requests);
        let text = input();
        let choice = next(11);
        let args: Vec<&str> = match choice {
            0 | 1 => vec!["request", ACTION, "--input", &text, "--reason", "r", "--json"],
            2 => vec!["request", ACTION, "--standing", "--scope", "s.toml", "--reason", "r", "--json"],
            3 => vec!["approve", &id],
            4 => vec!["run", ACTION, "--input", &text, "--under", &id, "--reason", "r"],
            5 | 6 => vec!["run", &id],
            7 => vec!["unfreeze", "--reason", "r"],
            8 => vec!["rules", "sign"],
            9 => vec!["review", "run-01jd2m4k9x8s7t6v5w4y3z2a1b", "--reason", "r"],
            _ => vec!["request", ACTION, "--input", &text, "--break-glass", "--reason", "r", "--json"],
        };
        let ran = world.remit(&[&args[..], &["--key", "bot.key"]].concat());
        if args[0] == "request" && ran.code == 0 {
            requests.push(ran.json()["request"]["id"].as_str().unwrap().to_owned());
        }
        // Now and then a person approves one of them.
        if step % 17 == 16 {
            let id = some(&mut next, &requests);
            if world.remit(&["approve", &id, "--key", "alice.key"]).code == 0 {
                approved.push(id);
            }
        }
        let now = world.current_version(SECRET);
        if now != version {
            assert!(choice == 5 || choice == 6, "{args:?} changed something");
            assert!(approved.contains(&id), "{args:?} ran what nobody approved");
            version = now;
        }
    }
    world.audit_is_sound();
}

/// Since it was approved, the world changed so that one change more is needed: that is another plan, and no limit to raise.
fn a_world_that_needs_one_change_more(at: &At) {
    let world = at.with(&["hostile"]);
    for secret in ["prod/a", "prod/b"] {
        world.remit(&["secret", "put", secret, "k", "--generate"]).exits(0);
    }
    // It rotates the second one as well, once the first has another version than its first.
    let script = r#"{"run":[
        {"inspect":"prod/a"},
        {"if":[{"same":["{current}","1"]},[],[{"rotate":["prod/b",null]}]]},
        {"rotate":["prod/a",null]}
    ]}"#;
    world.write("s.toml", scope("[limits]\nchanges = 1", "prod/*"));
    world.ask(&["request", "hostile.wasm", "--input", script, "--scope", "s.toml"], "g");
    world.remit(&["secret", "put", "prod/a", "k", "--generate"]).exits(0);
    world.run("g").exits(3).says("it would do something else").says("secret:prod/b");
    world.run("g").exits(3).says("it was voided");
    assert_eq!((world.current_version("prod/a"), world.current_version("prod/b")), (2, 1));
    world.audit_is_sound();
}

fn a_rehearsal_by_nobody(at: &At) {
    let world = at.world(shipped());
    let mut keyless = world.command(&["plan", ACTION, "--input", &input()]);
    keyless.env_remove("REMIT_KEY");
    finish(keyless, "").exits(2).says("no key was given");
}

/// A rehearsal reads no content for software that no administrator lets.
fn a_rehearsal_without_leave(at: &At) {
    let world = at.world(shipped());
    let plan = ["plan", ACTION, "--input", &input()];
    world.remit(&[&plan[..], &["--key", "bot.key"]].concat()).exits(0);
    world.add("hostile");
    let read = ["plan", "hostile.wasm", "--input", r#"{"run":[{"read":"/etc/passwd"}]}"#];
    world.remit(&[&read[..], &["--key", "bot.key"]].concat()).exits(3).says("name a scope");
    world.remit(&[&read[..], &["--key", "alice.key"]].concat()).exits(0);
}
