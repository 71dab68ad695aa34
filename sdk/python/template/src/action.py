"""What this action repairs."""
{% set inspect = "remit:secrets/inspect" in names %}
{% set rotate = "remit:secrets/rotate" in names %}
{% set disable = "remit:secrets/disable" in names %}
{% set destroy = "remit:secrets/destroy" in names %}
{% set reveal = "remit:secrets/reveal" in names %}

from dataclasses import dataclass

from remit import {% if inspect and rotate %}Error, {% endif %}action, log{% if names %}, secrets{% endif +%}


@dataclass
class Input:
    """What it is given; `action.toml` has the schema."""

    path: str


@dataclass
class Output:
    """What it did; `verify` gets it."""

    path: str
{% if rotate %}
    current: int
{% endif %}


def run(input: Input) -> Output:
    path = input.path
{% if inspect %}
    before = secrets.inspect(path)
    log.info(f"{path} is at version {before.current}")
{% else %}
    log.info(f"looking at {path}")
{% endif %}
{% if reveal and inspect %}
    value = secrets.reveal(path, "value", before.current)
{% endif %}
{% if rotate %}
    rotated = secrets.rotate(path)
{% endif %}
{% if disable and inspect %}
    secrets.disable(path, before.current)
{% endif %}
{% if destroy and inspect %}
    secrets.destroy(path, before.current)
{% endif %}
    return Output(path{% if rotate %}, rotated.current{% endif %})


def verify(_: Input, output: Output) -> None:
{% if inspect and rotate %}
    if secrets.inspect(output.path).current != output.current:
        raise Error(f"{output.path} was changed since")
{% else %}
    # Look, without changing anything, whether the repair holds.
    log.info(f"{output.path} is done")
{% endif %}


Remediation = action(run, verify)
