//! The folder of an action.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use remit_file::{Entry, Kind};
use remit_manifest::Manifest;

use crate::connector::{self, Connector};
use crate::folder::Folder;
use crate::{AuthorError, Language};

/// The manifest's file name.
pub(crate) const MANIFEST: &str = "action.toml";

/// The folder of an action or of a connector, read.
#[derive(Clone, Debug)]
pub struct Project {
    /// The path of the folder.
    pub dir: PathBuf,
    /// The parsed `action.toml`, or what `connector.toml` says of the same.
    pub manifest: Manifest,
    /// The description, if it is a connector.
    pub(crate) connector: Option<Connector>,
    /// The language that it is written in.
    pub language: Language,
    /// Variables that its tools are run with, beside those of this process.
    pub environment: Vec<(OsString, OsString)>,
}

impl Project {
    /// Reads the folder `dir`.
    pub fn open(dir: &Path) -> Result<Self, AuthorError> {
        let shown = || dir.display().to_string();
        let read = |name: &str| match remit_file::plain(&dir.join(name), remit_file::Kind::Source) {
            Err(error) if error.is_missing() => Ok(None),
            read => read.map(Some),
        };
        let shown_file = |name: &str| dir.join(name).display().to_string();
        let (manifest, connector) = match (read(MANIFEST)?, read(connector::FILE)?) {
            (Some(action), None) => (Manifest::parse(action.text()?, &shown_file(MANIFEST))?, None),
            (None, Some(description)) => {
                let (manifest, connector) =
                    connector::parse(description.text()?, &shown_file(connector::FILE))?;
                (manifest, Some(connector))
            }
            (action, _) => {
                let has = if action.is_some() { "both" } else { "neither" };
                let why = format!("it has {has} of {MANIFEST} and {}", connector::FILE);
                return Err(AuthorError::NotAProject { dir: shown(), why });
            }
        };
        let language = Language::of(dir).ok_or_else(|| AuthorError::NotAProject {
            dir: shown(),
            why: format!("none of {} is there to tell its language", Language::marks()),
        })?;
        Ok(Self { dir: dir.to_owned(), manifest, connector, language, environment: Vec::new() })
    }

    /// Where `build` writes the component unless told otherwise.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.dir.join(format!("{}.wasm", self.manifest.name))
    }

    /// A source that was changed after the moment `built`, if there is one: what was built then may say something else than
    /// the sources do.
    pub fn changed_since(&self, built: SystemTime) -> Result<Option<PathBuf>, AuthorError> {
        let found = newer(&self.dir, built, true)?;
        Ok(found.map(|file| file.strip_prefix(".").map(Path::to_owned).unwrap_or(file)))
    }

    /// Whether it is a connector, and not an action.
    #[must_use]
    pub fn is_connector(&self) -> bool {
        self.connector.is_some()
    }

    /// The text of `connector.toml`, if it is a connector.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.connector.as_ref().map(|connector| connector.text.as_str())
    }

    /// The folder with its WIT: the world that an action is held to.
    #[must_use]
    pub fn wit(&self) -> PathBuf {
        self.folder().wit()
    }

    pub(crate) fn folder(&self) -> Folder<'_> {
        Folder { dir: &self.dir, environment: &self.environment, sdk: self.language.entry().sdk }
    }
}

/// Folders that hold no sources: what builds and tools leave, and the tests of the action.
const NO_SOURCES: [&str; 5] = ["build", "node_modules", "target", "tests", "__pycache__"];
/// In the project's own folder lie keys, signatures and reports too; what a build reads there ends like this.
const SOURCES: [&str; 7] = ["toml", "lock", "json", "go", "mod", "sum", "rs"];

/// A file below `dir` that was changed after `built`, in the order of their names.
fn newer(dir: &Path, built: SystemTime, top: bool) -> Result<Option<PathBuf>, AuthorError> {
    let failed = |error: std::io::Error| AuthorError::file(dir, &error);
    for Entry { path, name, is_folder, .. } in remit_file::list(dir, Kind::Source)? {
        // A link counts as what it leads to; one that leads nowhere is no source.
        let Ok(meta) = fs::metadata(&path) else { continue };
        let found = if is_folder {
            let sources = !NO_SOURCES.contains(&name.as_str()) && !path.is_symlink();
            if sources { newer(&path, built, false)? } else { None }
        } else {
            let source =
                !top || path.extension().is_some_and(|end| SOURCES.iter().any(|known| end == *known));
            (source && meta.modified().map_err(failed)? > built).then_some(path)
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_sources_make_a_build_old() {
        let dir = tempfile::TempDir::new().unwrap();
        let built = SystemTime::now() - Duration::from_mins(1);
        let write = |name: &str, at: SystemTime| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().set_modified(at).unwrap();
        };
        write("action.toml", built);
        write("src/lib.rs", built - Duration::from_secs(1));
        let later = built + Duration::from_secs(1);
        for other in [
            "build/x.o",
            "target/x.rs",
            "tests/a.toml",
            "node_modules/a/x.js",
            ".venv/x.py",
            ".git/x",
            "a.wasm",
            "a.wasm.sig",
            "publisher.key",
            "report.xml",
            "src/.x.rs.swp",
            "src/__pycache__/x.pyc",
        ] {
            write(other, later);
        }
        assert_eq!(newer(dir.path(), built, true).unwrap(), None);
        for source in ["action.go", "action.toml", "src/data.txt", "src/lib.rs", "wit/world.wit"] {
            write(source, later);
            assert_eq!(newer(dir.path(), built, true).unwrap(), Some(dir.path().join(source)));
            write(source, built);
        }
    }
}
