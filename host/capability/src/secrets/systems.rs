//! Stores of secrets: how runs reach them, and how offline tests make them up.

use std::fmt::Write as _;
use std::path::Path;

use remit_backend::secrets::KIND;
use remit_backend::{
    BackendError, Embedded, EmbeddedConfig, Fields, Generator, Secrets, SecretsConfig, Serving, Systems as _,
    VersionState,
};
use remit_gate::{Estate, Failure, Mode, Resource, Scope};
use serde::{Deserialize, Serialize};

use crate::fixture::{Misstated, Offline};

/// A secret of the embedded store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    path: String,
    /// The names of its fields; the host makes the values.
    #[serde(default = "one_field")]
    fields: Vec<String>,
    /// The number of versions of the secret.
    #[serde(default = "one")]
    versions: u64,
    /// The versions that are disabled.
    #[serde(default)]
    disabled: Vec<u64>,
    /// The versions that are destroyed.
    #[serde(default)]
    destroyed: Vec<u64>,
}

fn one_field() -> Vec<String> {
    vec!["value".to_owned()]
}

fn one() -> u64 {
    1
}

/// What a fixture expects of a secret after the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    path: String,
    /// The newest version; 0 where there is no such secret.
    current: u64,
    /// The versions that are disabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    disabled: Vec<u64>,
    /// The versions that are destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    destroyed: Vec<u64>,
}

fn secret(path: &str) -> Result<Resource, Failure> {
    Resource::new(KIND, path).map_err(|error| Failure::Invalid(error.to_string()))
}

impl Offline for Secrets {
    const TABLE: &'static str = KIND;
    type Before = Before;
    type After = After;

    /// A rehearsal looks at the stores and plays its changes. A run knows what it did itself.
    fn serve(self, estate: Estate) -> Estate {
        estate.with_per_run(self, |secrets: &Secrets, _: &Scope, mode: Mode| {
            Some(match mode {
                Mode::Rehearse => secrets.for_rehearsal(),
                Mode::Live => secrets.for_run(),
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
        Resource::new(KIND, path).err().map(|error| error.to_string())
    }

    fn mistakes(before: &[Before]) -> Vec<Misstated> {
        let mut found = Vec::new();
        for (at, secret) in before.iter().enumerate() {
            let mut wrong = |key, why| found.push(Misstated { at, key, why });
            if secret.fields.is_empty() {
                wrong("fields", "a secret has at least one field".to_owned());
            }
            for (key, versions) in [("disabled", &secret.disabled), ("destroyed", &secret.destroyed)] {
                if let Some(version) = versions.iter().find(|v| !(1..=secret.versions).contains(*v)) {
                    let has = secret.versions;
                    wrong(key, format!("there is no version {version}: `versions` is {has}, counted from 1"));
                }
            }
        }
        found
    }

    async fn make_up(before: &[Before], folder: &Path) -> Result<Secrets, Failure> {
        let broken = |error: BackendError| Failure::Unavailable(error.to_string());
        let file = folder.join("secrets.db");
        let store = Embedded::open(&file).map_err(broken)?;
        for Before { path, fields: names, versions, disabled, destroyed } in before {
            let resource = secret(path)?;
            for _ in 0..*versions {
                let mut fields = Fields::default();
                for name in names {
                    fields.insert(name.clone(), Generator::default().generate()?);
                }
                store.seed(&resource, fields).await?;
            }
            for (versions, state) in
                [(disabled, VersionState::Disabled), (destroyed, VersionState::Destroyed)]
            {
                for version in versions {
                    store.seed_state(&resource, *version, state).await?;
                }
            }
        }
        let entry =
            SecretsConfig { serving: Serving::Embedded(EmbeddedConfig { file }), ..SecretsConfig::default() };
        Secrets::open(&[entry], folder).map_err(broken)
    }

    async fn look(&self, path: &str) -> Result<After, Failure> {
        let resource = secret(path)?;
        let path = path.to_owned();
        let (store, _) = self.at(&resource)?;
        let found = match store.metadata(&resource).await {
            Err(Failure::NotFound(_)) => {
                return Ok(After { path, current: 0, disabled: Vec::new(), destroyed: Vec::new() });
            }
            found => found?,
        };
        let of = |state| {
            found.versions.iter().filter(|version| version.state == state).map(|v| v.number).collect()
        };
        Ok(After {
            path,
            current: found.current,
            disabled: of(VersionState::Disabled),
            destroyed: of(VersionState::Destroyed),
        })
    }

    fn words(after: &After) -> String {
        let mut words = format!("version {}", after.current);
        for (name, versions) in [("disabled", &after.disabled), ("destroyed", &after.destroyed)] {
            if !versions.is_empty() {
                let _ = write!(words, ", {name} {versions:?}");
            }
        }
        words
    }
}
