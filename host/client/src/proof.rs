//! The key of a session, and the proof of each call (`DPoP`, RFC 9449).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use remit_trust::Digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::ClientError;

/// A P-256 key that lives as long as this process.
pub(crate) struct SessionKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl SessionKey {
    pub(crate) fn generate() -> Result<Self, ClientError> {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|_| ClientError::Random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random)
            .map_err(|_| ClientError::Random)?;
        Ok(Self { pair, random })
    }

    /// The public key as JSON (RFC 7517).
    fn jwk(&self) -> Value {
        // An uncompressed point: 4, and two coordinates of 32 bytes.
        let point = self.pair.public_key().as_ref();
        json!({"crv": "P-256", "kty": "EC", "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }

    /// Its thumbprint (RFC 7638).
    pub(crate) fn thumbprint(&self) -> Result<String, ClientError> {
        Ok(encode(Digest::of(&remit_trust::canonical(&self.jwk())?).as_bytes()))
    }

    /// A proof for one call with this token.
    pub(crate) fn proof(&self, method: &str, url: &str, token: &str) -> Result<String, ClientError> {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let name: [u8; 32] = remit_trust::random().map_err(|_| ClientError::Random)?;
        let claims = json!({
            "jti": encode(name),
            "htm": method,
            "htu": url,
            "iat": Timestamp::now().as_second(),
            "ath": encode(Digest::of(token.as_bytes()).as_bytes()),
        });
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).map_err(|_| ClientError::Random)?;
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }
}
