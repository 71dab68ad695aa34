//! JSON Web Signatures in their compact form (RFC 7515), with the two algorithms that Remit's keys have. The key decides the
//! algorithm; what the token says of it must agree.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use remit_trust::Digest;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest token that is looked at.
const LONGEST: usize = 16 * 1024;

/// A public key as JSON (RFC 7517): P-256 or Ed25519.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub(crate) enum Jwk {
    /// P-256.
    #[serde(rename = "EC")]
    Ec {
        /// The curve: `P-256`.
        crv: String,
        /// The first coordinate, in base64url.
        x: String,
        /// The second coordinate, in base64url.
        y: String,
        /// The private key, which must not be told.
        #[serde(default, skip_serializing)]
        d: Option<String>,
    },
    /// Ed25519 (RFC 8037).
    #[serde(rename = "OKP")]
    Okp {
        /// The curve: `Ed25519`.
        crv: String,
        /// The point, in base64url.
        x: String,
        /// The private key, which must not be told.
        #[serde(default, skip_serializing)]
        d: Option<String>,
    },
}

/// Bytes of exactly this length, in the only base64url spelling that they have.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string())?;
    bytes.try_into().map_err(|_| format!("a part of the key is not {N} bytes long"))
}

impl Jwk {
    /// The algorithm of its signatures, and its point as ring takes it.
    fn parts(&self) -> Result<(&'static str, Vec<u8>), String> {
        match self {
            Self::Ec { d: Some(_), .. } | Self::Okp { d: Some(_), .. } => {
                Err("its key is a private one: make a new key, and send the public half".to_owned())
            }
            Self::Ec { crv, x, y, .. } if crv == "P-256" => {
                Ok(("ES256", [&[4][..], &bytes::<32>(x)?, &bytes::<32>(y)?].concat()))
            }
            Self::Okp { crv, x, .. } if crv == "Ed25519" => Ok(("EdDSA", bytes::<32>(x)?.to_vec())),
            Self::Ec { crv, .. } | Self::Okp { crv, .. } => {
                Err(format!("the curve `{}` is neither P-256 nor Ed25519", crv.escape_debug()))
            }
        }
    }

    /// The key's thumbprint (RFC 7638), in base64url.
    pub(crate) fn thumbprint(&self) -> String {
        // The members in the order of their names, which canonical JSON has too.
        let canonical = remit_trust::canonical(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(Digest::of(&canonical).as_bytes())
    }

    fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
        let (own, point) = self.parts()?;
        if algorithm != own {
            return Err(format!("its `alg` is `{}`, and the key is for {own}", algorithm.escape_debug()));
        }
        let verified = match self {
            Self::Ec { .. } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Okp { .. } => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
        };
        verified.map_err(|_| "its signature does not hold".to_owned())
    }
}

/// A token whose signature has not been looked at.
pub(crate) struct Unverified<H> {
    /// Its header.
    pub(crate) header: H,
    payload: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

/// Reads JSON that has no key twice.
fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    remit_text::json::read(text).map_err(|mistake| mistake.why().to_owned())
}

impl<H: DeserializeOwned> Unverified<H> {
    /// Takes a token apart.
    pub(crate) fn parse(token: &str) -> Result<Self, String> {
        if token.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            return Err("it does not have three parts".to_owned());
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
        Ok(Self {
            header: json(&decode(header)?).map_err(|why| format!("its header: {why}"))?,
            payload: decode(payload)?,
            signed: token.as_bytes()[..header.len() + 1 + payload.len()].to_vec(),
            signature: decode(signature)?,
        })
    }

    /// What it says, if this key signed it.
    pub(crate) fn verify<C: DeserializeOwned>(&self, algorithm: &str, key: &Jwk) -> Result<C, String> {
        key.verify(algorithm, &self.signed, &self.signature)?;
        json(&self.payload).map_err(|why| format!("its claims: {why}"))
    }
}
