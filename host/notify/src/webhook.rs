//! Standard Webhooks: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use zeroize::Zeroizing;

/// How far a message's time may be from the receiver's clock.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The secret that a sender and a receiver share.
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Reads `whsec_` and base64 of 24 to 64 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim().strip_prefix("whsec_")?).ok()?);
        (24..=64).contains(&bytes.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The value of `webhook-signature`.
    #[must_use]
    pub fn sign(&self, id: &str, at: Timestamp, body: &str) -> String {
        let tag = hmac::sign(&self.0, signed(id, at, body).as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// For receivers: whether the holder of this secret signed the message, and its time is close to `now`.
    #[must_use]
    pub fn verify(&self, id: &str, at: Timestamp, body: &str, signatures: &str, now: Timestamp) -> bool {
        let age = now.duration_since(at).abs();
        age <= TOLERANCE
            && signatures.split(' ').filter_map(|one| one.strip_prefix("v1,")).any(|one| {
                STANDARD
                    .decode(one)
                    .is_ok_and(|tag| hmac::verify(&self.0, signed(id, at, body).as_bytes(), &tag).is_ok())
            })
    }
}

fn signed(id: &str, at: Timestamp, body: &str) -> String {
    format!("{id}.{}.{body}", at.as_second())
}
