"""Does with files whatever a test asks, in plain Python, and says how it went."""

import os
from dataclasses import dataclass

from remit import action


@dataclass
class Input:
    steps: list


@dataclass
class Output:
    seen: list


def do(step: list) -> object:
    match step:
        case ["read", path]:
            with open(path) as file:
                return file.read()
        case ["write", path, text]:
            with open(path, "w") as file:
                file.write(text)
        case ["replace", path, old, new]:
            with open(path) as file:
                text = file.read()
            with open(path, "w") as file:
                file.write(text.replace(old, new))
        case ["append", path, text]:
            with open(path, "a") as file:
                file.write(text)
        case ["list", path]:
            return sorted(os.listdir(path))
        case ["stat", path]:
            return os.stat(path).st_size
        case ["remove", path]:
            os.remove(path)
        case ["rename", old, new]:
            os.rename(old, new)
        case ["mkdir", path]:
            os.mkdir(path)
        case ["rmdir", path]:
            os.rmdir(path)
        case ["fail"]:
            raise RuntimeError("as asked")
        case ["wait"]:
            while True:
                pass
    return None


def run(input: Input) -> Output:
    seen = []
    for step in input.steps:
        try:
            seen.append(do(step))
        except OSError as error:
            seen.append(f"{type(error).__name__}")
    return Output(seen)


def verify(_: Input, __: Output) -> None:
    pass


Remediation = action(run, verify)
