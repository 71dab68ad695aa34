//! `cargo xtask test`: all checks, in the order in which they fail fastest. `cargo xtask check`: the quick ones of them.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::jobs::{self, Job};
use crate::{bindings, plugins, servers, shell};

/// End-to-end tests that take a few seconds each, and together use most of Remit.
const QUICK: [&str; 9] =
    ["rotate", "refusals", "story", "status", "limits", "founding", "json", "together", "telling"];

/// The end-to-end tests that take longest. They begin first, so that the others end beside them.
const LONG: [&str; 6] = ["crash", "authoring", "hostile", "languages", "jobs", "connectors"];

/// Runs every step; stops at the first that fails and names it.
pub(crate) fn run() -> Result<()> {
    step("bindings --check", || bindings::run(true))?;
    step("cargo fmt --check", format)?;
    // Three at once: what is fetched waits for the network, and what builds the plugins uses one processor most of the time.
    let (mut jobs, mut environment) = std::thread::scope(|threads| {
        let servers = threads.spawn(|| servers(&[]));
        let plugins = threads.spawn(|| {
            step("plugins", || plugins::run(&[]))?;
            step("interpreter --check", || plugins::interpreter(true))
        });
        let jobs = step("build with lints", || jobs::build(&mut linted(&["--all-targets"])?))?;
        plugins.join().unwrap_or_else(|_| bail!("the build of the plugins panicked"))?;
        let environment = servers.join().unwrap_or_else(|_| bail!("the installation of servers panicked"))?;
        anyhow::Ok((jobs, environment))
    })?;
    environment.push(guest_environment()?);
    for job in &mut jobs {
        job.envs(&environment);
    }
    jobs.sort_by_key(|job| LONG.iter().position(|long| job.name == *long).unwrap_or(LONG.len()));
    let (mut first, mut rest): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.end_to_end);
    first.push(Job::new("documentation", vec![linted(&["--doc"])?]));
    step("end-to-end tests", || jobs::run(first))?;
    // With one domain more than is shipped: see docs/adding-a-domain.md. That builds another `remit`.
    let mut domain = linted(&["--test", "domain", "--test", "drift", "--features", "remit/test-domain"])?;
    domain.envs(environment);
    rest.insert(0, Job::new("one more domain", vec![domain]));
    step("unit tests", || jobs::run(rest))
}

/// Runs modules of the end-to-end tests, with all that they need.
pub(crate) fn modules(names: &[String]) -> Result<()> {
    let mut environment = servers(&[])?;
    environment.push(guest_environment()?);
    step("plugins", || plugins::run(&[]))?;
    let mut jobs = step("build with lints", || jobs::build(&mut linted(&["--test", jobs::END_TO_END])?))?;
    if let Some(unknown) = names.iter().find(|name| jobs.iter().all(|job| job.name != **name)) {
        bail!("there is no module `{unknown}` in tests/main.rs");
    }
    jobs.retain(|job| names.contains(&job.name));
    for job in &mut jobs {
        job.envs(&environment);
    }
    step("end-to-end tests", || jobs::run(jobs))
}

/// What building an action takes on this machine, which is not for the host's own build.
fn guest_environment() -> Result<(String, PathBuf)> {
    let guests = plugins::environment()?;
    let guests: Vec<_> = guests.iter().map(|(k, v)| format!("{}={}", k.display(), v.display())).collect();
    Ok(("REMIT_GUEST_ENV".to_owned(), guests.join("\n").into()))
}

/// What installs a program, and answers where it is.
type Install = fn() -> Result<PathBuf>;

/// The real servers and other programs that the tests use, each with the variable that says where it is.
const SERVERS: [(&str, &str, Install); 17] = [
    ("openbao", "REMIT_BAO", servers::openbao),
    ("witness", "REMIT_WITNESS", servers::witness),
    ("schemathesis", "REMIT_SCHEMATHESIS", servers::schemathesis),
    ("mcp-client", "REMIT_MCP_CLIENT", servers::mcp_client),
    ("scanner", "REMIT_SCANNER", servers::scanner),
    ("verdaccio", "REMIT_VERDACCIO", servers::verdaccio),
    ("roundup", "REMIT_ROUNDUP", servers::roundup),
    ("moto", "REMIT_MOTO", servers::moto),
    ("scim", "REMIT_SCIM", servers::scim),
    ("pocketbase", "REMIT_POCKETBASE", servers::pocketbase),
    ("postgres", "REMIT_POSTGRES", servers::postgres),
    ("pgbouncer", "REMIT_PGBOUNCER", servers::pgbouncer),
    ("openldap", "REMIT_OPENLDAP", servers::openldap),
    ("samba", "REMIT_SAMBA", servers::samba),
    ("chromium", "REMIT_CHROMIUM", servers::chromium),
    ("axe", "REMIT_AXE", servers::axe),
    ("nftables", "REMIT_NFT", servers::nftables),
];

