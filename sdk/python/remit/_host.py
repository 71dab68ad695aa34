"""Calls of the host: from the tool's bindings to types and errors of this package."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from re import sub
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from componentize_py_types import Err

from remit._errors import Refusal


class _Absent:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, _: str) -> Any:
        raise RuntimeError(f"the action's world (wit/world.wit) does not import `{self._name}`")


def interface(name: str) -> Any:
    """The bindings of an interface. They are loaded now: a running action has no files to load them from."""
    try:
        return import_module("wit_world.imports." + sub(r"[^a-z0-9]", "_", name))
    except ImportError:
        return _Absent(name)


def ask(doing: str, call: Callable[[], Any], shape: Any) -> Any:
    """What `call` answers, as a value of the type `shape`. A failure of the host is raised as a `Refusal`."""
    try:
        answer = call()
    except Err as error:
        kind, _, case = type(error.value).__name__.partition("_")
        if kind != "Failure":
            raise
        code = sub(r"(?<!^)(?=[A-Z])", "-", case).lower()
        raise Refusal(doing, code, error.value.value) from None
    return _own(shape, answer)


def case(cases: Any, name: str) -> Any:
    """The case of an enum in the bindings that is called `name` in the WIT."""
    return cases[name.upper().replace("-", "_")]


def _own(shape: Any, value: Any) -> Any:
    origin = get_origin(shape)
    if origin in (Union, UnionType):
        return None if value is None else _own(get_args(shape)[0], value)
    if origin is Literal:
        return value.name.lower().replace("_", "-")
    if origin is list:
        return [_own(get_args(shape)[0], item) for item in value]
    if is_dataclass(shape) and isinstance(shape, type):
        hints = get_type_hints(shape)
        return shape(*(_own(hints[field.name], getattr(value, field.name)) for field in fields(shape)))
    return value
