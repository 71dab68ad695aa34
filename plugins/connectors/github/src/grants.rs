//! What fine-grained personal access tokens may do in an organization.

use remit::connector::tokens::{Call as Asked, Token, TokenState};
use remit::connector::{Call, Failure, Live, Prepared, Result, json, segments, time};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Asked as Any, GitHub, Undo, api, other};

/// How many pages of a list are read: another request is for the organization's name.
const PAGES: usize = 6;

#[derive(Deserialize)]
struct Grant {
    id: u64,
    owner: Owner,
    /// By what they are of (`organization`, `repository`, `other`), then by name.
    permissions: Value,
    access_granted_at: String,
    token_name: String,
    token_expired: bool,
    token_expires_at: Option<String>,
    token_last_used_at: Option<String>,
}

#[derive(Deserialize)]
struct Owner {
    login: String,
}

impl Grant {
    fn token(self, place: &str) -> Token {
        Token {
            path: format!("{place}/{}", self.id),
            scopes: self.scopes(),
            owner: self.owner.login,
            label: self.token_name,
            state: if self.token_expired { TokenState::Expired } else { TokenState::Enabled },
            created: time::milliseconds(&self.access_granted_at),
            last_used: self.token_last_used_at.as_deref().and_then(time::milliseconds),
            expires: self.token_expires_at.as_deref().and_then(time::milliseconds),
        }
    }

    fn scopes(&self) -> Vec<String> {
        let all = self.permissions.as_object().into_iter().flat_map(|kinds| kinds.values());
        let all = all.filter_map(Value::as_object).flatten();
        all.map(|(name, level)| format!("{name}:{}", level.as_str().unwrap_or_default())).collect()
    }
}

pub(crate) fn observe(call: &Call<GitHub>, asked: &Asked) -> Result<Value> {
    match asked {
        Asked::InspectGet { path } => {
            let (place, grant) = find(path)?;
            let grant = grant.filter(|_| !is_revoked(call, path)).ok_or_else(|| missing(path))?;
            Ok(json(&grant.token(&place)))
        }
        Asked::InspectList { place } => {
            let mut tokens: Vec<Token> = list(place)?.into_iter().map(|grant| grant.token(place)).collect();
            tokens.retain(|token| !is_revoked(call, &token.path));
            tokens.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(json(&tokens))
        }
        _ => Err(other()),
    }
}

pub(crate) fn prepare(call: &Call<GitHub>, path: &str) -> Result<Prepared<Undo>> {
    let (_, grant) = find(path)?;
    let grant = grant.filter(|_| !is_revoked(call, path)).ok_or_else(|| missing(path))?;
    let scopes = grant.scopes();
    Ok(Prepared::new(Undo::Grant { owner: grant.owner.login, name: grant.token_name, scopes }, ""))
}

pub(crate) fn perform(path: &str) -> Result<Value> {
    let (_, [org, id]) = segments(path)?;
    let request = api::request("POST", &["orgs", org, "personal-access-tokens", id]);
    api::done(request.json(&json!({ "action": "revoke" })).send()?, &format!("revoke {path}"))?;
    Ok(Value::Null)
}

pub(crate) fn state(path: &str) -> Result<Live> {
    Ok(if find(path)?.1.is_some() { Live::Before } else { Live::After })
}

/// The token at a path, and its place. GitHub answers for one of them by its number only with its repositories.
fn find(path: &str) -> Result<(String, Option<Grant>)> {
    let (instance, [org, id]) = segments(path)?;
    let place = format!("{instance}/{org}");
    // Another spelling of the number would be another path.
    let found = list(&place)?.into_iter().find(|grant| grant.id.to_string() == id);
    Ok((place, found))
}

/// All that may do something in an organization.
fn list(place: &str) -> Result<Vec<Grant>> {
    let (instance, [org]) = segments(place)?;
    let answer = api::request("GET", &["orgs", org]).send()?;
    let found: Value = api::done(answer, &format!("look at the organization {place}"))?.json()?;
    // Its tokens name it by its number, and capital letters do not matter to GitHub.
    let own = format!("{instance}/{}", found["login"].as_str().unwrap_or_default());
    if own != place {
        return Err(Failure::Invalid(format!("GitHub writes {place} like this: {own}")));
    }
    let mut all = Vec::new();
    for page in 1..=PAGES {
        let request = api::request("GET", &["orgs", org, "personal-access-tokens"]).query("per_page", "100");
        let answer = api::done(
            request.query("page", &page.to_string()).send()?,
            &format!("list the tokens of {place}, which only a GitHub App may"),
        )?;
        let is_last = !answer.header("link").is_some_and(|link| link.contains("rel=\"next\""));
        all.extend(answer.json::<Vec<Grant>>()?);
        if is_last {
            return Ok(all);
        }
    }
    Err(Failure::Unavailable(format!("{place} has more than {} tokens", PAGES * 100)))
}

/// Whether this rehearsal revoked it.
fn is_revoked(call: &Call<GitHub>, path: &str) -> bool {
    let revoked = |one: &Any| matches!(one, Any::Token(Asked::Revoke { path: of }) if of == path);
    call.simulated.iter().any(|one| revoked(&one.asked))
}

fn missing(path: &str) -> Failure {
    Failure::NotFound(format!("there is no token {path}, or its access was revoked"))
}
