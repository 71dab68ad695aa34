//! `cargo xtask plugins`: the guest components.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, ensure};
use remit_author::{Project, declarative};

use crate::{shell, toolchains, wasm_std};

/// The guests in Rust: what we ship, what the tests attack with, and what the benchmarks run.
const RUST: &[&str] = &[
    "plugins/connectors/aws-iam",
    "plugins/connectors/aws-secrets",
    "plugins/connectors/github",
    "plugins/connectors/gitlab",
    "plugins/connectors/openbao-tokens",
    "plugins/connectors/roundup-tickets",
    "plugins/lift-isolation",
    "plugins/replace-api-key",
    "plugins/rotate-secret",
    "plugins/revoke-leaked-token",
    "plugins/revoke-leaked-value",
    "plugins/rotate-leaked",
    "plugins/tell-ticket",
    "tests/guests/misbehave",
    "tests/guests/measure",
    "tests/guests/hostile",
    "tests/guests/hostile-sealed",
    "tests/guests/network-steps",
    "tests/guests/put-value",
    "tests/guests/account-steps",
    "tests/guests/database-steps",
    "tests/guests/lamps",
    "tests/guests/answer-leak",
    "tests/guests/follow-up",
    "tests/guests/suspend",
];
/// A connector and an action in TypeScript, one in JavaScript, one in Go, the same action in each other language, one that fails as its language does, one that knows WASI only, and one that
/// edits files.
const OTHERS: [&str; 16] = [
    "plugins/connectors/npm-tokens",
    "plugins/contain-workload",
    "plugins/isolate-api-key",
    "plugins/rotate-database-credential",
    "plugins/rotate-secret-c",
    "plugins/rotate-secret-js",
    "plugins/rotate-secret-ts",
    "plugins/rotate-secret-python",
    "plugins/disable-stale-accounts",
    "plugins/rotate-secret-go",
    "tests/guests/fail-c",
    "tests/guests/fail-js",
    "tests/guests/fail-python",
    "tests/guests/fail-go",
    "tests/guests/plain-c",
    "tests/guests/edit-file",
];

/// Connectors without code, which take no tool.
const TOML: [&str; 2] = [
    "plugins/connectors/declarative/examples/scim-accounts",
    "plugins/connectors/declarative/examples/pocketbase-rules",
];

/// Builds every guest to `<target>/plugins/NAME.wasm`, as `remit build` does, and prints name, size and
/// digest of each. With `names`, only those.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let wanted = |guest: &&str| {
        names.is_empty() || guest.rsplit('/').next().is_some_and(|name| names.iter().any(|n| n == name))
    };
    let chosen = |guests: &[&'static str]| guests.iter().copied().filter(wanted).collect::<Vec<_>>();
    let (toml, rust, others) = (chosen(&TOML), chosen(RUST), chosen(&OTHERS));
    ensure!(
        toml.len() + rust.len() + others.len() >= names.len(),
        "there are no such guests: {}",
        names.join(", ")
    );
    build(&toml, &[])?;
    build(&rust, &rust_environment()?)?;
    if others.is_empty() {
        return Ok(());
    }
    shell::say("building guests in other languages: about a minute for all, most of it for Python");
    build(&others, &environment()?)
}

/// Builds those that take no other language than Rust.
pub(crate) fn run_rust() -> Result<()> {
    build(&TOML, &[])?;
    build(RUST, &rust_environment()?)
}

fn build(guests: &[&str], environment: &[(OsString, OsString)]) -> Result<()> {
    let out = shell::target()?.join("plugins");
    fs::create_dir_all(&out)?;
    for dir in guests {
        let mut project = Project::open(&shell::root().join(dir))?;
        project.environment = environment.to_vec();
        let name = &project.manifest.name;
        let built = remit_author::build(&project, Some(&out.join(format!("{name}.wasm"))))
            .with_context(|| format!("building {dir}"))?;
        println!("{name:<20} {:>8} bytes  {}", built.size, built.digest);
    }
    Ok(())
}

/// What the guests' tools need on this machine, in every language.
pub(crate) fn environment() -> Result<Vec<(OsString, OsString)>> {
    let mut environment = rust_environment()?;
    environment.push(("PATH".into(), toolchains::path()?));
    // Go compiles its standard library once for each cache, and by default keeps that in the home folder.
    environment.push(("GOCACHE".into(), shell::target()?.join("guests/go").into()));
    Ok(environment)
}

/// Where the interpreter of connectors in TOML is written, and where it is kept for `remit` to bring along.
const INTERPRETER: (&str, &str) = ("plugins/connectors/declarative", "sdk/toml/interpreter.wasm");

/// Compiles the interpreter of connectors in TOML into the SDK, or with `check` fails when it is not what its sources give. With
/// another compiler than made the one that is there, that cannot be told.
pub(crate) fn interpreter(check: bool) -> Result<()> {
    let (sources, kept) = INTERPRETER;
    let fresh = declarative::compile(&shell::root().join(sources), &rust_environment()?)?;
    let there = fs::read(shell::root().join(kept)).unwrap_or_default();
    if !check {
        fs::write(shell::root().join(kept), &fresh)?;
        println!("{kept} {} bytes", fresh.len());
    } else if declarative::compilers(&fresh) != declarative::compilers(&there) {
        shell::say(format_args!("{kept} is of another compiler: not compared with {sources}"));
    } else {
        ensure!(fresh == there, "{kept} is not what {sources} gives: run `cargo xtask interpreter`");
    }
    Ok(())
}

fn rust_environment() -> Result<Vec<(OsString, OsString)>> {
    let target = shell::target()?;
    let mut environment = wasm_std::get(&target)?;
    // Apart from the host's build: the guests have other features and another profile.
    environment.push(("CARGO_TARGET_DIR".into(), target.join("guests").into()));
    Ok(environment)
}
