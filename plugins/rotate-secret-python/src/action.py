"""Rotates one secret: the host writes a new version with a value that nobody else has seen."""

from dataclasses import dataclass

from remit import Error, action, log, secrets


@dataclass
class Input:
    """Which secret to rotate."""

    path: str
    """The secret's path, such as `app/db/password`."""
    field: str | None = None
    """Which of its fields gets a new value; needed when it has more than one."""


@dataclass
class Output:
    """What was done."""

    path: str
    """The rotated secret's path."""
    previous: int
    """The version that was current before."""
    current: int
    """The version with the new value."""


def run(input: Input) -> Output:
    before = secrets.inspect(input.path)
    log.info(f"{input.path} is at version {before.current}")

    rotated = secrets.rotate(input.path, input.field)
    log.info(f"{input.path} is now at version {rotated.current}")
    return Output(input.path, rotated.previous, rotated.current)


def verify(_: Input, output: Output) -> None:
    path, current = output.path, output.current
    now = secrets.inspect(path)
    if now.current != current:
        raise Error(f"{path} is at version {now.current}, not at {current}")
    version = next((v for v in now.versions if v.number == current), None)
    if version is None:
        raise Error(f"the backend does not list version {current} of {path}")
    if version.state != "enabled":
        raise Error(f"version {current} of {path} cannot be read")


Remediation = action(run, verify)
