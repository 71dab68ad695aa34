//! Write Remit actions in Rust.
//!
//! An action is two functions: `run` performs the repair, `verify` looks, without changing anything,
//! whether it holds. Both take and return whatever serde can read from and write to JSON.
//!
//! ```
//! use remit::{Error, secrets};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Input { path: String }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Output { current: u64 }
//!
//! fn run(input: Input) -> Result<Output, Error> {
//!     let rotated = secrets::rotate(&input.path, None)?;
//!     Ok(Output { current: rotated.current })
//! }
//!
//! fn verify(input: Input, output: Output) -> Result<(), Error> {
//!     let now = secrets::inspect(&input.path)?;
//!     if now.current == output.current { Ok(()) } else { Err(Error::new("it was changed since")) }
//! }
//!
//! remit::action!(run, verify);
//! ```
//!
//! An action reaches only what it calls in here, and only where its grant says so. The host runs `run`
//! twice, first to rehearse; the action cannot tell which, so keep it a function of its input and of
//! what the host answers.

mod action;
#[cfg(feature = "connector")]
pub mod connector;
// Generated.
#[rustfmt::skip]
mod domains;
mod error;
pub mod log;
pub mod run;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated code"
)]
#[rustfmt::skip]
pub mod bindings;

pub use bindings::remit::types::errors::Failure;
pub use domains::*;
pub use error::Error;

/// Takes the memory that `remit build` gives a guest from its start before it asks for more: growing interrupts the host.
#[cfg(all(feature = "allocator", target_family = "wasm", target_os = "unknown"))]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[doc(hidden)]
pub use action::{call_run, call_verify};
