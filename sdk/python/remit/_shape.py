"""JSON to dataclasses, strictly: no unknown fields, no conversions."""

import json
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from remit._errors import Error


def read(what: str, shape: Any, text: str) -> Any:
    """The value of the type `shape` that `text` is; `what` names it in errors."""
    try:
        return _value(shape, json.loads(text), "")
    except ValueError as error:
        raise Error(f"the action's {what}: {error}") from None


def _value(shape: Any, json: Any, at: str) -> Any:
    origin = get_origin(shape)
    if shape is Any:
        return json
    if origin in (Union, UnionType):
        for option in get_args(shape):
            try:
                return _value(option, json, at)
            except ValueError as error:
                last = error
        raise last
    if is_dataclass(shape):
        return _object(shape, json, at)
    if origin is list:
        if not isinstance(json, list):
            raise _wrong("a list", at)
        (item,) = get_args(shape)
        return [_value(item, entry, f"{at}/{index}") for index, entry in enumerate(json)]
    if origin is dict:
        if not isinstance(json, dict):
            raise _wrong("an object", at)
        _, item = get_args(shape)
        return {key: _value(item, entry, f"{at}/{key}") for key, entry in json.items()}
    if shape is float and type(json) is int:
        return float(json)
    # Not isinstance: True is an int.
    if type(json) is not (NoneType if shape is None else shape):
        raise _wrong(getattr(shape, "__name__", str(shape)), at)
    return json


def _object(shape: Any, json: Any, at: str) -> Any:
    if not isinstance(json, dict):
        raise _wrong("an object", at)
    hints = get_type_hints(shape)
    for name in json:
        if name not in hints:
            raise ValueError(f"unknown field `{at}{name}`")
    given = {name: _value(hints[name], entry, f"{at}/{name}") for name, entry in json.items()}
    for field in fields(shape):
        if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"missing field `{at}{field.name}`")
    return shape(**given)


def _wrong(expected: str, at: str) -> ValueError:
    return ValueError(f"{at or 'it'} is not {expected}")
