//! Folders: creating, listing and syncing them.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::{FileError, Kind};

/// Creates a folder with mode 0700, whatever the umask, and its missing parents. Returns the folders that were created, the
/// outermost first.
pub fn make_folder(path: &Path) -> Result<Vec<PathBuf>> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
            Ok(vec![path.to_owned()])
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) else {
                return Err(error);
            };
            let mut made = make_folder(above)?;
            made.extend(make_folder(path)?);
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

/// The folder that contains a file.
pub(crate) fn of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in the file's folder durable.
pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(of(path))?.sync_all()
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name of the entry, without the folder.
    pub name: String,
    /// The folder's path with the name added.
    pub path: PathBuf,
    /// Whether it is a folder or a link to one.
    pub is_folder: bool,
    /// Whether its name is one that editors and package managers give to backups and unfinished files.
    pub is_leaving: bool,
}

/// The entries of a folder, sorted by name. Hidden ones are left out: `.git`, an editor's lock (`.#x`) or swap file
/// (`.x.swp`), and the files that macOS writes beside others (`._x`).
pub fn list(folder: &Path, kind: Kind) -> std::result::Result<Vec<Entry>, FileError> {
    let failed = |error| FileError::reading(folder, kind, &error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let Some(name) = name.to_str().map(ToOwned::to_owned) else {
            let error = std::io::Error::new(ErrorKind::InvalidFilename, "its name is not UTF-8");
            return Err(FileError::reading(&path, kind, &error));
        };
        entries.push(Entry { is_folder: path.is_dir(), is_leaving: is_leaving(&name), name, path });
    }
    entries.sort();
    Ok(entries)
}

fn is_leaving(name: &str) -> bool {
    let endings = [
        "~",
        ".bak",
        ".old",
        ".orig",
        ".rej",
        ".save",
        ".swp",
        ".swo",
        ".tmp",
        ".dpkg-dist",
        ".dpkg-new",
        ".dpkg-old",
        ".rpmnew",
        ".rpmorig",
        ".rpmsave",
        ".ucf-dist",
        ".ucf-old",
    ];
    (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
        || endings.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_editors_leave_is_known() {
        for name in ["x.cedar~", "x.cedar.bak", "#x.cedar#", "x.cedar.ORIG", "x.swp", "x.cedar.dpkg-old"] {
            assert!(is_leaving(name), "{name}");
        }
        for name in ["x.cedar", "x.cedar.json", "x.cedar ", "#", "bak", "x.cedar.disabled"] {
            assert!(!is_leaving(name), "{name}");
        }
    }

    #[test]
    fn a_folder_is_listed_without_what_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a~", ".hidden", "._b"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("c")).unwrap();
        std::os::unix::fs::symlink("me@host.1:2", folder.path().join(".#b")).unwrap();
        let found = list(folder.path(), Kind::Policy).unwrap();
        let found: Vec<_> = found.iter().map(|e| (e.name.as_str(), e.is_folder, e.is_leaving)).collect();
        assert_eq!(found, [("a~", false, true), ("b", false, false), ("c", true, false)]);
    }

    #[test]
    fn folders_are_made_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("a"), folder.path().join("a/b"));
        assert_eq!(make_folder(&inner).unwrap(), [outer.clone(), inner.clone()]);
        assert!(make_folder(&inner).unwrap().is_empty());
        for made in [outer, inner] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o700);
        }
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(make_folder(&folder.path().join("file")).is_err());
    }
}
