//! One granted directory on the disk. Every path is walked segment by segment, and no symbolic link is ever
//! followed: a link could give a file a second name, which no pattern would know.

use std::fs::Permissions;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, File, Metadata, MetadataExt as _, OpenOptions};
use remit_gate::{Authority, Failure};
use remit_trust::Digest;

use super::{Entry, FileNode, Is, MAX_FILE, Node, Odd, TEMPORARY};

/// What a path leads to.
enum Walk<'a> {
    /// The directory it lies in, and its name there.
    In(Dir, &'a str),
    /// The root itself.
    Root,
    /// A directory on the way is missing.
    Nowhere,
    /// Something on the way is no directory.
    Blocked,
}

fn walk<'a>(root: &Dir, path: &'a str) -> Result<Walk<'a>, Failure> {
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

/// What there is.
pub(super) fn snapshot(root: &Dir, path: &str) -> Result<Node, Failure> {
    let (at, name) = match walk(root, path)? {
        Walk::Root => {
            return Ok(Node::Directory { mode: mode(&root.dir_metadata().map_err(|e| failure(path, &e))?) });
        }
        Walk::Nowhere => return Ok(Node::Absent),
        Walk::Blocked => return Ok(Node::Other(Odd::Blocked)),
        Walk::In(at, name) => (at, name),
    };
    let meta = match at.symlink_metadata(name) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Node::Absent),
        Err(error) => return Err(failure(path, &error)),
    };
    if meta.is_dir() {
        return Ok(Node::Directory { mode: mode(&meta) });
    }
    if let Some(other) = unusable(&meta) {
        return Ok(Node::Other(other));
    }
    let mut options = OpenOptions::new();
    // A FIFO that took the file's place must not make the host wait.
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let file = match at.open_with(name, &options) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Node::Absent),
        Err(error) => return Err(failure(path, &error)),
    };
    // What was opened counts, not what was there a moment ago.
    let meta = file.metadata().map_err(|error| failure(path, &error))?;
    if let Some(other) = unusable(&meta) {
        return Ok(Node::Other(other));
    }
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(|error| failure(path, &error))?;
    if content.len() as u64 > MAX_FILE {
        return Ok(Node::Other(Odd::TooLarge));
    }
    Ok(Node::File(FileNode { content, mode: mode(&meta), owner: Some((meta.uid(), meta.gid())) }))
}

/// Why a thing is none of a run's business, unless it is a plain file.
fn unusable(meta: &Metadata) -> Option<Odd> {
    if meta.is_symlink() {
        Some(Odd::SymbolicLink)
    } else if !meta.is_file() {
        Some(Odd::Special)
    } else if meta.nlink() > 1 {
        Some(Odd::HardLink)
    } else if meta.len() > MAX_FILE {
        Some(Odd::TooLarge)
    } else {
        None
    }
}

fn mode(meta: &Metadata) -> u32 {
    cap_std::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777
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
        if remit_gate::Resource::new(super::KIND, &name).is_err() || name.starts_with(TEMPORARY) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        entries.push(Entry { name, file: kind.is_file(), directory: kind.is_dir() });
        if entries.len() > super::MAX_ENTRIES {
            return Err(Failure::Invalid(format!(
                "{path} has more than {} entries, the most that are listed",
                super::MAX_ENTRIES
            )));
        }
    }
    Ok(entries)
}

/// Puts `new` where `expected` is, or touches nothing.
pub(super) fn replace(
    root: &Dir,
    path: &str,
    expected: &Is,
    new: &Node,
    by: &Authority<'_>,
) -> Result<(), Failure> {
    tracing::debug!(operation = by.operation(), path, "a granted directory is changed");
    let live = snapshot(root, path)?;
    let is = live.is();
    if is != *expected {
        return Err(Failure::Conflict(format!("{path} {is}; expected was that it {expected}")));
    }
    let (at, name) = match walk(root, path)? {
        Walk::In(at, name) => (at, name),
        Walk::Root => return Err(Failure::Denied("a granted directory itself stays".to_owned())),
        Walk::Nowhere => return Err(Failure::NotFound(format!("the directory of {path} does not exist"))),
        Walk::Blocked => return Err(Failure::Conflict(format!("{path} {}", Odd::Blocked))),
    };
    let failed = |error: io::Error| failure(path, &error);
    match (&live, new) {
        (Node::File(_) | Node::Absent, Node::File(file)) => {
            write(&at, name, file, path)?;
        }
        (Node::File(_), Node::Absent) => at.remove_file(name).map_err(failed)?,
        (Node::Absent, Node::Directory { mode }) => {
            at.create_dir(name).map_err(failed)?;
            let made = at.open_dir_nofollow(name).map_err(failed)?;
            itself(&made)
                .and_then(|dir| dir.set_permissions(Permissions::from_mode(*mode)))
                .map_err(failed)?;
        }
        (Node::Directory { .. }, Node::Absent) => {
            at.remove_dir(name).map_err(|error| match error.kind() {
                ErrorKind::DirectoryNotEmpty => Failure::Conflict(format!("{path} is not empty")),
                _ => failed(error),
            })?;
        }
        (Node::Absent, Node::Absent) => return Ok(()),
        _ => return Err(Failure::Conflict(format!("{path} {is}"))),
    }
    // The name is durable once its directory is.
    itself(&at).and_then(|dir| dir.sync_all()).map_err(unsure)
}

/// A directory as a file: cap-std's own handle may be one that can only lead on (`O_PATH`).
fn itself(dir: &Dir) -> io::Result<std::fs::File> {
    Ok(dir.open(".")?.into_std())
}

/// Beside it, then over it: whoever looks sees the old file or the new one.
fn write(at: &Dir, name: &str, new: &FileNode, path: &str) -> Result<(), Failure> {
    let random = remit_trust::random().map_err(|error| Failure::Denied(error.to_string()))?;
    let temporary = format!("{TEMPORARY}{}", &Digest::from(random).short());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).follow(FollowSymlinks::No);
    cap_std::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = at.open_with(&temporary, &options).map_err(|error| failure(path, &error))?;
    let done = fill(file, new).and_then(|()| at.rename(&temporary, at, name));
    done.map_err(|error| {
        // Nothing took the file's place yet. What stays of the attempt is hidden from actions.
        if let Err(error) = at.remove_file(&temporary) {
            tracing::warn!(%error, temporary, "a temporary file stays");
        }
        failure(path, &error)
    })
}

fn fill(mut file: File, new: &FileNode) -> io::Result<()> {
    file.write_all(&new.content)?;
    let meta = file.metadata()?;
    if let Some((uid, gid)) = new.owner
        && (uid, gid) != (meta.uid(), meta.gid())
    {
        std::os::unix::fs::fchown(file.as_fd(), Some(uid), Some(gid))?;
    }
    // After the owner, whose change clears the set-user-id bit.
    let file = file.into_std();
    file.set_permissions(Permissions::from_mode(new.mode))?;
    file.sync_all()
}

/// The system's words, as a failure after which nothing was changed.
fn failure(path: &str, error: &io::Error) -> Failure {
    let shown = if path.is_empty() { "the directory itself" } else { path };
    let why = format!("{shown}: {error}");
    match error.kind() {
        ErrorKind::NotFound => Failure::NotFound(why),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            Failure::Conflict(why)
        }
        _ => Failure::Denied(why),
    }
}

/// The change was made, but the disk did not promise to keep it.
fn unsure(error: io::Error) -> Failure {
    Failure::Unavailable(format!("the directory could not be synced: {error}"))
}
