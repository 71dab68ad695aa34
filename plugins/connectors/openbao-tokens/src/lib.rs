//! Tokens of OpenBao and Vault, by their accessors: names that tell nothing about a token's value.
//!
//! What the real server does, and its documentation does not say or not there:
//! - A token that is not known is answered with 403 by `lookup` and with 400 by `lookup-accessor`. Only the text tells it from
//!   "the one who asks may not ask".
//! - `lookup-self` answers 403 for a token that works and whose policies do not allow it, as for one that does not exist.
//! - `revoke-accessor` answers 200 with a warning where there is no such token, otherwise 204.
//! - Batch tokens have no accessor: nobody can revoke one.

use remit::connector::tokens::{Call as Asked, Token, TokenState};
use remit::connector::{
    Call, Connector, Failure, Live, Prepared, Request, Response, Result, json, segments, time,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

struct OpenBao;

/// What OpenBao says of a token.
#[derive(Deserialize)]
struct Found {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    accessor: String,
    display_name: String,
    path: String,
    policies: Vec<String>,
    creation_time: u64,
    expire_time: Option<String>,
}

/// Whom the token was of, for the plan.
#[derive(Serialize, Deserialize)]
struct Undo {
    owner: String,
    made_at: String,
    policies: Vec<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Connector for OpenBao {
    type Asked = Asked;
    type Config = ();
    type Undo = Undo;

    fn observe(call: &Call<Self>) -> Result<Value> {
        match &call.asked {
            Asked::InspectGet { path } => {
                let (instance, [accessor]) = segments(path)?;
                if revoked(call, path) {
                    return Err(missing(path));
                }
                let data = lookup_accessor(accessor)?.ok_or_else(|| missing(path))?;
                Ok(json(&token(instance, data)?))
            }
            Asked::InspectList { place } => {
                let answer =
                    Request::get(&["v1", "auth", "token", "accessors"]).query("list", "true").send()?;
                let found: Value = answer.ok("list tokens")?.json()?;
                let accessors =
                    found["data"]["keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let paths = accessors.map(|accessor| format!("{place}/{accessor}"));
                let mut paths: Vec<String> = paths.filter(|path| !revoked(call, path)).collect();
                paths.sort();
                Ok(json(&paths.into_iter().map(unknown).collect::<Vec<_>>()))
            }
            Asked::Identify { place, token: handle } => {
                let nobodys = || Failure::NotFound(format!("the value is no token of {place}, or no more"));
                let token = token(place, lookup(handle)?.ok_or_else(nobodys)?)?;
                if revoked(call, &token.path) { Err(nobodys()) } else { Ok(json(&token)) }
            }
            Asked::Check { place, token } => works(call, place, token).map(Value::Bool),
            _ => Err(other()),
        }
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        let Asked::Revoke { path } = &call.asked else { return Err(other()) };
        let (_, [accessor]) = segments(path)?;
        let own: Found = Request::get(&["v1", "auth", "token", "lookup-self"])
            .send()?
            .ok("look at its own token")?
            .json()?;
        if own.data.accessor == accessor {
            return Err(Failure::Invalid(format!("{path} is the token that Remit itself uses")));
        }
        let found = if revoked(call, path) { None } else { lookup_accessor(accessor)? };
        let Data { display_name: owner, path: made_at, policies, .. } = found.ok_or_else(|| missing(path))?;
        Ok(Prepared::new(Undo { owner, made_at, policies }, ""))
    }

    fn perform(call: &Call<Self>, _: &Prepared<Undo>) -> Result<Value> {
        let Asked::Revoke { path } = &call.asked else { return Err(other()) };
        let (_, [accessor]) = segments(path)?;
        let request = Request::post(&["v1", "auth", "token", "revoke-accessor"]);
        request.json(&json!({ "accessor": accessor })).send()?.ok(&format!("revoke {path}"))?;
        Ok(Value::Null)
    }

    fn state(call: &Call<Self>, _: &Prepared<Undo>, _: Option<&Value>) -> Result<Live> {
        let Asked::Revoke { path } = &call.asked else { return Err(other()) };
        let (_, [accessor]) = segments(path)?;
        Ok(if lookup_accessor(accessor)?.is_some() { Live::Before } else { Live::After })
    }

    fn undo(_: &Call<Self>, _: &Prepared<Undo>, _: Option<&Value>) -> Result<()> {
        Err(other())
    }
}

/// Whether the value still works as a token: by asking as it, and if that is refused, by asking for it. A token may be good for
/// something else than to look at itself.
fn works(call: &Call<OpenBao>, place: &str, handle: &str) -> Result<bool> {
    if !call.simulated.is_empty() {
        let token = lookup(handle)?.map(|data| token(place, data)).transpose()?;
        return Ok(token.is_some_and(|token| !revoked(call, &token.path)));
    }
    let answer = Request::get(&["v1", "auth", "token", "lookup-self"]).credential(handle).send()?;
    if answer.status == 403 {
        Ok(lookup(handle)?.is_some())
    } else {
        answer.ok("look at the token").map(|_| true)
    }
}

fn lookup(handle: &str) -> Result<Option<Data>> {
    found(Request::post(&["v1", "auth", "token", "lookup"]).json(&json!({ "token": handle })).send()?)
}

fn lookup_accessor(accessor: &str) -> Result<Option<Data>> {
    let request = Request::post(&["v1", "auth", "token", "lookup-accessor"]);
    found(request.json(&json!({ "accessor": accessor })).send()?)
}

/// What OpenBao says of a token; none if there is no such token.
fn found(answer: Response) -> Result<Option<Data>> {
    let unknown = |error: &String| error.contains("invalid accessor") || error.contains("bad token");
    if matches!(answer.status, 400 | 403 | 404)
        && answer.json::<Errors>().is_ok_and(|errors| errors.errors.iter().any(unknown))
    {
        return Ok(None);
    }
    Ok(Some(answer.ok("look the token up")?.json::<Found>()?.data))
}

fn token(place: &str, data: Data) -> Result<Token> {
    if data.accessor.is_empty() {
        let until = data.expire_time.unwrap_or_default();
        return Err(Failure::Invalid(format!(
            "the token of {} has no accessor, as batch tokens have none: nobody can revoke it; it ends by itself at {until}",
            data.display_name
        )));
    }
    Ok(Token {
        path: format!("{place}/{}", data.accessor),
        owner: data.display_name,
        label: data.path,
        scopes: data.policies,
        state: TokenState::Enabled,
        created: Some(data.creation_time * 1000),
        last_used: None,
        expires: data.expire_time.as_deref().and_then(time::milliseconds),
    })
}

/// A token of which the list tells no more than that there is one.
fn unknown(path: String) -> Token {
    Token {
        path,
        owner: String::new(),
        label: String::new(),
        scopes: Vec::new(),
        state: TokenState::Enabled,
        created: None,
        last_used: None,
        expires: None,
    }
}

/// Whether this rehearsal revoked it.
fn revoked(call: &Call<OpenBao>, path: &str) -> bool {
    call.simulated.iter().any(|one| matches!(&one.asked, Asked::Revoke { path: revoked } if revoked == path))
}

fn missing(path: &str) -> Failure {
    Failure::NotFound(format!("there is no token {path}"))
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(OpenBao);
