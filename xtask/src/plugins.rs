//! `cargo xtask plugins`: the guest components.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result};
use remit_author::Project;

use crate::{shell, toolchains, wasm_std};

/// The guests in Rust: what we ship, and what the tests attack with.
const RUST: [&str; 2] = ["plugins/rotate-secret", "tests/guests/misbehave"];
/// The same action in each other language, one that fails as its language does, one that knows WASI only, and one that
/// edits files.
const OTHERS: [&str; 11] = [
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
/// digest of each.
pub(crate) fn run() -> Result<()> {
    run_rust()?;
    shell::say("building the guests in other languages: about a minute, most of it for Python");
    build(&OTHERS, &environment()?)
}

/// Builds those in Rust only.
pub(crate) fn run_rust() -> Result<()> {
    build(&RUST, &rust_environment()?)
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
        let digest = ring::digest::digest(&ring::digest::SHA256, &built.component);
        println!("{name:<20} {:>8} bytes  sha256:{}", built.component.len(), hex::encode(digest));
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
