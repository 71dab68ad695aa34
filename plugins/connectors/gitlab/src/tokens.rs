//! Access tokens: of persons, of projects and of groups.

use remit::connector::tokens::{Call as Asked, Token, TokenState};
use remit::connector::{Call, Failure, Live, Prepared, Request, Response, Result, json, segments, time};
use serde::Deserialize;
use serde_json::Value;

use crate::{Asked as Any, GitLab, Undo, other};

/// How many pages of a list are read.
const PAGES: usize = 5;

#[derive(Deserialize)]
struct Found {
    id: u64,
    name: String,
    revoked: bool,
    active: bool,
    created_at: String,
    scopes: Vec<String>,
    user_id: u64,
    last_used_at: Option<String>,
    /// A date: it works until that day begins, in UTC.
    expires_at: Option<String>,
}

impl Found {
    fn token(self, place: &str, owner: String) -> Token {
        let state = match (self.revoked, self.active) {
            (true, _) => TokenState::Disabled,
            (false, true) => TokenState::Enabled,
            (false, false) => TokenState::Expired,
        };
        Token {
            path: format!("{place}/{}", self.id),
            owner,
            label: self.name,
            scopes: self.scopes,
            state,
            created: time::milliseconds(&self.created_at),
            last_used: self.last_used_at.as_deref().and_then(time::milliseconds),
            expires: self.expires_at.and_then(|day| time::milliseconds(&format!("{day}T00:00:00Z"))),
        }
    }
}

pub(crate) fn observe(call: &Call<GitLab>, asked: &Asked) -> Result<Value> {
    match asked {
        Asked::InspectGet { path } => {
            let (place, [id]) = segments(path)?;
            let found = find(path, id)?.filter(|_| !is_revoked(call, path)).ok_or_else(|| missing(path))?;
            let owner = username(found.user_id)?;
            Ok(json(&found.token(place, owner)))
        }
        Asked::InspectList { place } => {
            // The list has the numbers of the users only.
            let mut tokens: Vec<Token> =
                list()?.into_iter().map(|found| found.token(place, String::new())).collect();
            tokens.retain(|token| !is_revoked(call, &token.path));
            tokens.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(json(&tokens))
        }
        Asked::Identify { place, token } => {
            let nobodys =
                || Failure::NotFound(format!("the value is no access token of {place}, or no more"));
            let found = working(call, place, token)?.ok_or_else(nobodys)?;
            let owner = username(found.user_id)?;
            Ok(json(&found.token(place, owner)))
        }
        Asked::Check { place, token } => Ok(working(call, place, token)?.is_some().into()),
        _ => Err(other()),
    }
}

pub(crate) fn prepare(call: &Call<GitLab>, asked: &Asked) -> Result<Prepared<Undo>> {
    let (found, owner) = match asked {
        Asked::Revoke { path } => {
            let (_, [id]) = segments(path)?;
            let found = find(path, id)?.filter(|found| !found.revoked && !is_revoked(call, path));
            let found = found.ok_or_else(|| missing(path))?;
            // What is no access token has no such page.
            let own = own(None)?;
            if own.status == 200 && own.json::<Found>()?.id == found.id {
                return Err(Failure::Invalid(format!("{path} is the token that Remit itself uses")));
            }
            let owner = username(found.user_id)?;
            (found, owner)
        }
        Asked::RevokeValue { place, token } => {
            let nothing = || {
                Failure::Invalid(format!(
                    "the value is no access token of {place}, or no more: there is nothing to revoke"
                ))
            };
            let found = working(call, place, token)?.ok_or_else(nothing)?;
            let owner = format!("user {}", found.user_id);
            (found, owner)
        }
        _ => return Err(other()),
    };
    let undo = Undo::Revoke { token: found.id.to_string(), owner, name: found.name, scopes: found.scopes };
    Ok(Prepared::new(undo, ""))
}

pub(crate) fn perform(asked: &Asked) -> Result<Value> {
    let (request, what) = match asked {
        Asked::Revoke { path } => {
            let (_, [id]) = segments(path)?;
            (Request::new("DELETE", &["api", "v4", "personal_access_tokens", id]), path.as_str())
        }
        Asked::RevokeValue { token, .. } => {
            let request = Request::new("DELETE", &["api", "v4", "personal_access_tokens", "self"]);
            (request.credential(token), "the token")
        }
        _ => return Err(other()),
    };
    request.send()?.ok(&format!("revoke {what}"))?;
    Ok(Value::Null)
}

