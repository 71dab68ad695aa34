//! Random texts that stand for secrets of an origin.

use remit_trust::SecretBytes;

/// The secrets of one call that its connector knows by placeholders only.
#[derive(Debug, Default)]
pub struct Placeholders {}

impl Placeholders {
    /// What a phase of the same call in another process needs, of the placeholders that `text` (the connector's `secret`) contains.
    /// It is to be sealed. None if it contains none.
    #[must_use]
    pub fn keep(&self, _text: &str) -> Option<SecretBytes> {
        unimplemented!()
    }

    /// What [`Self::keep`] kept. None if it is not that.
    #[must_use]
    pub fn restore(_kept: &[u8]) -> Option<Self> {
        unimplemented!()
    }
}
