//! For tests of the connectors to AWS: looks at keys and at a secret, and changes what its input names.

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    reason = "generated code"
)]
#[rustfmt::skip]
mod aws;

use aws::remit_aws::secrets::{inspect, put};
use remit::tokens::{self, TokenState};
use remit::{Error, Failure, log, secrets};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    place: Option<String>,
    disable: Option<String>,
    revoke: Option<String>,
    secret: Option<String>,
    /// The handle of the value; without it, one is generated.
    value: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Output {
    /// The keys at the place, and whether each works.
    keys: Vec<(String, bool)>,
    /// The version that was put.
    version: Option<String>,
}

fn run(input: Input) -> Result<Output, Error> {
    let mut version = None;
    if let Some(secret) = &input.secret {
        let given = input.value.as_ref().map(|value| Ok(value.clone()));
        let value = given.unwrap_or_else(|| secrets::generate(32, secrets::Alphabet::Alphanumeric))?;
        let stored = put::put(secret, &value).map_err(|failure| refused("put a value", failure))?;
        log::info(format!("{} came after {:?}", stored.version, stored.previous));
        let found = current(secret)?;
        if found.as_ref() != Some(&stored.version) {
            return Err(Error::new(format!("{found:?} is current, not {}", stored.version)));
        }
        version = Some(stored.version);
    }
    if let Some(path) = &input.disable {
        tokens::disable(path)?;
    }
    if let Some(path) = &input.revoke {
        tokens::revoke(path)?;
    }
    let mut keys = Vec::new();
    if let Some(place) = &input.place {
        for key in tokens::inspect_list(place)? {
            log::info(format!(
                "{} of {}, made {:?}, used {:?}",
                key.path, key.owner, key.created, key.last_used
            ));
            keys.push((key.path, key.state == TokenState::Enabled));
        }
    }
    Ok(Output { keys, version })
}

fn verify(input: Input, output: Output) -> Result<(), Error> {
    if let Some(path) = &input.disable
        && tokens::inspect_get(path)?.state != TokenState::Disabled
    {
        return Err(Error::new(format!("{path} still works")));
    }
    if let Some(secret) = &input.secret
        && current(secret)? != output.version
    {
        return Err(Error::new("another version is current"));
    }
    Ok(())
}

fn current(secret: &str) -> Result<Option<String>, Error> {
    Ok(inspect::get(secret).map_err(|failure| refused("look at the secret", failure))?.current)
}

fn refused(doing: &str, failure: Failure) -> Error {
    Error::Host { doing: doing.to_owned(), failure }
}

remit::action!(run, verify);