/// Installs those of these names, or all if none is named, and says where they are.
pub(crate) fn servers(names: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut environment = vec![("REMIT_PLUGINS".to_owned(), shell::target()?.join("plugins"))];
    for (name, variable, install) in SERVERS {
        if names.is_empty() || names.contains(&name) {
            environment.push((variable.to_owned(), step(name, install)?));
        }
    }
    step("openssl, ssh", servers::tools)?;
    Ok(environment)
}

/// Installs the same and prints, for a shell, the variables that say where they are.
pub(crate) fn print_servers(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| SERVERS.iter().all(|(known, ..)| known != name)) {
        let known: Vec<_> = SERVERS.iter().map(|(name, ..)| *name).collect();
        bail!("there is no server `{unknown}`; there are {}", known.join(", "));
    }
    println!("export REMIT_PLUGINS='{}'", shell::target()?.join("plugins").display());
    for (name, variable, install) in SERVERS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("export {variable}='{}'", install()?.display());
        }
    }
    Ok(())
}

/// The protocol's own suite, and its client for Node, against `/mcp` and `remit mcp`.
pub(crate) fn mcp() -> Result<()> {
    step("plugins in Rust", plugins::run_rust)?;
    let (node, modules) = step("npm", servers::mcp_suite)?;
    step("suite", || {
        let mut cargo = tests(&["--test", jobs::END_TO_END, "--", "--ignored", "--nocapture", "node_"])?;
        shell::run(cargo.env("REMIT_NODE", &node).env("REMIT_NODE_MODULES", &modules))
    })
}

/// What to run after each change: format, the unit tests, and end-to-end tests that need no other server and no other language than
/// Rust, compiled with lints. What is compiled is what `cargo xtask test` compiles; the lints of the other tests are left to that.
pub(crate) fn check() -> Result<()> {
    let mut chosen = vec!["--lib", "--bins"];
    chosen.extend(["--test", jobs::END_TO_END]);
    let mut jobs = std::thread::scope(|threads| {
        let plugins = threads.spawn(|| step("plugins in Rust", plugins::run_rust));
        step("cargo fmt --check", format)?;
        let jobs = step("build with lints", || jobs::build(&mut linted(&chosen)?))?;
        plugins.join().unwrap_or_else(|_| bail!("the build of the plugins panicked"))?;
        anyhow::Ok(jobs)
    })?;
    let environment = [("REMIT_PLUGINS".to_owned(), shell::target()?.join("plugins"))];
    jobs.retain(|job| job.name.ends_with(jobs::UNIT) || QUICK.contains(&&*job.name));
    for job in &mut jobs {
        job.envs(&environment);
    }
    step("quick tests", || jobs::run(jobs))
}

fn format() -> Result<()> {
    shell::run(&mut shell::cargo(["fmt", "--all", "--check"])?)
}

/// `cargo test`. Always of the whole workspace, although few tests may be chosen: for one package alone, cargo would build
/// every dependency again, with the features that this package wants of it.
pub(crate) fn tests(chosen: &[&str]) -> Result<Command> {
    let mut cargo = shell::cargo(["test", "--workspace"])?;
    cargo.args(chosen).env("REMIT_PLUGINS", shell::target()?.join("plugins"));
    Ok(cargo)
}

/// The same, compiled by Clippy, which then is the compiler too. `cargo clippy` beside a build would read each dependency and each
/// crate once more: minutes on a fresh machine. What Clippy compiled is kept apart from what was compiled without it.
fn linted(chosen: &[&str]) -> Result<Command> {
    with_lints(tests(chosen)?)
}

/// This command of cargo, with Clippy as the compiler of the workspace.
pub(crate) fn with_lints(mut cargo: Command) -> Result<Command> {
    let sysroot =
        shell::output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(shell::root()))?;
    cargo.env("RUSTC_WORKSPACE_WRAPPER", PathBuf::from(sysroot).join("bin/clippy-driver"));
    // As `cargo clippy -- -D warnings` hands it on.
    cargo.env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
    Ok(cargo)
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = work().with_context(|| format!("step `{name}` failed"))?;
    println!("ok  {name:<18} {:>6.1} s", started.elapsed().as_secs_f64());
    Ok(result)
}
