//! Authenticated encryption of secrets that the journal must keep.

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
    /// The bytes, to be stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Sealed bytes from a store. They are checked when they are opened.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// A key for sealing. The host's key is in its own file, apart from the data; the other keys are stored sealed under it
/// ([`Sealer::wrap`]).
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
    /// Reads the key file, and creates it (mode 0600) if there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        Self::from_seed(private_seed(path)?)
    }

    /// A new key, in memory only.
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

    /// Opens a key that [`Sealer::wrap`] sealed with the same `context`.
    pub fn unwrap(&self, context: &[u8], sealed: &Sealed) -> Result<Self, SealError> {
        let open = self.open(context, sealed)?;
        let mut seed = Zeroizing::new([0; 32]);
        let bytes: &[u8; 32] = open.as_slice().try_into().map_err(|_| SealError::Broken)?;
        seed.copy_from_slice(bytes);
        Self::from_seed(seed).map_err(|_| SealError::Broken)
    }

    /// Seals `plain`, which opens only with the same `context`. Nonces are random: NIST SP 800-38D allows 2³² messages for one
    /// key, and far fewer are sealed here.
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

    /// Opens data that [`Sealer::seal`] sealed with the same `context`.
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

/// Reads 32 bytes from a file that only its owner may read, and creates it if there is none.
pub fn private_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    if !path.exists() {
        SystemRandom::new().fill(&mut *seed).map_err(|_| KeyError::Random)?;
        match create(path, 0o600, &*seed) {
            Ok(()) => return Ok(seed),
            // Another process created the file first: use its key.
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
