//! What evidence is, and what a place that keeps it can do.

use jiff::Timestamp;
use remit_gate::Authority;
use remit_journal::RunId;
use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::network::Target;
use crate::secrets::BoxFuture;

/// The kind of every resource served here: `evidence:main/uid/1000`, whose path is that of the workload.
pub const KIND: &str = "evidence";

/// For whom evidence is gathered.
#[derive(Clone, Debug)]
pub struct Custody {
    /// The path of the workload.
    pub workload: String,
    /// The run that asked for it. The journal has who asked for the run, who approved and who started it.
    pub run: RunId,
    /// The reason given for the run.
    pub reason: String,
}

impl Custody {
    /// The name of the archive of a workload by a run. There is one for each.
    #[must_use]
    pub fn archive(&self) -> String {
        format!("{}-{}", self.run, archive_of(&self.workload))
    }
}

/// What the names of all archives of a workload end with.
pub(super) fn archive_of(workload: &str) -> String {
    let digest = Digest::of(workload.as_bytes()).to_string();
    let hex = digest.rsplit(':').next().unwrap_or_default();
    format!("{}.tar", hex.get(..16).unwrap_or(hex))
}

/// A part of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name in the archive.
    pub name: String,
    /// The SHA-256 of it.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What is left out of it; none if it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<String>,
}

/// Evidence that was gathered, before it is kept.
#[derive(Clone)]
pub struct Gathered {
    /// The archive, a tar.
    pub bytes: Vec<u8>,
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// What could not be had, each with why.
    pub missing: Vec<String>,
    /// When it was gathered.
    pub at: Timestamp,
}

impl std::fmt::Debug for Gathered {
    /// Leaves out the bytes, which may hold secrets of the workload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gathered({} parts)", self.parts.len())
    }
}

/// An archive in a store, by what it is recognised by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its name in the store.
    pub archive: String,
    /// The SHA-256 of it.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is, for a person.
    pub store: String,
    /// Until when the store lets nobody delete it; none if it has no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a store has of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It has it, as it was kept.
    Yes,
    /// It has nothing of that name.
    No,
    /// It has something of that name, and it is not that: how it differs.
    Other(String),
}

/// A place that gathers evidence of workloads and keeps it. Every method may fail with `Denied` (the host may not do this), `NotFound`
/// (there is no such workload) or `Unavailable`, besides what it says itself.
pub trait EvidencePlace: Send + Sync {
    /// Gathers evidence of a workload. Nothing is changed.
    fn gather<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Gathered>;

    /// What an archive of these bytes would be recognised by, if it was kept now.
    fn kept(&self, name: &str, bytes: &[u8]) -> Kept;

    /// What the store has of an archive. Its size is the most that is read, and without a time it is to be locked now.
    fn held<'a>(&'a self, kept: &'a Kept) -> BoxFuture<'a, Held>;

    /// Keeps an archive, with its manifest beside it. `Conflict` if there is anything of its name.
    fn keep<'a>(
        &'a self,
        kept: &'a Kept,
        bytes: Vec<u8>,
        manifest: Vec<u8>,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()>;

    /// How many archives of a workload are kept; only a made-up place counts them.
    fn count(&self, workload: &str) -> u32 {
        let _ = workload;
        0
    }

    /// Whether the place can be used right now; says what it is, in a line for a person.
    fn check(&self) -> BoxFuture<'_, String>;
}

/// The name of the manifest of an archive.
pub(super) fn manifest_of(archive: &str) -> String {
    format!("{}.json", archive.strip_suffix(".tar").unwrap_or(archive))
}
