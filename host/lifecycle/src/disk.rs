//! Files that are written whole and durable, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file that must not be there yet, or have just this content: a file with another one is left as it is, and
/// is an error ([`ErrorKind::AlreadyExists`]).
pub(crate) fn create(path: &Path, contents: &[u8]) -> Result<()> {
    let draft = draft(path);
    // Unlike a rename, a link never replaces what is there.
    let written = write(&draft, contents).and_then(|_| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && fs::read(path)? == contents => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(&draft);
    written.and_then(|()| sync_folder(path))
}

/// Writes a file (mode 0600), in the place of one that is there; answers it, opened.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<File> {
    let draft = draft(path);
    let written = write(&draft, contents).and_then(|file| fs::rename(&draft, path).map(|()| file));
    let file = written.inspect_err(|_| drop(fs::remove_file(&draft)))?;
    sync_folder(path)?;
    Ok(file)
}

/// Whether [`create`] would find another file there.
pub(crate) fn is_in_the_way(path: &Path, contents: &[u8]) -> Result<bool> {
    match fs::read(path) {
        Ok(there) => Ok(there != contents),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Nobody else's: several processes may write the same file at once.
fn draft(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", remit_journal::RunId::new()));
    PathBuf::from(draft)
}

fn write(draft: &Path, contents: &[u8]) -> Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    written.map(|()| file).inspect_err(|_| drop(fs::remove_file(draft)))
}

/// A name is durable when its folder is.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
