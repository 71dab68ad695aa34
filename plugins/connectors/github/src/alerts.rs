//! Alerts of secret scanning.

use remit::connector::{Call, Failure, Live, Prepared, Result, json, segments, time, wide};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Asked as Any, GitHub, Undo, api};

/// The calls of `wit/alerts.wit`.
#[derive(Deserialize)]
#[serde(tag = "function", content = "arguments")]
pub(crate) enum Asked {
    #[serde(rename = "remit-github:alerts/inspect.get")]
    Get { path: String },
    #[serde(rename = "remit-github:alerts/resolve.revoked")]
    Revoked { path: String },
}

/// The record `alert`.
#[derive(Serialize)]
struct Shown {
    path: String,
    kind: String,
    state: &'static str,
    resolution: Option<String>,
    validity: Option<String>,
    #[serde(with = "wide::option")]
    created: Option<u64>,
}

/// An answer of GitHub. The secret is not read; if it is there, the host has put something else in its place.
#[derive(Deserialize)]
struct Alert {
    number: u64,
    url: String,
    state: String,
    resolution: Option<String>,
    secret_type_display_name: Option<String>,
    validity: Option<String>,
    created_at: Option<String>,
}

const REVOKED: &str = "revoked";

impl Alert {
    fn read(path: &str) -> Result<Self> {
        let (instance, at) = place(path)?;
        let answer = api::request("GET", &at).query("hide_secret", "true").send()?;
        if answer.status == 404 {
            return Err(Failure::NotFound(format!(
                "there is no alert {path}: or the repository has no secret scanning, or the credential may not see it"
            )));
        }
        let alert: Self = api::done(answer, &format!("read {path}"))?.json()?;
        // As with issues: each thing has the one name that GitHub says.
        let repository =
            alert.url.split_once("/repos/").and_then(|(_, rest)| rest.split_once("/secret-scanning/"));
        let own = format!("{instance}/{}/{}", repository.map_or("", |(name, _)| name), alert.number);
        if own != path {
            return Err(Failure::Invalid(format!("GitHub writes {path} like this: {own}")));
        }
        Ok(alert)
    }

    /// As the changes of this rehearsal left it.
    fn now(call: &Call<GitHub>, path: &str) -> Result<Self> {
        let mut alert = Self::read(path)?;
        let played = |one: &Any| matches!(one, Any::Alert(Asked::Revoked { path: of }) if of == path);
        if call.simulated.iter().any(|one| played(&one.asked)) {
            "resolved".clone_into(&mut alert.state);
            alert.resolution = Some(REVOKED.to_owned());
        }
        Ok(alert)
    }

    fn is_open(&self) -> bool {
        self.state == "open"
    }

    /// What it is resolved as; `open` if it is not.
    fn status(&self) -> &str {
        if self.is_open() { "open" } else { self.resolution.as_deref().unwrap_or(&self.state) }
    }

    fn kind(&self) -> String {
        self.secret_type_display_name.clone().unwrap_or_default()
    }
}

pub(crate) fn observe(call: &Call<GitHub>, asked: &Asked) -> Result<Value> {
    let Asked::Get { path } = asked else { return Err(crate::other()) };
    let alert = Alert::now(call, path)?;
    Ok(json(&Shown {
        path: path.clone(),
        kind: alert.kind(),
        state: if alert.is_open() { "open" } else { "resolved" },
        created: alert.created_at.as_deref().and_then(time::milliseconds),
        resolution: alert.resolution,
        validity: alert.validity,
    }))
}

pub(crate) fn prepare(call: &Call<GitHub>, asked: &Asked) -> Result<Prepared<Undo>> {
    let path = resolved(asked)?;
    let alert = Alert::now(call, path)?;
    if !alert.is_open() {
        return Err(Failure::Conflict(format!("{path} is resolved already: {}", alert.status())));
    }
    Ok(Prepared::new(Undo::Alert { kind: alert.kind() }, "open the alert again"))
}

pub(crate) fn perform(asked: &Asked) -> Result<Value> {
    let path = resolved(asked)?;
    let alert = Alert::read(path)?;
    if !alert.is_open() {
        return Err(Failure::Conflict(format!("{path} is resolved now: {}", alert.status())));
    }
    write(path, &json!({ "state": "resolved", "resolution": REVOKED }), &format!("resolve {path}"))
}

pub(crate) fn state(asked: &Asked) -> Result<Live> {
    let alert = Alert::read(resolved(asked)?)?;
    Ok(match alert.status() {
        "open" => Live::Before,
        REVOKED => Live::After,
        status => Live::Other(format!("it is resolved: {status}")),
    })
}

pub(crate) fn undo(asked: &Asked) -> Result<()> {
    let path = resolved(asked)?;
    let alert = Alert::read(path)?;
    if alert.status() != REVOKED {
        return Err(Failure::Conflict(format!("{path} is {} now", alert.status())));
    }
    write(path, &json!({ "state": "open" }), &format!("open {path} again")).map(drop)
}

fn resolved(asked: &Asked) -> Result<&str> {
    match asked {
        Asked::Revoked { path } => Ok(path),
        Asked::Get { .. } => Err(crate::other()),
    }
}

fn write(path: &str, body: &Value, doing: &str) -> Result<Value> {
    let (_, at) = place(path)?;
    api::done(api::request("PATCH", &at).json(body).send()?, doing)?;
    Ok(Value::Null)
}

/// The name of the instance, and where the alert is.
fn place(path: &str) -> Result<(&str, [&str; 6])> {
    let (instance, [owner, repo, number]) = segments(path)?;
    Ok((instance, ["repos", owner, repo, "secret-scanning", "alerts", number]))
}
