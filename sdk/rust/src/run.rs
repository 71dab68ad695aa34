//! What an action may know about its own run.

use crate::bindings::remit::host::run as host;

pub use host::RunFacts as Facts;

/// The facts of this run; the same at every call.
#[must_use]
pub fn facts() -> Facts {
    host::facts()
}
