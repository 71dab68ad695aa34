//! Detached signatures over a file, in the form of cosign's key-based `sign-blob`: base64 of the
//! ASN.1 DER ECDSA P-256/SHA-256 signature over the file's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{KeyError, KeyId, SignatureError, SigningKey, VerifyingKey, armour};

/// Signs a blob; the text goes beside it.
pub fn sign_blob(key: &SigningKey, blob: &[u8]) -> Result<String, KeyError> {
    Ok(STANDARD.encode(key.sign(blob)?))
}

/// Which of `keys` signed `blob`. Of a signature only its bytes count: base64 may be in lines, or left out.
pub fn verify_blob(
    keys: &[VerifyingKey],
    blob: &[u8],
    signature: impl AsRef<[u8]>,
) -> Result<KeyId, SignatureError> {
    let der = armour::signature(signature.as_ref())?;
    // An ASN.1 sequence, whether it is whole or not.
    if der.first() != Some(&0x30) {
        return Err(SignatureError::Malformed("not one of ECDSA in DER".to_owned()));
    }
    keys.iter()
        .find(|key| key.verify(blob, &der).is_ok())
        .map(VerifyingKey::id)
        .ok_or(SignatureError::Untrusted)
}

/// A signature file as text, which is kept with what was found out about the file it lay beside: bare bytes become
/// base64.
#[must_use]
pub fn text_of(signature: Vec<u8>) -> String {
    String::from_utf8(signature).unwrap_or_else(|bare| STANDARD.encode(bare.as_bytes()))
}
