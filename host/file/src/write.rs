//! Writing answers where a person wants them.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::OFlags;

use crate::error::Problem;
use crate::keep::{Draft, Durable};
use crate::read::{COMES, LOOK};
use crate::{FileError, Kind, folder};

/// Where the output was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// To a file. The person should be told its name.
    File,
    /// To a pipe, a device or standard output.
    Stream,
}

/// The number of links to follow before it counts as a circle; the kernel's limit.
const LINKS: usize = 40;

/// Writes an answer where a person wants it: to a device, a pipe, standard output (`-`) or a file. A file is replaced
/// completely or not at all, keeps its mode and owner, and links to it are followed. Where the system forbids to replace it
/// (a file of another owner, or one that is a mount point), its content is overwritten.
pub fn write(path: &Path, contents: &[u8]) -> Result<Wrote, FileError> {
    write_with(path, contents, Durable::Yes)
}

/// The same, where `durable` says whether the file must survive a power failure.
pub fn write_with(path: &Path, contents: &[u8], durable: Durable) -> Result<Wrote, FileError> {
    put(path, contents, durable)
        .map_err(|problem| FileError::new(path.display().to_string(), Kind::Output, problem))
}

fn put(path: &Path, contents: &[u8], durable: Durable) -> Result<Wrote, Problem> {
    if path == Path::new("-") {
        return stream(io::stdout().as_fd(), contents);
    }
    let there = match fs::metadata(path) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Problem::Write(error.into())),
    };
    if let Some(there) = &there {
        // For every name of standard output (`/dev/stdout`, a link to `/proc/self/fd/1`): the shell's open file must not be
        // replaced, and a socket cannot be opened again.
        for open in [io::stdout().as_fd(), io::stderr().as_fd()] {
            if rustix::fs::fstat(open).is_ok_and(|it| it.st_dev == there.dev() && it.st_ino == there.ino()) {
                return stream(open, contents);
            }
        }
        let is = there.file_type();
        if is.is_dir() {
            return Err(Problem::Folder);
        } else if is.is_socket() {
            return Err(Problem::Socket);
        } else if is.is_block_device() {
            return Err(Problem::Disk);
        } else if is.is_fifo() || is.is_char_device() {
            return special(path, contents);
        }
    }
    let target = follow(path).map_err(|error| Problem::Write(error.into()))?;
    exchange(&target, contents, there.as_ref(), durable).map_err(|error| Problem::Write(error.into()))?;
    Ok(Wrote::File)
}

/// Writes to an open file that this process inherited.
fn stream(open: BorrowedFd<'_>, contents: &[u8]) -> Result<Wrote, Problem> {
    let file = open.try_clone_to_owned().map(File::from);
    file.and_then(|mut file| file.write_all(contents)).map_err(|error| Problem::Write(error.into()))?;
    Ok(Wrote::Stream)
}

/// Writes to a device or a named pipe.
fn special(path: &Path, contents: &[u8]) -> Result<Wrote, Problem> {
    let since = Instant::now();
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut file = loop {
        match File::options().write(true).custom_flags(flags).open(path) {
            // Nobody has opened the other end yet.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                if since.elapsed() >= COMES {
                    return Err(Problem::NobodyReads);
                }
                std::thread::sleep(LOOK);
            }
            opened => break opened.map_err(|error| Problem::Write(error.into()))?,
        }
    };
    // The pipe has a reader, which may be slow: from here on writing may wait.
    rustix::fs::fcntl_getfl(&file)
        .and_then(|flags| rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK))
        .map_err(|error| Problem::Write(io::Error::from(error).into()))?;
    file.write_all(contents).map_err(|error| Problem::Write(error.into()))?;
    Ok(Wrote::Stream)
}

/// The target of the links, whether or not it exists.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&at) {
            Ok(to) => at = at.parent().unwrap_or(Path::new("")).join(to),
            // Not a link.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(at);
            }
            Err(error) => return Err(error),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Writes a file and replaces the one that exists.
fn exchange(target: &Path, contents: &[u8], there: Option<&Metadata>, durable: Durable) -> io::Result<()> {
    let mode = there.map(|there| there.mode() & 0o7777);
    let whole = || -> io::Result<()> {
        // Private until it has its owner and mode.
        let mut draft = Draft::beside(target, mode.map(|_| 0o600))?;
        if let (Some(there), Some(mode)) = (there, mode) {
            let made = draft.file.metadata()?;
            if (made.uid(), made.gid()) != (there.uid(), there.gid()) {
                std::os::unix::fs::fchown(&draft.file, Some(there.uid()), Some(there.gid()))?;
            }
            draft.file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        draft.fill(contents, durable)?;
        draft.replace(target)
    };
    match whole() {
        Ok(()) => {}
        // The folder or the owner cannot be changed by this user, or the file is a mount point.
        Err(error) if there.is_some() && is_of_the_place(&error) => {
            let mut file = File::options().write(true).open(target)?;
            file.write_all(contents)?;
            file.set_len(contents.len() as u64)?;
            file.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    // The file is written; a folder that cannot be opened for syncing is not an error.
    if durable == Durable::Yes {
        let _ = folder::sync_folder(target);
    }
    Ok(())
}

/// Whether the error means that the file cannot be replaced by another.
fn is_of_the_place(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_behind_its_links_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("srv")).unwrap();
        fs::write(at("srv/real"), "old and longer").unwrap();
        fs::set_permissions(at("srv/real"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("srv/real", at("one")).unwrap();
        symlink(at("one"), at("two")).unwrap();
        let inode = fs::metadata(at("srv/real")).unwrap().ino();
        assert_eq!(write(&at("two"), b"new").unwrap(), Wrote::File);
        assert_eq!((fs::read(at("srv/real")).unwrap(), mode(&at("srv/real"))), (b"new".to_vec(), 0o640));
        assert_ne!(fs::metadata(at("srv/real")).unwrap().ino(), inode, "it was not replaced whole");
        assert!(at("one").is_symlink() && at("two").is_symlink());
        // A link to a file that does not exist yet.
        symlink("srv/later", at("three")).unwrap();
        write(&at("three"), b"later").unwrap();
        assert!(at("three").is_symlink());
        assert_eq!(fs::read(at("srv/later")).unwrap(), b"later");
        symlink("circle", at("circle")).unwrap();
        assert!(write(&at("circle"), b"x").is_err());
        assert_eq!(fs::read_dir(at("srv")).unwrap().count(), 2, "a draft was left");
    }

    #[test]
    fn a_pipe_and_a_device_are_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let why = write(&fifo, b"x").unwrap_err().to_string();
        assert!(why.contains("nobody reads it"), "{why}");
        let got = folder.path().join("got");
        let mut reader =
            std::process::Command::new("cat").arg(&fifo).stdout(File::create(&got).unwrap()).spawn().unwrap();
        // More than a pipe holds.
        let much = vec![b'x'; 300_000];
        assert_eq!(write(&fifo, &much).unwrap(), Wrote::Stream);
        assert!(reader.wait().unwrap().success());
        assert_eq!(fs::read(&got).unwrap(), much);
        assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
        assert_eq!(write(Path::new("/dev/null"), b"x").unwrap(), Wrote::Stream);
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        for (path, says) in [(folder.path(), "a folder"), (&folder.path().join("no/x"), "No such file")] {
            let why = write(path, b"x").unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
    }
}
