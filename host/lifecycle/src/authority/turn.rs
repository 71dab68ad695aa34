//! One at a time on a home, among all processes that have it open.

use std::fs::{File, TryLockError};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{Error, Host};

/// Whose turn it is: first within this process, then among all that have the home open.
pub(crate) struct Turn {
    _everywhere: File,
    _here: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for it; `name` is the lock's file in the home.
    pub(crate) async fn take(host: &Host, name: &str, here: &Arc<Mutex<()>>) -> Result<Self, Error> {
        // Waiting for the system's lock blocks a thread, so at most one task of this process waits, on a thread of its
        // own.
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
