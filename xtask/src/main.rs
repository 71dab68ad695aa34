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
    /// Install the real servers and other programs that the tests use, and print the variables that say where they are, for a
    /// shell: `eval "$(cargo xtask servers)"`.
    Servers {
        /// Only these, by name.
        names: Vec<String>,
    },
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
    Test {
        /// Only these modules of the end-to-end tests: `rotate` for `tests/rotate.rs`.
        modules: Vec<String>,
    },
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
        Task::Servers { names } => test::print_servers(&names),
        Task::Mcp => test::mcp(),
        Task::Fuzz { target, seconds } => fuzz::run(&target, seconds),
        Task::Check => test::check(),
        Task::Test { modules } if modules.is_empty() => test::run(),
        Task::Test { modules } => test::modules(&modules),
        Task::Demo { story: None } => demo::run(),
        Task::Demo { story: Some(Story::Jobs) } => demo::jobs::run(),
    }
}
