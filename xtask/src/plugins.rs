//! `cargo xtask plugins`: the guest components.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, ensure};
use remit_author::Project;

use crate::{shell, toolchains, wasm_std};

/// The guests in Rust: what we ship, what the tests attack with, and what the benchmarks run.
const RUST: &[&str] = &[
    "plugins/connectors/aws-iam-keys",
    "plugins/connectors/aws-secrets",
    "plugins/connectors/github",
    "plugins/connectors/gitlab",
    "plugins/connectors/openbao-tokens",
    "plugins/connectors/roundup-tickets",
    "plugins/rotate-secret",
    "plugins/revoke-leaked-token",
    "plugins/revoke-leaked-value",
    "plugins/rotate-leaked",
    "tests/guests/misbehave",
    "tests/guests/measure",
    "tests/guests/hostile",
    "tests/guests/hostile-sealed",
    "tests/guests/put-value",
    "tests/guests/lamps",
    "tests/guests/answer-leak",
    "tests/guests/follow-up",
];
/// The same action in each other language, one that fails as its language does, one that knows WASI only, and one that
/// edits files.
const OTHERS: [&str; 12] = [
    "plugins/connectors/npm-tokens",
    "plugins/rotate-secret-c",
    "plugins/rotate-secret-js",
    "plugins/rotate-secret-ts",
    "plugins/rotate-secret-python",
    "plugins/rotate-secret-go",
    "tests/guests/fail-c",
    "tests/guests/fail-js",
    "tests/guests/fail-python",
    "tests/guests/fail-go",
    "tests/guests/plain-c",
    "tests/guests/edit-file",
];

/// Builds every guest to `<target>/plugins/NAME.wasm`, as `remit build` does, and prints name, size and
/// digest of each. With `names`, only those.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let wanted = |guest: &&str| {
        names.is_empty() || guest.rsplit('/').next().is_some_and(|name| names.iter().any(|n| n == name))
    };
    let (rust, others): (Vec<_>, Vec<_>) =
        (RUST.iter().copied().filter(wanted).collect(), OTHERS.into_iter().filter(wanted).collect());
    ensure!(rust.len() + others.len() >= names.len(), "there are no such guests: {}", names.join(", "));
    build(&rust, &rust_environment()?)?;
    if others.is_empty() {
        return Ok(());
    }
    shell::say("building guests in other languages: about a minute for all, most of it for Python");
    build(&others, &environment()?)
}

/// Builds those in Rust only.
pub(crate) fn run_rust() -> Result<()> {
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

fn rust_environment() -> Result<Vec<(OsString, OsString)>> {
    let target = shell::target()?;
    let mut environment = wasm_std::get(&target)?;
    // Apart from the host's build: the guests have other features and another profile.
    environment.push(("CARGO_TARGET_DIR".into(), target.join("guests").into()));
    Ok(environment)
}
