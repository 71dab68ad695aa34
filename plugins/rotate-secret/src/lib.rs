//! Rotates one secret: the host writes a new version with a value that nobody else has seen.

use remit::secrets::{self, VersionState};
use remit::{Error, log};
use serde::{Deserialize, Serialize};

/// Which secret to rotate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The secret's path, such as `app/db/password`.
    path: String,
    /// Which of its fields gets a new value; needed when it has more than one.
    field: Option<String>,
}

/// What was done.
#[derive(Serialize, Deserialize)]
struct Output {
    /// The rotated secret's path.
    path: String,
    /// The version that was current before.
    previous: u64,
    /// The version with the new value.
    current: u64,
}

fn run(Input { path, field }: Input) -> Result<Output, Error> {
    let before = secrets::inspect(&path)?;
    log::info(format!("{path} is at version {}", before.current));

    let rotated = secrets::rotate(&path, field.as_deref())?;
    log::info(format!("{path} is now at version {}", rotated.current));
    Ok(Output { path, previous: rotated.previous, current: rotated.current })
}

fn verify(_: Input, Output { path, current, .. }: Output) -> Result<(), Error> {
    let now = secrets::inspect(&path)?;
    if now.current != current {
        return Err(Error::new(format!("{path} is at version {}, not at {current}", now.current)));
    }
    match now.versions.iter().find(|version| version.number == current) {
        Some(version) if version.state == VersionState::Enabled => Ok(()),
        Some(_) => Err(Error::new(format!("version {current} of {path} cannot be read"))),
        None => Err(Error::new(format!("the backend does not list version {current} of {path}"))),
    }
}

remit::action!(run, verify);
