//! Each system call of each change fails, before it had its effect or after: what is said of it must be true.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use remit_gate::Failure;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::change::{Expected, replace_unasked};
use super::look::snapshot;
use super::sys::Call;
use super::{Attributes, FileNode, Node};

/// A fault that a test injects into the system calls of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wrong {
    /// The number of the call that fails, counted from 0.
    at: usize,
    /// The call takes effect, and only its answer is an error.
    happens: bool,
    /// The cleanup of the draft fails too.
    stuck: bool,
}

#[derive(Default)]
struct Seam {
    wrong: Option<Wrong>,
    calls: Vec<Call>,
}

thread_local! {
    static SEAM: RefCell<Seam> = RefCell::default();
}

/// A system call on its way.
pub(super) fn meet<T>(call: Call, real: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let (at, wrong) = SEAM.with_borrow_mut(|seam| {
        seam.calls.push(call);
        (seam.calls.len() - 1, seam.wrong)
    });
    match wrong {
        Some(wrong) if wrong.at == at && wrong.happens => {
            let _done = real()?;
            Err(Errno::IO)
        }
        Some(wrong) if wrong.at == at || wrong.stuck && call == Call::Discard => Err(Errno::IO),
        _ => real(),
    }
}

fn under<T>(wrong: Option<Wrong>, change: impl FnOnce() -> T) -> (T, Vec<Call>) {
    SEAM.set(Seam { wrong, calls: Vec::new() });
    let done = change();
    (done, SEAM.take().calls)
}

/// Everything of what lies in a directory, seen without the code under test.
type Seen = BTreeMap<String, (u64, u32, u32, u32, u64, Vec<u8>, BTreeMap<String, Vec<u8>>)>;

fn observe(dir: &Path) -> Seen {
    let entries = fs::read_dir(dir).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut list = [0; 4096];
        let size = rustix::fs::llistxattr(&path, &mut list[..]).unwrap();
        let names = list[..size].split(|b| *b == 0).filter(|name| !name.is_empty());
        let xattrs = names.map(|name| {
            let mut value = [0; 4096];
            let size = rustix::fs::lgetxattr(&path, name, &mut value[..]).unwrap();
            (String::from_utf8(name.to_vec()).unwrap(), value[..size].to_vec())
        });
        let seen = (
            meta.ino(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.nlink(),
            if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() },
            xattrs.collect(),
        );
        (path.file_name().unwrap().to_str().unwrap().to_owned(), seen)
    });
    entries.collect()
}

/// The ACL of a mode, with something for user 7.
fn acl(mode: u32) -> Vec<u8> {
    let mut acl = 2_u32.to_le_bytes().to_vec();
    let class = |shift: u32| u16::try_from(mode >> shift & 7).unwrap();
    let (owner, mask, other) = (class(6), class(3), class(0));
    let no = u32::MAX;
    for (tag, allowed, id) in [(1_u16, owner, no), (2, 6, 7), (4, 4, no), (0x10, mask, no), (0x20, other, no)]
    {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&allowed.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    acl
}

fn rich(mode: u32) -> Attributes {
    let root = rustix::process::geteuid().is_root();
    let mut attributes = Attributes {
        owner: if root { 1234 } else { rustix::process::geteuid().as_raw() },
        group: if root { 4321 } else { rustix::process::getegid().as_raw() },
        mode,
        xattrs: BTreeMap::from([("user.note".to_owned(), b"kept".to_vec())]),
        flags: None,
    };
    attributes.xattrs.insert("system.posix_acl_access".to_owned(), acl(mode));
    attributes
}

fn file(content: &str, mode: u32) -> Node {
    Node::File(FileNode { content: content.into(), attributes: rich(mode) })
}

/// What is there at first, and what is to be there.
fn changes() -> Vec<(&'static str, Node, Node)> {
    vec![
        ("replace", file("old", 0o4660), file("new", 0o4660)),
        ("make", Node::Absent, file("new", 0o4660)),
        ("remove", file("old", 0o660), Node::Absent),
        ("make a directory", Node::Absent, Node::Directory(rich(0o2770))),
        ("remove a directory", Node::Directory(rich(0o2770)), Node::Absent),
    ]
}

/// A directory whose default ACL and set-group-id bit give to what is made in it what it should not have.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o2755)).unwrap();
    rustix::fs::setxattr(place.path(), "system.posix_acl_default", &acl(0o770), XattrFlags::empty()).unwrap();
    place
}

