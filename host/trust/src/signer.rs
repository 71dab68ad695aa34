//! Whoever can sign as a principal: a key in a file, or one that an ssh-agent holds.

use std::fmt;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Mpint, PrivateKey, Signature, SshSig};

use crate::keys::{pem, private};
use crate::ssh::{SSH_NAMESPACE, SshKey};
use crate::{KeyError, SigningKey, VerifyingKey};

/// Anything that signs documents.
pub trait Sign {
    /// The public half.
    fn verifying_key(&self) -> VerifyingKey;
    /// A signature over `message`, in the form that the key's signatures have.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

impl Sign for SigningKey {
    fn verifying_key(&self) -> VerifyingKey {
        Self::verifying_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Self::sign(self, message)
    }
}

/// A principal's private key, or the way to it.
pub struct Signer(Held);

enum Held {
    P256(SigningKey),
    Ed25519(Ed25519KeyPair),
    /// An SSH key in a file.
    Ssh(SshKey, SshPair),
    /// An SSH key of which only the public half is here.
    Agent(SshKey),
}

enum SshPair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifying_key().id().short())
    }
}

impl From<SigningKey> for Signer {
    fn from(key: SigningKey) -> Self {
        Self(Held::P256(key))
    }
}

impl Signer {
    /// Reads a private key file, which must be private to its owner: PKCS#8 in PEM (ECDSA P-256 or Ed25519), or
    /// OpenSSH's. An OpenSSH *public* key stands for the private one that an ssh-agent holds.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        // Once: what comes out of a pipe is gone then.
        let read = remit_file::given(path, remit_file::Kind::Key)?;
        let (text, shown) = (read.text()?, read.shown());
        if !text.trim_start().starts_with("-----BEGIN") {
            return Ok(Self(Held::Agent(SshKey::from_line(text, shown)?)));
        }
        if text.contains("-----BEGIN PUBLIC KEY-----") {
            let why = "a public key, where the private one is needed".to_owned();
            return Err(KeyError::Unusable { shown: shown.to_owned(), why });
        }
        private(&read, path)?;
        Self::from_text(text, shown)
    }

    fn from_text(text: &str, shown: &str) -> Result<Self, KeyError> {
        if text.contains("BEGIN OPENSSH PRIVATE KEY") {
            return Self::from_openssh(text, shown);
        }
        let der = zeroize::Zeroizing::new(pem(text, "PRIVATE KEY", shown)?);
        // openssl writes no public half into an Ed25519 key.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self(Held::Ed25519(pair)));
        }
        Ok(Self(Held::P256(SigningKey::from_pem(text, shown)?)))
    }

    fn from_openssh(text: &str, shown: &str) -> Result<Self, KeyError> {
        let unusable = |why: String| KeyError::Unusable { shown: shown.to_owned(), why };
        let key = PrivateKey::from_openssh(text).map_err(|error| unusable(error.to_string()))?;
        if key.is_encrypted() {
            let why = "it is encrypted: `ssh-add` it to your ssh-agent, and name the public key file instead";
            return Err(unusable(why.to_owned()));
        }
        let public = SshKey::of(key.public_key().key_data().clone(), key.comment(), shown)?;
        let rejected = |error: ring::error::KeyRejected| unusable(error.to_string());
        let pair = match key.key_data() {
            KeypairData::Ed25519(pair) => {
                let seed = zeroize::Zeroizing::new(pair.private.to_bytes());
                let pair = Ed25519KeyPair::from_seed_and_public_key(&*seed, &pair.public.0);
                SshPair::Ed25519(pair.map_err(rejected)?)
            }
            KeypairData::Ecdsa(pair) => {
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    pair.private_key_bytes(),
                    pair.public_key_bytes(),
                    &SystemRandom::new(),
                );
                SshPair::P256(pair.map_err(rejected)?)
            }
            // A key in hardware has only a handle in its file: the agent talks to the hardware.
            _ => return Ok(Self(Held::Agent(public))),
        };
        Ok(Self(Held::Ssh(public, pair)))
    }
}

impl Sign for Signer {
    fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Held::P256(key) => key.verifying_key(),
            Held::Ed25519(pair) => VerifyingKey::of_ed25519(pair.public_key().as_ref()),
            Held::Ssh(key, _) | Held::Agent(key) => VerifyingKey::of_ssh(key.clone()),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.0 {
            Held::P256(key) => key.sign(message),
            Held::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Held::Agent(key) => key.sign_by_agent(message),
            Held::Ssh(key, pair) => {
                let made = SshSig::signed_data(SSH_NAMESPACE, HashAlg::Sha512, message)
                    .and_then(|text| pair.sign(&text))
                    .and_then(|signature| key.envelop(signature));
                // Neither the namespace nor the lengths can be wrong: what is left is the random source.
                made.map_err(|_| KeyError::Random)
            }
        }
    }
}

impl SshPair {
    fn sign(&self, text: &[u8]) -> ssh_key::Result<Signature> {
        use ssh_encoding::Encode as _;
        match self {
            Self::Ed25519(pair) => Signature::new(Algorithm::Ed25519, pair.sign(text).as_ref()),
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), text).map_err(|_| ssh_key::Error::Crypto)?;
                let mut data = Vec::new();
                for number in signature.as_ref().chunks(32) {
                    Mpint::from_positive_bytes(number)?.encode(&mut data)?;
                }
                Signature::new(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, data)
            }
        }
    }
}
