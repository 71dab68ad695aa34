//! How keys and signatures are wrapped to travel: PEM (RFC 7468), plain base64, or not at all. Tools differ in where they
//! break lines, and people write above and below; neither decides anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::SignatureError;

/// Whether there is PEM in a file, after whatever else.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|part| part == BEGIN)
}

const BEGIN: &[u8] = b"-----BEGIN ";
/// The label of a signature in `ssh-keygen`'s armour.
const SSH: &str = "SSH SIGNATURE";

/// A signature in any form that tools write: `ssh-keygen`'s armour, base64 in lines of any length, or bare bytes. Whether it
/// holds is for the key to say.
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
    // One of OpenSSH, one of Ed25519, which has no mark and 64 bytes, or one of ECDSA in DER.
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

/// Whether this is one ASN.1 sequence, as ECDSA's signatures are.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, length, rest @ ..] if usize::from(*length) == rest.len())
}

/// An OpenSSH signature for `ssh-keygen -Y verify`; none for a signature that is not by an SSH key.
pub(crate) fn armoured(signature: &[u8]) -> Option<String> {
    let block = || pem::Pem::new(SSH, signature);
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    signature.starts_with(b"SSHSIG").then(|| pem::encode_config(&block(), config))
}
