//! The code that talks to real systems on behalf of operations.
//!
//! A backend reads freely. For everything that changes something it demands the
//! [`Authority`](remit_gate::Authority) of a permit, which only the gate can give.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says what went wrong by failing"))]

mod config;
mod embedded;
mod error;
mod fields;
pub mod files;
mod generator;
#[cfg(feature = "test-domain")]
#[path = "../../../tests/domain/backend.rs"]
pub mod lamps;
mod openbao;
mod played;
pub mod secrets;

pub use config::{SecretsConfig, Server, Serving};
pub use embedded::Embedded;
pub use error::BackendError;
pub use files::{Files, FilesConfig};
pub use openbao::OpenBao;
pub use secrets::{
    Act, BoxFuture, Fields, Generator, Identity, Metadata, Played, Right, SecretStore, SecretText,
    SecretView, Secrets, Target, Turn, Version, VersionState,
};
