//! Locks that only one task can hold, among all processes that have the home open.

use std::fs::{File, TryLockError};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{Error, Host};

/// A lock that is held: within this process, and among all processes that have the home open.
pub(crate) struct Turn {
    _everywhere: File,
    _here: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for the lock. `name` is the lock's file in the home, `here` the lock within this process.
    pub(crate) async fn take(host: &Host, name: &str, here: &Arc<Mutex<()>>) -> Result<Self, Error> {
        // Waiting for a file lock blocks a thread. The lock within the process is taken first, so that at most one task
        // of this process waits for the file.
        let here = Arc::clone(here).lock_owned().await;
        let path = host.home.path().join(name);
        let lock = move || -> Result<File, Error> {
            let failed = |error: std::io::Error| Error::kept(&path, &error);
            let file = remit_file::lock(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => Ok(file),
                Err(TryLockError::WouldBlock) => file.lock().map_err(failed).map(|()| file),
                Err(TryLockError::Error(error)) => Err(failed(error)),
            }
        };
        let everywhere = tokio::task::spawn_blocking(lock)
            .await
            .map_err(|error| Error::kept(host.home.path(), &error.into()))??;
        Ok(Self { _everywhere: everywhere, _here: here })
    }
}
