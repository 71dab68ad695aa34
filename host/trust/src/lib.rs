//! Digests, keys, signatures, principals and authenticated encryption.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make their own files"))]

mod armour;
pub mod blob;
mod digest;
pub mod dsse;
mod error;
pub mod id_token;
pub mod issuers;
pub mod jws;
mod key_file;
mod keys;
mod passkey;
pub mod principals;
mod seal;
mod sealed_input;
mod secret;
mod signer;
mod ssh;

pub use digest::{Digest, DigestError};
pub use error::{KeyError, SealError, SignatureError};
pub use key_file::Key;
pub use keys::{KeyId, KeyIdError, SigningKey, VerifyingKey};
pub use passkey::{Assertion, PasskeyUse, Passkeys, passkey_challenge};
pub use remit_text::json::canonical;
pub use seal::{Sealed, Sealer, private_seed, random};
pub use sealed_input::{Handle, NoHandle, Opening, ValueHandle};
pub use secret::{Secret, SecretBytes, SecretText};
pub use signer::{Sign, Signer};
pub use ssh::{SSH_NAMESPACE, when_an_agent_waits};
