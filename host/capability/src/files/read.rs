//! Looking at files.

use std::borrow::Cow;

use remit_backend::Files;
use remit_backend::files::{Entry, Is, Node};
use remit_gate::{Failure, Observe, Operation, Reads, Resource};
use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use super::content::Content;
use crate::host::this_run;

/// `remit:files/read.look`: what is there, and of a file the size and the digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The file or directory to look at.
    pub resource: Resource,
}

impl Operation for Look {
    const NAME: &'static str = "remit:files/read.look";
    type Kind = Reads;
    type Backend = Files;
    type Outcome = Is;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Look {
    async fn observe(&self, on: &Files) -> Result<Is, Failure> {
        Ok(on.snapshot(&self.resource).await?.is())
    }
}

/// `remit:files/read.read`: the whole content. It is sealed in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The file to read.
    pub resource: Resource,
    /// The digest that the file had when it was looked at. Any other content is a conflict.
    pub sha256: Digest,
}

impl Operation for Read {
    const NAME: &'static str = "remit:files/read.read";
    type Kind = Reads;
    type Backend = Files;
    type Outcome = Content;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Read {
    const SEALED: bool = true;

    async fn observe(&self, on: &Files) -> Result<Content, Failure> {
        match on.snapshot(&self.resource).await? {
            Node::File(file) if Digest::of(&file.content) == self.sha256 => {
                on.charge(file.content.len())?;
                Ok(Content(file.content))
            }
            found => Err(Failure::Conflict(format!(
                "{} changed since it was opened: it {}",
                self.resource,
                found.is()
            ))),
        }
    }
}

/// `remit:files/read.list`: what lies in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The directory to list.
    pub resource: Resource,
}

impl Operation for List {
    const NAME: &'static str = "remit:files/read.list";
    type Kind = Reads;
    type Backend = Files;
    type Outcome = Vec<Entry>;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for List {
    async fn observe(&self, on: &Files) -> Result<Vec<Entry>, Failure> {
        on.list(&self.resource).await
    }
}

/// `wasi:filesystem/preopens.get-directories`: which directories this run has. Only asked where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetDirectories {}

impl Operation for GetDirectories {
    const NAME: &'static str = "wasi:filesystem/preopens.get-directories";
    const AMBIENT: bool = true;
    type Kind = Reads;
    type Backend = Files;
    type Outcome = Vec<String>;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(this_run())
    }
}

impl Observe for GetDirectories {
    async fn observe(&self, on: &Files) -> Result<Vec<String>, Failure> {
        Ok(on.granted().to_vec())
    }
}
