//! Places that keep evidence: how runs reach them, and how offline tests make them up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use remit_backend::evidence::{EvidencePlace, KIND, MadeUpEvidence};
use remit_backend::{BackendError, Evidence};
use remit_gate::{Estate, Facts, Failure, Mode, Resource};
use serde::{Deserialize, Serialize};

use crate::fixture::Offline;
use crate::network::no_path;

/// A workload of which there is evidence to gather.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    path: String,
}

/// What a fixture expects after the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    path: String,
    /// How many archives are kept of it.
    kept: u32,
}

impl Offline for Evidence {
    const TABLE: &'static str = KIND;
    type Before = Before;
    type After = After;

    fn serve(self, estate: Estate) -> Estate {
        estate.with_per_named_run(self, |evidence: &Evidence, facts: &Facts, mode: Mode| {
            Some(evidence.for_run(facts, mode))
        })
    }

    fn path_before(before: &Before) -> &str {
        &before.path
    }

    fn path_after(after: &After) -> &str {
        &after.path
    }

    fn no_path(path: &str) -> Option<String> {
        no_path(path)
    }

    async fn make_up(before: &[Before], _: &Path) -> Result<Evidence, Failure> {
        let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for Before { path } in before {
            let (place, target) = path.split_once('/').unwrap_or((path, ""));
            places.entry(place).or_default().insert(target.to_owned());
        }
        let places = places.into_iter().map(|(place, workloads)| {
            (place.to_owned(), Arc::new(MadeUpEvidence::new(workloads)) as Arc<dyn EvidencePlace>)
        });
        let broken = |error: BackendError| Failure::Unavailable(error.to_string());
        Evidence::new(places.collect()).map_err(broken)
    }

    async fn look(&self, path: &str) -> Result<After, Failure> {
        let resource = Resource::new(KIND, path).map_err(|error| Failure::Invalid(error.to_string()))?;
        let kept = match self.at(&resource) {
            Ok(place) => place.count(path),
            Err(_) => 0,
        };
        Ok(After { path: path.to_owned(), kept })
    }

    fn words(after: &After) -> String {
        format!("{} archives kept", after.kept)
    }
}
