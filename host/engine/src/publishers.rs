//! Whose components run here.

use remit_trust::{KeyId, SignatureError, VerifyingKey, blob};

/// The keys whose components may run here.
#[derive(Clone, Debug, Default)]
pub struct Publishers(pub Vec<VerifyingKey>);

impl Publishers {
    /// The key among these for which `matches` holds.
    pub(crate) fn find(&self, matches: impl Fn(&KeyId) -> bool) -> Option<KeyId> {
        self.0.iter().map(VerifyingKey::id).find(|key| matches(key))
    }

    /// The key among these that made `signature` (base64 of DER) over `bytes`.
    pub(crate) fn verify(&self, bytes: &[u8], signature: &str) -> Result<KeyId, SignatureError> {
        blob::verify_blob(&self.0, bytes, signature)
    }
}
