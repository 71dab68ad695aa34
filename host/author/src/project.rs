//! The folder of an action.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use remit_manifest::Manifest;

use crate::{AuthorError, Language};

/// The manifest's file name.
pub(crate) const MANIFEST: &str = "action.toml";

/// An action's folder, read.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder.
    pub dir: PathBuf,
    /// Its `action.toml`.
    pub manifest: Manifest,
    /// In which language it is written.
    pub language: Language,
    /// Variables that its tools are run with, beside those of this process.
    pub environment: Vec<(OsString, OsString)>,
}

impl Project {
    /// Reads the folder `dir`.
    pub fn open(dir: &Path) -> Result<Self, AuthorError> {
        let shown = || dir.display().to_string();
        let file = dir.join(MANIFEST);
        let read = match remit_file::plain(&file, remit_file::Kind::Source) {
            Err(error) if error.is_missing() => {
                return Err(AuthorError::NotAProject { dir: shown(), why: format!("it has no {MANIFEST}") });
            }
            read => read?,
        };
        let manifest = Manifest::parse(read.text()?, &file.display().to_string())?;
        let language = Language::of(dir).ok_or_else(|| AuthorError::NotAProject {
            dir: shown(),
            why: format!("none of {} is there to tell its language", Language::marks()),
        })?;
        Ok(Self { dir: dir.to_owned(), manifest, language, environment: Vec::new() })
    }

    /// The world the action is held to.
    #[must_use]
    pub fn wit(&self) -> PathBuf {
        self.dir.join("wit")
    }
}
