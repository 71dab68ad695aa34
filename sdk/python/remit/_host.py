"""The host's interfaces, as far as the action's world imports them."""

from importlib import import_module
from typing import Any


class _Absent:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, _: str) -> Any:
        raise RuntimeError(f"the action's world (wit/world.wit) does not import `{self._name}`")


def interface(name: str) -> Any:
    """The bindings of an interface. They are loaded now: a running action has no files to load them from."""
    try:
        return import_module(f"wit_world.imports.{name}")
    except ImportError:
        return _Absent(name)
