//! Detached signatures over a file, in the form of cosign's key-based `sign-blob`: base64 of the
//! ASN.1 DER ECDSA P-256/SHA-256 signature over the file's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{KeyError, KeyId, SignatureError, SigningKey, VerifyingKey};

/// Signs a blob; the text goes beside it.
pub fn sign_blob(key: &SigningKey, blob: &[u8]) -> Result<String, KeyError> {
    Ok(STANDARD.encode(key.sign(blob)?))
}

/// Which of `keys` signed `blob`.
pub fn verify_blob(keys: &[VerifyingKey], blob: &[u8], signature: &str) -> Result<KeyId, SignatureError> {
    let signature = signature.trim_ascii();
    if signature.is_empty() {
        return Err(SignatureError::Missing);
    }
    let der = STANDARD.decode(signature).map_err(|e| SignatureError::Malformed(e.to_string()))?;
    keys.iter()
        .find(|key| key.verify(blob, &der).is_ok())
        .map(VerifyingKey::id)
        .ok_or(SignatureError::Untrusted)
}
