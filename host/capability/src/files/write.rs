//! Changing files. Each change is from one whole state of one path to another, and its undo is the way back.

use std::borrow::Cow;

use remit_backend::Files;
use remit_backend::files::{Attributes, Expected, FileNode, Is, Likeness, MAX_FILE, Node, Thing};
use remit_gate::{
    Change, Changes, Countermeasure, Failure, Observe, Operation, Permit, Prepared, Reads, Resource, State,
};
use remit_trust::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::kept::Kept;

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

/// The public part of what takes a change back. Contents and the values of attributes are sealed beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeChange {
    /// What was at the path before the change.
    pub was: Likeness,
    /// Which file or directory that was. None for nothing, and in a rehearsal for what an earlier step of it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thing: Option<Thing>,
    /// Which directory it lies in. None in a rehearsal that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Thing>,
    /// What is at the path after the change.
    pub becomes: Likeness,
    /// Whose the file was, in journals that recorded no more of it; see [`Likeness`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
}

impl BeforeChange {
    /// Whether what was found at the moment of the change is what was found when it was planned: the same file or
    /// directory, in the same directory, alike in everything. What the rehearsal made itself has no identity there, and
    /// is recognised by everything else.
    #[must_use]
    pub fn is_as_planned(&self, found: &Self) -> bool {
        // All that is known of it: of what the rehearsal made itself, the kernel may have given a label and flags of its
        // own in the run. What will be is of the plan too: a directory that gives other rights to what is made in it,
        // or a renamed file that has others by now, is another plan.
        let was = match self.thing {
            Some(_) => self.was == found.was,
            None => self.was.matches(&found.was),
        };
        let same = |planned: Option<Thing>, found: Option<Thing>| planned.is_none() || planned == found;
        was && self.becomes.matches(&found.becomes)
            && same(self.thing, found.thing)
            && same(self.within, found.within)
    }

    fn was(&self) -> Likeness {
        self.with_owner(&self.was)
    }

    fn becomes(&self) -> Likeness {
        // A file that takes a file's place keeps its owner.
        if matches!(self.was.is, Is::File { .. }) {
            self.with_owner(&self.becomes)
        } else {
            self.becomes.clone()
        }
    }

    fn with_owner(&self, like: &Likeness) -> Likeness {
        let mut like = like.clone();
        if matches!(like.is, Is::File { .. }) {
            like.owner = like.owner.or(self.owner);
        }
        like
    }
}

/// A change of one path, by arguments of type `E`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Edit<E>(pub E);

/// The arguments of an [`Edit`]: what it makes of what it finds.
pub trait Edits: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the operation, see [`Operation::NAME`].
    const NAME: &'static str;
    /// How the change is classified, see [`Change::COUNTERMEASURE`].
    const COUNTERMEASURE: Countermeasure;

    /// The file or directory that is changed.
    fn resource(&self) -> &Resource;

    /// What will be where `was` is. `new` is what the directory gives to what is made in it.
    fn next(&self, was: &Node, new: &dyn Fn(u32, bool) -> Attributes) -> Result<Node, Failure>;

    /// What will be in the file.
    fn content(&self) -> &[u8] {
        &[]
    }

    /// A file whose attributes the new one gets.
    fn like(&self) -> Option<&Resource> {
        None
    }
}

fn refuse(resource: &Resource, found: &Node) -> Failure {
    Failure::Conflict(format!("{resource} {}", found.is()))
}

impl<E: Edits> Operation for Edit<E> {
    const NAME: &'static str = E::NAME;
    type Kind = Changes;
    type Backend = Files;
    type Outcome = ();

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(self.0.resource())
    }
}

impl<E: Edits> Change for Edit<E> {
    const COUNTERMEASURE: Countermeasure = E::COUNTERMEASURE;
    type Undo = BeforeChange;

