//! Secrets: stores of versioned values.

mod blocking;
mod config;
mod embedded;
mod fields;
mod generator;
mod openbao;
mod played;
mod router;
mod store;

pub use config::{SecretsConfig, Serving};
pub use embedded::{Embedded, EmbeddedConfig, EmbeddedError};
pub use fields::Fields;
pub use generator::{Alphabet, Generator};
pub use openbao::{OpenBao, OpenBaoConfig};
pub use played::Played;
pub use router::Secrets;
pub use store::{
    Act, BoxFuture, Identity, KIND, Metadata, Right, SecretStore, SecretView, Target, Turn, Version,
    VersionState,
};
