//! The measured guest, once for each kind of host.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// The guests as their hosts take them.
pub(crate) struct Guests {
    /// A core module, for Extism.
    pub(crate) plugin: Vec<u8>,
    pub(crate) component: Vec<u8>,
}

/// The line of cargo's JSON output that names what was made.
#[derive(Deserialize)]
struct Message {
    target: Option<Made>,
    #[serde(default)]
    filenames: Vec<String>,
}

#[derive(Deserialize)]
struct Made {
    name: String,
}

/// Builds both, below `dir` unless the environment of guests has a place of its own.
pub(crate) fn build(dir: &Path) -> Result<Guests> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "--profile", "guest", "--target", TARGET])
        .args(["-p", "peer-plugin", "-p", "peer-component", "--message-format", "json-render-diagnostics"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .env("CARGO_TARGET_DIR", dir.join("guests"))
        .stdin(Stdio::null());
    // What building a guest takes on this machine, and the hosts do not: one variable a line, as Remit's tests get it.
    let environment = std::env::var("REMIT_GUEST_ENV").unwrap_or_default();
    command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    eprintln!("peers: building the guests for {TARGET}");
    let output = command.output().with_context(|| format!("starting {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        eprint!("{said}");
        if said.contains("can't find crate for `") {
            bail!(
                "Rust's standard library for {TARGET} is missing: run `rustup target add {TARGET}`, or set \
                 REMIT_GUEST_ENV to what `cargo xtask` builds guests with"
            );
        }
        bail!("building the guests failed: {}", output.status);
    }
    let printed = String::from_utf8(output.stdout).context("reading what cargo printed")?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module(&printed, "peer_component")?)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| anyhow::anyhow!("making a component of the guest: {error:#}"))?;
    Ok(Guests { plugin: module(&printed, "peer_plugin")?, component })
}

/// The module of this name that cargo says it made.
fn module(printed: &str, name: &str) -> Result<Vec<u8>> {
    let file = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.as_ref().is_some_and(|made| made.name == name))
        .flat_map(|message| message.filenames)
        .find(|file| Path::new(file).extension().is_some_and(|extension| extension == "wasm"))
        .with_context(|| format!("cargo made no module `{name}`"))?;
    fs::read(&file).with_context(|| format!("reading {file}"))
}
