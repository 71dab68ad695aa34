"""Rotates, then divides by zero."""

from dataclasses import dataclass

from remit import action, secrets


@dataclass
class Input:
    path: str


@dataclass
class Output:
    sky: float


def run(input: Input) -> Output:
    rotated = secrets.rotate(input.path)
    return Output(rotated.current / 0)


def verify(_: Input, __: Output) -> None:
    pass


Remediation = action(run, verify)
