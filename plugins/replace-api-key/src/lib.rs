//! Replaces a key of which one version leaked: whoever reads it gets a new value, and the version that leaked cannot be read any
//! more.

use remit::secrets::{self, VersionState};
use remit::{Error, log};
use serde::{Deserialize, Serialize};

/// Which key is replaced, and which of its versions anybody may know by now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The secret's path, such as `prod/payments/stripe`.
    path: String,
    /// Which of its fields gets a new value; needed when it has more than one.
    field: Option<String>,
    /// Which version leaked.
    leaked: u64,
}

/// What was done.
#[derive(Serialize, Deserialize)]
struct Output {
    /// The secret's path.
    path: String,
    /// The version that leaked.
    leaked: u64,
    /// The version with the new value.
    current: u64,
}

fn run(Input { path, field, leaked }: Input) -> Result<Output, Error> {
    let before = secrets::inspect(&path)?;
    if before.current != leaked {
        let now = before.current;
        return Err(Error::new(format!(
            "version {now} of {path} is current, and not {leaked}, which leaked"
        )));
    }
    // First the new value, so that whoever reads the secret always finds one.
    let current = secrets::rotate(&path, field.as_deref())?.current;
    log::info(format!("{path} is now at version {current}"));
    secrets::disable(&path, leaked)?;
    Ok(Output { path, leaked, current })
}

fn verify(_: Input, Output { path, leaked, current }: Output) -> Result<(), Error> {
    let now = secrets::inspect(&path)?;
    let is = |number, state| now.versions.iter().any(|of| of.number == number && of.state == state);
    if now.current != current || !is(current, VersionState::Enabled) {
        return Err(Error::new(format!("version {current} of {path} is not the one that is read")));
    }
    if !is(leaked, VersionState::Disabled) {
        return Err(Error::new(format!("version {leaked} of {path} is not disabled")));
    }
    Ok(())
}

remit::action!(run, verify);
