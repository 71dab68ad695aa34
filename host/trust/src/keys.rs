//! Keys in the formats of openssl, cosign and OpenSSH.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use remit_file::{FileError, Kind};
use ring::error::KeyRejected;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey, VerificationAlgorithm,
};
use ssh_key::public::SkEcdsaSha2NistP256;
use zeroize::Zeroizing;

use crate::passkey::{self, Assertion, Pages, Passkeys, Terms};
use crate::ssh::{Point, SshKey};
use crate::{Digest, KeyError, SignatureError};

/// DER of `SubjectPublicKeyInfo` for an uncompressed P-256 point, up to the point itself (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same for an Ed25519 key (RFC 8410).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const POINT: usize = 65;

/// The id of a public key: SHA-256 of its SPKI in DER, in hex.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// The first 12 digits, for a screen.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// Text that is no key id: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is not the id of a key")]
#[diagnostic(
    code(usage::key),
    help("it is the SHA-256 of the public key in hex; `remit principals` lists them")
)]
pub struct KeyIdError(String);

impl std::str::FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(KeyIdError(text.escape_debug().take(80).collect()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A private key for ECDSA on P-256.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifying_key().id().short())
    }
}

impl SigningKey {
    /// Generates a new key at random.
    pub fn generate() -> Result<Self, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Random)?;
        Self::from_der(document.as_ref().to_vec()).map_err(|_| KeyError::Random)
    }

    pub(crate) fn from_der(der: Vec<u8>) -> Result<Self, KeyRejected> {
        let pkcs8 = Zeroizing::new(der);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &SystemRandom::new())?;
        Ok(Self { pair, pkcs8 })
    }

    /// The key in PKCS#8 PEM.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode_config(
            &pem::Pem::new("PRIVATE KEY", self.pkcs8.to_vec()),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        ))
    }

    /// Writes `STEM.key` (mode 0600) and `STEM.pub`; refuses to overwrite either.
    pub fn write_pair(&self, stem: &Path) -> Result<(PathBuf, PathBuf), KeyError> {
        let with = |ending: &str| {
            let mut name = stem.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let (private, public) = (with(".key"), with(".pub"));
        create(&public, 0o644, self.verifying_key().to_text().as_bytes())?;
        create(&private, 0o600, self.to_pem().as_bytes()).inspect_err(|_| {
            // The public half alone would block the next attempt.
            let _ = fs::remove_file(&public);
        })?;
        Ok((private, public))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(self.pair.public_key().as_ref());
        VerifyingKey(Form::P256(spki))
    }

    /// An ASN.1 DER signature over SHA-256 of `message`.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Random)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// A public key. The key decides the format of its signatures, never the signature itself.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// ECDSA P-256 in SPKI: signatures in ASN.1 DER over SHA-256.
    P256(Vec<u8>),
    /// Ed25519 in SPKI: signatures of 64 bytes.
    Ed25519(Vec<u8>),
    /// An OpenSSH key: signatures in the format of `ssh-keygen -Y sign`.
    Ssh(Box<SshKey>),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.id().short())
    }
}

impl VerifyingKey {
    /// The key, if publishers may sign with it: ECDSA P-256 in PEM, as cosign writes it.
    pub(crate) fn publishing(self, shown: &str) -> Result<Self, KeyError> {
        if matches!(self.0, Form::P256(_)) {
            return Ok(self);
        }
        Err(KeyError::Unusable {
            shown: shown.to_owned(),
            why: "a public key, but not for ECDSA P-256 in PEM".to_owned(),
        })
    }

    pub(crate) fn from_spki(spki: Vec<u8>) -> Option<Self> {
        if spki.len() == ED25519_PREFIX.len() + 32 && spki.starts_with(&ED25519_PREFIX) {
            return Some(Self(Form::Ed25519(spki)));
        }
        let p256 = spki.len() == SPKI_PREFIX.len() + POINT
            && spki.starts_with(&SPKI_PREFIX)
            && spki[SPKI_PREFIX.len()] == 4;
        p256.then_some(Self(Form::P256(spki)))
    }

    pub(crate) fn of_ed25519(point: &[u8]) -> Self {
        Self(Form::Ed25519([&ED25519_PREFIX, point].concat()))
    }

    pub(crate) fn of_ssh(key: SshKey) -> Self {
        Self(Form::Ssh(Box::new(key)))
    }

