//! The code that talks to real systems, one file per system. What changes something takes an
//! [`remit_gate::Authority`], which only the gate can make.

mod config;
mod embedded;
mod fields;
mod generator;
mod openbao;
pub mod secrets;

pub use config::{BackendError, SecretsConfig, Serving};
pub use embedded::Embedded;
pub use fields::Fields;
pub use generator::{Alphabet, Generator};
pub use openbao::OpenBao;
pub use secrets::{Metadata, SecretStore, Secrets, Version, VersionState};
