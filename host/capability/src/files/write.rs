//! Changing files by what a guest writes to them.

use std::borrow::Cow;

use remit_backend::Files;
use remit_backend::files::{Attributes, FileNode, MAX_FILE, Node};
use remit_gate::{Countermeasure, Failure, Observe, Operation, Reads, Resource};
use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use super::edit::{Edits, refuse};

/// The mode of files and directories that a run makes.
const NEW_FILE: u32 = 0o644;
const NEW_DIRECTORY: u32 = 0o755;

/// `remit:files/write.look`: whether there is something to overwrite. Nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    /// The path to look at.
    pub resource: Resource,
}

/// The kind of thing at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// There is nothing at the path.
    Absent,
    /// A plain file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, a device…: see [`remit_backend::files::Odd`].
    Other,
}

impl Operation for Find {
    const NAME: &'static str = "remit:files/write.look";
    type Kind = Reads;
    type Backend = Files;
    type Outcome = Kind;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Find {
    async fn observe(&self, on: &Files) -> Result<Kind, Failure> {
        Ok(match on.snapshot(&self.resource).await? {
            Node::Absent => {
                // A file that cannot be made there fails when the guest opens it, not when it closes it.
                if let Some((parent, _)) = self.resource.path().rsplit_once('/') {
                    let parent = Resource::new(self.resource.kind(), parent)
                        .map_err(|error| Failure::Invalid(error.to_string()))?;
                    if matches!(on.snapshot(&parent).await?, Node::Absent) {
                        return Err(Failure::NotFound(format!("{parent} does not exist")));
                    }
                }
                Kind::Absent
            }
            Node::File(_) => Kind::File,
            Node::Directory(_) => Kind::Directory,
            Node::Other(_) => Kind::Other,
        })
    }
}

/// `remit:files/write.put`: makes this the whole content of a file, at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The file to write.
    pub resource: Resource,
    /// The digest of the new content.
    pub sha256: Digest,
    /// The size of the new content in bytes.
    pub size: u64,
    /// The digest of the content that the new one was made from. If the file has another content by now, nothing is
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// Whether the file must not exist yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
    /// If there is no such file yet: the file with the same content whose owner, group, mode, attributes and ACL it
    /// gets. A file that is renamed keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<Resource>,
    /// The new content. It is not written to the journal, which has its digest.
    #[serde(skip)]
    pub content: Vec<u8>,
}

/// `remit:files/write.remove`: removes a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// The file to remove.
    pub resource: Resource,
}

/// `remit:files/write.make-directory`: makes a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeDirectory {
    /// The directory to make.
    pub resource: Resource,
}

/// `remit:files/write.remove-directory`: removes an empty directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveDirectory {
    /// The directory to remove.
    pub resource: Resource,
}

impl Edits for Put {
    const NAME: &'static str = "remit:files/write.put";
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;

    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn next(&self, was: &Node, new: &dyn Fn(u32, bool) -> Attributes) -> Result<Node, Failure> {
        let attributes = match was {
            Node::Absent if self.from.is_none() => new(NEW_FILE, false),
            Node::File(file)
                if !self.new && self.from.is_none_or(|from| from == Digest::of(&file.content)) =>
            {
                file.attributes.clone().with_other_content()
            }
            Node::Directory(_) => return Err(Failure::Invalid(format!("{} {}", self.resource, was.is()))),
            _ => return Err(refuse(&self.resource, was)),
        };
        if self.size > MAX_FILE {
            return Err(Failure::Invalid(format!("{} would be over {MAX_FILE} bytes", self.resource)));
        }
        if Digest::of(&self.content) != self.sha256 {
            return Err(Failure::Invalid("the content is not what was journaled".to_owned()));
        }
        Ok(Node::File(FileNode { content: self.content.clone(), attributes }))
    }

    fn content(&self) -> Result<Cow<'_, [u8]>, Failure> {
        Ok(Cow::Borrowed(&self.content))
    }

    fn like(&self) -> Option<&Resource> {
        self.like.as_ref()
    }
}

impl Edits for Remove {
    const NAME: &'static str = "remit:files/write.remove";
    const COUNTERMEASURE: Countermeasure = Countermeasure::Evict;

    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn next(&self, was: &Node, _: &dyn Fn(u32, bool) -> Attributes) -> Result<Node, Failure> {
        match was {
            Node::File(_) => Ok(Node::Absent),
            Node::Absent => Err(Failure::NotFound(format!("{} does not exist", self.resource))),
            _ => Err(refuse(&self.resource, was)),
        }
    }
}

impl Edits for MakeDirectory {
    const NAME: &'static str = "remit:files/write.make-directory";
    const COUNTERMEASURE: Countermeasure = Countermeasure::Harden;

    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn next(&self, was: &Node, new: &dyn Fn(u32, bool) -> Attributes) -> Result<Node, Failure> {
        match was {
            Node::Absent => Ok(Node::Directory(new(NEW_DIRECTORY, true))),
            _ => Err(refuse(&self.resource, was)),
        }
    }
}

impl Edits for RemoveDirectory {
    const NAME: &'static str = "remit:files/write.remove-directory";
    const COUNTERMEASURE: Countermeasure = Countermeasure::Evict;

    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn next(&self, was: &Node, _: &dyn Fn(u32, bool) -> Attributes) -> Result<Node, Failure> {
        match was {
            Node::Directory(_) => Ok(Node::Absent),
            Node::Absent => Err(Failure::NotFound(format!("{} does not exist", self.resource))),
            _ => Err(Failure::Invalid(format!("{} {}", self.resource, was.is()))),
        }
    }
}
