//! Changing files. Each change is from one whole state of one path to another, and its undo is the way back.

use std::borrow::Cow;

use remit_backend::Files;
use remit_backend::files::{FileNode, Is, MAX_FILE, Node};
use remit_gate::{Effect, Failure, Observation, Operation, Permit, Prepared, Resource, State};
use remit_trust::{Digest, SecretBytes};
use serde::{Deserialize, Serialize};

/// The mode of files and directories that a run makes.
const NEW_FILE: u32 = 0o644;
const NEW_DIRECTORY: u32 = 0o755;

/// `remit:files/write.look`: whether there is something to overwrite. Nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    /// Where.
    pub resource: Resource,
}

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing.
    Absent,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, a device…: see [`remit_backend::files::Odd`].
    Other,
}

impl Observation for Find {
    const NAME: &'static str = "remit:files/write.look";
    type Backend = Files;
    type Outcome = Kind;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }

    async fn observe(&self, on: &Files) -> Result<Kind, Failure> {
        Ok(match on.snapshot(&self.resource).await? {
            Node::Absent => Kind::Absent,
            Node::File(_) => Kind::File,
            Node::Directory { .. } => Kind::Directory,
            Node::Other(_) => Kind::Other,
        })
    }
}

/// `remit:files/write.put`: makes this the whole content of a file, at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The file.
    pub resource: Resource,
    /// Of the new content.
    pub sha256: Digest,
    /// Of the new content, in bytes.
    pub size: u64,
    /// What the new content was made from: if the file is anything else by now, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// There must be no such file yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
    /// The mode, if there is no such file yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Never in the journal.
    #[serde(skip)]
    pub content: Vec<u8>,
}

/// `remit:files/write.remove`: removes a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// The file.
    pub resource: Resource,
}

/// `remit:files/write.make-directory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeDirectory {
    /// The directory.
    pub resource: Resource,
}

/// `remit:files/write.remove-directory`: removes an empty directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveDirectory {
    /// The directory.
    pub resource: Resource,
}

/// The public part of what takes a change back. A file's content before it is sealed beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeChange {
    /// What was there.
    pub was: Is,
    /// What will be.
    pub becomes: Is,
    /// Whose the file was, user and group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
}

/// What a change makes of what it finds.
trait Change: Operation<Backend = Files, Outcome = (), Undo = BeforeChange> {
    fn next(&self, was: &Is, owner: Option<(u32, u32)>) -> Result<Node, Failure>;

    fn refuse(&self, found: &Is) -> Failure {
        Failure::Conflict(format!("{} {found}", self.resource()))
    }

    async fn look(&self, on: &Files) -> Result<Prepared<BeforeChange>, Failure> {
        let resource = self.resource();
        let Some((parent, _)) = resource.path().rsplit_once('/') else {
            return Err(Failure::Denied(format!("{resource} is a granted directory itself, and stays")));
        };
        let parent = Resource::new(resource.kind(), parent).map_err(|e| Failure::Invalid(e.to_string()))?;
        match on.snapshot(&parent).await? {
            Node::Directory { .. } => {}
            Node::Absent => return Err(Failure::NotFound(format!("{parent} does not exist"))),
            other => return Err(Failure::Invalid(format!("{parent} is no directory: it {}", other.is()))),
        }
        let node = on.snapshot(&resource).await?;
        let was = node.is();
        let (secret, owner) = match node {
            Node::File(file) => (Some(SecretBytes::new(file.content)), file.owner),
            _ => (None, None),
        };
        let next = self.next(&was, owner)?;
        if matches!(next, Node::Absent)
            && matches!(was, Is::Directory { .. })
            && !on.list(&resource).await?.is_empty()
        {
            return Err(Failure::Conflict(format!("{resource} is not empty")));
        }
        on.charge(secret.as_ref().map_or(0, |secret| secret.expose().len()))?;
        let undo = BeforeChange { was, becomes: next.is(), owner };
        Ok(Prepared { undo, secret, irrevocable: None })
    }

    fn play(&self, before: &BeforeChange, on: &Files) {
        if let Ok(next) = self.next(&before.was, before.owner) {
            on.play(&self.resource(), next);
        }
    }

    async fn make(on: &Files, by: Permit<'_, Self>) -> Result<(), Failure> {
        let BeforeChange { was, owner, .. } = &by.before().undo;
        let next = by.operation().next(was, *owner)?;
        on.replace(&by.operation().resource(), was, next, by.authority())
    }

    async fn compare(&self, before: &BeforeChange, on: &Files) -> Result<State, Failure> {
        let live = on.snapshot(&self.resource()).await?.is();
        Ok(if live == before.becomes {
            State::After
        } else if live == before.was {
            State::Before
        } else {
            State::Other(format!("it {live}"))
        })
    }

