//! What every change of a file has in common. Each is from one whole state of one path to another, and its undo is the way back.

use std::borrow::Cow;

use remit_backend::Files;
use remit_backend::files::{Attributes, Expected, FileNode, Is, Likeness, Node, Thing};
use remit_gate::{Change, Changes, Countermeasure, Failure, Operation, Permit, Prepared, Resource, State};
use remit_trust::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::kept::Kept;

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
    /// Whether digest and size of what it becomes are those of the template, which is on record in place of the content. Those of the
    /// content are sealed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rendered: bool,
    /// The commands that are run after the change, and after its undo, in words: as `remit.toml` had them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
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
            && self.reload == found.reload
    }

    /// Whether it is about a file, which others may read and follow.
    fn is_of_a_file(&self) -> bool {
        [&self.was, &self.becomes].iter().any(|like| matches!(like.is, Is::File { .. }))
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
    fn content(&self) -> Result<Cow<'_, [u8]>, Failure> {
        Ok(Cow::Borrowed(&[]))
    }

    /// What is on record in place of the content: where that has values which are secret, and others in the run than in its rehearsal.
    fn on_record(&self) -> Option<&[u8]> {
        None
    }

    /// A file whose attributes the new one gets.
    fn like(&self) -> Option<&Resource> {
        None
    }
}

pub(super) fn refuse(resource: &Resource, found: &Node) -> Failure {
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
        if on.has_generated(resource) {
            // It has another content in the run than it had in the rehearsal, so no plan could say what this finds.
            return Err(Failure::Conflict(format!(
                "this run has written {resource} with secret values already, and a run does that once: put all of it into one template"
            )));
        }
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
        let mut kept = Kept::of(&found.node, &next);
        let mut becomes = next.likeness();
        if let (Some(shown), Is::File { sha256, size, .. }) = (self.0.on_record(), &mut becomes.is) {
            kept.becomes = Some((*sha256, *size));
            (*sha256, *size) = (Digest::of(shown), shown.len() as u64);
        }
        on.charge(kept.content.len() + self.0.content()?.len())?;
        let is_of_a_file = [&found.node, &next].iter().any(|node| matches!(node, Node::File(_)));
        if let Some(why) = on.cannot_reload(resource).filter(|_| is_of_a_file) {
            return Err(Failure::Denied(format!("{resource} stays as it is: {why}")));
        }
        let undo = BeforeChange {
            was: found.node.likeness(),
            thing: found.thing,
            within: directory.thing,
            becomes,
            rendered: self.0.on_record().is_some(),
            reload: on.reload_words(resource).filter(|_| is_of_a_file),
            owner: None,
        };
        Ok(Prepared { undo, secret: kept.sealed(), irrevocable })
    }

    fn rehearse(&self, before: &Prepared<BeforeChange>, on: &Files) {
        if let Ok(next) = self.after(before) {
            if self.0.on_record().is_some() {
                on.note_generated(self.0.resource(), &next);
            }
            on.play(self.0.resource(), next);
        }
    }

    async fn perform(on: &Files, by: Permit<'_, Self>) -> Result<(), Failure> {
        let (operation, before) = (by.operation(), by.before());
        let BeforeChange { was, thing, within, .. } = &before.undo;
        let next = operation.after(before)?;
        let expected = Expected { like: was, thing: thing.as_ref(), within: within.as_ref() };
        let until = remit_engine::deadline();
        let done = on.replace(operation.0.resource(), expected, &next, until, by.authority()).await;
        if operation.0.on_record().is_some()
            && done.as_ref().err().is_none_or(|failure| !failure.is_definite())
        {
            on.note_generated(operation.0.resource(), &next);
        }
        done
    }

    async fn state(&self, before: &Prepared<BeforeChange>, on: &Files) -> Result<State, Failure> {
        let becomes = becomes(before)?;
        let before = &before.undo;
        let live = on.snapshot(self.0.resource()).await?.likeness();
        let differ = becomes.differences(&live);
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
        let becomes = becomes(before)?;
        let expected = Expected { like: &becomes, thing: None, within: None };
        on.put_back(resource, expected, &old, by.authority()).await
    }

    async fn finish_undo(on: &Files, by: Permit<'_, Self>) -> Result<bool, Failure> {
        if !by.before().undo.is_of_a_file() {
            return Ok(false);
        }
        on.reload_again(by.operation().0.resource(), by.authority()).await
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

    fn caution(&self, before: &BeforeChange) -> Option<Cow<'static, str>> {
        let reload = before.reload.as_ref()?;
        Some(format!("after it, and after its undo, the host runs: {reload}").into())
    }
}

impl<E: Edits> Edit<E> {
    /// The attributes of the file that a new one is to be like, without those that make a program run as another user
    /// or with more privileges than its user has.
    async fn attributes_of(&self, like: &Resource, on: &Files) -> Result<Attributes, Failure> {
        match on.find(like).await?.node {
            Node::File(file) if file.content != *self.0.content()? => {
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
        kept.node(&kept.becomes(before.undo.becomes.clone()), self.0.content()?.into_owned())
    }
}

/// What is at the path after the change.
fn becomes(before: &Prepared<BeforeChange>) -> Result<Likeness, Failure> {
    if !before.undo.rendered {
        return Ok(before.undo.becomes());
    }
    Ok(Kept::unsealed(before.secret.as_ref())?.becomes(before.undo.becomes()))
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
