//! What is sealed beside a change: the file's content before it, the values of extended attributes, and the digest of a content that has
//! secret values.

use std::collections::BTreeMap;

use remit_backend::files::{Attributes, FileNode, Is, Likeness, Node};
use remit_gate::Failure;
use remit_trust::{Digest, SecretBytes};
use serde::{Deserialize, Serialize};

use super::content::Content;

/// The length of the JSON comes first.
const LENGTH: usize = 4;

/// The secret part of what takes a change back.
#[derive(Default)]
pub(super) struct Kept {
    /// By their digest, as [`Likeness`] has them: what was and what will be mostly have the same.
    values: BTreeMap<Digest, Vec<u8>>,
    /// The content of the file before the change.
    pub(super) content: Vec<u8>,
    /// The digest and the size of the content after it, where another one is on record.
    pub(super) becomes: Option<(Digest, u64)>,
}

/// The part that comes first, in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Values(Vec<Content>),
    WithContent { values: Vec<Content>, sha256: Digest, size: u64 },
}

/// What is said when the record does not hold what it should.
pub(super) fn broken() -> Failure {
    Failure::Invalid("the journal does not hold what was there as it was".to_owned())
}

impl Kept {
    pub(super) fn of(was: &Node, becomes: &Node) -> Self {
        let known = [was, becomes].into_iter().filter_map(Node::attributes);
        let values = known.flat_map(|known| known.xattrs.values());
        let values = values.map(|value| (Digest::of(value), value.clone())).collect();
        let content = if let Node::File(file) = was { file.content.clone() } else { Vec::new() };
        Self { values, content, becomes: None }
    }

    /// None if there is nothing to seal.
    pub(super) fn sealed(self) -> Option<SecretBytes> {
        if self.values.is_empty() && self.content.is_empty() && self.becomes.is_none() {
            return None;
        }
        let values = self.values.into_values().map(Content).collect();
        let written = match self.becomes {
            None => Written::Values(values),
            Some((sha256, size)) => Written::WithContent { values, sha256, size },
        };
        let values = serde_json::to_vec(&written).unwrap_or_default();
        let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let mut sealed = Vec::with_capacity(LENGTH + values.len() + self.content.len());
        sealed.extend_from_slice(&length.to_le_bytes());
        sealed.extend_from_slice(&values);
        sealed.extend_from_slice(&self.content);
        Some(SecretBytes::new(sealed))
    }

    pub(super) fn unsealed(sealed: Option<&SecretBytes>) -> Result<Self, Failure> {
        let Some(sealed) = sealed else { return Ok(Self::default()) };
        let (length, rest) = sealed.expose().split_first_chunk::<LENGTH>().ok_or_else(broken)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| broken())?;
        let (values, content) = rest.split_at_checked(length).ok_or_else(broken)?;
        let (values, becomes) = match serde_json::from_slice(values).map_err(|_| broken())? {
            Written::Values(values) => (values, None),
            Written::WithContent { values, sha256, size } => (values, Some((sha256, size))),
        };
        let values = values.into_iter().map(|value| (Digest::of(&value.0), value.0)).collect();
        Ok(Self { values, content: content.to_vec(), becomes })
    }

    /// What the change makes, of which `recorded` is on record.
    pub(super) fn becomes(&self, mut recorded: Likeness) -> Likeness {
        if let (Some(becomes), Is::File { sha256, size, .. }) = (self.becomes, &mut recorded.is) {
            (*sha256, *size) = becomes;
        }
        recorded
    }

    /// The thing that `like` is recorded of.
    pub(super) fn node(&self, like: &Likeness, content: Vec<u8>) -> Result<Node, Failure> {
        match &like.is {
            Is::Absent => Ok(Node::Absent),
            Is::File { sha256, mode, .. } if Digest::of(&content) == *sha256 => {
                Ok(Node::File(FileNode { content, attributes: self.attributes(like, *mode)? }))
            }
            Is::Directory { mode } => Ok(Node::Directory(self.attributes(like, *mode)?)),
            Is::File { .. } | Is::Other { .. } => Err(broken()),
        }
    }

    fn attributes(&self, like: &Likeness, mode: u32) -> Result<Attributes, Failure> {
        let (owner, group) = like.owner.ok_or_else(broken)?;
        let recorded = like.xattrs.as_ref().ok_or_else(broken)?;
        let value = |(name, digest): (&String, &Digest)| {
            self.values.get(digest).map(|value| (name.clone(), value.clone()))
        };
        let xattrs = recorded.iter().map(value).collect::<Option<_>>().ok_or_else(broken)?;
        Ok(Attributes { owner, group, mode, xattrs, flags: like.flags })
    }
}
