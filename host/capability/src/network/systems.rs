//! Places with workloads: how runs reach them, and how offline tests make them up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use remit_backend::network::{KIND, MadeUpTraffic, Traffic};
use remit_backend::{BackendError, Networks};
use remit_gate::{Estate, Facts, Failure, Mode, Resource};
use serde::{Deserialize, Serialize};

use super::argument::{no_path, target};
use crate::fixture::Offline;

/// A workload of a made-up place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    path: String,
    /// The other ends of its connections.
    #[serde(default)]
    connections: Vec<String>,
}

/// What a fixture expects of a workload after the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    path: String,
    /// Whether its traffic is cut.
    cut: bool,
}

impl Offline for Networks {
    const TABLE: &'static str = KIND;
    type Before = Before;
    type After = After;

    /// A rehearsal looks at the places and plays its cuts.
    fn serve(self, estate: Estate) -> Estate {
        estate.with_per_named_run(self, |networks: &Networks, facts: &Facts, mode: Mode| {
            Some(match mode {
                Mode::Rehearse => networks.for_rehearsal(facts.run),
                Mode::Live => networks.for_run(facts.run),
            })
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

    async fn make_up(before: &[Before], _: &Path) -> Result<Networks, Failure> {
        let mut places: BTreeMap<&str, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for Before { path, connections } in before {
            let (place, target) = path.split_once('/').unwrap_or((path, ""));
            places.entry(place).or_default().insert(target.to_owned(), connections.clone());
        }
        let places = places.into_iter().map(|(place, workloads)| {
            (place.to_owned(), Arc::new(MadeUpTraffic::new(workloads)) as Arc<dyn Traffic>)
        });
        let broken = |error: BackendError| Failure::Unavailable(error.to_string());
        Networks::new(places.collect()).map_err(broken)
    }

    async fn look(&self, path: &str) -> Result<After, Failure> {
        let resource = Resource::new(KIND, path).map_err(|error| Failure::Invalid(error.to_string()))?;
        let cut = match self.at(&resource) {
            Ok(place) => place.look(&target(&resource)?).await,
            Err(failure) => Err(failure),
        };
        let cut = match cut {
            Err(Failure::NotFound(_)) => None,
            cut => cut?,
        };
        Ok(After { path: path.to_owned(), cut: cut.is_some() })
    }

    fn words(after: &After) -> String {
        if after.cut { "cut off" } else { "not cut off" }.to_owned()
    }
}