    /// A passkey for a domain, by its public key in SPKI (DER), with a name for people to tell it by. None if it is no point of
    /// P-256, or the domain is none.
    #[must_use]
    pub fn of_passkey(spki: &[u8], rp: &str, name: &str) -> Option<Self> {
        let point = spki.strip_prefix(&SPKI_PREFIX).filter(|point| point.len() == POINT)?;
        Some(Self::of_ssh(passkey::of_point(point, rp)?.named(name)))
    }

    /// A passkey for a domain that nobody has: its private key is gone. None if the domain is none.
    pub fn nobodys_passkey(rp: &str) -> Result<Option<Self>, KeyError> {
        let spki = SigningKey::generate()?.verifying_key();
        let Form::P256(spki) = spki.0 else { return Ok(None) };
        Ok(Self::of_passkey(&spki, rp, ""))
    }

    /// The domain that the key is for, if it is a passkey.
    #[must_use]
    pub fn passkey_of(&self) -> Option<&str> {
        match &self.0 {
            Form::Ssh(key) => key.passkey().map(SkEcdsaSha2NistP256::application),
            Form::P256(_) | Form::Ed25519(_) => None,
        }
    }

    /// The same key. If it is a passkey, signatures that were made on other pages than these do not hold, nor, if it is bound to
    /// its device, those of a device that could copy it.
    pub(crate) fn of_rules(self, passkeys: &Passkeys, device_bound: bool) -> Self {
        match self.0 {
            Form::Ssh(key) => {
                let pages = Pages::Named(passkeys.origins.clone().into());
                Self::of_ssh(key.under(Terms { pages, device_bound }))
            }
            other => Self(other),
        }
    }

    /// The same key. If it is a passkey, signatures that were made on other pages than these do not hold.
    #[must_use]
    pub fn on_pages_of(self, passkeys: &Passkeys) -> Self {
        self.of_rules(passkeys, false)
    }

    /// The signature by this passkey that a browser's answer is, as `ssh-keygen -Y verify` takes it. [`Self::verify`] checks it.
    pub fn envelop(&self, assertion: &Assertion) -> Result<Vec<u8>, SignatureError> {
        match &self.0 {
            Form::Ssh(key) => key.envelop_assertion(assertion),
            Form::P256(_) | Form::Ed25519(_) => Err(SignatureError::Untrusted),
        }
    }

    /// The key as text: SPKI PEM, or a line of OpenSSH.
    #[must_use]
    pub fn to_text(&self) -> String {
        match &self.0 {
            Form::P256(spki) | Form::Ed25519(spki) => pem::encode_config(
                &pem::Pem::new("PUBLIC KEY", spki.clone()),
                pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
            ),
            Form::Ssh(key) => key.to_line(),
        }
    }

    /// The key's id: SHA-256 of its SPKI, also for a key in OpenSSH's format, so that one key has one id. A hardware key has no
    /// SPKI; its id is the SHA-256 of OpenSSH's encoding.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let bytes = match &self.0 {
            Form::P256(spki) | Form::Ed25519(spki) => Digest::of(spki),
            Form::Ssh(key) => match key.point() {
                Some(Point::P256(point)) => Digest::of(&[&SPKI_PREFIX, point].concat()),
                Some(Point::Ed25519(point)) => Digest::of(&[&ED25519_PREFIX[..], point].concat()),
                None => Digest::of(key.wire()),
            },
        };
        KeyId(hex::encode(bytes.as_bytes()))
    }

    /// Checks a signature over `message`, in the format of this key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let check = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point)
                .verify(message, signature)
                .map_err(|_| SignatureError::Untrusted)
        };
        match &self.0 {
            Form::P256(spki) => check(&ECDSA_P256_SHA256_ASN1, &spki[SPKI_PREFIX.len()..]),
            Form::Ed25519(spki) => check(&ED25519, &spki[ED25519_PREFIX.len()..]),
            Form::Ssh(key) => key.verify(message, signature),
        }
    }
}

/// Creates a file that must not exist, durable, and with `mode` from the beginning.
pub(crate) fn create(path: &Path, mode: u32, contents: &[u8]) -> Result<(), KeyError> {
    let made = remit_file::create(path, mode, contents);
    made.map_err(|error| FileError::writing(path, Kind::Key, &error).into())
}
