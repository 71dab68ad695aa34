//! The code that talks to real systems on behalf of operations.
//!
//! A backend reads freely. For everything that changes something it demands the
//! [`Authority`](remit_gate::Authority) of a permit, which only the gate can give.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says what went wrong by failing"))]

pub mod accounts;
pub mod databases;
mod error;
pub mod evidence;
pub mod files;
mod http;
#[cfg(feature = "test-domain")]
#[path = "../../../tests/domain/backend.rs"]
pub mod lamps;
pub mod network;
mod routes;
pub mod secrets;
mod systems;
mod tls;

pub use databases::{DatabaseConfig, Databases};
pub use error::BackendError;
pub use evidence::{Evidence, EvidenceConfig};
pub use files::{Files, FilesConfig};
pub use network::{NetworkConfig, Networks};
pub use remit_trust::SecretText;
pub use routes::{Routes, longest};
pub use secrets::{
    Act, Alphabet, BoxFuture, Embedded, EmbeddedConfig, Fields, Generator, Identity, Metadata, OpenBao,
    OpenBaoConfig, Played, Right, SecretStore, SecretView, Secrets, SecretsConfig, Serving, Target, Turn,
    Version, VersionState,
};
pub use systems::{Checked, Systems, Trouble};
