//! Finds out which token leaked, without seeing its value, and revokes it. It counts as revoked only if the system does not take
//! the value any more: some systems answer that a token is revoked, and go on taking it.

use remit::{Error, log, tokens};
use serde::{Deserialize, Serialize};

/// The input, as `action.toml` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The system that gave the token out.
    place: String,
    /// The handle of the leaked value.
    token: String,
}

/// What was revoked.
#[derive(Serialize, Deserialize)]
struct Output {
    /// The token's path.
    path: String,
    /// Whose it was.
    owner: String,
}

fn run(Input { place, token }: Input) -> Result<Output, Error> {
    let found = tokens::identify(&place, &token)?;
    log::info(format!("the leaked token is {}, of {}", found.path, found.owner));
    tokens::revoke(&found.path)?;
    Ok(Output { path: found.path, owner: found.owner })
}

fn verify(Input { place, token }: Input, Output { path, .. }: Output) -> Result<(), Error> {
    if tokens::check(&place, &token)? {
        return Err(Error::new(format!("{path} was revoked, and the leaked value still works")));
    }
    Ok(())
}

remit::action!(run, verify);
