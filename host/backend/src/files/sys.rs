//! The system calls that change something, and what may be said after one of them failed.
//!
//! None gives an error that could become an answer by itself: a [`Broke`] says nothing of whether something was
//! changed. Only [`Attempt`](super::change) makes a [`Failure`](remit_gate::Failure) of it, after it has looked.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, IFlags, Mode, OFlags, RenameFlags, Uid, XattrFlags};
use rustix::io::Errno;

/// The system calls of a change. Tests make any one of them fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    CreateFile,
    CreateDirectory,
    OpenDirectory,
    Write,
    Chown,
    SetXattr,
    RemoveXattr,
    SetFlags,
    Chmod,
    SyncDraft,
    Publish,
    Remove,
    Discard,
    SyncDirectory,
    Read,
}

impl Call {
    fn words(self) -> &'static str {
        match self {
            Self::CreateFile | Self::CreateDirectory => "it cannot be made",
            Self::OpenDirectory => "what was made cannot be opened",
            Self::Write => "it cannot be written",
            Self::Chown => "its owner cannot be set",
            Self::SetXattr => "an extended attribute or ACL cannot be set",
            Self::RemoveXattr => "an extended attribute or ACL cannot be removed",
            Self::SetFlags => "its flags cannot be set",
            Self::Chmod => "its mode cannot be set",
            Self::SyncDraft => "it cannot be synced to the disk",
            Self::Publish => "it cannot be given its name",
            Self::Remove => "it cannot be removed",
            Self::Discard => "a temporary file or directory cannot be removed",
            Self::SyncDirectory => "its directory cannot be synced to the disk",
            Self::Read => "it cannot be read",
        }
    }
}

/// Why a change got no further. Whether anything was changed is another question.
#[derive(Debug)]
#[must_use]
pub(super) enum Broke {
    /// The system call failed.
    Call {
        /// The system call that failed.
        call: Call,
        /// The attribute that the call was for; empty for a call without one.
        what: String,
        errno: Errno,
    },
    /// It did not refuse, and did not do it: of this attribute.
    NotTaken(String),
    /// Someone changed what is there in the meantime.
    Theirs,
}

impl Broke {
    pub(super) fn read(errno: Errno) -> Self {
        Self::Call { call: Call::Read, what: String::new(), errno }
    }
}

impl fmt::Display for Broke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { call, what, errno } if what.is_empty() => write!(f, "{}: {errno}", call.words()),
            Self::Call { call, what, errno } => write!(f, "{} ({what}): {errno}", call.words()),
            Self::NotTaken(what) => write!(f, "the filesystem does not keep what was set: {what}"),
            Self::Theirs => f.write_str("somebody changed it in the meantime"),
        }
    }
}

/// Every call goes through here, so that a test can let each fail: before it had its effect, or after.
fn ask<T>(call: Call, what: &str, real: impl FnOnce() -> Result<T, Errno>) -> Result<T, Broke> {
    #[cfg(test)]
    let real = || super::faults::meet(call, real);
    real().map_err(|errno| Broke::Call { call, what: what.to_owned(), errno })
}

pub(super) fn create_file(at: impl AsFd, name: &str) -> Result<OwnedFd, Broke> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    ask(Call::CreateFile, "", || rustix::fs::openat(&at, name, flags, Mode::RUSR | Mode::WUSR))
}

pub(super) fn create_directory(at: impl AsFd, name: &str) -> Result<OwnedFd, Broke> {
    ask(Call::CreateDirectory, "", || rustix::fs::mkdirat(&at, name, Mode::RWXU))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    ask(Call::OpenDirectory, "", || rustix::fs::openat(&at, name, flags, Mode::empty()))
}

/// A file that has no name, and is gone with its handle.
pub(super) fn nameless(at: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    rustix::fs::openat(at, ".", flags, Mode::RUSR | Mode::WUSR)
}

pub(super) fn write(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Broke> {
    while !bytes.is_empty() {
        let written = ask(Call::Write, "", || match rustix::io::write(to, bytes) {
            Ok(0) => Err(Errno::IO),
            Err(Errno::INTR) => Ok(0),
            written => written,
        })?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

pub(super) fn chown(of: BorrowedFd<'_>, owner: u32, group: u32) -> Result<(), Broke> {
    let (user, to) = (Uid::from_raw(owner), Gid::from_raw(group));
    ask(Call::Chown, &format!("{owner}:{group}"), || rustix::fs::fchown(of, Some(user), Some(to)))
}

pub(super) fn chmod(of: BorrowedFd<'_>, mode: u32) -> Result<(), Broke> {
    ask(Call::Chmod, &format!("{mode:04o}"), || rustix::fs::fchmod(of, Mode::from_raw_mode(mode)))
}

pub(super) fn set_xattr(of: BorrowedFd<'_>, name: &str, value: &[u8]) -> Result<(), Broke> {
    ask(Call::SetXattr, name, || rustix::fs::fsetxattr(of, name, value, XattrFlags::empty()))
}

pub(super) fn remove_xattr(of: BorrowedFd<'_>, name: &str) -> Result<(), Broke> {
    ask(Call::RemoveXattr, name, || rustix::fs::fremovexattr(of, name))
}

pub(super) fn set_flags(of: BorrowedFd<'_>, flags: IFlags) -> Result<(), Broke> {
    ask(Call::SetFlags, &format!("{:#x}", flags.bits()), || rustix::fs::ioctl_setflags(of, flags))
}

pub(super) fn sync_draft(of: BorrowedFd<'_>) -> Result<(), Broke> {
    ask(Call::SyncDraft, "", || rustix::fs::fsync(of))
}

/// Gives the draft its name. `over`: in place of a file, otherwise where there is nothing.
pub(super) fn publish(at: impl AsFd, draft: &str, name: &str, over: bool) -> Result<(), Broke> {
    ask(Call::Publish, "", || {
        if over {
            return rustix::fs::renameat(&at, draft, &at, name);
        }
        match rustix::fs::renameat_with(&at, draft, &at, name, RenameFlags::NOREPLACE) {
            // The filesystem cannot make sure of it; there was nothing a moment ago.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(&at, draft, &at, name),
            done => done,
        }
    })
}

pub(super) fn remove(at: impl AsFd, name: &str, directory: bool) -> Result<(), Broke> {
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    ask(Call::Remove, "", || rustix::fs::unlinkat(&at, name, flags))
}

/// Removes a draft. Whether there was one.
pub(super) fn discard(at: impl AsFd, name: &str, directory: bool) -> Result<bool, Broke> {
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    ask(Call::Discard, name, || match rustix::fs::unlinkat(&at, name, flags) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    })
}

pub(super) fn sync_directory(of: BorrowedFd<'_>) -> Result<(), Broke> {
    ask(Call::SyncDirectory, "", || rustix::fs::fsync(of))
}
