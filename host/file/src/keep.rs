//! Remit's own files: complete and durable or not there at all, with the mode that Remit gives them.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags};

use crate::folder;

/// Whether a file must survive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// The file and its name are on the disk on return.
    Yes,
    /// The file is not needed after a restart of the machine.
    No,
}

/// A file that does not have its final name yet. It is removed if it never gets one.
pub(crate) struct Draft {
    pub(crate) file: File,
    path: PathBuf,
}

impl Draft {
    /// Creates an empty draft in the folder of `path`. Without a mode, the umask decides.
    pub(crate) fn beside(path: &Path, mode: Option<u32>) -> Result<Self> {
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        loop {
            // The name is unique among processes and threads, and hidden, so that readers of the folder skip it. A killed
            // process may have left a file of this name: then the next number is tried.
            let ours = DRAFTS.fetch_add(1, Ordering::Relaxed);
            let name = format!(".remit-{}-{ours}.new", std::process::id());
            let draft = folder::of(path).join(name);
            match new(&draft, mode) {
                Ok(file) => return Ok(Self { file, path: draft }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn fill(&mut self, contents: &[u8], durable: Durable) -> Result<()> {
        self.file.write_all(contents)?;
        if durable == Durable::Yes { self.file.sync_all() } else { Ok(()) }
    }

    /// Gives the draft its name and replaces any file of that name.
    pub(crate) fn replace(&self, path: &Path) -> Result<()> {
        fs::rename(&self.path, path)
    }

    /// Gives the draft its name, which must be free.
    fn appear(&self, path: &Path) -> Result<()> {
        // Unlike a rename, a link never replaces a file.
        match rustix::fs::linkat(CWD, &self.path, CWD, path, AtFlags::empty()) {
            // Some file systems have no hard links.
            Err(rustix::io::Errno::PERM | rustix::io::Errno::NOTSUP | rustix::io::Errno::MLINK) => {
                rustix::fs::renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE)
            }
            linked => linked,
        }
        .map_err(Error::from)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename, no file has this name any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// Creates an empty file. With a mode, the file never has more permissions than that, whatever the umask.
fn new(path: &Path, mode: Option<u32>) -> Result<File> {
    let file =
        File::options().read(true).write(true).create_new(true).mode(mode.unwrap_or(0o666)).open(path)?;
    if let Some(mode) = mode {
        file.set_permissions(fs::Permissions::from_mode(mode))
            .inspect_err(|_| drop(fs::remove_file(path)))?;
    }
    Ok(file)
}

/// Creates a file that must not exist ([`ErrorKind::AlreadyExists`]). It gets its name when it is complete, so that neither a
/// crash nor another process leads to half a file. Durable on return.
pub fn create(path: &Path, mode: u32, contents: &[u8]) -> Result<()> {
    let mut draft = Draft::beside(path, Some(mode))?;
    draft.fill(contents, Durable::Yes)?;
    draft.appear(path)?;
    drop(draft);
    // The name becomes durable with its folder.
    folder::sync_folder(path)
}

/// Writes a file (mode 0600) and replaces one that exists. Returns the open file. Durable on return.
pub fn replace(path: &Path, contents: &[u8]) -> Result<File> {
    replace_with(path, contents, Durable::Yes)
}

/// The same, where `durable` says whether the file must survive a power failure.
pub fn replace_with(path: &Path, contents: &[u8], durable: Durable) -> Result<File> {
    let mut draft = Draft::beside(path, Some(0o600))?;
    draft.fill(contents, durable)?;
    draft.replace(path)?;
    if durable == Durable::Yes {
        folder::sync_folder(path)?;
    }
    draft.file.try_clone()
}

/// Creates an empty file (mode 0600) that must not exist, for a library that fills it itself.
pub fn make_empty(path: &Path) -> Result<File> {
    new(path, Some(0o600))
}

/// Opens a file to lock it, and creates it (mode 0600) if it does not exist.
pub fn lock(path: &Path) -> Result<File> {
    open_or_new(path, File::options().write(true)).map(|(file, _)| file)
}

/// Opens a file to append to it, and creates it (mode 0600) if it does not exist. Also returns whether it was created. Pipes
/// are refused, because writing to one would wait for its reader.
pub fn append(path: &Path) -> Result<(File, bool)> {
    if fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo()) {
        return Err(Error::other("it is a pipe, which nobody may read: use `command`"));
    }
    open_or_new(path, File::options().append(true))
}

fn open_or_new(path: &Path, options: &mut fs::OpenOptions) -> Result<(File, bool)> {
    // Nonblocking, so that opening never waits, whatever is there.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    loop {
        match options.custom_flags(flags).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return Ok((opened?, false)),
        }
        match options.clone().create_new(true).mode(0o600).open(path) {
            // Another process created it first.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // A broken link exists, but cannot be opened.
                if fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
                    && path.is_symlink()
                {
                    return Err(Error::new(ErrorKind::NotFound, "it is a link that leads nowhere"));
                }
            }
            made => {
                let file = made?;
                file.set_permissions(fs::Permissions::from_mode(0o600))?;
                return Ok((file, true));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_made_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, 0o640, b"one").unwrap();
        assert_eq!(create(&path, 0o600, b"two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o640));
        assert_eq!(names(folder.path()), ["key"], "a draft was left");
        // The link must not be replaced, and nothing be created behind it.
        symlink("elsewhere", folder.path().join("link")).unwrap();
        assert_eq!(
            create(&folder.path().join("link"), 0o600, b"x").unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(names(folder.path()), ["key", "link"]);
    }

    #[test]
    fn a_kept_file_is_replaced_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        fs::write(&path, "old and long").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o600));
        assert!(replace(&folder.path().join("none/kept"), b"x").is_err());
        assert_eq!(names(folder.path()), ["kept"]);
    }

    #[test]
    fn a_lock_is_opened_whatever_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for _ in 0..2 {
            lock(&path).unwrap().try_lock().unwrap();
            assert_eq!(mode(&path), 0o600);
        }
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(lock(&fifo).is_err());
        assert!(append(&fifo).is_err());
        symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(lock(&folder.path().join("link")).is_err());
        let (mut file, made) = append(&folder.path().join("events")).unwrap();
        file.write_all(b"1").unwrap();
        assert!(made && !append(&folder.path().join("events")).unwrap().1);
    }
}
