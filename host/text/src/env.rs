//! Environment variables. An empty variable counts as not set, because build systems set variables to nothing.

use std::ffi::{OsStr, OsString};

/// The value of a variable, if it is set and not empty.
#[must_use]
pub fn var(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether the variable is set to an empty value.
#[must_use]
pub fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Why the variable has no value, for an error: `NAME is not set`.
#[must_use]
pub fn why_none(name: &str) -> String {
    format!("{name} is {}", if is_empty(name.as_ref()) { "empty" } else { "not set" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_none() {
        assert!(var("CARGO_MANIFEST_DIR").is_some_and(|folder| folder == env!("CARGO_MANIFEST_DIR")));
        assert_eq!(var("REMIT_NOBODY_SETS_THIS"), None);
        assert_eq!(why_none("REMIT_NOBODY_SETS_THIS"), "REMIT_NOBODY_SETS_THIS is not set");
    }
}