    async fn prepare(&self, on: &Files) -> Result<Prepared<BeforeChange>, Failure> {
        let resource = self.0.resource();
        let Some((parent, _)) = resource.path().rsplit_once('/') else {
            return Err(Failure::Denied(format!("{resource} is a granted directory itself, and stays")));
        };
        let parent = Resource::new(resource.kind(), parent).map_err(|e| Failure::Invalid(e.to_string()))?;
        let directory = on.find(&parent).await?;
        let gives = match &directory.node {
            Node::Directory(attributes) => attributes,
            Node::Absent => return Err(Failure::NotFound(format!("{parent} does not exist"))),
            other => return Err(Failure::Invalid(format!("{parent} is no directory: it {}", other.is()))),
        };
        // In a directory that can only be appended to, a new file can be made, and never be named, replaced or removed.
        if let Some(why) = gives.locked() {
            return Err(Failure::Denied(format!("{parent} {why}")));
        }
        let found = on.find(resource).await?;
        if let Some(why) = found.node.attributes().and_then(Attributes::locked) {
            return Err(Failure::Denied(format!("{resource} {why}")));
        }
        let like = match self.0.like() {
            Some(like) if matches!(found.node, Node::Absent) => Some(self.attributes_of(like, on).await?),
            _ => None,
        };
        let next = self.0.next(&found.node, &|mode, directory| match &like {
            Some(like) => like.clone(),
            None => Attributes::new_in(gives, mode, directory),
        })?;
        if matches!((&found.node, &next), (Node::Directory(_), Node::Absent))
            && !on.list(resource).await?.is_empty()
        {
            return Err(Failure::Conflict(format!("{resource} is not empty")));
        }
        // What cannot be done must be known before anything is: a change that would lose some of it is refused, and one
        // that could not be taken back whole is irrevocable.
        if let Some(wanted) = next.attributes()
            && let Some(why) = on.cannot_make(&parent, wanted).await?
        {
            return Err(Failure::Denied(format!("{resource} cannot be what it would have to be: {why}")));
        }
        let mut irrevocable = None;
        if let Some(wanted) = found.node.attributes().filter(|was| Some(*was) != next.attributes()) {
            irrevocable = on
                .cannot_make(&parent, wanted)
                .await?
                .map(|why| format!("{resource} could not be made again as it is: {why}"));
        }
        let kept = Kept::of(&found.node, &next);
        on.charge(kept.content.len() + self.0.content().len())?;
        let undo = BeforeChange {
            was: found.node.likeness(),
            thing: found.thing,
            within: directory.thing,
            becomes: next.likeness(),
            owner: None,
        };
        Ok(Prepared { undo, secret: kept.sealed(), irrevocable })
    }

    fn rehearse(&self, before: &Prepared<BeforeChange>, on: &Files) {
        if let Ok(next) = self.after(before) {
            on.play(self.0.resource(), next);
        }
    }

    async fn perform(on: &Files, by: Permit<'_, Self>) -> Result<(), Failure> {
        let (operation, before) = (by.operation(), by.before());
        let BeforeChange { was, thing, within, .. } = &before.undo;
        let next = operation.after(before)?;
        let expected = Expected { like: was, thing: thing.as_ref(), within: within.as_ref() };
        on.replace(operation.0.resource(), expected, &next, by.authority())
    }

    async fn state(&self, before: &Prepared<BeforeChange>, on: &Files) -> Result<State, Failure> {
        let before = &before.undo;
        let live = on.snapshot(self.0.resource()).await?.likeness();
        let differ = before.becomes().differences(&live);
        Ok(if differ.is_empty() {
            State::After
        } else if before.was().matches(&live) {
            State::Before
        } else {
            let differ: Vec<String> = differ.into_iter().collect();
            State::Other(format!("it {live}; not as the run left it: {}", differ.join(", ")))
        })
    }

