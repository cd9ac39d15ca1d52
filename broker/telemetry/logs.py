"""Logs of facts and ids. What is not on the list below does not come out, whoever logs it.

Three doors are guarded: keys and values given to structlog, exceptions (their messages quote what they choke on), and
libraries that log through `logging` (their arguments may hold anything).
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TextIO, cast
from uuid import UUID

import orjson
import structlog

KEYS: Final[frozenset[str]] = frozenset({
    # every line
    "event", "level", "timestamp", "component", "environment", "version",
    # what it is about: identifiers of ours, none of them a person's
    "organisation", "agreement_id", "client_id", "issuer", "delivery_id", "notice_id", "change_id", "receipt_id",
    "key_generation", "revision", "purpose",
    # what became of it: closed codes and counts
    "epoch", "sequence", "attempt", "behaviour", "kind", "outcome", "reason", "status", "count", "retry_after_ms", "not_before", "due",
    # how long, how much
    "duration_ms", "seconds", "size", "lag", "wanted",
    # where in the log
    "log", "topic", "partition", "partitions", "offset", "group",
    # where in the interface: the route's template, never the path
    "route", "method", "status_code", "address", "port",
    # what failed: the exception's classes, and our own lines on the way to it
    "error", "frames",
    # what a library logged: who, where in its source, its words without the arguments
    "library", "where", "template",
})  # fmt: skip
"""Every key that may be printed. A key for free text or a person's data is never added here."""

_CODE: Final = re.compile(r"[\w.:/{}<>=+,\[\]*-]{0,200}", re.ASCII)
"""What a value looks like: an identifier, a code, an address of ours. Names and addresses of people have spaces."""

_OURS: Final = frozenset({"adapters", "broker", "contracts"})
_PLAIN_SPOKEN: Final = frozenset({"aiokafka", "alembic", "uvicorn"})
"""Libraries whose message templates are constants, so that they may be shown once their arguments are cut off."""
_WORDS: Final = frozenset({"event", "template", "frames"})

Event = MutableMapping[str, Any]


def configure_logs(
    *, level: str = "INFO", style: Literal["json", "console"] = "json", out: TextIO | None = None,
    dropped: Callable[[int], object] = lambda _count: None,
) -> None:  # fmt: skip
    """Send everything that is logged in this process to `out` (stdout) as one JSON object a line, or for the eye.

    `dropped(n)` hears how many keys or values were withheld from a line, so that a metric can count them. uvicorn must
    be started with `log_config=None, access_log=False`.
    """
    target = out or sys.stdout
    number = logging.getLevelNamesMapping()[level.upper()]

    def only_listed(_logger: object, _method: str, event: Event) -> Event:
        kept, withheld = listed(event)
        if withheld:
            dropped(withheld)
        return kept

    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _reduce_exception,
        only_listed,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _as_json if style == "json" else structlog.dev.ConsoleRenderer(colors=target.isatty()),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out or cast("TextIO", _StandardOutput())),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Library()]
    root.setLevel(max(number, logging.INFO))
    for name in ("alembic", "aiokafka", "asyncssh", "uvicorn"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class _StandardOutput:
    """Standard output as it is when something is written: a runner of tests, for one, changes it.

    No stream of Python's own kind: one of those writes once more when it is thrown away, after `sys` has gone.
    """

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


def listed(event: Mapping[str, Any]) -> tuple[Event, int]:
    """Return what of a line may be printed, and how many keys and values may not.

    A value that is neither a number nor shaped like a code is replaced by `withheld`.
    """
    kept: Event = {}
    withheld = 0
    for key, value in event.items():
        if key not in KEYS:
            withheld += 1
        elif (plain := _plain(key, value)) is None and value is not None:
            kept[key] = "withheld"
            withheld += 1
        else:
            kept[key] = plain
    return kept, withheld


def _plain(key: str, value: object) -> object:
    """Return a value as a number, a code or a list of our own lines; None if it is none of these."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime | UUID):
        value = value.isoformat() if isinstance(value, datetime) else str(value)
    if key in _WORDS or (isinstance(value, str) and _CODE.fullmatch(value)):
        return value
    return None


def _reduce_exception(_logger: object, _method: str, event: Event) -> Event:
    """Replace an exception by its classes and our own lines. Messages and local values stay behind."""
    event.pop("stack_info", None)
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given is True else given
    if isinstance(event.get("error"), BaseException):
        error = event.pop("error")
    # Only this function may fill these two: elsewhere they could carry words.
    event.pop("frames", None)
    if isinstance(error, BaseException):
        event["error"] = "<".join(type(link).__name__ for link in _chain(error))
        event["frames"] = [line for link in reversed(_chain(error)) for line in _our_lines(link)]
    return event


def _chain(error: BaseException) -> list[BaseException]:
    """Return the exception and what it came from, nearest first; a group is followed by those it holds."""
    links: list[BaseException] = []
    waiting = [error]
    while waiting:
        link = waiting.pop(0)
        if link in links:
            continue
        links.append(link)
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
        came_from = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        if came_from is not None:
            waiting.append(came_from)
    return links


def _our_lines(error: BaseException) -> Iterator[str]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".", 1)[0] in _OURS:
            yield f"{module.replace('.', '/')}.py:{line} in {frame.f_code.co_name}"


def _as_json(_logger: object, _method: str, event: Event) -> str:
    return orjson.dumps(event).decode()


def _log_uncaught(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    """The default prints the message: an exception that ends the process must not say more than a logged one."""
    structlog.get_logger().error("process.failed", exc_info=(kind, error, where))


class _Library(logging.Handler):
    """What libraries log: who spoke, from which line of its source, and constant words only."""

    def emit(self, record: logging.LogRecord) -> None:
        said: Event = {"library": record.name, "where": f"{Path(record.pathname).name}:{record.lineno}"}
        # With arguments, the message is the constant they would be put into; without, it may be a finished sentence.
        if record.args and record.name.split(".", 1)[0] in _PLAIN_SPOKEN and isinstance(record.msg, str):
            said["template"] = record.msg
        structlog.get_logger().log(record.levelno, "library.logged", exc_info=record.exc_info, **said)
