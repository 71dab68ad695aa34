//! Detached signatures over a file, in the form of cosign's key-based `sign-blob`: base64 of the
//! ASN.1 DER ECDSA P-256/SHA-256 signature over the file's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{KeyError, KeyId, SignatureError, SigningKey, VerifyingKey, armour};

/// Signs a blob. Returns the text of the signature file.
pub fn sign_blob(key: &SigningKey, blob: &[u8]) -> Result<String, KeyError> {
    Ok(STANDARD.encode(key.sign(blob)?))
}

/// The key among `keys` that signed `blob`. The signature may be base64, with or without line breaks, or bare bytes.
pub fn verify_blob(
    keys: &[VerifyingKey],
    blob: &[u8],
    signature: impl AsRef<[u8]>,
) -> Result<KeyId, SignatureError> {
    let der = armour::signature(signature.as_ref())?;
    // Bare bytes begin like an ASN.1 sequence.
    if der.first() != Some(&0x30) {
        return Err(SignatureError::Malformed("not one of ECDSA in DER".to_owned()));
    }
    keys.iter()
        .find(|key| key.verify(blob, &der).is_ok())
        .map(VerifyingKey::id)
        .ok_or(SignatureError::Untrusted)
}

/// The content of a signature file as text, to be stored; bare bytes become base64.
#[must_use]
pub fn text_of(signature: Vec<u8>) -> String {
    String::from_utf8(signature).unwrap_or_else(|bare| STANDARD.encode(bare.as_bytes()))
}
