//! Finds out whether a value that leaked is one of a secret's, without seeing it. If so, the secret gets a new value, and every
//! version that has the old one is disabled.

use remit::secrets::{self, Version, VersionState};
use remit::{Error, log};
use serde::{Deserialize, Serialize};

/// Where the leaked value could be from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The secret's path, such as `app/db/password`.
    path: String,
    /// Which of its fields the value could be of.
    field: String,
    /// The handle of the leaked value.
    leaked: String,
}

/// What was done.
#[derive(Serialize, Deserialize)]
struct Output {
    /// The secret's path.
    path: String,
    /// The versions that had the leaked value; none if it is of another secret.
    leaked: Vec<u64>,
    /// The version that is current now.
    current: u64,
}

fn is_enabled(version: &Version) -> bool {
    matches!(version.state, VersionState::Enabled)
}

fn run(Input { path, field, leaked }: Input) -> Result<Output, Error> {
    let before = secrets::inspect(&path)?;
    let mut hits = Vec::new();
    for version in before.versions.iter().filter(|version| is_enabled(version)) {
        if secrets::compare(&path, &field, version.number, &leaked)? {
            hits.push(version.number);
        }
    }
    log::info(format!(
        "{} of {} versions of {path} have the leaked value",
        hits.len(),
        before.versions.len()
    ));
    let mut current = before.current;
    if hits.contains(&current) {
        // First the new value, so that whoever reads the secret always finds one.
        current = secrets::rotate(&path, Some(&field))?.current;
    }
    for version in &hits {
        secrets::disable(&path, *version)?;
    }
    Ok(Output { path, leaked: hits, current })
}

fn verify(input: Input, Output { path, leaked, current }: Output) -> Result<(), Error> {
    let now = secrets::inspect(&path)?;
    if let Some(version) = now.versions.iter().find(|of| leaked.contains(&of.number) && is_enabled(of)) {
        return Err(Error::new(format!("version {} of {path} can still be read", version.number)));
    }
    if secrets::compare(&path, &input.field, current, &input.leaked)? {
        return Err(Error::new(format!("version {current} of {path} has the leaked value")));
    }
    Ok(())
}

remit::action!(run, verify);
