//! What is reported of a peer.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Everything this program says.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) peers: Vec<Peer>,
}

/// One host with one set of settings.
#[derive(Serialize)]
pub(crate) struct Peer {
    pub(crate) host: &'static str,
    pub(crate) version: String,
    /// What it stands on, by name.
    #[serde(flatten)]
    pub(crate) stands_on: BTreeMap<&'static str, String>,
    pub(crate) settings: &'static str,
    pub(crate) measures: Vec<Measure>,
}

/// One figure, or why there is none.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Measure {
    Taken {
        what: String,
        unit: String,
        median: f64,
        /// What nine in ten samples do not exceed.
        p90: f64,
        /// How many samples.
        n: usize,
        /// How many calls one sample is the mean of.
        each: u32,
    },
    Missing {
        what: String,
        missing: String,
    },
}

impl Measure {
    pub(crate) fn new(what: &str, unit: &str, samples: Vec<f64>, each: u32) -> Self {
        let (n, samples) = (samples.len(), sorted(samples));
        let (median, p90) = (at(&samples, 5), at(&samples, 9));
        Self::Taken { what: what.to_owned(), unit: unit.to_owned(), median, p90, n, each }
    }

    pub(crate) fn missing(what: &str, why: &str) -> Self {
        Self::Missing { what: what.to_owned(), missing: why.to_owned() }
    }
}

pub(crate) fn median(samples: Vec<f64>) -> f64 {
    at(&sorted(samples), 5)
}

fn sorted(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    samples
}

/// The sample that this many tenths lie below; nothing is measured without samples.
fn at(sorted: &[f64], tenths: usize) -> f64 {
    sorted.get(sorted.len() * tenths / 10).copied().unwrap_or(f64::NAN)
}

/// What is measured of every peer.
pub(crate) const FRESH: &str = "fresh";
pub(crate) const LIVE: &str = "live";
pub(crate) const HOST_CALL: &str = "host-call";
pub(crate) const HOST_CALL_FEW: &str = "host-call-of-100";
pub(crate) const PER_SECOND: &str = "fresh-2-threads";
pub(crate) const ALL: [&str; 5] = [FRESH, LIVE, HOST_CALL, HOST_CALL_FEW, PER_SECOND];

/// The version of a package that this program was built with, of those that start so.
pub(crate) fn version_of(package: &str, start: &str) -> Result<String> {
    let name = format!("name = \"{package}\"");
    let lines = || include_str!("../Cargo.lock").lines();
    lines()
        .zip(lines().skip(1))
        .filter(|(line, _)| **line == *name)
        .filter_map(|(_, next)| next.strip_prefix("version = \"")?.strip_suffix('"'))
        .find(|version| version.starts_with(start))
        .map(ToOwned::to_owned)
        .with_context(|| format!("Cargo.lock names no {package} {start}"))
}
