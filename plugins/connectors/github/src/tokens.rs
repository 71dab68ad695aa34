//! Tokens that leaked, by their value.

use remit::connector::tokens::Call as Token;
use remit::connector::{Call, Failure, Live, Prepared, Result};
use serde_json::{Value, json};

use crate::{Asked, GitHub, Undo, api};

/// How often a token is asked whether it still works after GitHub accepted its revocation.
const LOOKS: usize = 5;

pub(crate) fn works(call: &Call<GitHub>, token: &str) -> Result<Value> {
    Ok((!is_revoked(call, token) && owner(token)?.is_some()).into())
}

pub(crate) fn prepare(call: &Call<GitHub>, place: &str, token: &str) -> Result<Prepared<Undo>> {
    let owner = if is_revoked(call, token) { None } else { owner(token)? };
    // GitHub accepts every value: this one may be a secret of another system.
    let owner = owner.ok_or_else(|| {
        Failure::Invalid(format!(
            "the value is no token of {place} that can sign in, or no more: there is nothing to revoke"
        ))
    })?;
    Ok(Prepared::new(Undo::Revoke { owner }, ""))
}

pub(crate) fn perform(place: &str, token: &str) -> Result<Value> {
    let request = api::request("POST", &["credentials", "revoke"]);
    let answer = request.json(&json!({ "credentials": [token] })).send()?;
    if answer.status == 403 && !api::is_limit(&answer) {
        return Err(Failure::Denied(format!(
            "GitHub takes revocations only of who does not sign in: the entry `{place}` needs no [connector.credential]"
        )));
    }
    api::done(answer, "revoke the token")?;
    // It was accepted, and is done a moment later. Whatever is found here, it is `state` that tells.
    for _ in 0..LOOKS {
        if !matches!(owner(token), Ok(Some(_))) {
            break;
        }
    }
    Ok(Value::Null)
}

pub(crate) fn state(token: &str, got: Option<&Value>) -> Result<Live> {
    Ok(match (owner(token)?, got) {
        (None, _) => Live::After,
        (Some(_), Some(_)) => {
            Live::Other("GitHub accepted the revocation, and the token still works".to_owned())
        }
        (Some(_), None) => Live::Before,
    })
}

/// Whose a token is; none if it does not work.
fn owner(token: &str) -> Result<Option<String>> {
    let answer = api::request("GET", &["user"]).credential(token).send()?;
    if answer.status == 401 {
        return Ok(None);
    }
    // Those of an app's installation have no user; who is signed in and may not see this, is signed in.
    if answer.status == 403 && !api::is_limit(&answer) {
        return Ok(Some(String::new()));
    }
    let found: Value = api::done(answer, "ask whose the token is")?.json()?;
    Ok(Some(found["login"].as_str().unwrap_or_default().to_owned()))
}

/// Whether this rehearsal revoked it.
fn is_revoked(call: &Call<GitHub>, token: &str) -> bool {
    let revoked =
        |one: &Asked| matches!(one, Asked::Token(Token::RevokeValue { token: of, .. }) if of == token);
    call.simulated.iter().any(|one| revoked(&one.asked))
}
