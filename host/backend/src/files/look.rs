//! Looking at one granted directory on the disk. Every path is walked segment by segment, and no symbolic link is ever
//! followed: a link could give a file a second name, which no pattern would know.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use cap_fs_ext::DirExt as _;
use cap_std::fs::Dir;
use remit_gate::Failure;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags};
use rustix::io::Errno;

use super::attributes;
use super::limits::{KIND, MAX_ENTRIES, MAX_FILE, Odd, TEMPORARY};
use super::node::{Entry, FileNode, Found, Node, Thing};

/// What a path leads to below the root.
pub(super) enum Walk<'a> {
    /// The directory it lies in, and its name there.
    In(Dir, &'a str),
    /// The path is the root itself.
    Root,
    /// A directory on the way is missing.
    Nowhere,
    /// Something on the way is no directory.
    Blocked,
}

pub(super) fn walk<'a>(root: &Dir, path: &'a str) -> Result<Walk<'a>, Failure> {
    let Some((way, name)) = path.rsplit_once('/').or(Some(("", path)).filter(|_| !path.is_empty())) else {
        return Ok(Walk::Root);
    };
    let mut at = root.try_clone().map_err(|error| failure(path, &error))?;
    for segment in way.split('/').filter(|segment| !segment.is_empty()) {
        at = match at.open_dir_nofollow(segment) {
            Ok(next) => next,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Walk::Nowhere),
            Err(_) if at.symlink_metadata(segment).is_ok_and(|meta| !meta.is_dir()) => {
                return Ok(Walk::Blocked);
            }
            Err(error) => return Err(failure(path, &error)),
        };
    }
    Ok(Walk::In(at, name))
}

/// Reads what is at a path, without following symbolic links.
pub(super) fn snapshot(root: &Dir, path: &str) -> Result<Found, Failure> {
    let refused = |errno: Errno| failure(path, &errno.into());
    let (at, name) = match walk(root, path)? {
        // cap-std's own handle may be one that can only lead on (`O_PATH`).
        Walk::Root => (root.try_clone().map_err(|error| failure(path, &error))?, "."),
        Walk::Nowhere => return Ok(Found::only(Node::Absent)),
        Walk::Blocked => return Ok(Found::only(Node::Other(Odd::Blocked))),
        Walk::In(at, name) => (at, name),
    };
    let stat = match rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Found::only(Node::Absent)),
        Err(errno) => return Err(refused(errno)),
    };
    if let Some(odd) = unusable(&stat) {
        return Ok(Found::only(Node::Other(odd)));
    }
    // A FIFO that took the file's place must not make the host wait.
    let mut flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if is_directory(&stat) {
        flags |= OFlags::DIRECTORY;
    }
    let opened = match rustix::fs::openat(&at, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(Found::only(Node::Absent)),
        Err(errno) => return Err(refused(errno)),
    };
    // What was opened counts, not what was there a moment ago.
    let stat = rustix::fs::fstat(&opened).map_err(refused)?;
    if let Some(odd) = unusable(&stat) {
        return Ok(Found::only(Node::Other(odd)));
    }
    let before = mark(&opened, "").map_err(refused)?;
    let attributes = match attributes::read(opened.as_fd(), &stat).map_err(refused)? {
        Ok(attributes) => attributes,
        Err(odd) => return Ok(Found::only(Node::Other(odd))),
    };
    let (node, opened) = if is_directory(&stat) {
        (Node::Directory(attributes), opened)
    } else {
        let (mut content, file) = (Vec::new(), std::fs::File::from(opened));
        (&file).take(MAX_FILE + 1).read_to_end(&mut content).map_err(|error| failure(path, &error))?;
        if content.len() as u64 > MAX_FILE {
            return Ok(Found::only(Node::Other(Odd::TooLarge)));
        }
        (Node::File(FileNode { content, attributes }), OwnedFd::from(file))
    };
    // All of it at one moment, or none of it.
    if mark(&opened, "").map_err(refused)? != before {
        return Err(Failure::Conflict(format!("{} changes while it is read", shown(path))));
    }
    let (thing, changed) = before;
    Ok(Found { node, thing: Some(thing), changed: Some(changed) })
}

