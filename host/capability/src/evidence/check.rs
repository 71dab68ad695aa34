//! Finding out whether evidence is still there.

use std::borrow::Cow;

use remit_backend::Evidence;
use remit_backend::evidence::{Held, KIND, Kept};
use remit_gate::{Failure, Observe, Operation, Reads, Resource};
use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use super::bindings::remit::evidence::check;
use crate::{CallError, Ctx};

/// The largest archive that is read, in bytes.
const LARGEST: u64 = 1 << 30;
/// The longest name of an archive, in bytes.
const MAX_NAME: usize = 128;

impl check::Host for Ctx {
    async fn holds(&mut self, path: String, name: String, sha256: String) -> Result<bool, CallError> {
        let resource = self.workload::<Holds>(KIND, &path)?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !plain || name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') {
            return Err(self.refuse::<Holds>(&name, "it is no name of an archive"));
        }
        let Ok(digest) = sha256.parse() else {
            return Err(self.refuse::<Holds>(&sha256, "it is no digest: `sha256:` and 64 hexadecimal digits"));
        };
        self.observe(Holds { resource, name, sha256: digest }).await
    }
}

/// `remit:evidence/check.holds`: whether a store has an archive, unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The workload whose store is asked.
    pub resource: Resource,
    /// The name of the archive.
    pub name: String,
    /// What the archive is to be.
    pub sha256: Digest,
}

impl Operation for Holds {
    const NAME: &'static str = "remit:evidence/check.holds";
    type Kind = Reads;
    type Backend = Evidence;
    type Outcome = bool;

    fn resource(&self) -> Cow<'_, Resource> {
        Cow::Borrowed(&self.resource)
    }
}

impl Observe for Holds {
    /// Whoever chooses the digest can test a guess.
    const CONTENT: bool = true;

    async fn observe(&self, on: &Evidence) -> Result<bool, Failure> {
        if let Some(digest) = on.played(&self.name) {
            return Ok(digest == self.sha256);
        }
        let kept = Kept {
            archive: self.name.clone(),
            sha256: self.sha256,
            size: LARGEST,
            store: String::new(),
            until: None,
        };
        Ok(on.at(&self.resource)?.held(&kept).await? == Held::Yes)
    }
}
