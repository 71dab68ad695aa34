"""What an action may know about its own run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remit._host import interface

if TYPE_CHECKING:
    from wit_world.imports.remit_host_run_0_1_0 import RunFacts as Facts
else:
    Facts = object

_run = interface("remit:host/run@0.1.0")


def facts() -> Facts:
    """The facts of this run, the same at every call: `id`, `started` (milliseconds since 1970), `reason`."""
    return _run.facts()
