//! Signing as a principal, with a key in a file or in an ssh-agent.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Mpint, Signature, SshSig};

use crate::ssh::{self, SSH_NAMESPACE, SshKey};
use crate::{KeyError, SigningKey, VerifyingKey};

/// Something that can sign documents.
pub trait Sign {
    /// The public key that verifies the signatures.
    fn verifying_key(&self) -> VerifyingKey;
    /// Signs `message`, in the key's signature format.
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

/// A principal's private key, or a reference to it in an ssh-agent.
pub struct Signer(Held);

enum Held {
    P256(SigningKey),
    Ed25519(Ed25519KeyPair),
    /// An SSH key in a file.
    Ssh(SshKey, SshPair),
    /// An SSH key whose private half is in an ssh-agent.
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
    pub(crate) fn in_agent(key: SshKey) -> Self {
        Self(Held::Agent(key))
    }

    /// The key, if publishers may sign with it.
    pub(crate) fn publishing(self, shown: &str) -> Result<SigningKey, KeyError> {
        match self.0 {
            Held::P256(key) => Ok(key),
            _ => Err(KeyError::Unusable {
                shown: shown.to_owned(),
                why: "not an ECDSA P-256 key in PKCS#8, which publishers sign with".to_owned(),
            }),
        }
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        // Unchecked, because openssl writes no public half into an Ed25519 key.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self(Held::Ed25519(pair)));
        }
        let key = SigningKey::from_der(der.to_vec());
        let unknown = |error| format!("neither ECDSA P-256 nor Ed25519 in PKCS#8 ({error})");
        key.map(|key| Self(Held::P256(key))).map_err(unknown)
    }

    /// Reads the binary content of an OpenSSH private key:
    /// <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>.
    pub(crate) fn from_openssh(bytes: &[u8]) -> Result<Self, String> {
        let found = ssh::private_key(bytes)?;
        let (pair, public) = found
            .ok_or("it is encrypted: `ssh-add` it to your ssh-agent, and pass the public key file instead")?;
        let rejected = |error: ring::error::KeyRejected| error.to_string();
        let pair = match &pair {
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
            // The file of a hardware key has only a handle. The agent talks to the hardware.
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
                // Namespace and lengths are always right here, so only the random source can fail.
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
