//! Secrets: what `remit:secrets` offers, one function per interface.
//!
//! A path has the form `app/db/password`, without a leading or trailing slash. Each function needs the
//! interface of its name in the grant.

use crate::Error;
use crate::bindings::remit::secrets as host;

pub use crate::bindings::remit::types::errors::Failure;
pub use host::inspect::{SecretMetadata as Metadata, Version, VersionState};
pub use host::rotate::Rotated;

/// The versions of the secret at `path`, without their values. Effect: observe.
pub fn inspect(path: &str) -> Result<Metadata, Error> {
    host::inspect::metadata(path).map_err(because(|| format!("inspect {path}")))
}

/// Writes a new version of the secret at `path`, in which `field` holds a fresh value that the host
/// makes and the action never sees. Without `field` the secret must have exactly one. Effect: change.
pub fn rotate(path: &str, field: Option<&str>) -> Result<Rotated, Error> {
    host::rotate::rotate(path, field).map_err(because(|| format!("rotate {path}")))
}

/// Makes a version unreadable, until it is enabled again by undo. Effect: change.
pub fn disable(path: &str, version: u64) -> Result<(), Error> {
    host::disable::disable(path, version).map_err(because(|| format!("disable version {version} of {path}")))
}

/// Destroys the value of a version for good. Effect: irrevocable.
pub fn destroy(path: &str, version: u64) -> Result<(), Error> {
    host::destroy::destroy(path, version).map_err(because(|| format!("destroy version {version} of {path}")))
}

/// The value of `field` in a version: the one function that hands secret material to the action.
/// Effect: disclose.
pub fn reveal(path: &str, field: &str, version: u64) -> Result<String, Error> {
    let doing = || format!("reveal {field} of version {version} of {path}");
    host::reveal::reveal(path, field, version).map_err(because(doing))
}

fn because(doing: impl FnOnce() -> String) -> impl FnOnce(Failure) -> Error {
    move |failure| Error::Host { doing: doing(), failure }
}
