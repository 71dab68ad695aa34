//! An action that puts a sealed input into a secret, or compares it with one; or puts one generated value into two secrets.

use remit::{Error, log, secrets};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Input {
    #[serde(rename = "do", default)]
    deed: Deed,
    path: String,
    field: String,
    #[serde(default = "first")]
    version: u64,
    /// The handle of the value.
    #[serde(default)]
    token: String,
    /// What a handle that the test makes up has after the name; for a generated value, the whole handle.
    instead: Option<String>,
    /// The other secret that a generated value goes to.
    also: Option<String>,
}

fn first() -> u64 {
    1
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    #[default]
    Put,
    Compare,
    /// Puts one fresh value into two secrets.
    Generate,
    /// Tells all that it was given.
    Echo,
}

fn run(input: Input) -> Result<Value, Error> {
    let Input { deed, path, field, version, token, instead, also } = input;
    if let Deed::Generate = deed {
        return generate([path, also.unwrap_or_default()], &field, instead);
    }
    let handle = &instead.map_or_else(|| token.clone(), |digits| format!("sealed:token:{digits}"));
    match deed {
        Deed::Put => {
            let stored = secrets::put(&path, &field, handle)?;
            Ok(json!({"previous": stored.previous, "current": stored.current}))
        }
        Deed::Compare => Ok(json!({"matches": secrets::compare(&path, &field, version, handle)?})),
        Deed::Echo | Deed::Generate => {
            log::info(&token);
            Ok(json!({"token": token}))
        }
    }
}

fn generate(paths: [String; 2], field: &str, instead: Option<String>) -> Result<Value, Error> {
    let made = secrets::generate(24, secrets::Alphabet::Alphanumeric)?;
    let handle = &instead.unwrap_or_else(|| made.clone());
    let mut versions = Vec::new();
    for path in &paths {
        versions.push(secrets::put(path, field, handle)?.current);
    }
    // Which of two fresh values the secrets have. A rehearsal does not find the versions.
    let other = secrets::generate(24, secrets::Alphabet::Alphanumeric)?;
    let is = |at: usize, handle| secrets::compare(&paths[at], field, versions[at], handle).unwrap_or(false);
    Ok(
        json!({"handle": made, "has": [is(0, &made), is(1, &made)], "has other": [is(0, &other), is(1, &other)]}),
    )
}

fn verify(input: Input, output: Value) -> Result<(), Error> {
    if let Some(current) = output.get("current") {
        let found = secrets::inspect(&input.path)?.current;
        if *current != json!(found) {
            return Err(Error::new(format!("version {found} is current, not {current}")));
        }
    }
    Ok(())
}

remit::action!(run, verify);