/// Which thing it is, and when anything of it changed last. An empty name means the handle's own.
pub(super) fn mark(at: impl std::os::fd::AsFd, name: &str) -> Result<(Thing, (i64, u32)), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let wanted = StatxFlags::INO | StatxFlags::CTIME | StatxFlags::BTIME;
    let found = rustix::fs::statx(at, name, flags, wanted)?;
    let born = StatxFlags::from_bits_retain(found.stx_mask)
        .contains(StatxFlags::BTIME)
        .then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec));
    let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
    let thing = Thing { device, inode: found.stx_ino, born };
    Ok((thing, (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec)))
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Why a thing is none of a run's business, unless it is a directory or a plain file.
fn unusable(stat: &Stat) -> Option<Odd> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => None,
        FileType::Symlink => Some(Odd::SymbolicLink),
        FileType::RegularFile if stat.st_nlink > 1 => Some(Odd::HardLink),
        FileType::RegularFile if u64::try_from(stat.st_size).is_ok_and(|size| size > MAX_FILE) => {
            Some(Odd::TooLarge)
        }
        FileType::RegularFile => None,
        _ => Some(Odd::Special),
    }
}

/// What lies in a directory, by name; what no resource can name is left out.
pub(super) fn list(root: &Dir, path: &str) -> Result<Vec<Entry>, Failure> {
    let dir = match walk(root, path)? {
        Walk::Root => root.try_clone().map_err(|error| failure(path, &error))?,
        Walk::Nowhere => return Err(Failure::NotFound(format!("there is no {path}"))),
        Walk::Blocked => return Err(Failure::Conflict(format!("{path} {}", Odd::Blocked))),
        Walk::In(at, name) => at.open_dir_nofollow(name).map_err(|error| failure(path, &error))?,
    };
    let mut entries = Vec::new();
    for entry in dir.entries().map_err(|error| failure(path, &error))? {
        let entry = entry.map_err(|error| failure(path, &error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if remit_gate::Resource::new(KIND, &name).is_err() || name.starts_with(TEMPORARY) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        entries.push(Entry { name, file: kind.is_file(), directory: kind.is_dir() });
        if entries.len() > MAX_ENTRIES {
            return Err(Failure::Invalid(format!(
                "{} has more than {} entries, the most that are listed",
                shown(path),
                MAX_ENTRIES
            )));
        }
    }
    Ok(entries)
}

/// Why nothing with these attributes can be made in a directory, if so.
pub(super) fn cannot_be_made(
    root: &Dir,
    path: &str,
    wanted: &attributes::Attributes,
) -> Result<Option<String>, Failure> {
    let directory = match walk(root, path)? {
        Walk::Root => root.try_clone().map_err(|error| failure(path, &error))?,
        Walk::In(at, name) => at.open_dir_nofollow(name).map_err(|error| failure(path, &error))?,
        Walk::Nowhere | Walk::Blocked => {
            return Err(Failure::Conflict(format!("{} is gone", shown(path))));
        }
    };
    attributes::cannot_be_given(&directory, wanted).map_err(|errno| {
        let why = std::io::Error::from(errno);
        Failure::Denied(format!("nothing can be made in {}: {why}", shown(path)))
    })
}

pub(super) fn shown(path: &str) -> &str {
    if path.is_empty() { "the directory itself" } else { path }
}

/// The system's words about a look: it changed nothing. Errors of calls that change something never come here.
pub(super) fn failure(path: &str, error: &std::io::Error) -> Failure {
    let why = format!("{}: {error}", shown(path));
    match error.kind() {
        ErrorKind::NotFound => Failure::NotFound(why),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            Failure::Conflict(why)
        }
        _ => Failure::Denied(why),
    }
}
