//! An action that puts a sealed input into a secret, or compares it with one.

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
    token: String,
    /// What a handle that the test makes up has after the name.
    instead: Option<String>,
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
    /// Tells all that it was given.
    Echo,
}

fn run(input: Input) -> Result<Value, Error> {
    let Input { deed, path, field, version, token, instead } = input;
    let handle = &instead.map_or_else(|| token.clone(), |digits| format!("sealed:token:{digits}"));
    match deed {
        Deed::Put => {
            let stored = secrets::put(&path, &field, handle)?;
            Ok(json!({"previous": stored.previous, "current": stored.current}))
        }
        Deed::Compare => Ok(json!({"matches": secrets::compare(&path, &field, version, handle)?})),
        Deed::Echo => {
            log::info(&token);
            Ok(json!({"token": token}))
        }
    }
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
