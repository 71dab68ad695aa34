//! Changing one granted directory on the disk.
//!
//! A change is made ready as a draft beside its place, which nobody looks at, and takes its place in one system call:
//! whoever looks sees the old thing or the whole new one. Whatever fails, [`Attempt::failed`] alone makes the answer, and
//! it says that nothing was changed only after it has seen so.

use std::os::fd::AsFd as _;

use cap_std::fs::Dir;
use remit_gate::Failure;
use remit_trust::Digest;
use rustix::io::Errno;

use super::attributes;
use super::limits::{Odd, TEMPORARY};
use super::look::{Walk, failure, mark, shown, snapshot, walk};
use super::node::{Found, Likeness, Node, Thing};
use super::sys::{self, Broke, Call};

/// What must be there, or nothing is touched.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// What it is like.
    pub like: &'a Likeness,
    /// Which one it is, if that matters: what comes back in an undo is another one than it was.
    pub thing: Option<&'a Thing>,
    /// And the directory that it lies in.
    pub within: Option<&'a Thing>,
}

/// Puts `new` where `expected` is, or touches nothing. Returns what was there. It asks for no permit: [`Files`](super::Files) does.
pub(super) fn replace_unasked(
    root: &Dir,
    path: &str,
    expected: Expected<'_>,
    new: &Node,
) -> Result<Found, Failure> {
    let live = snapshot(root, path)?;
    let is = live.node.likeness();
    let differ = expected.like.differences(&is);
    if !differ.is_empty() {
        let differ: Vec<String> = differ.into_iter().collect();
        return Err(Failure::Conflict(format!(
            "{path} {is}; expected was that it {}: other is {}",
            expected.like,
            differ.join(", ")
        )));
    }
    if expected.thing.is_some() && expected.thing != live.thing.as_ref() {
        return Err(Failure::Conflict(format!("{path} is another file or directory of the same name")));
    }
    let (at, name) = match walk(root, path)? {
        Walk::In(at, name) => (at, name),
        Walk::Root => return Err(Failure::Denied("a granted directory itself stays".to_owned())),
        Walk::Nowhere => return Err(Failure::NotFound(format!("the directory of {path} does not exist"))),
        Walk::Blocked => return Err(Failure::Conflict(format!("{path} {}", Odd::Blocked))),
    };
    if let Some(within) = expected.within {
        let (found, _) = mark(&at, "").map_err(|errno| failure(path, &errno.into()))?;
        if found != *within {
            return Err(Failure::Conflict(format!(
                "the directory of {path} is another one of the same name"
            )));
        }
    }
    // Not cap-std's own handle: it may be one that can only lead on (`O_PATH`), and be of no use after the change.
    let own = at.open(".").map_err(|error| failure(path, &error))?.into_std();
    let mut attempt = Attempt { root, path, at: &at, name, live: &live, draft: None };
    let done = match (&live.node, new) {
        (Node::Absent, Node::Absent) => Ok(()),
        (Node::File(_) | Node::Absent, Node::File(_)) | (Node::Absent, Node::Directory(_)) => {
            let random = remit_trust::random().map_err(|error| Failure::Denied(error.to_string()))?;
            attempt.draft = Some(Draft {
                name: format!("{TEMPORARY}{}", &Digest::from(random).short()),
                directory: matches!(new, Node::Directory(_)),
                published: false,
            });
            attempt.put(new)
        }
        (Node::File(_), Node::Absent) => attempt.remove(false),
        (Node::Directory(_), Node::Absent) => attempt.remove(true),
        _ => return Err(Failure::Conflict(format!("{path} {is}"))),
    };
    // The name is durable once its directory is.
    match done {
        Ok(()) => sys::sync_directory(own.as_fd()).map_err(|broke| in_doubt(path, &broke))?,
        Err(broke) => return Err(attempt.failed(&broke)),
    }
    Ok(live)
}

/// A change under way.
struct Attempt<'a> {
    root: &'a Dir,
    path: &'a str,
    at: &'a Dir,
    name: &'a str,
    /// What was there before anything was done.
    live: &'a Found,
    draft: Option<Draft>,
}

/// What will take the place, under a name of its own.
struct Draft {
    name: String,
    directory: bool,
    /// Whether the draft's rename to its final name was tried. From then on only a look can tell what is there.
    published: bool,
}

impl Attempt<'_> {
    fn put(&mut self, new: &Node) -> Result<(), Broke> {
        let (at, name) = (self.at, self.name);
        let over = !matches!(self.live.node, Node::Absent);
        let unchanged = self.live;
        let Some(draft) = &mut self.draft else { return Ok(()) };
        let made = match new {
            Node::File(file) => {
                let made = sys::create_file(at, &draft.name)?;
                sys::write(made.as_fd(), &file.content)?;
                attributes::give(made.as_fd(), &file.attributes)?;
                made
            }
            Node::Directory(wanted) => {
                let made = sys::create_directory(at, &draft.name)?;
                attributes::give(made.as_fd(), wanted)?;
                made
            }
            Node::Absent | Node::Other(_) => return Ok(()),
        };
        sys::sync_draft(made.as_fd())?;
        still(at, name, unchanged)?;
        draft.published = true;
        sys::publish(at, &draft.name, name, over)
    }

    fn remove(&mut self, directory: bool) -> Result<(), Broke> {
        still(self.at, self.name, self.live)?;
        sys::remove(self.at, self.name, directory)
    }

    /// The failure to return: definite if it was seen that nothing changed, otherwise in doubt.
    fn failed(self, broke: &Broke) -> Failure {
        let untouched = match &self.draft {
            // As long as the draft has its own name it has no other.
            Some(draft) => match sys::discard(self.at, &draft.name, draft.directory) {
                Ok(there) => there || !draft.published,
                Err(left) => {
                    return Failure::Unavailable(format!("{}: {broke}; then {left}", shown(self.path)));
                }
            },
            None => {
                snapshot(self.root, self.path)
                    .is_ok_and(|found| found.thing == self.live.thing && found.node == self.live.node)
                    || matches!(broke, Broke::Theirs)
            }
        };
        if !untouched {
            return in_doubt(self.path, broke);
        }
        let why = format!("{}: {broke}", shown(self.path));
        match broke {
            Broke::Theirs
            | Broke::Call { errno: Errno::EXIST | Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY, .. } => {
                Failure::Conflict(why)
            }
            Broke::Call { call: Call::CreateFile | Call::CreateDirectory, errno: Errno::NOENT, .. } => {
                Failure::NotFound(why)
            }
            _ => Failure::Denied(why),
        }
    }
}

fn in_doubt(path: &str, broke: &Broke) -> Failure {
    Failure::Unavailable(format!("{}: {broke}", shown(path)))
}

/// Checks that the file is still as it was when it was read. A short time remains between this check and the change,
/// because a file has no compare-and-swap.
fn still(at: &Dir, name: &str, live: &Found) -> Result<(), Broke> {
    let now = match mark(at, name) {
        Ok((thing, changed)) => Some((thing, changed)),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(Broke::read(errno)),
    };
    if now == live.thing.zip(live.changed) { Ok(()) } else { Err(Broke::Theirs) }
}
