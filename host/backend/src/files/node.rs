//! What can be at a path: with its content, and without.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use super::attributes::{Attributes, is_given};
use super::limits::Odd;

/// What is at a path, with its content.
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// There is nothing at the path.
    Absent,
    /// A plain file with one name.
    File(FileNode),
    /// A directory, with these attributes.
    Directory(Attributes),
    /// Something that a run may not touch, for this reason.
    Other(Odd),
}

/// A file with its content.
#[derive(Clone, PartialEq, Eq)]
pub struct FileNode {
    /// The whole content.
    pub content: Vec<u8>,
    /// Everything else that can be seen of it and set, but its times.
    pub attributes: Attributes,
}

/// What is at a path, as a look tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Is {
    /// There is nothing at the path.
    Absent,
    /// A plain file with one name.
    File {
        /// The digest of the content.
        sha256: Digest,
        /// The size of the content in bytes.
        size: u64,
        /// The permission bits of the file.
        mode: u32,
    },
    /// A directory.
    Directory {
        /// The permission bits of the directory.
        mode: u32,
    },
    /// Something that a run may not touch.
    Other {
        /// Why a run may not touch it.
        what: Odd,
    },
}

/// What is at a path in every way that can be seen and set (but its times), without any content or value: what is
/// recorded of a change, and compared before it is taken back.
///
/// A field that is none is not known, and matches any: journals before this version recorded no more than [`Is`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likeness {
    /// Its kind, content and mode.
    #[serde(flatten)]
    pub is: Is,
    /// The ids of the user and the group that own it; none if they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
    /// Extended attributes, ACLs among them: the digest of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xattrs: Option<BTreeMap<String, Digest>>,
    /// As `chattr` sets them. None also where the filesystem has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<u32>,
}

impl Likeness {
    /// In what `live` is not this; empty if it is in nothing.
    #[must_use]
    pub fn differences(&self, live: &Self) -> BTreeSet<String> {
        let mut differ = BTreeSet::new();
        let mut note = |what: &str| {
            differ.insert(what.to_owned());
        };
        match (&self.is, &live.is) {
            (
                Is::File { sha256, size, mode },
                Is::File { sha256: live_sha256, size: live_size, mode: live_mode },
            ) => {
                if (sha256, size) != (live_sha256, live_size) {
                    note("content");
                }
                if mode != live_mode {
                    note("mode");
                }
            }
            (Is::Directory { mode }, Is::Directory { mode: live }) if mode != live => note("mode"),
            (expected, live) if std::mem::discriminant(expected) != std::mem::discriminant(live) => {
                note("kind");
            }
            (Is::Other { what }, Is::Other { what: live }) if what != live => note("kind"),
            _ => {}
        }
        if self.owner.is_some() && self.owner != live.owner {
            note("owner");
        }
        if self.flags.is_some() && self.flags != live.flags {
            note("flags");
        }
        if let Some(expected) = &self.xattrs {
            let none = BTreeMap::new();
            let live = live.xattrs.as_ref().unwrap_or(&none);
            for (name, digest) in expected {
                if live.get(name) != Some(digest) {
                    note(name);
                }
            }
            for name in live.keys().filter(|name| !expected.contains_key(*name) && !is_given(name)) {
                note(name);
            }
        }
        differ
    }

    /// Whether `live` is this, in all that is known of it.
    #[must_use]
    pub fn matches(&self, live: &Self) -> bool {
        self.differences(live).is_empty()
    }
}

/// Which one of all files and directories: a name can be given to another one, and a number given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// The id of the device that it is on.
    pub device: u64,
    /// Its inode number on that device.
    pub inode: u64,
    /// When it was made, in seconds and nanoseconds, where the filesystem knows: numbers are used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<(i64, u32)>,
}

/// What was found at a path.
#[derive(Clone, PartialEq, Eq)]
pub struct Found {
    /// The content and the attributes.
    pub node: Node,
    /// Which one it is. None for nothing, and for what a rehearsal plays.
    pub thing: Option<Thing>,
    /// When the content or an attribute changed last (ctime), in seconds and nanoseconds.
    pub(super) changed: Option<(i64, u32)>,
}

impl Found {
    /// Without a place on a disk.
    #[must_use]
    pub const fn only(node: Node) -> Self {
        Self { node, thing: None, changed: None }
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name in the directory, without a path.
    pub name: String,
    /// Whether it is a file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub file: bool,
    /// Whether it is a directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
}

impl Entry {
    pub(super) fn of(name: &str, node: &Node) -> Option<Self> {
        let (file, directory) = match node {
            Node::Absent => return None,
            Node::File(_) => (true, false),
            Node::Directory(_) => (false, true),
            Node::Other(_) => (false, false),
        };
        Some(Self { name: name.to_owned(), file, directory })
    }
}

impl Node {
    /// This node without its content, as a look returns it.
    #[must_use]
    pub fn is(&self) -> Is {
        match self {
            Self::Absent => Is::Absent,
            Self::File(file) => Is::File {
                sha256: Digest::of(&file.content),
                size: file.content.len() as u64,
                mode: file.attributes.mode,
            },
            Self::Directory(attributes) => Is::Directory { mode: attributes.mode },
            Self::Other(what) => Is::Other { what: *what },
        }
    }

    /// All but content and values.
    #[must_use]
    pub fn likeness(&self) -> Likeness {
        let attributes = self.attributes();
        Likeness {
            is: self.is(),
            owner: attributes.map(|known| (known.owner, known.group)),
            xattrs: attributes.map(Attributes::digests),
            flags: attributes.and_then(|known| known.flags),
        }
    }

    /// The attributes; none unless it is a file or a directory.
    #[must_use]
    pub fn attributes(&self) -> Option<&Attributes> {
        match self {
            Self::File(file) => Some(&file.attributes),
            Self::Directory(attributes) => Some(attributes),
            Self::Absent | Self::Other(_) => None,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.likeness().fmt(f)
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.thing, self.node)
    }
}

impl fmt::Debug for FileNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileNode({} bytes, {:?})", self.content.len(), self.attributes)
    }
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("does not exist"),
            Self::File { sha256, size, mode } => {
                write!(f, "is a file of {size} bytes, mode {mode:04o}, {sha256}")
            }
            Self::Directory { mode } => write!(f, "is a directory, mode {mode:04o}"),
            Self::Other { what } => what.fmt(f),
        }
    }
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.is.fmt(f)?;
        if let Some((user, group)) = self.owner {
            write!(f, ", owner {user}:{group}")?;
        }
        if let Some(xattrs) = self.xattrs.as_ref().filter(|xattrs| !xattrs.is_empty()) {
            let names: Vec<&str> = xattrs.keys().map(String::as_str).collect();
            write!(f, ", with {}", names.join(", "))?;
        }
        match self.flags {
            None | Some(0) => Ok(()),
            Some(flags) => write!(f, ", flags {flags:#x}"),
        }
    }
}
