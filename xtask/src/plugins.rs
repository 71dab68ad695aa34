//! `cargo xtask plugins`: the guest components.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result};
use remit_author::Project;

use crate::{shell, wasm_std};

/// The guests: what we ship, and what the tests attack with.
const GUESTS: [&str; 2] = ["plugins/rotate-secret", "tests/guests/misbehave"];

/// Builds every guest to `<target>/plugins/NAME.wasm`, as `remit build` does, and prints name, size and
/// digest of each.
pub(crate) fn run() -> Result<()> {
    let out = shell::target()?.join("plugins");
    fs::create_dir_all(&out)?;
    let environment = environment()?;
    for dir in GUESTS {
        let mut project = Project::open(&shell::root().join(dir))?;
        project.environment.clone_from(&environment);
        let name = &project.manifest.name;
        let built = remit_author::build(&project, Some(&out.join(format!("{name}.wasm"))))
            .with_context(|| format!("building {dir}"))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &built.component);
        println!("{name:<18} {:>8} bytes  sha256:{}", built.component.len(), hex::encode(digest));
    }
    Ok(())
}

/// What the guests' tools need on this machine.
pub(crate) fn environment() -> Result<Vec<(OsString, OsString)>> {
    let target = shell::target()?;
    let mut environment = wasm_std::get(&target)?;
    // Apart from the host's build: the guests have other features and another profile.
    environment.push(("CARGO_TARGET_DIR".into(), target.join("guests").into()));
    Ok(environment)
}
