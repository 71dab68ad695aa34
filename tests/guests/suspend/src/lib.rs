//! For tests of connectors to directories: an account disabled, and seen in the list of all.

use remit::{Error, accounts};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    path: String,
    /// Whether it is tried a second time.
    #[serde(default)]
    twice: bool,
}

#[derive(Serialize, Deserialize)]
struct Output {
    name: String,
    groups: Vec<String>,
    disabled: Vec<String>,
}

fn run(Input { path, twice }: Input) -> Result<Output, Error> {
    let accounts::Account { name, groups, .. } = accounts::inspect_get(&path)?;
    accounts::disable(&path)?;
    if twice {
        accounts::disable(&path)?;
    }
    let place = path.split('/').next().unwrap_or_default();
    let disabled = accounts::inspect_list(place)?.into_iter().filter(is_disabled).map(|account| account.name);
    Ok(Output { name, groups, disabled: disabled.collect() })
}

fn verify(input: Input, _: Output) -> Result<(), Error> {
    let account = accounts::inspect_get(&input.path)?;
    if is_disabled(&account) { Ok(()) } else { Err(Error::new("it can still be used")) }
}

fn is_disabled(account: &accounts::Account) -> bool {
    matches!(account.state, accounts::AccountState::Disabled)
}

remit::action!(run, verify);
