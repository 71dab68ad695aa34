//! The lock of a run: one process at a time acts on it. The operating system releases it when the process ends, also when it is
//! killed.
//!
//! All of these locks are in one file, which stays: each is a lock of one byte, at a place that the run's name says (an open file
//! description lock, fcntl(2)). A file for each run would have to be made and removed again, and ext4 does not use the inode of a removed
//! file again for seconds: with a thousand runs a second, each new file would be searched for among thousands.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use remit_journal::RunId;
use remit_trust::Digest;

use crate::{Error, Home};

/// The lock of a run, or of something else with a name like that: held by the process that runs, reverts or recovers it.
#[derive(Debug)]
pub(crate) struct Claim {
    file: File,
    byte: libc::flock,
}

impl Claim {
    /// Takes the lock; none if this or another process holds it.
    pub(crate) fn take(home: &Home, run: RunId) -> Result<Option<Self>, Error> {
        let path = home.run_locks();
        let file = remit_file::lock(&path).map_err(|error| Error::kept(&path, &error))?;
        let byte = byte_of(run);
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte)) {
            Ok(_) => Ok(Some(Self { file, byte })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(Error::kept(&path, &error.into())),
        }
    }

    /// Whether some process holds the lock.
    pub(crate) fn is_held(home: &Home, run: RunId) -> Result<bool, Error> {
        let path = home.run_locks();
        #[expect(clippy::disallowed_methods, reason = "only its locks are looked at")]
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::kept(&path, &error)),
        };
        let mut lock = byte_of(run);
        // It says which lock is in the way, or that none is.
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).map_err(|error| Error::kept(&path, &error.into()))?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // To close the file is not enough: a process that another thread is just about to start has it open until it becomes its program.
        let none = libc::flock { l_type: constant(libc::F_UNLCK), ..self.byte };
        let _ = fcntl(&self.file, FcntlArg::F_OFD_SETLK(&none));
    }
}

/// The byte of a run: 63 bits of the digest of its name, so that no two runs have the same one.
fn byte_of(run: RunId) -> libc::flock {
    let digest = Digest::of(run.to_string().as_bytes());
    let start = digest.as_bytes().iter().take(8).fold(0, |all, byte| all << 8 | i64::from(*byte)) & i64::MAX;
    let [l_type, l_whence] = [libc::F_WRLCK, libc::SEEK_SET].map(constant);
    libc::flock { l_type, l_whence, l_start: start, l_len: 1, l_pid: 0 }
}

#[expect(clippy::cast_possible_truncation, reason = "the constants of fcntl(2) are below 10")]
fn constant(number: libc::c_int) -> libc::c_short {
    number as libc::c_short
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::testing::{POLICY, Place};

    #[test]
    fn a_run_is_claimed_once_until_it_is_let_go() {
        let place = Place::new(POLICY);
        let home = place.home();
        let (one, other) = (RunId::new(), RunId::new());
        let held = |run| Claim::is_held(home, run).unwrap();
        let take = |run| Claim::take(home, run).unwrap();
        assert!(!held(one));
        let claim = take(one).unwrap();
        // The same process is refused as any other.
        assert!(take(one).is_none() && held(one) && !held(other));
        let second = take(other).unwrap();
        drop(claim);
        assert!(!held(one) && held(other));
        let again = take(one).unwrap();
        drop((second, again));
        assert!(!held(one) && !held(other));
        assert_eq!(home.run_locks().metadata().unwrap().len(), 0);
    }

    /// While a program is being started, its process has every file open that this one has.
    #[test]
    fn no_process_that_is_started_meanwhile_holds_on_to_it() {
        let place = Place::new(POLICY);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        Command::new("true").status().unwrap();
                    }
                });
            }
            let run = RunId::new();
            let refused = (0..5_000).filter(|_| Claim::take(place.home(), run).unwrap().is_none()).count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
    }

    #[test]
    fn every_run_has_a_byte_of_its_own() {
        let mut bytes: Vec<i64> = (0..1_000).map(|_| byte_of(RunId::new()).l_start).collect();
        assert!(bytes.iter().all(|byte| *byte >= 0));
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), 1_000);
    }
}
