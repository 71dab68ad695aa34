//! JSON Web Signatures in their compact form (RFC 7515). The key decides the algorithm; what the token says of it must
//! agree. There is no `none` and no algorithm with a shared secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Digest, canonical};

/// The longest token that is looked at.
const LONGEST: usize = 16 * 1024;

/// A public key as JSON (RFC 7517): P-256, Ed25519 or RSA. Other members of it, such as `x5u`, are not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum Jwk {
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
    /// RSA of at least 2048 bits.
    #[serde(rename = "RSA")]
    Rsa {
        /// The exponent, in base64url.
        e: String,
        /// The modulus, in base64url.
        n: String,
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
    /// The algorithms of its signatures.
    fn algorithms(&self) -> Result<&'static [&'static str], String> {
        match self {
            Self::Ec { d: Some(_), .. } | Self::Okp { d: Some(_), .. } | Self::Rsa { d: Some(_), .. } => {
                Err("its key is a private one: make a new key, and send the public half".to_owned())
            }
            Self::Ec { crv, .. } if crv == "P-256" => Ok(&["ES256"]),
            Self::Okp { crv, .. } if crv == "Ed25519" => Ok(&["EdDSA"]),
            Self::Rsa { .. } => Ok(&["RS256", "PS256"]),
            Self::Ec { crv, .. } | Self::Okp { crv, .. } => {
                Err(format!("the curve `{}` is neither P-256 nor Ed25519", crv.escape_debug()))
            }
        }
    }

    /// The key's thumbprint (RFC 7638), in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // The members in the order of their names, which canonical JSON has too.
        let canonical = canonical(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(Digest::of(&canonical).as_bytes())
    }

    fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
        let own = self.algorithms()?;
        if !own.contains(&algorithm) {
            let shown: String = algorithm.escape_debug().take(20).collect();
            return Err(format!("its `alg` is `{shown}`, and the key is for {}", own.join(" and ")));
        }
        let number = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string());
        let verified = match self {
            Self::Ec { x, y, .. } => {
                let point = [&[4][..], &bytes::<32>(x)?, &bytes::<32>(y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Okp { x, .. } => {
                UnparsedPublicKey::new(&ED25519, bytes::<32>(x)?).verify(message, signature)
            }
            Self::Rsa { n, e, .. } => {
                let padding = if algorithm == "PS256" {
                    &RSA_PSS_2048_8192_SHA256
                } else {
                    &RSA_PKCS1_2048_8192_SHA256
                };
                RsaPublicKeyComponents { n: number(n)?, e: number(e)? }.verify(padding, message, signature)
            }
        };
        verified.map_err(|_| "its signature does not hold".to_owned())
    }
}

/// A token whose signature has not been looked at.
pub struct Unverified<H> {
    /// Its header.
    pub header: H,
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
    pub fn parse(token: &str) -> Result<Self, String> {
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
    pub fn verify<C: DeserializeOwned>(&self, algorithm: &str, key: &Jwk) -> Result<C, String> {
        key.verify(algorithm, &self.signed, &self.signature)?;
        self.claimed()
    }

    /// What it says, whoever signed it.
    pub fn claimed<C: DeserializeOwned>(&self) -> Result<C, String> {
        json(&self.payload).map_err(|why| format!("its claims: {why}"))
    }
}
