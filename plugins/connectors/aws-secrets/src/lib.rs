//! Secrets of AWS Secrets Manager, behind an interface of this connector's own (`wit/secrets.wit`): no host has it compiled in.
//!
//! What Secrets Manager does, and what surprises:
//! - Whoever puts a value names the new version (`ClientRequestToken`). The same again with the same value does nothing, and does
//!   not make it current. So the name is made of the value's handle, and of a number that is not taken.
//! - To put a value moves `AWSCURRENT` to it, and `AWSPREVIOUS` to the version of before. The version that was `AWSPREVIOUS` until
//!   then has no label any more: AWS may delete it. No undo brings that label back.
//! - To move `AWSCURRENT`, one says where it is taken from, and AWS refuses if it is not there. To put has no such comparison.
//! - A secret that was deleted is described as before, with a `DeletedDate`, until its days are over. Nothing can be put into it.
//! - A rotation that is under way has the label `AWSPENDING` on a version that is not the current one. Whoever puts a value then
//!   is overtaken by it.
//! - Most errors have the status 400; what they are is in `__type`. Where the policy or the signature is wrong, it can also be
//!   XML, or another service's words.

mod manager;

use remit::connector::{Call, Connector, Failure, Live, Prepared, Result, json, wide};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use manager::{CURRENT, Secret, Version};

struct SecretsManager;

#[derive(Deserialize)]
#[serde(tag = "function", content = "arguments")]
enum Asked {
    #[serde(rename = "remit-aws:secrets/inspect.get")]
    Get { path: String },
    #[serde(rename = "remit-aws:secrets/put.put")]
    Put { path: String, value: String },
}

/// What the plan shows of a change, and what its requests are made of.
#[derive(Serialize, Deserialize)]
struct Undo {
    /// The version that is current.
    previous: Option<String>,
    /// The version that is made.
    version: String,
}

/// The record `secret`.
#[derive(Serialize)]
struct Shown {
    path: String,
    current: Option<String>,
    versions: Vec<Version>,
    rotates: bool,
    #[serde(with = "wide::option")]
    deleted: Option<u64>,
}

impl Connector for SecretsManager {
    type Asked = Asked;
    type Config = ();
    type Undo = Undo;

    fn observe(call: &Call<Self>) -> Result<Value> {
        let Asked::Get { path } = &call.asked else { return Err(other()) };
        let name = name(path)?;
        let secret = found(path, name)?;
        // What was deleted is described only.
        let mut versions =
            if secret.deleted().is_some() { secret.labelled() } else { manager::versions(name)? };
        let mut current = secret.current();
        for undo in played(call, path) {
            versions.push(Version { id: undo.version.clone(), stages: Vec::new(), created: None });
            current = Some(undo.version.clone());
        }
        if current != secret.current() {
            for version in &mut versions {
                version.stages.retain(|stage| stage != CURRENT);
                if current.as_ref() == Some(&version.id) {
                    version.stages.push(CURRENT.to_owned());
                }
            }
        }
        versions.sort_by(|a, b| a.id.cmp(&b.id));
        let (rotates, deleted) = (secret.rotates, secret.deleted());
        Ok(json(&Shown { path: path.clone(), current, versions, rotates, deleted }))
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        let Asked::Put { path, value } = &call.asked else { return Err(other()) };
        let name = name(path)?;
        let secret = found(path, name)?;
        secret.can_be_changed(path)?;
        let mut taken: Vec<String> = manager::versions(name)?.into_iter().map(|version| version.id).collect();
        taken.extend(played(call, path).map(|undo| undo.version.clone()));
        let previous =
            played(call, path).last().map_or_else(|| secret.current(), |undo| Some(undo.version.clone()));
        let version = free(value, &taken)?;
        let returned = stored(&version, previous.as_deref());
        let prepared = match &previous {
            Some(previous) => {
                let describe = format!(
                    "make version {previous} current again; the new one is kept as AWSPREVIOUS, and the one that is AWSPREVIOUS now is not"
                );
                Prepared::new(Undo { previous: Some(previous.clone()), version }, describe)
            }
            None => Prepared::new(Undo { previous: None, version }, "")
                .irrevocable(format!("{path} has no value yet, so there is none to go back to")),
        };
        Ok(prepared.returning(&returned))
    }

    fn perform(call: &Call<Self>, Prepared { undo, .. }: &Prepared<Undo>) -> Result<Value> {
        let Asked::Put { path, value } = &call.asked else { return Err(other()) };
        let name = name(path)?;
        let secret = found(path, name)?;
        secret.can_be_changed(path)?;
        if secret.current() != undo.previous {
            return Err(Failure::Conflict(format!(
                "somebody else put a value into {path}: {}",
                secret.shown()
            )));
        }
        manager::put(name, &undo.version, value)?;
        Ok(stored(&undo.version, undo.previous.as_deref()))
    }

