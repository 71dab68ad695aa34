//! The encodings of keys and signatures in files: PEM (RFC 7468), plain base64 or bare bytes. Line breaks, and text before
//! and after, are ignored, because tools and people differ in them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::SignatureError;

/// Whether the file contains PEM, possibly after other text.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|part| part == BEGIN)
}

const BEGIN: &[u8] = b"-----BEGIN ";
/// The PEM label of a signature by `ssh-keygen`.
const SSH: &str = "SSH SIGNATURE";

/// Decodes a signature in any form that tools write: `ssh-keygen`'s PEM, base64 in lines of any length, or bare bytes. Does
/// not check the signature.
pub(crate) fn signature(bytes: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let malformed = |why: &str| Err(SignatureError::Malformed(why.to_owned()));
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err(SignatureError::Missing);
    }
    if is_pem(text) {
        let blocks = pem::parse_many(text).unwrap_or_default();
        return match blocks.into_iter().find(|block| block.tag() == SSH) {
            Some(block) => Ok(block.into_contents()),
            None => malformed("in an armour that is not ssh-keygen's, or damaged"),
        };
    }
    // Bare bytes are one of: OpenSSH, Ed25519 (any 64 bytes), or ECDSA in DER.
    if bytes.starts_with(b"SSHSIG") || bytes.len() == 64 || is_der(bytes) {
        return Ok(bytes.to_vec());
    }
    if text.starts_with(b"{") {
        return malformed("a document in JSON, such as a Sigstore bundle; the bare signature is needed");
    }
    if !text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return malformed("binary, and in another form");
    }
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(&text).or_else(|_| {
        let other = text.iter().find(|byte| !(byte.is_ascii_alphanumeric() || b"+/=".contains(byte)));
        malformed(&match other {
            Some(b'-' | b'_') => "base64url; write it in plain base64".to_owned(),
            Some(byte) => format!("not base64: it has a `{}`", byte.escape_ascii()),
            None => "base64 that is cut short".to_owned(),
        })
    })
}

/// Whether the bytes are one ASN.1 sequence, as ECDSA signatures are.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, length, rest @ ..] if usize::from(*length) == rest.len())
}

/// An OpenSSH signature in PEM, for `ssh-keygen -Y verify`; none for a signature that is not by an SSH key.
pub(crate) fn armoured(signature: &[u8]) -> Option<String> {
    let block = || pem::Pem::new(SSH, signature);
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    signature.starts_with(b"SSHSIG").then(|| pem::encode_config(&block(), config))
}
