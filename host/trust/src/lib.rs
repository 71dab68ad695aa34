//! Digests, canonical JSON, keys, signatures and sealing: everything Remit's trust rests on.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

pub mod blob;
mod digest;
pub mod dsse;
mod error;
mod keys;
pub mod principals;
mod seal;
mod signer;
mod ssh;

pub use digest::{Digest, DigestError, canonical};
pub use error::{KeyError, SealError, SignatureError};
pub use keys::{KeyId, SigningKey, VerifyingKey};
pub use seal::{Sealed, Sealer, SecretBytes, private_seed, random};
pub use signer::{Sign, Signer};
pub use ssh::SSH_NAMESPACE;