    async fn take_back(on: &Files, by: Permit<'_, Self>) -> Result<(), Failure> {
        let Prepared { undo: BeforeChange { was, becomes, owner }, secret, .. } = by.before();
        let old = match was {
            Is::Absent => Node::Absent,
            Is::Directory { mode } => Node::Directory { mode: *mode },
            Is::File { sha256, mode, .. } => {
                let content = secret.as_ref().map(SecretBytes::expose).unwrap_or_default().to_vec();
                if Digest::of(&content) != *sha256 {
                    return Err(Failure::Invalid("the journal does not hold the file as it was".to_owned()));
                }
                Node::File(FileNode { content, mode: *mode, owner: *owner })
            }
            Is::Other { what } => return Err(Failure::Invalid(format!("what was there {what}"))),
        };
        on.replace(&by.operation().resource(), becomes, old, by.authority())
    }
}

impl Change for Put {
    fn next(&self, was: &Is, owner: Option<(u32, u32)>) -> Result<Node, Failure> {
        let mode = match was {
            Is::Absent if self.from.is_none() => self.mode.unwrap_or(NEW_FILE),
            Is::File { sha256, mode, .. } if !self.new && self.from.is_none_or(|from| from == *sha256) => {
                *mode
            }
            Is::Directory { .. } => return Err(Failure::Invalid(format!("{} {was}", self.resource))),
            _ => return Err(self.refuse(was)),
        };
        if self.size > MAX_FILE {
            return Err(Failure::Invalid(format!("{} would be over {MAX_FILE} bytes", self.resource)));
        }
        if Digest::of(&self.content) != self.sha256 {
            return Err(Failure::Invalid("the content is not what was journaled".to_owned()));
        }
        Ok(Node::File(FileNode { content: self.content.clone(), mode, owner }))
    }
}

impl Change for Remove {
    fn next(&self, was: &Is, _: Option<(u32, u32)>) -> Result<Node, Failure> {
        match was {
            Is::File { .. } => Ok(Node::Absent),
            Is::Absent => Err(Failure::NotFound(format!("{} does not exist", self.resource))),
            _ => Err(self.refuse(was)),
        }
    }
}

impl Change for MakeDirectory {
    fn next(&self, was: &Is, _: Option<(u32, u32)>) -> Result<Node, Failure> {
        match was {
            Is::Absent => Ok(Node::Directory { mode: NEW_DIRECTORY }),
            _ => Err(self.refuse(was)),
        }
    }
}

impl Change for RemoveDirectory {
    fn next(&self, was: &Is, _: Option<(u32, u32)>) -> Result<Node, Failure> {
        match was {
            Is::Directory { .. } => Ok(Node::Absent),
            Is::Absent => Err(Failure::NotFound(format!("{} does not exist", self.resource))),
            _ => Err(Failure::Invalid(format!("{} {was}", self.resource))),
        }
    }
}

macro_rules! changes {
    ($($change:ident $name:literal;)*) => {$(
        impl Operation for $change {
            const NAME: &'static str = $name;
            const EFFECT: Effect = Effect::Change;
            type Backend = Files;
            type Outcome = ();
            type Undo = BeforeChange;

            fn resource(&self) -> Cow<'_, Resource> {
                Cow::Borrowed(&self.resource)
            }

            async fn prepare(&self, on: &Files) -> Result<Prepared<BeforeChange>, Failure> {
                self.look(on).await
            }

            fn simulate(&self, _: &BeforeChange) {}

            fn rehearse(&self, before: &Prepared<BeforeChange>, on: &Files) {
                self.play(&before.undo, on);
            }

            async fn perform(on: &Files, by: Permit<'_, Self>) -> Result<(), Failure> {
                Self::make(on, by).await
            }

            async fn state(&self, before: &Prepared<BeforeChange>, on: &Files) -> Result<State, Failure> {
                self.compare(&before.undo, on).await
            }

            async fn undo(on: &Files, by: Permit<'_, Self>) -> Result<(), Failure> {
                Self::take_back(on, by).await
            }

            fn describe_undo(&self, before: &BeforeChange) -> String {
                match (&before.was, &before.becomes) {
                    (Is::File { sha256, size, mode }, _) => {
                        format!("put the {size} bytes of {sha256} back, mode {mode:04o}")
                    }
                    (Is::Directory { .. }, _) => "make the directory again".to_owned(),
                    (_, Is::Directory { .. }) => "remove the directory again, if it is empty".to_owned(),
                    _ => "remove the file again".to_owned(),
                }
            }
        }
    )*};
}

changes! {
    Put "remit:files/write.put";
    Remove "remit:files/write.remove";
    MakeDirectory "remit:files/write.make-directory";
    RemoveDirectory "remit:files/write.remove-directory";
}
