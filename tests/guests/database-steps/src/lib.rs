//! An action that does to a role of a database server what its input says, one thing after the other.

use remit::{Error, databases};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Input {
    #[serde(rename = "do")]
    deeds: Vec<Deed>,
    path: String,
    #[serde(default)]
    database: String,
    /// The handle of the password.
    #[serde(default)]
    secret: String,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    Get,
    List,
    Set,
    Disable,
    Sessions,
    End,
    Check,
}

fn role(role: databases::Role) -> Value {
    json!({
        "path": role.path, "name": role.name, "can-login": role.can_login, "superuser": role.superuser,
        "groups": role.groups, "sessions": role.sessions, "last-used": role.last_used, "valid-until": role.valid_until,
    })
}

/// One answer for each deed.
fn run(input: Input) -> Result<Vec<Value>, Error> {
    let Input { deeds, path, database, secret } = input;
    let place = path.split('/').next().unwrap_or_default();
    let mut answers = Vec::new();
    for deed in deeds {
        answers.push(match deed {
            Deed::Get => role(databases::inspect_get(&path)?),
            Deed::List => databases::inspect_list(place)?.into_iter().map(role).collect(),
            Deed::Set => json!(databases::password(&path, &secret)?),
            Deed::Disable => json!(databases::disable_login(&path)?),
            Deed::Sessions => {
                let sessions = databases::sessions(&path)?.into_iter();
                sessions
                    .map(|session| json!([session.database, session.client, session.application]))
                    .collect()
            }
            Deed::End => json!(databases::end_sessions(&path)?),
            Deed::Check => json!(databases::check_login(&path, &database, &secret)?),
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
