//! Makes a version of a secret readable that was isolated, so that it can be replaced. A scope with `restore_after` takes that back by
//! itself: whoever goes away between lifting and replacing leaves a key that nobody can read.

use remit::secrets::{self, VersionState};
use remit::{Error, log};
use serde::{Deserialize, Serialize};

/// Which version was isolated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The secret's path, such as `prod/payments/stripe`.
    path: String,
    /// Which version of it.
    version: u64,
}

/// What can be read now.
#[derive(Serialize, Deserialize)]
struct Output {
    path: String,
    version: u64,
}

fn run(Input { path, version }: Input) -> Result<Output, Error> {
    secrets::enable(&path, version)?;
    log::info(format!("version {version} of {path} can be read for a moment"));
    Ok(Output { path, version })
}

fn verify(_: Input, Output { path, version }: Output) -> Result<(), Error> {
    let found = secrets::inspect(&path)?;
    let is = |of: &&secrets::Version| of.number == version && of.state == VersionState::Enabled;
    match found.versions.iter().find(is) {
        Some(_) => Ok(()),
        None => Err(Error::new(format!("version {version} of {path} cannot be read"))),
    }
}

remit::action!(run, verify);