pub(crate) fn state(asked: &Asked) -> Result<Live> {
    let works = match asked {
        Asked::Revoke { path } => {
            let (_, [id]) = segments(path)?;
            find(path, id)?.is_some_and(|found| !found.revoked)
        }
        Asked::RevokeValue { token, .. } => leaked(token)?.is_some(),
        _ => return Err(other()),
    };
    Ok(if works { Live::Before } else { Live::After })
}

/// A token by its number.
fn find(path: &str, id: &str) -> Result<Option<Found>> {
    let answer = Request::get(&["api", "v4", "personal_access_tokens", id]).send()?;
    match answer.status {
        404 => return Ok(None),
        // Also where there is none: only an administrator is told that.
        401 => {
            return Err(Failure::Denied(format!(
                "could not look at {path}: GitLab shows a token to its user and to administrators, and says to others that \
                 they may not see it, whether there is one or not"
            )));
        }
        _ => {}
    }
    let found: Found = answer.ok(&format!("look at {path}"))?.json()?;
    // Another spelling of the number would be another path.
    if found.id.to_string() != id {
        return Err(Failure::Invalid(format!("`{id}` is not how the number {} is written", found.id)));
    }
    Ok(Some(found))
}

/// All that work, of whom the entry's credential may see.
fn list() -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for page in 1..=PAGES {
        let request = Request::get(&["api", "v4", "personal_access_tokens"]).query("state", "active");
        let request = request.query("sort", "created_asc").query("per_page", "100");
        let answer = request.query("page", &page.to_string()).send()?.ok("list tokens")?;
        let is_last = !answer.header("link").is_some_and(|link| link.contains("rel=\"next\""));
        all.extend(answer.json::<Vec<Found>>()?);
        if is_last {
            return Ok(all);
        }
    }
    Err(Failure::Unavailable(format!("there are more than {} tokens", PAGES * 100)))
}

/// The token that a value is, if it works and this rehearsal did not revoke it.
fn working(call: &Call<GitLab>, place: &str, token: &str) -> Result<Option<Found>> {
    let revoked = |one: &Any| matches!(one, Any::Token(Asked::RevokeValue { token: of, .. }) if of == token);
    if call.simulated.iter().any(|one| revoked(&one.asked)) {
        return Ok(None);
    }
    Ok(leaked(token)?.filter(|found| !is_revoked(call, &format!("{place}/{}", found.id))))
}

/// What GitLab says of the token to who signs in with it; none if nobody can.
fn leaked(token: &str) -> Result<Option<Found>> {
    let answer = own(Some(token))?;
    match answer.status {
        401 => Ok(None),
        400 => Err(Failure::Invalid(
            "the value is a token of another kind than an access token: of an application, or of a job"
                .to_owned(),
        )),
        _ => Ok(Some(answer.ok("look at the token")?.json()?)),
    }
}

/// The page of the token that asks: that of the entry, or one that leaked.
fn own(token: Option<&str>) -> Result<Response> {
    let request = Request::get(&["api", "v4", "personal_access_tokens", "self"]);
    token.map_or_else(|| request.clone(), |token| request.clone().credential(token)).send()
}

fn username(id: u64) -> Result<String> {
    let answer = Request::get(&["api", "v4", "users", &id.to_string()]).send()?;
    if matches!(answer.status, 401 | 403 | 404) {
        return Ok(format!("user {id}"));
    }
    let found: Value = answer.ok("look whose the token is")?.json()?;
    Ok(found["username"].as_str().unwrap_or_default().to_owned())
}

/// Whether this rehearsal revoked it.
fn is_revoked(call: &Call<GitLab>, path: &str) -> bool {
    let revoked = |one: &Any| matches!(one, Any::Token(Asked::Revoke { path: of }) if of == path);
    call.simulated.iter().any(|one| revoked(&one.asked))
}

fn missing(path: &str) -> Failure {
    Failure::NotFound(format!("there is no token {path}, or it is revoked"))
}