    async fn undo(on: &Files, by: Permit<'_, Self>) -> Result<(), Failure> {
        let (resource, before) = (by.operation().0.resource(), by.before());
        let was = before.undo.was();
        let old = if was.xattrs.is_some() || matches!(was.is, Is::Absent) {
            let mut kept = Kept::unsealed(before.secret.as_ref())?;
            let content = std::mem::take(&mut kept.content);
            kept.node(&was, content)?
        } else {
            as_recorded_before(&was, before, &on.snapshot(resource).await?)?
        };
        // It comes back as another file than it was, so which one is there now is not asked.
        let becomes = before.undo.becomes();
        let expected = Expected { like: &becomes, thing: None, within: None };
        on.replace(resource, expected, &old, by.authority())
    }

    fn is_as_planned(planned: &BeforeChange, found: &BeforeChange) -> bool {
        planned.is_as_planned(found)
    }

    fn describe_undo(&self, before: &BeforeChange) -> String {
        let owner = before.was().owner.map(|(user, group)| format!(", owner {user}:{group}"));
        let owner = owner.unwrap_or_default();
        match (&before.was.is, &before.becomes.is) {
            (Is::File { sha256, size, mode }, _) => {
                format!("put the {size} bytes of {sha256} back, mode {mode:04o}{owner}")
            }
            (Is::Directory { mode }, _) => format!("make the directory again, mode {mode:04o}{owner}"),
            (_, Is::Directory { .. }) => "remove the directory again, if it is empty".to_owned(),
            _ => "remove the file again".to_owned(),
        }
    }
}

impl<E: Edits> Edit<E> {
    /// The attributes of the file that a new one is to be like, without those that make a program run as another user
    /// or with more privileges than its user has.
    async fn attributes_of(&self, like: &Resource, on: &Files) -> Result<Attributes, Failure> {
        match on.find(like).await?.node {
            Node::File(file) if file.content != self.0.content() => {
                Err(Failure::Conflict(format!("{like} changed since it was read")))
            }
            Node::File(file) if file.attributes.is_privileged() => Err(Failure::Denied(format!(
                "{like} has a set-user-id or set-group-id bit or file capabilities, which no other name gets"
            ))),
            Node::File(file) => Ok(file.attributes),
            other => Err(Failure::Conflict(format!("{like} {}", other.is()))),
        }
    }

    /// What was prepared to be at the path after the change.
    fn after(&self, before: &Prepared<BeforeChange>) -> Result<Node, Failure> {
        let kept = Kept::unsealed(before.secret.as_ref())?;
        kept.node(&before.undo.becomes, self.0.content().to_vec())
    }
}

/// The node to put back by a journal that recorded only the content, mode and owner of a file, and only the mode of a
/// directory: what it did not record stays as it is.
fn as_recorded_before(was: &Likeness, before: &Prepared<BeforeChange>, live: &Node) -> Result<Node, Failure> {
    let plain =
        Attributes { owner: 0, group: 0, mode: 0, xattrs: std::collections::BTreeMap::new(), flags: None };
    let known = |mode: u32| {
        let mut known = live.attributes().cloned().unwrap_or_else(|| Attributes::new_in(&plain, mode, false));
        known.mode = mode;
        (known.owner, known.group) = was.owner.unwrap_or((known.owner, known.group));
        known
    };
    match &was.is {
        Is::File { sha256, mode, .. } => {
            let content =
                before.secret.as_ref().map(remit_trust::SecretBytes::expose).unwrap_or_default().to_vec();
            if Digest::of(&content) != *sha256 {
                return Err(super::kept::broken());
            }
            Ok(Node::File(FileNode { content, attributes: known(*mode) }))
        }
        Is::Directory { mode } => Ok(Node::Directory(known(*mode))),
        Is::Absent => Ok(Node::Absent),
        Is::Other { what } => Err(Failure::Invalid(format!("what was there {what}"))),
    }
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

    fn content(&self) -> &[u8] {
        &self.content
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