fn put(root: &Dir, old: &Node, new: &Node) -> Result<(), Failure> {
    let like = old.likeness();
    replace_unasked(root, "it", Expected { like: &like, thing: None, within: None }, new).map(drop)
}

fn is(root: &Dir) -> Node {
    snapshot(root, "it").unwrap().node
}

#[test]
fn whichever_call_fails_what_is_said_is_true() {
    let mut met = Vec::new();
    for (what, old, new) in changes() {
        let begin = || {
            let place = place();
            let root = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
            put(&root, &Node::Absent, &old).unwrap();
            assert!(old.likeness().matches(&is(&root).likeness()), "{what}: {:?}", is(&root));
            (place, root)
        };
        let (place, root) = begin();
        let (done, calls) = under(None, || put(&root, &old, &new));
        done.unwrap();
        assert!(new.likeness().matches(&is(&root).likeness()), "{what}: {:?}", is(&root));
        assert!(!observe(place.path()).keys().any(|name| name.starts_with('.')), "{what}");
        for (at, call) in calls.into_iter().enumerate() {
            met.push(call);
            for (happens, stuck) in [(false, false), (true, false), (false, true), (true, true)] {
                let (place, root) = begin();
                let before = observe(place.path());
                let wrong = Wrong { at, happens, stuck };
                let (done, _) = under(Some(wrong), || put(&root, &old, &new));
                let failure = done.unwrap_err();
                let case = format!("{what}, {call:?}, {wrong:?}: {failure}");
                if failure.is_definite() {
                    assert_eq!(observe(place.path()), before, "{case}");
                } else {
                    let is = is(&root).likeness();
                    let (was, becomes) = (old.likeness().matches(&is), new.likeness().matches(&is));
                    assert!(was || becomes, "{case}: {is}");
                    let last = matches!(call, Call::Publish | Call::Remove | Call::SyncDirectory);
                    assert!(last || stuck, "in doubt without a reason: {case}");
                    assert!(becomes || stuck || !happens, "{case}");
                }
            }
        }
    }
    for call in [
        Call::CreateFile,
        Call::CreateDirectory,
        Call::OpenDirectory,
        Call::Write,
        Call::SetXattr,
        Call::Chmod,
        Call::SyncDraft,
        Call::Publish,
        Call::Remove,
        Call::SyncDirectory,
    ] {
        assert!(met.contains(&call), "{call:?} was not tried");
    }
    if rustix::process::geteuid().is_root() {
        assert!(met.contains(&Call::Chown));
    }
}

/// At every call, a draft that would run as a user already belongs to that user.
#[test]
fn no_draft_is_ever_somebody_elses_program() {
    let place = place();
    let root = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
    put(&root, &Node::Absent, &file("old", 0o6755)).unwrap();
    let owner = rich(0).owner;
    let (_, calls) = under(None, || put(&root, &file("old", 0o6755), &file("new", 0o6755)));
    put(&root, &file("new", 0o6755), &file("old", 0o6755)).unwrap();
    for (at, call) in calls.into_iter().enumerate() {
        // Stuck: the draft stays as it was at that moment.
        let wrong = Wrong { at, happens: true, stuck: true };
        under(Some(wrong), || put(&root, &is(&root), &file("old", 0o6755))).0.unwrap_err();
        for (name, (_, mode, uid, ..)) in observe(place.path()) {
            assert!(mode & 0o6000 == 0 || uid == owner, "{name} after {call:?}: {uid} {mode:o}");
        }
    }
}

#[test]
fn what_someone_makes_in_the_meantime_is_left_alone() {
    let place = place();
    let root = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
    fs::write(place.path().join("it"), "theirs").unwrap();
    let before = observe(place.path());
    for new in [file("mine", 0o600), Node::Directory(rich(0o700))] {
        let failure = put(&root, &Node::Absent, &new).unwrap_err();
        assert!(matches!(failure, Failure::Conflict(_)), "{failure}");
        assert_eq!(observe(place.path()), before);
    }
    // Between the look and the last call: nothing is renamed over.
    let done = super::sys::publish(&root, "it", "it2", false);
    done.unwrap();
    fs::write(place.path().join("it"), "mine").unwrap();
    assert!(super::sys::publish(&root, "it", "it2", false).is_err());
    assert_eq!(fs::read_to_string(place.path().join("it2")).unwrap(), "theirs");
}
