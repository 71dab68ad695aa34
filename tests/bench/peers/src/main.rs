//! What other WebAssembly hosts need for the work that Remit's benchmark measures, as one JSON object.
//!
//! See README.md beside the manifest: what is measured, and what must not be compared.

mod extism;
mod guests;
mod jco;
mod report;
mod sample;
#[cfg(feature = "wasmcloud")]
mod wasmcloud;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::report::Report;

fn main() -> ExitCode {
    match measure() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The causes in one line; a backtrace of this program would hide them.
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<String> {
    let dir = beside_the_program()?;
    let guests = guests::build(&dir)?;
    let mut peers = extism::measure(&guests.plugin)?;
    #[cfg(feature = "wasmcloud")]
    peers.push(wasmcloud::measure(&guests.component)?);
    peers.push(jco::measure(&guests.component, &dir.join("jco")));
    serde_json::to_string(&Report { peers }).context("writing the report")
}

/// A folder of our own in the target directory that this program was built into.
fn beside_the_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("asking where this program is")?;
    // `<target>/release/peers`.
    let target = program
        .ancestors()
        .nth(2)
        .with_context(|| format!("{} lies in no target directory", program.display()))?;
    Ok(target.join("peers"))
}
