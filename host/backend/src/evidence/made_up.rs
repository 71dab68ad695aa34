//! A place in memory that keeps evidence, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use remit_gate::{Authority, Failure};
use remit_trust::Digest;

use super::collect::Archive;
use super::place::{EvidencePlace, Gathered, Held, Kept, archive_of};
use crate::network::Target;
use crate::secrets::BoxFuture;

/// A made-up place with some workloads, of which there is nothing much to gather.
#[derive(Debug, Default)]
pub struct MadeUpEvidence {
    workloads: BTreeSet<String>,
    /// What is kept, by its name.
    kept: Mutex<BTreeMap<String, Digest>>,
}

impl MadeUpEvidence {
    /// A place with these workloads, by their targets.
    #[must_use]
    pub fn new(workloads: BTreeSet<String>) -> Self {
        Self { workloads, kept: Mutex::default() }
    }

    fn kept_ones(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Digest>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EvidencePlace for MadeUpEvidence {
    fn gather<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Gathered> {
        Box::pin(async move {
            if !self.workloads.contains(&target.to_string()) {
                return Err(Failure::NotFound(format!("there is no workload {target}")));
            }
            let mut archive = Archive::new(1 << 20, Duration::from_secs(60));
            archive.add("processes.json", b"[]", None);
            archive.finish()
        })
    }

    fn kept(&self, name: &str, bytes: &[u8]) -> Kept {
        Kept {
            archive: name.to_owned(),
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
            store: "a made-up store".to_owned(),
            until: None,
        }
    }

    fn held<'a>(&'a self, kept: &'a Kept) -> BoxFuture<'a, Held> {
        Box::pin(async move {
            Ok(match self.kept_ones().get(&kept.archive) {
                None => Held::No,
                Some(digest) if *digest == kept.sha256 => Held::Yes,
                Some(_) => Held::Other("it is another one".to_owned()),
            })
        })
    }

    fn keep<'a>(&'a self, kept: &'a Kept, _: Vec<u8>, _: Vec<u8>, _: Authority<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.kept_ones().insert(kept.archive.clone(), kept.sha256).is_some() {
                return Err(Failure::Conflict(format!("{} is there already", kept.archive)));
            }
            Ok(())
        })
    }

    fn count(&self, workload: &str) -> u32 {
        let end = archive_of(workload);
        let count = self.kept_ones().keys().filter(|name| name.ends_with(&end)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn check(&self) -> BoxFuture<'_, String> {
        Box::pin(async move { Ok("a made-up store".to_owned()) })
    }
}
