"""From two Python functions to the exports that the host calls."""

import json
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar, get_type_hints

from componentize_py_types import Err

from remit import log
from remit._errors import Error
from remit._shape import read

Input = TypeVar("Input")
Output = TypeVar("Output")


def action(run: Callable[[Input], Output], verify: Callable[[Input, Output], None]) -> type:
    """Makes two functions the action of a module: bind what this returns to `Remediation`.

    Their annotations say what JSON becomes: dataclasses of `str`, `int`, `float`, `bool`, `None`, lists,
    dictionaries and dataclasses.
    """
    run_types = list(get_type_hints(run).values())
    verify_types = list(get_type_hints(verify).values())

    class Remediation:
        def run(self, input: str) -> str:
            def work() -> str:
                output = run(read("input", run_types[0], input))
                return json.dumps(asdict(output), ensure_ascii=False, separators=(",", ":"))  # type: ignore[call-overload]

            return _told(work)

        def verify(self, input: str, output: str) -> None:
            _told(lambda: verify(read("input", verify_types[0], input), read("output", verify_types[1], output)))

    return Remediation


def _told(work: Callable[[], Any]) -> Any:
    """Calls `work`; what it raises is raised as the text that the contract wants."""
    try:
        return work()
    except Error as error:
        raise Err(str(error)) from None
    except Exception as error:
        # A defect of the action: its kind and place matter.
        log.error("\n".join([f"{type(error).__name__}: {error}", *_places(error)]))
        raise Err(f"{type(error).__name__}: {error}") from None


def _places(error: Exception) -> list[str]:
    """Where it was raised, outermost call first. Without the source lines: there are no files to read."""
    frames = traceback.walk_tb(error.__traceback__)
    return [f"  {frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in frames]
