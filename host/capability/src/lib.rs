//! What an action can ask the host for.
//!
//! Each interface of `wit/` has its [typed operations](remit_gate::Operation) and a thin `Host` impl that
//! parses arguments into one and hands it to the gate. A [`Registry`] is the one list of them all:
//! admission, `inspect`, linking and undo read it. The state behind every impl is a [`Ctx`]: the gate and
//! the run's inert WASI, so that no backend is within reach of these impls by any other way.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

pub mod accounts;
pub mod bindings;
pub mod connected;
mod ctx;
pub mod databases;
pub mod domain;
mod error;
pub mod evidence;
pub mod files;
pub mod fixture;
pub mod host;
#[cfg(feature = "test-domain")]
#[path = "../../../tests/domain/capability.rs"]
pub mod lamps;
pub mod network;
mod registry;
pub mod secrets;
mod types;
pub mod wasi;

pub use ctx::Ctx;
pub use domain::{Domain, Interface, entries};
pub use error::{CallError, answered};
pub use registry::{BUILT_IN, Registry, domains, systems};
