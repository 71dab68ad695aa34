//! `cargo xtask test`: all checks, in the order in which they fail fastest. `cargo xtask check`: the quick ones of them.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{bindings, plugins, servers, shell};

/// End-to-end tests that take a few seconds each, and together use most of Remit.
const QUICK: [&str; 9] =
    ["rotate", "refusals", "story", "status", "limits", "founding", "json", "together", "telling"];

/// Runs every step; stops at the first that fails and names it.
pub(crate) fn run() -> Result<()> {
    step("bindings --check", || bindings::run(true))?;
    step("plugins", || plugins::run(&[]))?;
    let bao = step("openbao", servers::openbao)?;
    let witness = step("witness", servers::witness)?;
    let schemathesis = step("schemathesis", servers::schemathesis)?;
    let mcp = step("mcp client", servers::mcp_client)?;
    let scanner = step("scanner", servers::scanner)?;
    step("openssl, ssh", servers::tools)?;
    style()?;
    step("cargo test", || {
        let mut cargo = tests(&[])?;
        cargo.env("REMIT_WITNESS", &witness).env("REMIT_BAO", &bao).env("REMIT_SCHEMATHESIS", &schemathesis);
        cargo.env("REMIT_MCP_CLIENT", &mcp).env("REMIT_SCANNER", &scanner);
        // What building an action takes on this machine; as it is not for the host's own build.
        let guests = plugins::environment()?;
        let guests: Vec<_> = guests.iter().map(|(k, v)| format!("{}={}", k.display(), v.display())).collect();
        shell::run(cargo.env("REMIT_GUEST_ENV", guests.join("\n")))
    })?;
    // With one domain more than is shipped: see docs/adding-a-domain.md.
    step("one more domain", || {
        let features = ["--features", "remit/test-domain"];
        shell::run(tests(&["--test", "domain", "--test", "drift"])?.args(features))
    })
}

/// The protocol's own suite, and its client for Node, against `/mcp` and `remit mcp`.
pub(crate) fn mcp() -> Result<()> {
    step("plugins in Rust", plugins::run_rust)?;
    let (node, modules) = step("npm", servers::mcp_suite)?;
    step("suite", || {
        let mut cargo = tests(&["--test", "outside", "--", "--ignored", "--nocapture", "node_"])?;
        shell::run(cargo.env("REMIT_NODE", &node).env("REMIT_NODE_MODULES", &modules))
    })
}

/// What to run after each change: format, lints, the unit tests, and end-to-end tests that need no other server and no
/// other language than Rust.
pub(crate) fn check() -> Result<()> {
    step("plugins in Rust", plugins::run_rust)?;
    style()?;
    step("unit tests", || shell::run(&mut tests(&["--quiet", "--lib", "--bins"])?))?;
    step("quick tests", || {
        let chosen: Vec<_> = QUICK.iter().flat_map(|name| ["--test", name]).collect();
        shell::run(tests(&["--quiet"])?.args(chosen))
    })
}

fn style() -> Result<()> {
    step("cargo fmt --check", || shell::run(&mut shell::cargo(["fmt", "--all", "--check"])?))?;
    step("cargo clippy", || {
        shell::run(&mut shell::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?)
    })
}

/// `cargo test`. Always of the whole workspace, although few tests may be chosen: for one package alone, cargo would build
/// every dependency again, with the features that this package wants of it.
fn tests(chosen: &[&str]) -> Result<Command> {
    let mut cargo = shell::cargo(["test", "--workspace"])?;
    cargo.args(chosen).env("REMIT_PLUGINS", shell::target()?.join("plugins"));
    Ok(cargo)
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = work().with_context(|| format!("step `{name}` failed"))?;
    println!("ok  {name:<18} {:>6.1} s", started.elapsed().as_secs_f64());
    Ok(result)
}
