"""Secrets: what `remit:secrets` offers, one function per interface.

A path has the form `app/db/password`. Each function needs the interface of its name in the world and in the
grant, and raises `remit.Refusal` when the host does not do what was asked.
"""

from dataclasses import dataclass
from typing import Literal

from remit._errors import asking
from remit._host import interface

_inspect = interface("inspect")
_rotate = interface("rotate")
_disable = interface("disable")
_destroy = interface("destroy")
_reveal = interface("reveal")


@dataclass(frozen=True)
class Version:
    """One version of a secret, without its value."""

    number: int
    """Counts from 1."""
    created: int
    """Milliseconds since the Unix epoch."""
    state: Literal["enabled", "disabled", "destroyed"]
    """Whether it can be read."""


@dataclass(frozen=True)
class Metadata:
    """What is known of a secret without reading its values."""

    current: int
    """The newest version's number; 0 if there is none."""
    versions: list[Version]
    """Oldest first."""


@dataclass(frozen=True)
class Rotated:
    """What a rotation did."""

    previous: int
    """The version that was current before."""
    current: int
    """The version that holds the new value."""


def inspect(path: str) -> Metadata:
    """The versions of the secret at `path`, without their values. Effect: observe."""
    with asking(f"inspect {path}"):
        found = _inspect.metadata(path)
    versions = [Version(v.number, v.created, v.state.name.lower()) for v in found.versions]
    return Metadata(found.current, versions)


def rotate(path: str, field: str | None = None) -> Rotated:
    """Writes a new version, in which `field` holds a fresh value that the host makes and the action never sees.

    Without `field` the secret must have exactly one. Effect: change.
    """
    with asking(f"rotate {path}"):
        done = _rotate.rotate(path, field)
    return Rotated(done.previous, done.current)


def disable(path: str, version: int) -> None:
    """Makes a version unreadable, until it is enabled again by undo. Effect: change."""
    with asking(f"disable version {version} of {path}"):
        _disable.disable(path, version)


def destroy(path: str, version: int) -> None:
    """Destroys the value of a version for good. Effect: irrevocable."""
    with asking(f"destroy version {version} of {path}"):
        _destroy.destroy(path, version)


def reveal(path: str, field: str, version: int) -> str:
    """The value of `field` in a version: the one function that hands secret material to the action.

    Effect: disclose.
    """
    with asking(f"reveal {field} of version {version} of {path}"):
        value: str = _reveal.reveal(path, field, version)
    return value
