//! An action that does to an account what its input says, one thing after the other.

use remit::{Error, accounts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Input {
    #[serde(rename = "do")]
    deeds: Vec<Deed>,
    path: String,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    Get,
    List,
    Disable,
    End,
}

fn account(account: accounts::Account) -> Value {
    let enabled = matches!(account.state, accounts::AccountState::Enabled);
    json!({
        "path": account.path, "name": account.name, "enabled": enabled, "groups": account.groups,
        "created": account.created, "last-used": account.last_used,
    })
}

/// One answer for each deed.
fn run(Input { deeds, path }: Input) -> Result<Vec<Value>, Error> {
    let place = path.split('/').next().unwrap_or_default();
    let mut answers = Vec::new();
    for deed in deeds {
        answers.push(match deed {
            Deed::Get => account(accounts::inspect_get(&path)?),
            Deed::List => accounts::inspect_list(place)?.into_iter().map(account).collect(),
            Deed::Disable => json!(accounts::disable(&path)?),
            Deed::End => json!(accounts::end_sessions(&path)?),
        });
    }
    Ok(answers)
}

fn verify(input: Input, answers: Vec<Value>) -> Result<(), Error> {
    if answers.len() == input.deeds.len() {
        return Ok(());
    }
    Err(Error::new(format!("{} of {} things were done", answers.len(), input.deeds.len())))
}

remit::action!(run, verify);
