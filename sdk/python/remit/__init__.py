"""Write Remit actions in Python.

An action is two functions: `run` performs the repair, `verify` looks, without changing anything, whether it
holds. Both raise `remit.Error` to fail; their inputs and outputs are dataclasses::

    from remit import Error, action, secrets

    @dataclass
    class Input:
        path: str

    @dataclass
    class Output:
        current: int

    def run(input: Input) -> Output:
        return Output(secrets.rotate(input.path).current)

    def verify(input: Input, output: Output) -> None:
        if secrets.inspect(input.path).current != output.current:
            raise Error("it was changed since")

    Remediation = action(run, verify)

An action reaches only what it calls in here, and only where its grant says so. The host runs `run` twice,
first to rehearse; the action cannot tell which, so keep it a function of its input and of what the host
answers.
"""

from remit import log
from remit._action import action
from remit._errors import Error, Refusal
from remit._run import Facts, facts

__all__ = ["Error", "Facts", "Refusal", "action", "facts", "log"]
