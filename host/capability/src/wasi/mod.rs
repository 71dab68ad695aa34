//! The harmless part of WASI 0.2, for actions whose language insists on it.
//!
//! Written here rather than taken from `wasmtime-wasi`, because nothing of it may reach past the run:
//! standard output and error go line by line into the run's log, standard input is at its end, the
//! environment is empty, randomness is a stream from the run's seed, and every look at a clock goes
//! through the gate and is on record. So a run can be replayed. Files are those that a scope
//! grants, and no socket can be imported.

mod clocks;
mod error;
mod files;
pub mod handle;
mod io;
mod random;
mod state;
mod stdio;

use crate::Ctx;
use crate::bindings;
use crate::bindings::wasi::cli::{environment, exit};
use crate::domain::{Domain, interfaces};
pub use clocks::{MonotonicNow, Poll, Ready, WallNow};
pub use error::{Exit, Misuse, Unwritten};
#[doc(hidden)]
pub use files::path_below;
pub(crate) use state::State;

/// The domain: every part of WASI that is offered.
pub(crate) static DOMAIN: Domain = Domain { name: "wasi", interfaces: INTERFACES, systems: None };

interfaces! {
    wasi true;
    "wasi:cli/environment" "0.2.12" [] by bindings::wasi::cli::environment:
        "sees an empty environment: no variables, no arguments, no directory";
    "wasi:cli/exit" "0.2.12" [] by bindings::wasi::cli::exit:
        "can end its own run";
    "wasi:cli/stdin" "0.2.12" [] by bindings::wasi::cli::stdin:
        "reads a standard input that is always at its end";
    "wasi:cli/stdout" "0.2.12" [] by bindings::wasi::cli::stdout:
        "prints into the run's own log";
    "wasi:cli/stderr" "0.2.12" [] by bindings::wasi::cli::stderr:
        "prints into the run's own log";
    "wasi:cli/terminal-input" "0.2.12" [] by bindings::wasi::cli::terminal_input:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-output" "0.2.12" [] by bindings::wasi::cli::terminal_output:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-stdin" "0.2.12" [] by bindings::wasi::cli::terminal_stdin:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-stdout" "0.2.12" [] by bindings::wasi::cli::terminal_stdout:
        "asks about a terminal; there is none";
    "wasi:cli/terminal-stderr" "0.2.12" [] by bindings::wasi::cli::terminal_stderr:
        "asks about a terminal; there is none";
    "wasi:clocks/monotonic-clock" "0.2.12" [observe MonotonicNow] by bindings::wasi::clocks::monotonic_clock:
        "measures time; each look is recorded";
    "wasi:clocks/wall-clock" "0.2.12" [observe WallNow] by bindings::wasi::clocks::wall_clock:
        "knows the date and time; each look is recorded";
    "wasi:filesystem/preopens" "0.2.12" [observe crate::files::GetDirectories] by bindings::wasi::filesystem::preopens:
        "asks which directories it may use; there are none but those that a scope grants";
    "wasi:filesystem/types" "0.2.12" [] by bindings::wasi::filesystem::types:
        "uses files that a scope grants by remit:files/read and remit:files/write; otherwise there are none";
    "wasi:io/error" "0.2.12" [] by bindings::wasi::io::error:
        "reads error texts of its own streams";
    "wasi:io/poll" "0.2.12" [observe Poll, observe Ready] by bindings::wasi::io::poll:
        "waits, within its time limit; each wait is recorded";
    "wasi:io/streams" "0.2.12" [] by bindings::wasi::io::streams:
        "uses its standard streams, which end in the run's own log";
    "wasi:random/insecure" "0.2.12" [] by bindings::wasi::random::insecure:
        "gets random numbers that the run's journal can repeat";
    "wasi:random/insecure-seed" "0.2.12" [] by bindings::wasi::random::insecure_seed:
        "gets random numbers that the run's journal can repeat";
    "wasi:random/random" "0.2.12" [] by bindings::wasi::random::random:
        "gets random numbers that the run's journal can repeat";
}

impl environment::Host for Ctx {
    async fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    async fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for Ctx {
    async fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Exit { ok: status.is_ok() }))
    }

    async fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Exit { ok: code == 0 }))
    }
}
