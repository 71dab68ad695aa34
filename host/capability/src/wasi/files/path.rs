//! From a guest's path to a resource.

use remit_gate::{Operation, Resource};

use crate::Ctx;
use crate::bindings::FileError;
use crate::bindings::wasi::filesystem::types::ErrorCode;

/// Why a path does not name anything below its directory.
#[derive(Debug)]
pub struct Refused {
    /// In words, for the journal; none for an empty path, which is no attempt at anything.
    why: Option<String>,
    code: ErrorCode,
}

/// What `path` below `directory` names. POSIX lets `./a//b/` stand for `a/b`; everything else that is not canonical is
/// refused.
#[doc(hidden)]
pub fn path_below(directory: &Resource, path: &str) -> Result<Resource, Refused> {
    let refused = |why: &str, code| Err(Refused { why: Some(why.to_owned()), code });
    if path.is_empty() {
        return Err(Refused { why: None, code: ErrorCode::NoEntry });
    }
    if path.starts_with('/') {
        return refused("a path from the root leads out of the directory", ErrorCode::NotPermitted);
    }
    if path.split('/').any(|segment| segment == "..") {
        return refused("`..` could lead out of the directory", ErrorCode::NotPermitted);
    }
    if path.split('/').any(|segment| segment.starts_with(remit_backend::files::TEMPORARY)) {
        return refused("the name is one of Remit's own temporary files", ErrorCode::NotPermitted);
    }
    let mut whole = directory.path().to_owned();
    for segment in path.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        whole.push('/');
        whole.push_str(segment);
    }
    match Resource::new(directory.kind(), &whole) {
        Ok(resource) => Ok(resource),
        Err(error) => refused(&error.to_string(), ErrorCode::IllegalByteSequence),
    }
}

impl Ctx {
    /// What `path` below `directory` names; a refusal is journaled as one of `O`.
    pub(super) fn named<O: Operation>(
        &self,
        directory: &Resource,
        path: &str,
    ) -> Result<Resource, FileError> {
        path_below(directory, path).or_else(|Refused { why, code }| {
            if let Some(why) = why {
                self.gate().refuse(O::NAME, path, &why)?;
            }
            Err(code.into())
        })
    }

    /// Refuses a function that is not offered at all, and journals it.
    pub(super) fn unsupported<T>(&self, function: &str, on: &str) -> Result<T, FileError> {
        self.gate().refuse(function, on, "links and times of files are not offered")?;
        Err(ErrorCode::Unsupported.into())
    }
}
