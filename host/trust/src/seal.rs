//! Authenticated encryption of what the journal must keep but nobody may read.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::key_file::KeyFile;
use crate::keys::create;
use crate::{KeyError, SealError};

/// Sealed bytes: nonce, ciphertext and tag of AES-256-GCM. In JSON, base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Sealed {
    /// The bytes, for a store that keeps them as they are.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes from such a store; whether they open is found out when they are opened.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// A key that seals. The host's is kept in a file of its own, apart from what it seals; others are kept
/// sealed under it ([`Sealer::wrap`]).
pub struct Sealer {
    seed: Zeroizing<[u8; 32]>,
    key: LessSafeKey,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Reads the key file, or makes one (mode 0600).
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        Self::from_seed(private_seed(path)?)
    }

    /// A fresh key, in memory only.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *seed).map_err(|_| KeyError::Random)?;
        Self::from_seed(seed)
    }

    fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, &*seed).map_err(|_| KeyError::Random)?;
        Ok(Self { seed, key: LessSafeKey::new(key) })
    }

    /// Seals another key under this one.
    pub fn wrap(&self, context: &[u8], other: &Self) -> Result<Sealed, SealError> {
        self.seal(context, &*other.seed)
    }

    /// The key that [`Sealer::wrap`] sealed with the same `context`.
    pub fn unwrap(&self, context: &[u8], sealed: &Sealed) -> Result<Self, SealError> {
        let open = self.open(context, sealed)?;
        let mut seed = Zeroizing::new([0; 32]);
        let bytes: &[u8; 32] = open.as_slice().try_into().map_err(|_| SealError::Broken)?;
        seed.copy_from_slice(bytes);
        Self::from_seed(seed).map_err(|_| SealError::Broken)
    }

    /// Seals `plain`; it opens only with the same `context`. Nonces are random: far fewer than the 2³²
    /// messages that NIST SP 800-38D allows one key are ever sealed here.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Failed)?;
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut body)
            .map_err(|_| SealError::Failed)?;
        Ok(Sealed([&nonce, body.as_slice(), tag.as_ref()].concat()))
    }

    /// Opens what [`Sealer::seal`] sealed with the same `context`.
    pub fn open(&self, context: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, body) = sealed.0.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Broken)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut body)
            .map_err(|_| SealError::Broken)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

/// Reads 32 private bytes from a file (which must be private to its owner), or makes them.
pub fn private_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    if !path.exists() {
        SystemRandom::new().fill(&mut *seed).map_err(|_| KeyError::Random)?;
        match create(path, 0o600, &*seed) {
            Ok(()) => return Ok(seed),
            // Another process was first: use its key.
            Err(KeyError::File(error)) if error.is_there() => {}
            Err(error) => return Err(error),
        }
    }
    let read = KeyFile::seed(path)?;
    let bytes = read.private()?;
    let fixed: &[u8; 32] =
        bytes.try_into().map_err(|_| read.unusable(format!("{} bytes long, expected 32", bytes.len())))?;
    seed.copy_from_slice(fixed);
    Ok(seed)
}

/// 32 bytes from the system's random source.
pub fn random() -> Result<[u8; 32], KeyError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}
