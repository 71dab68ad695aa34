//! Files in directories that the configuration names, in two powers: `remit:files/read` and
//! `remit:files/write`. No component imports them. A guest uses plain `wasi:filesystem`, whose functions
//! ([`crate::wasi`]) become these operations; a scope grants these names.
//!
//! What a guest writes is gathered in memory, and one [`Put`] makes it the file's new content when the guest
//! syncs or closes it, or returns. So a plan tells of files and not of pieces, each change is atomic, and
//! its undo is the whole file.

mod kept;
mod read;
mod systems;
mod write;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_backend::Files;
use remit_backend::files::KIND;
use remit_gate::{Failure, Observe, Operation, Reads, Resource};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::{Domain, SystemsOf, interfaces};
pub use read::{List, Look, Read};
pub use write::{BeforeChange, Edit, Edits, Find, Kind, MakeDirectory, Put, Remove, RemoveDirectory};

/// The power to look at files.
pub const READ: &str = "remit:files/read";
/// The power to change them.
pub const WRITE: &str = "remit:files/write";

/// The domain. It has no WIT of its own.
pub(crate) static DOMAIN: Domain =
    Domain { name: "files", interfaces: INTERFACES, systems: Some(&SystemsOf::<remit_backend::Files>::NEW) };

interfaces! {
    "remit:files/read" "0.1.0" on KIND through "wasi:filesystem/types"
        [observe Look, observe Read, observe List]:
        "reads files and lists directories; from then on the action knows what is in them";
    "remit:files/write" "0.1.0" on KIND through "wasi:filesystem/types"
        [observe Find, change Edit<Put>, change Edit<Remove>, change Edit<MakeDirectory>, change Edit<RemoveDirectory>]:
        "replaces, makes and removes files and directories; whoever reads them follows the new content";
}

/// Content of a file. In JSON, base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
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
        Cow::Borrowed(crate::host::this_run())
    }
}

impl Observe for GetDirectories {
    async fn observe(&self, on: &Files) -> Result<Vec<String>, Failure> {
        Ok(on.granted().to_vec())
    }
}
