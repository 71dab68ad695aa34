//! Locks that only one task can hold, of this process or among all processes that have the home open.

use std::fs::{File, TryLockError};
use std::sync::Arc;

use remit_engine::blocking;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{Error, Host};

/// A lock that is held: within this process, and mostly among all processes that have the home open.
pub(crate) struct Turn {
    _everywhere: Option<File>,
    _here: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for the lock. `name` is the lock's file in the home, `here` the lock within this process.
    pub(crate) async fn take(host: &Host, name: &str, here: &Arc<Mutex<()>>) -> Result<Self, Error> {
        // Waiting for a file lock blocks a thread. The lock within the process is taken first, so that at most one task
        // of this process waits for the file.
        let here = Arc::clone(here).lock_owned().await;
        let path = host.home.path().join(name);
        let failed = |error: std::io::Error| Error::kept(&path, &error);
        let file = blocking(|| remit_file::lock(&path)).map_err(failed)?;
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(TryLockError::WouldBlock) => {
                let wait = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
                wait.await.map_err(|error| failed(error.into()))?.map_err(failed)?
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        };
        Ok(Self { _everywhere: Some(file), _here: here })
    }

    /// Waits for the lock within this process alone.
    pub(crate) async fn take_here(here: &Arc<Mutex<()>>) -> Self {
        Self { _everywhere: None, _here: Arc::clone(here).lock_owned().await }
    }
}
