//! What a person reads: each test is a terminal session. After a wanted change of words:
//! `INSTA_UPDATE=always cargo xtask test`, then read the difference.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::{SECRET, World};

/// Runs commands and keeps what they print, as a session.
fn session(world: &World, lines: &[&[&str]]) -> String {
    let mut text = String::new();
    for args in lines {
        // What was asked for last.
        let newest = || {
            let listed = world.remit(&["requests", "--all", "--json"]).exits(0).json();
            let all = listed["requests"].as_array().unwrap().clone();
            all.last().unwrap()["request"]["id"].as_str().unwrap().to_owned()
        };
        let meant: Vec<String> =
            args.iter().map(|arg| if *arg == "REQUEST" { newest() } else { (*arg).to_owned() }).collect();
        let ran = world.remit(&meant.iter().map(String::as_str).collect::<Vec<_>>());
        text += &["$ remit ", &args.join(" "), "\n", &ran.out, &ran.err].concat();
        if ran.code != 0 {
            text += &["[exit ", &ran.code.to_string(), "]\n"].concat();
        }
    }
    text.replace(world.dir.path().to_str().unwrap(), "DIR")
}

/// What differs from run to run.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, name) in [
        (r"run-[0-9a-z]{26}", "RUN"),
        (r"req-[0-9a-z]{26}", "REQUEST"),
        (r"req-[0-9a-z]{12,25}\b", "SHORT-NAME"),
        (r"(?m)[0-9]+s +[0-9]+m$", "AGE  LEFT"),
        (r"sha256:[0-9a-f]{64}", "sha256:DIGEST"),
        (r"\b[0-9a-f]{64}\b", "HEX"),
        (r"\b[0-9a-f]{12}\b", "SHORT"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r"\d+ bytes", "SIZE bytes"),
        (r"\d+ ms, \d+ fuel, \d+ KiB", "TIME ms, FUEL fuel, SIZE KiB"),
        (r#""created":\d+"#, r#""created":TIME"#),
        (r"\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}", "+ID+KEY"),
        // Told only where it takes a second, as on a machine that has much to do.
        (r"compiling \S+ …; this is done once, and kept\n", ""),
    ] {
        settings.add_filter(pattern, name);
    }
    settings.set_prepend_module_to_snapshot(false);
    settings
}

#[test]
fn a_repair() {
    let world = World::new();
    let input = format!(r#"{{"path":"{SECRET}"}}"#);
    let action = "rotate-secret.wasm";
    let text = session(
        &world,
        &[
            &["inspect", action],
            &["plan", action, "--input", &input, "--out", "plan.json", "--emit-scope", "scope.toml"],
            &["request", action, "--input", &input, "--reason", "INC-7: leaked", "--key", "bot.key"],
            &["requests"],
            &["approve", "REQUEST", "--key", "bot.key"],
            &["approve", "REQUEST", "--key", "alice.key"],
            &["run", "REQUEST", "--key", "bot.key"],
            &["run", "REQUEST", "--key", "bot.key"],
            &["request", action, "--input", &input, "--reason", "again", "--key", "bot.key"],
            &["policy", "explain", "REQUEST"],
            &["audit", "verify"],
            &["doctor"],
        ],
    );
    let scope = std::fs::read_to_string(world.path("scope.toml")).unwrap();
    settings().bind(|| {
        insta::assert_snapshot!("a-repair", text);
        insta::assert_snapshot!("least-scope", scope);
    });
}

#[test]
fn what_goes_wrong() {
    let world = World::new();
    std::fs::remove_file(world.path("misbehave.wasm.sig")).unwrap();
    world.write("typo.toml", "[limits]\nfuel = 1000\nwall_tme = \"3s\"\n");
    let text = session(
        &world,
        &[
            &["plan", "absent.wasm", "--input", "{}"],
            &["plan", "misbehave.wasm", "--input", "{}"],
            &["plan", "rotate-secret.wasm", "--input", "{\"path\": }"],
            &["plan", "rotate-secret.wasm", "--input", "{\"path\": \"prod/absent\"}"],
            &["plan", "rotate-secret.wasm", "--input", "{}", "--scope", "typo.toml"],
            &["show", "run-nothing"],
            &["init", "--log", "again"],
            &["--home", "nowhere", "runs"],
            &["run"],
        ],
    );
    settings().bind(|| insta::assert_snapshot!("what-goes-wrong", text));
}
