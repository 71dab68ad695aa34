//! The lock of a run: one process at a time acts on it. It is a file lock, so the operating system releases it when the
//! process ends, also when it is killed.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use remit_journal::RunId;

use crate::{Error, Home};

/// The lock of a run: held by the process that runs, reverts or recovers it.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _file: File,
}

impl Claim {
    /// Takes the lock; none if another process holds it.
    pub(crate) fn take(home: &Home, run: RunId) -> Result<Option<Self>, Error> {
        Self::take_in(&home.running(), &run.to_string())
    }

    /// The same of something else that one process at a time works on: `name` in `folder`.
    pub(crate) fn take_in(folder: &Path, name: &str) -> Result<Option<Self>, Error> {
        remit_file::make_folder(folder).map_err(|error| Error::kept(folder, &error))?;
        let path = folder.join(name);
        let failed = |error: std::io::Error| Error::kept(&path, &error);
        loop {
            let file = remit_file::lock(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // The last holder may have removed the file after it was opened here and before it was locked.
            match fs::metadata(&path) {
                Ok(there) if there.ino() == file.metadata().map_err(failed)?.ino() => {
                    return Ok(Some(Self { path, _file: file }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Whether some process holds the lock. The check itself does not hold the lock any longer than it takes.
    pub(crate) fn is_held(home: &Home, run: RunId) -> Result<bool, Error> {
        let path = home.running().join(run.to_string());
        let failed = |error: std::io::Error| Error::kept(&path, &error);
        #[expect(clippy::disallowed_methods, reason = "only its lock is looked at")]
        match File::open(&path) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(failed(error)),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The file is removed while it is locked, so that no process locks a file that is being removed. A file that is left
        // does no harm.
        let _ = fs::remove_file(&self.path);
    }
}
