"""Lines for the journal of the run. They count against the scope's `log_bytes`; write no secrets."""

from remit._host import interface

_log = interface("remit:host/log@0.1.0")


def debug(message: str) -> None:
    """A detail for whoever examines the action."""
    _log.write(_log.Level.DEBUG, message)


def info(message: str) -> None:
    """Something the operator may want to know."""
    _log.write(_log.Level.INFO, message)


def warn(message: str) -> None:
    """Something the operator should look at."""
    _log.write(_log.Level.WARN, message)


def error(message: str) -> None:
    """Something that went wrong."""
    _log.write(_log.Level.ERROR, message)
