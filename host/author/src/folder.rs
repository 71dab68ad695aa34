//! The folder of an action, as builds see it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use include_dir::Dir;

/// The folder of an action, and what a build of it needs to know besides.
pub(crate) struct Folder<'a> {
    /// The path of the folder.
    pub(crate) dir: &'a Path,
    /// Variables that the tools are run with, beside those of this process.
    pub(crate) environment: &'a [(OsString, OsString)],
    /// The SDK of the action's language, for a folder without one.
    pub(crate) sdk: &'static Dir<'static>,
}

impl Folder<'_> {
    /// The folder with the world that the action is held to.
    pub(crate) fn wit(&self) -> PathBuf {
        self.dir.join("wit")
    }
}