    fn state(call: &Call<Self>, Prepared { undo, .. }: &Prepared<Undo>, _: Option<&Value>) -> Result<Live> {
        let Asked::Put { path, .. } = &call.asked else { return Err(other()) };
        let name = name(path)?;
        let Some(secret) = manager::describe(name)? else {
            return Ok(Live::Other(format!("there is no secret {path} any more")));
        };
        let current = secret.current();
        Ok(if secret.deleted().is_some() {
            Live::Other(format!("somebody deleted {path}: until then it can be restored"))
        } else if current.as_ref() == Some(&undo.version) {
            Live::After
        } else if current == undo.previous {
            Live::Before
        } else {
            // A version stays in this list for a day at least.
            let is_there = manager::versions(name)?.iter().any(|version| version.id == undo.version);
            let ours = if is_there { "was put, and another after it" } else { "was not put, but another" };
            Live::Other(format!("version {} {ours}: {}", undo.version, secret.shown()))
        })
    }

    fn undo(call: &Call<Self>, Prepared { undo, .. }: &Prepared<Undo>, _: Option<&Value>) -> Result<()> {
        let Asked::Put { path, .. } = &call.asked else { return Err(other()) };
        let name = name(path)?;
        let secret = found(path, name)?;
        secret.can_be_changed(path)?;
        let Some(previous) = &undo.previous else { return Err(other()) };
        if secret.current().as_ref() != Some(&undo.version) {
            return Err(Failure::Conflict(format!(
                "somebody else put a value into {path}: {}",
                secret.shown()
            )));
        }
        if !manager::versions(name)?.iter().any(|version| version.id == *previous) {
            return Err(Failure::Conflict(format!(
                "AWS does not keep version {previous} of {path} any more"
            )));
        }
        manager::make_current(name, &undo.version, previous)
    }
}

/// The name of a secret: all that comes after the name of the instance.
fn name(path: &str) -> Result<&str> {
    let (_, name) =
        path.split_once('/').ok_or_else(|| Failure::Invalid(format!("`{path}` names no secret")))?;
    Ok(name)
}

fn found(path: &str, name: &str) -> Result<Secret> {
    manager::describe(name)?.ok_or_else(|| Failure::NotFound(format!("there is no secret {path}")))
}

/// What this rehearsal put into a secret.
fn played<'a>(call: &'a Call<SecretsManager>, path: &'a str) -> impl Iterator<Item = &'a Undo> {
    let of = move |one: &&remit::connector::Simulated<SecretsManager>| matches!(&one.asked, Asked::Put { path: of, .. } if of == path);
    call.simulated.iter().filter(of).map(|one| &one.undo)
}

/// The name of a new version. It tells nothing of the value: the handle of a sealed input is made with a key that only the host has,
/// and that of a generated value is a number. The plan, made twice, has the same one.
fn free(handle: &str, taken: &[String]) -> Result<String> {
    let of = match handle.strip_prefix("generated:") {
        Some(number) => number.parse::<u32>().ok().map(|number| format!("generated-{number:030}")),
        None => {
            let digits = handle.rsplit(':').next();
            let digits = digits.filter(|digits| digits.len() == 64 && digits.is_ascii());
            digits.map(|digits| digits[..40].to_owned())
        }
    };
    let of = of.ok_or_else(|| Failure::Invalid("`value` is no handle of a value".to_owned()))?;
    // AWS takes 32 to 64 letters.
    let mut names = (1..).map(|number: u32| format!("remit-{of}-{number}"));
    let free = names.find(|name| !taken.contains(name));
    free.ok_or_else(|| Failure::Invalid("no number is left".to_owned()))
}

/// The record `stored`.
fn stored(version: &str, previous: Option<&str>) -> Value {
    serde_json::json!({ "version": version, "previous": previous })
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(SecretsManager);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_by_the_handle_and_by_a_number_that_is_free() {
        let handle = format!("sealed:value:{}", "ab".repeat(32));
        let first = free(&handle, &[]).unwrap();
        assert_eq!(first, format!("remit-{}-1", "ab".repeat(20)));
        let second = free(&handle, std::slice::from_ref(&first)).unwrap();
        assert!(second.ends_with("-2") && (32..=64).contains(&second.len()));
        assert_eq!(free(&handle, &[second]).unwrap(), first);
        let generated = free("generated:7", &[]).unwrap();
        assert!(generated.ends_with("07-1") && (32..=64).contains(&generated.len()), "{generated}");
        for wrong in ["sealed:value:é", "generated:", "generated:x", "7"] {
            assert!(free(wrong, &[]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_may_have_slashes() {
        assert_eq!(name("aws/prod/db").unwrap(), "prod/db");
        assert!(name("aws").is_err());
    }
}
