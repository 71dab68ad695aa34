//! What this action repairs.

{% set inspect = "remit:secrets/inspect" in names %}
{% set rotate = "remit:secrets/rotate" in names %}
{% set disable = "remit:secrets/disable" in names %}
{% set destroy = "remit:secrets/destroy" in names %}
{% set reveal = "remit:secrets/reveal" in names %}
{% if names %}
use remit::{Error, log, secrets};
{% else %}
use remit::{Error, log};
{% endif %}
use serde::{Deserialize, Serialize};

/// What it is given; `action.toml` has the schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    path: String,
}

/// What it did; `verify` gets it.
#[derive(Serialize, Deserialize)]
struct Output {
    path: String,
{% if rotate %}
    current: u64,
{% endif %}
}

fn run(Input { path }: Input) -> Result<Output, Error> {
{% if inspect %}
    let before = secrets::inspect(&path)?;
    log::info(format!("{path} is at version {}", before.current));
{% else %}
    log::info(format!("looking at {path}"));
{% endif %}
{% if reveal and inspect %}
    let _value = secrets::reveal(&path, "value", before.current)?;
{% endif %}
{% if rotate %}
    let rotated = secrets::rotate(&path, None)?;
{% endif %}
{% if disable and inspect %}
    secrets::disable(&path, before.current)?;
{% endif %}
{% if destroy and inspect %}
    secrets::destroy(&path, before.current)?;
{% endif %}
{% if rotate %}
    Ok(Output { path, current: rotated.current })
{% else %}
    Ok(Output { path })
{% endif %}
}

fn verify(_: Input, output: Output) -> Result<(), Error> {
{% if inspect and rotate %}
    let now = secrets::inspect(&output.path)?;
    if now.current != output.current {
        return Err(Error::new(format!("{} was changed since", output.path)));
    }
{% else %}
    // Look, without changing anything, whether the repair holds.
    log::info(format!("{} is done", output.path));
{% endif %}
    Ok(())
}

remit::action!(run, verify);
