//! The measured guest as an Extism plugin, with its PDK's own macros: looks at a secret as often as its input says.

use extism_pdk::{FnResult, FromBytes, Json, host_fn, plugin_fn};
use serde::Deserialize;

/// What the host knows of a secret.
#[derive(Deserialize, FromBytes)]
#[encoding(Json)]
struct Metadata {
    current: u64,
    #[serde(rename = "versions")]
    _versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "number")]
    _number: u64,
    #[serde(rename = "created")]
    _created: u64,
    #[serde(rename = "state")]
    _state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Enabled,
    Disabled,
    Destroyed,
}

#[host_fn]
extern "ExtismHost" {
    fn metadata(path: &str) -> Metadata;
}

#[plugin_fn]
pub fn run(input: String) -> FnResult<String> {
    let times: u32 = input.parse()?;
    let mut sum = 0;
    for _ in 0..times {
        sum += unsafe { metadata("app/db")? }.current;
    }
    Ok(sum.to_string())
}
