"""What an action may know about its own run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remit._host import interface

if TYPE_CHECKING:
    from wit_world.imports.run import RunFacts as Facts
else:
    Facts = object

_run = interface("run")


def facts() -> Facts:
    """The facts of this run, the same at every call: `id`, `started` (milliseconds since 1970), `reason`."""
    return _run.facts()
