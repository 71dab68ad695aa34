//! Revokes a leaked token in a system that does so by the value alone, without seeing the value. It counts as revoked only if the
//! system does not take the value any more.

use remit::{Error, tokens};
use serde::Deserialize;

/// The input, as `action.toml` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The system that gave the token out.
    place: String,
    /// The handle of the leaked value.
    token: String,
}

fn run(Input { place, token }: Input) -> Result<(), Error> {
    tokens::revoke_value(&place, &token)
}

fn verify(Input { place, token }: Input, (): ()) -> Result<(), Error> {
    if tokens::check(&place, &token)? {
        return Err(Error::new(format!("{place} was told to revoke the leaked value, and still takes it")));
    }
    Ok(())
}

remit::action!(run, verify);
