//! Values that must not be seen.

use std::fmt;
use std::ops::Deref;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, Zeroizing};

/// A value that must not be seen: wiped on drop, no `Serialize`, nothing in `Debug`.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

/// Bytes that must not be seen, see [`Secret`].
pub type SecretBytes = Secret<Vec<u8>>;

/// Text that must not be seen, see [`Secret`].
pub type SecretText = Secret<String>;

impl<T: Zeroize> Secret<T> {
    /// Takes the value over.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }
}

impl<T: Zeroize + Deref> Secret<T> {
    /// The value. Each use is a place to look at twice.
    #[must_use]
    pub fn expose(&self) -> &T::Target {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    /// Takes the same time wherever the first difference is; only the length can be told from the time.
    fn eq(&self, other: &Self) -> bool {
        (*self.0).as_ref().ct_eq((*other.0).as_ref()).into()
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
