//! Variables of the environment. Build systems set to nothing what they do not set: an empty one is none.

use std::ffi::{OsStr, OsString};

/// A variable's value, if it has one that is not empty.
#[must_use]
pub fn var(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether it is set, to nothing.
#[must_use]
pub fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Why there is none: `NAME is not set`.
#[must_use]
pub fn why_none(name: &str) -> String {
    format!("{name} is {}", if is_empty(name.as_ref()) { "empty" } else { "not set" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_none() {
        assert!(var("CARGO_PKG_NAME").is_some_and(|name| name == "remit-text"));
        assert_eq!(var("REMIT_NOBODY_SETS_THIS"), None);
        assert_eq!(why_none("REMIT_NOBODY_SETS_THIS"), "REMIT_NOBODY_SETS_THIS is not set");
    }
}
