//! Text from people and other tools: keys, signatures, JSON, TOML, durations, hours, the environment. It means the same in
//! every command, or is refused with its place and its cause.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Ran, SECRET, World, contains, finish, scope};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

const ACTION: &str = "rotate-secret.wasm";

/// A folder with keys, and no home.
fn keys(names: &[&str]) -> World {
    let world = World { dir: TempDir::new().unwrap() };
    for name in names {
        world.remit(&["keys", "new", "--out", name]).exits(0);
    }
    world
}

fn path() -> String {
    format!("path={SECRET}")
}

/// Asks for a run, and answers what it is called.
fn ask(world: &World) -> String {
    let request = ["request", ACTION, "--input", &path(), "--reason", "r", "--key", "bot.key", "--json"];
    let asked = world.remit(&request).exits(0).json();
    asked["request"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_may_come_through_a_pipe_wherever_a_key_is_asked_for() {
    let world = World::new();
    let read = |name: &str| fs::read_to_string(world.path(name)).unwrap();
    for name in ["-", "/dev/stdin"] {
        let with =
            |args: &[&str], key: &str| world.remit_with_stdin(&[args, &["--key", name]].concat(), &read(key));
        with(&["approve", &ask(&world)], "alice.key").exits(0);
        with(&["request", ACTION, "--input", &path(), "--reason", "r"], "bot.key").exits(0);
        with(&["rules", "sign"], "admin.key").exits(0);
        with(&["sign", ACTION], "publisher.key").exits(0);
        let home = format!("home-{}", name.len());
        let init = ["--home", &home, "init", "--log", "x.example/j", "--publisher", "publisher.pub"];
        let admin = world.remit_with_stdin(&[&init[..], &["--admin", name]].concat(), &read("admin.key"));
        assert!(admin.exits(0).out.contains("signed and in force"));
    }
    let wrong = world.remit_with_stdin(&["approve", &ask(&world), "--key", "-"], &read("alice.pub"));
    wrong.exits(2).says("standard input is not a usable key: a public key, where the private one is needed");
    let nothing = world.remit(&["approve", &ask(&world), "--key", "-"]);
    nothing.exits(2).says("standard input: it is empty");
}

#[test]
fn the_comment_of_a_key_means_nothing() {
    let world = keys(&["publisher", "admin", "bot"]);
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-f", "dave", "-C"]);
    make.arg(std::ffi::OsStr::from_bytes(b"caf\xe9@h")).current_dir(world.dir.path());
    assert!(make.status().unwrap().success());
    let trust = ["--publisher", "publisher.pub", "--admin", "admin.key"];
    let principals = ["--human", "dave.pub", "--agent", "bot.pub"];
    world.remit(&[&["init", "--log", "x.example/j"][..], &trust, &principals].concat()).exits(0);
    world.remit(&["principals"]).exits(0);
    world.remit(&["freeze", "--reason", "r", "--key", "dave"]).exits(0);
}

#[test]
fn a_signature_beside_a_file_counts_in_whatever_lines_it_is_written() {
    let world = World::new();
    let beside = world.path(&format!("{ACTION}.sig"));
    let one = fs::read_to_string(&beside).unwrap();
    let wrapped = |width: usize, end: &str| -> Vec<u8> {
        one.trim().as_bytes().chunks(width).flat_map(|line| [line, end.as_bytes()].concat()).collect()
    };
    let plan = || world.remit(&["plan", ACTION, "--input", &path()]);
    let inspect = || world.remit(&["inspect", ACTION]).exits(0).out;
    for written in
        [wrapped(76, "\n"), wrapped(64, "\n"), wrapped(76, "\r\n"), STANDARD.decode(one.trim()).unwrap()]
    {
        fs::write(&beside, &written).unwrap();
        plan().exits(0);
        let shown = inspect();
        assert!(shown.contains("trusted (key"), "{shown}");
    }
    for (written, why) in [
        (&b"\x89\x02\x33 by gpg"[..], "not one of ECDSA in DER"),
        (b"{\"mediaType\": \"bundle\"}", "Sigstore bundle"),
        (b"-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n", "not ssh-keygen's"),
    ] {
        fs::write(&beside, written).unwrap();
        let shown = inspect();
        assert!(shown.contains("a signature in another form"), "{shown}");
        plan().exits(3).says(why);
    }
}

#[test]
fn a_rebuilt_action_is_signed_again() {
    let world = World::with(&["rotate-secret"]);
    let sign = |key: &str| world.remit(&["sign", ACTION, "--key", key]);
    world.remit(&["keys", "new", "--out", "vendor"]).exits(0);
    // Its own signature goes; one that may hold and be another's stays.
    sign("publisher.key").exits(0);
    sign("vendor.key").exits(2).says("may be somebody else's");
    let mut built = fs::read(world.path(ACTION)).unwrap();
    // An empty custom section changes nothing but the bytes.
    built.extend_from_slice(&[0, 2, 1, b'x']);
    world.write(ACTION, built);
    sign("publisher.key").exits(0);
    assert!(world.remit(&["inspect", ACTION]).exits(0).out.contains("trusted (key"));
    sign("vendor.key").exits(2).says("pass --force");
    world.remit(&["sign", ACTION, "--key", "vendor.key", "--force"]).exits(0);
}

#[test]
fn an_agent_that_is_not_there_or_does_not_answer_is_told() {
    let world = keys(&["publisher", "admin"]);
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-f", "dave", "-C", "d"]).current_dir(world.dir.path());
    assert!(make.status().unwrap().success());
    let init = ["init", "--log", "x.example/j", "--publisher", "publisher.pub", "--admin", "admin.key"];
    world.remit(&[&init[..], &["--human", "dave.pub"]].concat()).exits(0);
    let freeze = |socket: Option<&Path>| {
        let mut command = world.command(&["freeze", "--reason", "r", "--key", "dave.pub"]);
        command.envs(socket.map(|socket| ("SSH_AUTH_SOCK", socket)));
        command
    };
    finish(freeze(None), "").exits(2).says("there is none (SSH_AUTH_SOCK is not set)");
    finish(freeze(Some(Path::new(""))), "").exits(2).says("there is none (SSH_AUTH_SOCK is empty)");
    finish(freeze(Some(Path::new("nowhere"))), "").exits(2).says("nowhere: nothing listens there");
    // One that takes the call and is silent: who waits learns why.
    let silent = UnixListener::bind(world.path("silent")).unwrap();
    let mut waiting =
        freeze(Some(Path::new("silent"))).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let call = silent.accept().unwrap();
    let said = BufReader::new(waiting.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(said.contains("waiting for the ssh-agent"), "{said}");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    drop(call);
    let recorded = world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
    assert!(!recorded.contains("frozen"), "{recorded}");
}

#[test]
fn what_is_approved_reads_the_same_for_everybody() {
    let world = World::new();
    world.remit(&["secret", "put", "app/other", "password", "--generate"]).exits(0);
    let twice = format!("{{\"path\": \"app/other\",\n \"path\": \"{SECRET}\"}}");
    world.write("twice.json", &twice);
    let rest = ["--reason", "r", "--key", "bot.key"];
    for command in [vec!["plan", ACTION], [&["request", ACTION][..], &rest].concat()] {
        let with = |input: &str| {
            let ran = world.remit_with_stdin(&[&command[..], &["--input", input]].concat(), &twice);
            ran.exits(2)
        };
        for input in [&twice, "@twice.json", "-"] {
            with(input).says("`path` is given twice").says("line 2, column 2").says("^^^^^^");
        }
        with(r#"{"path": "a", "n": 9007199254740993}"#)
            .says("cannot be signed exactly")
            .says("^^^^^^^^^^^^^^^^");
        with(r#"{"path": "a", "n": 1e400}"#).says("too large");
        with(r#"{"path": "a", "n": 0.1000000000000000055}"#).says("it would become 0.1");
        with("n=9007199254740993").says("`n` of --input").says("cannot be signed exactly");
        with(r#"n={"a":1,"a":2}"#).says("`a` is given twice");
    }
    assert!(!world.remit(&["requests", "--all"]).exits(0).out.contains("req-"));
    // What becomes JSON from TOML.
    for (head, why) in [
        ("[limits]\nfuel = 9007199254740993", "cannot be signed exactly"),
        ("[limits]\nfuel = nan", "no number in JSON"),
        ("[limits]\nfuel = 2026-01-01", "a date is no JSON"),
    ] {
        world.write("scope.toml", scope(head, "**"));
        let plan = world.remit(&["plan", ACTION, "--input", &path(), "--scope", "scope.toml"]);
        plan.exits(2).says(why).says("line 2, column 8").says("2 | fuel = ").says("       ^^^");
    }
}

#[test]
fn a_home_opens_whatever_its_files_were_called() {
    let world = keys(&["publisher", "admin"]);
    let names = [
        "cafe\u{301}.pub",
        "กุญแจ.pub",
        "कुंजी.pub",
        "x\u{a0}y.pub",
        "\u{202e}.pub",
        "x\u{200b}y.pub",
        "a\u{7f}b.pub",
        "a'b.pub",
        "a\"b.pub",
        "a\\b.pub",
        "a\tb.pub",
        "a\nb.pub",
    ];
    let made = |home: &str, log: &str, publisher: &Path| -> Ran {
        let mut command =
            world.command(&["--home", home, "init", "--log", log, "--admin", "admin.key", "--publisher"]);
        command.arg(publisher);
        finish(command, "")
    };
    let opens = |home: &str| {
        let shown = world.remit(&["--home", home, "doctor"]);
        assert!(!shown.out.contains("TOML") && !shown.err.contains("TOML"), "{shown:?}");
        world.remit(&["--home", home, "runs"]).exits(0);
    };
    for (n, name) in names.iter().enumerate() {
        fs::copy(world.path("publisher.pub"), world.path(name)).unwrap();
        let home = format!("h{n}");
        made(&home, "x.example/j", Path::new(name)).exits(0);
        opens(&home);
    }
    let bytes = Path::new(std::ffi::OsStr::from_bytes(b"\xff.pub"));
    fs::copy(world.path("publisher.pub"), world.dir.path().join(bytes)).unwrap();
    made("bytes", "x.example/j", bytes).exits(0);
    opens("bytes");
    for (n, log) in ["x.example/cafe\u{301}", "x.example/a\"b", "x.example/a\\b"].iter().enumerate() {
        let home = format!("log{n}");
        made(&home, log, Path::new("publisher.pub")).exits(0);
        opens(&home);
    }
}

#[test]
fn durations_are_one_grammar_everywhere() {
    let world = World::new();
    let ttl = |ttl: &str| {
        let request = ["request", ACTION, "--input", &path(), "--reason", "r", "--key", "bot.key"];
        world.remit(&[&request[..], &[&format!("--ttl={ttl}")]].concat())
    };
    let expire = |age: &str| world.remit(&["journal", "expire-undo", &format!("--older-than={age}")]);
    let wall_time = |time: &str| {
        world.write("scope.toml", scope(&format!("[limits]\nwall_time = \"{time}\""), "**"));
        world.remit(&["plan", ACTION, "--input", &path(), "--scope", "scope.toml"])
    };
    for good in ["90m", "1.5h", "PT1H", "1 hour"] {
        ttl(good).exits(0);
    }
    for good in ["7d", "1w", "P7D", "168h", "30 days"] {
        expire(good).exits(0);
        // It is a duration, and too long a one for a request.
        ttl(good).exits(2).says("at most 24h");
    }
    for good in ["1 minute", "1m", "60s", "PT1M", "5m"] {
        wall_time(good).exits(0);
    }
    wall_time("1d").exits(2).says("at most 1h");
    for (wrong, why) in [
        ("10", "it has no unit"),
        ("-1h", "it is negative"),
        ("1month", "write days"),
        ("1y", "write days"),
        ("soon", "write it like 90s, 1h30m, 1.5h, 7d, 2w, PT1H or P7D"),
    ] {
        let in_a_file = (wrong != "-1h").then(|| wall_time(wrong));
        for ran in [ttl(wrong), expire(wrong)].into_iter().chain(in_a_file) {
            let ran = ran.exits(2).says(&format!("`{wrong}` is not a duration")).says(why);
            assert!(!ran.err.contains("jiff") && !ran.err.contains("Span"), "{}", ran.err);
        }
    }
    wall_time("-1h").exits(2).says("limits.wall_time must be over 0");
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    let serving = "backend = \"openbao\"\naddress = \"http://127.0.0.1:1\"\ntoken_env = \"TEST_TOKEN\"";
    let timeout = |timeout: &str| {
        fs::write(
            &config,
            format!("{text}\n[[secrets]]\nprefix = \"x\"\n{serving}\ntimeout = \"{timeout}\"\n"),
        )
        .unwrap();
        world.remit(&["plan", ACTION, "--input", &path()])
    };
    for good in ["5s", "5 s", "PT5S"] {
        timeout(good).exits(0);
    }
    timeout("5").exits(2).says("`5` is not a duration: it has no unit");
}

#[test]
fn hours_are_taken_as_they_are_meant_or_not_at_all() {
    let world = World::new();
    world.write("scope.toml", scope("", "**"));
    let ask = |hours: &str| {
        let request =
            ["request", ACTION, "--standing", "--scope", "scope.toml", "--reason", "r", "--for", "bot"];
        world.remit(&[&request[..], &["--json", "--hours", hours]].concat())
    };
    for (hours, words) in [
        ("mon-sun 22:00-06:00", "mon-sun 22:00-06:00 UTC (each until the next day)"),
        ("fri-mon 22:00-24:00", "fri-mon 22:00-24:00 UTC"),
        ("sun-sun 00:00-24:00", "sun-sun 00:00-24:00 UTC"),
        ("MON-FRI 22:00-06:00", "mon-fri 22:00-06:00 UTC (each until the next day)"),
        ("mon 22:00-22:01", "mon-mon 22:00-22:01 UTC"),
    ] {
        let asked = ask(hours).exits(0).json();
        let shown = world.remit(&["request", "show", asked["request"]["id"].as_str().unwrap()]).exits(0).out;
        assert!(shown.lines().any(|line| line.starts_with("  hours") && line.ends_with(words)), "{shown}");
    }
    for (hours, why) in [
        ("mon +1:00-06:00", "hours are always in UTC, without zone or offset"),
        ("mon 24:00-06:00", "24:00 can only be an end"),
        ("mon 22:00-06:00 UTC", "leave the zone out"),
        ("mon\u{2013}fri 22:00-06:00", "another dash than `-`"),
        ("mon,wed 22:00-06:00", "give the hours of each by themselves"),
    ] {
        ask(hours).exits(2).says(why);
    }
}

/// What is written to a terminal, and to what is none, in colour or not.
#[test]
fn one_decision_about_colour() {
    let world = World::new();
    let commands: [&[&str]; 4] = [
        &["show", "nope"],
        &["shwo"],
        &["--help"],
        &["-vv", "plan", ACTION, "--input", "path=prod/payments/stripe"],
    ];
    for command in commands {
        let with = |set: &[(&str, &str)]| {
            let mut command = world.command(command);
            command.envs(set.iter().copied());
            let ran = finish(command, "");
            (ran.out + &ran.err).contains('\u{1b}')
        };
        assert!(with(&[("CLICOLOR_FORCE", "1")]), "{command:?}");
        for plain in [
            &[][..],
            &[("TERM", "xterm")],
            &[("CLICOLOR_FORCE", "")],
            &[("CLICOLOR_FORCE", "0")],
            &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
        ] {
            assert!(!with(plain), "{command:?} {plain:?}");
        }
        assert!(with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]), "{command:?}");
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let world = World::new();
    fs::create_dir(world.path("user")).unwrap();
    fs::rename(world.home(), world.path("user/.remit")).unwrap();
    let with = |set: &[(&str, &str)], args: &[&str]| {
        let mut command = world.command(args);
        command.env_remove("REMIT_KEY").env("HOME", world.path("user")).env("REMIT_HOME", "");
        command.envs(set.iter().copied());
        finish(command, "")
    };
    with(&[], &["runs"]).exits(0);
    with(&[("REMIT_KEY", ""), ("REMIT_ADMIN_KEY", "")], &["runs"]).exits(0);
    with(&[("REMIT_KEY", "")], &["freeze", "--reason", "r"]).exits(2).says("no key was given");
    with(&[("REMIT_KEY", "")], &["freeze", "--reason", "r", "--key", "alice.key"]).exits(0);
    with(&[("REMIT_KEY", "alice.key")], &["unfreeze", "--reason", "r"]).exits(0);
    with(&[("REMIT_ADMIN_KEY", "")], &["rules", "sign"]).exits(2).says("--key");
    with(&[("REMIT_ADMIN_KEY", "admin.key")], &["rules", "sign"]).exits(0);
    let help = with(&[("REMIT_KEY", "")], &["approve", "--help"]).exits(0);
    assert!(help.out.contains("--key"));
    let told = with(
        &[("USER", ""), ("TERM", ""), ("RUST_LOG", "")],
        &[&["plan", ACTION, "--input", &path()][..], &["--key", "alice.key"]].concat(),
    );
    told.exits(0);
    assert!(!contains(&fs::read(world.path("user/.remit/remit.toml")).unwrap(), "REMIT_"));
}

/// A variable that is read elsewhere would take the empty text for a value.
#[test]
fn the_environment_is_read_in_one_place() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                look(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let reads = ["std::env::var(", "std::env::var_os(", "use std::env"];
                found
                    .extend(reads.iter().any(|read| text.contains(read)).then(|| path.display().to_string()));
            }
        }
    }
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for part in fs::read_dir(host).unwrap().flatten().filter(|part| part.path().is_dir()) {
        look(&part.path().join("src"), &mut found);
    }
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("text/src/env.rs"), "{found:?}");
}

/// docs/standards.md claims nothing that no test shows.
#[test]
fn what_the_page_of_standards_claims_is_shown_by_tests_that_there_are() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let page = fs::read_to_string(root.join("docs/standards.md")).unwrap();
    let mut shown = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what")) {
        let Some((_, tests)) = row.trim_end_matches(" |").rsplit_once('|') else { panic!("{row}") };
        let quoted: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let mut source = String::new();
        for name in quoted {
            if name.contains('/') {
                source =
                    fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            } else {
                assert!(source.contains(&format!("fn {name}(")), "no test is called {name}: {row}");
                shown += 1;
            }
        }
        assert!(
            !source.is_empty() || row.starts_with("| risk") || row.starts_with("| term"),
            "nothing shows it: {row}"
        );
    }
    assert!(shown > 40, "{shown}");
}
