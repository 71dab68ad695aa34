//! Project tasks, run as `cargo xtask TASK`.
#![forbid(unsafe_code)]

mod bindings;
mod demo;
mod fuzz;
mod jobs;
mod plugins;
mod servers;
mod shell;
mod test;
mod toolchains;
mod wasm_std;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Generate what the SDKs have of the WIT.
    Bindings {
        /// Only compare; fail when a file is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Build the guest components to target/plugins.
    Plugins {
        /// Only these, by name.
        names: Vec<String>,
    },
    /// Compile the interpreter of connectors in TOML, which `remit` brings along.
    Interpreter {
        /// Only compare; fail when it is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Install the secret store that the tests use, and print the path of `bao`.
    Openbao,
    /// Install the witness that the tests use, and print the path of `aics-witness`.
    Witness,
    /// Install the scanner of source code that the tests use, and print where its program is.
    Scanner,
    /// Install the npm registry that the tests use, and print the path of its script.
    Verdaccio,
    /// Install the tracker of tickets that the tests use, and print the path of its Python.
    Roundup,
    /// Install what plays AWS in the tests, and print the path of its Python.
    Moto,
    /// Install the directory of accounts that the tests use, and print the path of its program.
    Scim,
    /// Install the `PocketBase` that the tests use, and print the path of its program.
    Pocketbase,
    /// Install the database server that the tests use, and print the folder of its programs.
    Postgres,
    /// Install what pools connections to the database server in the tests, and print the path of its program.
    Pgbouncer,
    /// Install the LDAP server that the tests use, and print the path of its program.
    Openldap,
    /// Unpack Samba, by which the tests play Active Directory, and print the path of what runs its programs.
    Samba,
    /// Install the browser that the tests of the console use, and print the path of its program.
    Chromium,
    /// Install what judges whether everybody can use a page, and print the path of its script.
    Axe,
    /// Install the program that filters packets, which the tests use, and print its path.
    Nftables,
    /// Install the program that judges the server by its description, and print the path of `st`.
    Schemathesis,
    /// Hold `/mcp` and `remit mcp` to the protocol's own suite and client, which npm has.
    Mcp,
    /// Look for bytes that a parser does not survive, with a nightly compiler.
    Fuzz {
        /// Which parser, or `all`, one after the other.
        target: String,
        /// For how long, each.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Format, lints, unit tests and the quick end-to-end tests: what to run after each change.
    Check,
    /// Everything that must pass before a change is merged.
    Test,
    /// Build Remit and show a repair from keys to revert.
    Demo {
        /// Instead of that: whole jobs, against real systems.
        story: Option<Story>,
    },
}

/// What is shown.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Story {
    /// The stories of `tests/jobs`.
    Jobs,
}

fn main() -> ExitCode {
    match perform(Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes in one line; a backtrace of this program would hide them.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    match task {
        Task::Bindings { check } => bindings::run(check),
        Task::Plugins { names } => plugins::run(&names),
        Task::Interpreter { check } => plugins::interpreter(check),
        Task::Openbao => {
            println!("{}", servers::openbao()?.display());
            Ok(())
        }
        Task::Witness => {
            println!("{}", servers::witness()?.display());
            Ok(())
        }
        Task::Chromium => {
            println!("{}", servers::chromium()?.display());
            Ok(())
        }
        Task::Axe => {
            println!("{}", servers::axe()?.display());
            Ok(())
        }
        Task::Scanner => {
            println!("{}", servers::scanner()?.display());
            Ok(())
        }
        Task::Verdaccio => {
            println!("{}", servers::verdaccio()?.display());
            Ok(())
        }
        Task::Roundup => {
            println!("{}", servers::roundup()?.display());
            Ok(())
        }
        Task::Moto => {
            println!("{}", servers::moto()?.display());
            Ok(())
        }
        Task::Schemathesis => {
            println!("{}", servers::schemathesis()?.display());
            Ok(())
        }
        Task::Scim => {
            println!("{}", servers::scim()?.display());
            Ok(())
        }
        Task::Pocketbase => {
            println!("{}", servers::pocketbase()?.display());
            Ok(())
        }
        Task::Postgres => {
            println!("{}", servers::postgres()?.display());
            Ok(())
        }
        Task::Pgbouncer => {
            println!("{}", servers::pgbouncer()?.display());
            Ok(())
        }
        Task::Openldap => {
            println!("{}", servers::openldap()?.display());
            Ok(())
        }
        Task::Samba => {
            println!("{}", servers::samba()?.display());
            Ok(())
        }
        Task::Nftables => {
            println!("{}", servers::nftables()?.display());
            Ok(())
        }
        Task::Mcp => test::mcp(),
        Task::Fuzz { target, seconds } => fuzz::run(&target, seconds),
        Task::Check => test::check(),
        Task::Test => test::run(),
        Task::Demo { story: None } => demo::run(),
        Task::Demo { story: Some(Story::Jobs) } => demo::jobs::run(),
    }
}
