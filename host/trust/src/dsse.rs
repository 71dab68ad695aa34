//! DSSE envelopes (<https://github.com/secure-systems-lab/dsse>, protocol v1.0.2).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::passkey::{self, PasskeyUse};
use crate::{Digest, KeyError, KeyId, Sign, SignatureError, VerifyingKey, armour};

/// A document in a DSSE envelope, with its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// The document in base64.
    payload: String,
    /// The type of the document.
    payload_type: String,
    /// The signatures, one for each key.
    signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    /// The id of the key. Only a hint: the signature itself is checked.
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// A document whose signatures were verified. Parse only this.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// The trusted keys that signed it, each once.
    pub signers: Vec<KeyId>,
}

/// The bytes that are signed: `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body`. Also the input of `ssh-keygen -Y sign` and
/// `-Y verify`.
#[must_use]
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

/// Decodes base64. DSSE allows the standard and the URL alphabet; Remit writes the standard one.
fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD.decode(text).or_else(|error| URL_SAFE.decode(text).map_err(|_| error))
}

impl Envelope {
    /// Signs a document of this type with one key.
    pub fn sign(payload_type: &str, payload: &[u8], key: &impl Sign) -> Result<Self, KeyError> {
        let signature = key.sign(&pae(payload_type, payload))?;
        Ok(Self::of(payload_type, payload, &key.verifying_key().id(), &signature))
    }

    /// An envelope with a signature that was made elsewhere, in any form that tools write. [`Self::verify`] checks it.
    pub fn signed_elsewhere(
        payload_type: &str,
        payload: &[u8],
        key: &KeyId,
        signature: &[u8],
    ) -> Result<Self, SignatureError> {
        Ok(Self::of(payload_type, payload, key, &armour::signature(signature)?))
    }

    fn of(payload_type: &str, payload: &[u8], key: &KeyId, signature: &[u8]) -> Self {
        Self {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![Signature { keyid: key.to_string(), sig: STANDARD.encode(signature) }],
        }
    }

    /// The keys that its signatures name, each once and at most 8 of them: only a hint where to look for them.
    #[must_use]
    pub fn named(&self) -> Vec<KeyId> {
        let mut named: Vec<KeyId> = self.signatures.iter().filter_map(|s| s.keyid.parse().ok()).collect();
        named.sort();
        named.dedup();
        named.truncate(8);
        named
    }

    /// For `ssh-keygen -Y verify`: the bytes that were signed, and each signature by an SSH key, in PEM.
    pub fn for_ssh_keygen(&self) -> Result<(Vec<u8>, Vec<String>), SignatureError> {
        let malformed = |e: base64::DecodeError| SignatureError::Malformed(e.to_string());
        let signed = pae(&self.payload_type, &decode(&self.payload).map_err(malformed)?);
        let signatures = self.signatures.iter().filter_map(|s| armour::armoured(&decode(&s.sig).ok()?));
        Ok((signed, signatures.collect()))
    }

    /// The uses of passkeys that its signatures prove, by the public keys that are in them. Whose keys they are is not looked at.
    #[must_use]
    pub fn uses_of_passkeys(&self) -> Vec<PasskeyUse> {
        let Ok(payload) = decode(&self.payload) else { return Vec::new() };
        let signed = pae(&self.payload_type, &payload);
        self.signatures.iter().filter_map(|s| passkey::used(&signed, &decode(&s.sig).ok()?)).collect()
    }

    /// The ids of the passkeys that its signatures say they are by. Nothing is checked.
    #[must_use]
    pub fn claimed_passkeys(&self) -> Vec<KeyId> {
        self.signatures.iter().filter_map(|s| passkey::claimed(&decode(&s.sig).ok()?)).collect()
    }

    /// The digest of the document. It identifies the document and does not check the signatures.
    pub fn payload_digest(&self) -> Result<Digest, SignatureError> {
        Ok(self.claimed()?.1)
    }

    /// The document and its digest. The signatures are not checked.
    pub fn claimed(&self) -> Result<(Vec<u8>, Digest), SignatureError> {
        let payload = decode(&self.payload).map_err(|error| SignatureError::Malformed(error.to_string()))?;
        let digest = Digest::of(&payload);
        Ok((payload, digest))
    }

    /// The document, if it has that digest. For callers that trust the digest instead of the signatures.
    pub fn payload_named(&self, digest: Digest) -> Result<Vec<u8>, SignatureError> {
        let (payload, found) = self.claimed()?;
        if found == digest { Ok(payload) } else { Err(SignatureError::Untrusted) }
    }

    /// Checks the envelope against trusted keys. At least one of them must have signed it. Signatures by other keys and malformed
    /// ones are ignored. Two signatures by one key count once.
    pub fn verify(&self, payload_type: &str, keys: &[VerifyingKey]) -> Result<Verified, SignatureError> {
        if self.payload_type != payload_type {
            return Err(SignatureError::PayloadType {
                found: self.payload_type.escape_debug().take(80).collect(),
                expected: payload_type.to_owned(),
            });
        }
        let malformed = |e: base64::DecodeError| SignatureError::Malformed(e.to_string());
        let payload = decode(&self.payload).map_err(malformed)?;
        let signed = pae(payload_type, &payload);
        let mut signers = Vec::new();
        let mut why_not = SignatureError::Missing;
        for signature in &self.signatures {
            let der = match decode(&signature.sig) {
                Ok(der) => der,
                Err(error) => {
                    if why_not == SignatureError::Missing {
                        why_not = malformed(error);
                    }
                    continue;
                }
            };
            why_not = SignatureError::Untrusted;
            // The key that the signature names is most likely the one that made it.
            let (named, others): (Vec<_>, Vec<_>) =
                keys.iter().partition(|key| key.id().to_string() == signature.keyid);
            for key in named.into_iter().chain(others) {
                match key.verify(&signed, &der) {
                    Ok(()) => {
                        let id = key.id();
                        if !signers.contains(&id) {
                            signers.push(id);
                        }
                        break;
                    }
                    // Keep the error that says the most.
                    Err(
                        error @ (SignatureError::Namespace { .. }
                        | SignatureError::NobodyPresent
                        | SignatureError::Passkey(_)),
                    ) => why_not = error,
                    Err(_) => {}
                }
            }
        }
        if signers.is_empty() {
            return Err(why_not);
        }
        Ok(Verified { payload, signers })
    }
}
