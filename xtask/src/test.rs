//! `cargo xtask test`: all checks, in the order in which they fail fastest.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{bindings, plugins, servers, shell};

/// Runs every step; stops at the first that fails and names it.
pub(crate) fn run() -> Result<()> {
    let plugins_dir = shell::target()?.join("plugins");
    step("bindings --check", || bindings::run(true))?;
    step("plugins", || plugins::run(&[]))?;
    let bao = step("openbao", servers::openbao)?;
    let witness = step("witness", servers::witness)?;
    step("openssl, ssh", servers::tools)?;
    step("cargo fmt --check", || shell::run(&mut shell::cargo(["fmt", "--all", "--check"])?))?;
    step("cargo clippy", || {
        shell::run(&mut shell::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?)
    })?;
    step("cargo test", || {
        let mut cargo = shell::cargo(["test", "--workspace"])?;
        cargo.env("REMIT_WITNESS", &witness);
        // What building an action takes on this machine; as it is not for the host's own build.
        let guests = plugins::environment()?;
        let guests: Vec<_> = guests.iter().map(|(k, v)| format!("{}={}", k.display(), v.display())).collect();
        cargo.env("REMIT_GUEST_ENV", guests.join("\n"));
        shell::run(cargo.env("REMIT_BAO", &bao).env("REMIT_PLUGINS", &plugins_dir))
    })?;
    // With one domain more than is shipped: see docs/adding-a-domain.md.
    step("one more domain", || {
        let domain = ["test", "-p", "remit", "--features", "test-domain", "--test", "domain"];
        shell::run(shell::cargo(domain)?.env("REMIT_PLUGINS", &plugins_dir))?;
        let drift = ["test", "-p", "remit-capability", "--features", "test-domain", "--test", "drift"];
        shell::run(&mut shell::cargo(drift)?)
    })
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = work().with_context(|| format!("step `{name}` failed"))?;
    println!("ok  {name:<18} {:>6.1} s", started.elapsed().as_secs_f64());
    Ok(result)
}
