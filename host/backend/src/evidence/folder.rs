//! A directory in which archives are written once: each gets its name when it is whole and on the disk, with nobody's right to write it,
//! and no name is given twice.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use remit_gate::Failure;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::files::digest;
use super::place::{Held, Kept};

/// The mode of what is kept.
const MODE: u32 = 0o400;

#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn shown(&self) -> String {
        format!("the directory {}", self.path.display())
    }

    pub(super) fn held(&self, kept: &Kept) -> Result<Held, Failure> {
        let path = self.path.join(&kept.archive);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = match openat(CWD, &path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Held::No),
            Err(Errno::LOOP) => return Ok(Held::Other(format!("{} is a link", path.display()))),
            Err(errno) => return Err(failed(&path.display().to_string(), &errno.into())),
        };
        let broken = |error: std::io::Error| failed(&path.display().to_string(), &error);
        let mode = file.metadata().map_err(broken)?.permissions().mode();
        if mode & 0o222 != 0 {
            return Ok(Held::Other(format!(
                "{} can be written (mode {:04o})",
                path.display(),
                mode & 0o7777
            )));
        }
        Ok(match digest(file, kept.size).map_err(broken)? {
            Some(found) if found == kept.sha256 => Held::Yes,
            _ => Held::Other(format!("{} is not what was written there", path.display())),
        })
    }

    /// The manifest comes first: an archive that has its name has one.
    pub(super) fn keep(&self, kept: &Kept, bytes: &[u8], manifest: &[u8]) -> Result<(), Failure> {
        self.create(&super::place::manifest_of(&kept.archive), manifest)?;
        self.create(&kept.archive, bytes)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(name);
        remit_file::create(&path, MODE, bytes).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::Conflict(format!(
                "{} is there already, and nothing is written twice",
                path.display()
            )),
            _ => failed(&path.display().to_string(), &error),
        })
    }

    pub(super) fn check(&self) -> Result<String, Failure> {
        remit_file::judge_folder(&self.path).map_err(|error| Failure::Invalid(error.to_string()))?;
        if let Some(mode) = remit_file::others_can_write(&self.path) {
            return Err(Failure::Invalid(format!(
                "{} can be written by others (mode {mode:04o})",
                self.shown()
            )));
        }
        // Nothing stays of it: a file without a name.
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match openat(CWD, &self.path, flags, Mode::from_raw_mode(MODE)) {
            Ok(_) | Err(Errno::OPNOTSUPP) => Ok(format!("{}, written once", self.shown())),
            Err(errno) => Err(failed(&self.path.display().to_string(), &errno.into())),
        }
    }
}

fn failed(path: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Failure::Denied(format!("{path}: {error}"))
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => Failure::Invalid(format!("{path}: {error}")),
        _ => Failure::Unavailable(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_kept_once_and_every_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::new(folder.path().to_owned());
        let kept = |archive: &str, bytes: &[u8]| Kept {
            archive: archive.to_owned(),
            sha256: remit_trust::Digest::of(bytes),
            size: bytes.len() as u64,
            store: store.shown(),
            until: None,
        };
        let one = kept("a.tar", b"evidence");
        assert_eq!(store.held(&one), Ok(Held::No));
        store.keep(&one, b"evidence", b"{}").unwrap();
        assert_eq!(store.held(&one), Ok(Held::Yes));
        let path = folder.path().join("a.tar");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
        assert_eq!(std::fs::read(folder.path().join("a.json")).unwrap(), b"{}");
        for bytes in [&b"evidence"[..], b"other"] {
            assert!(
                matches!(store.keep(&one, bytes, b"{}"), Err(Failure::Conflict(_))),
                "no name is given twice"
            );
        }
        assert!(matches!(store.held(&kept("a.tar", b"other")), Ok(Held::Other(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(store.held(&one), Ok(Held::Other(why)) if why.contains("mode 0600")));
        std::fs::write(&path, "forgery!").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(matches!(store.held(&one), Ok(Held::Other(why)) if why.contains("not what was written")));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("a.json", &path).unwrap();
        assert!(matches!(store.held(&one), Ok(Held::Other(why)) if why.contains("is a link")));
        assert!(store.check().unwrap().contains("written once"));
        assert!(Folder::new("/no/such".into()).check().is_err());
    }
}
