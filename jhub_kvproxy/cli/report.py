"""The steps of a check, told as they come."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import KVProxyError
from ..store.registry import describe
from .secrets import Secrets
from .text import wrapped

Status = Literal["ok", "FAILED", "note"]
_INDENT = " " * 16


class StepFailed(Exception):
    """A step failed, which is reported already; what depends on it cannot be done."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried."""

    step: str
    status: Status
    text: str


class Report:
    """The steps so far, in which `secrets` are hidden; `tell` is called with each one's text."""

    def __init__(self, tell: Callable[[str], None], secrets: Secrets, *, debug: bool) -> None:
        self.steps: list[Step] = []
        #: What was found out, for programs.
        self.facts: dict[str, Any] = {}
        self.secrets = secrets
        self._heard: set[str] = set()
        self._tell = tell
        self._debug = debug

    @property
    def is_ok(self) -> bool:
        return all(step.status != "FAILED" for step in self.steps)

    def ok(self, step: str, text: str) -> None:
        self._add(step, "ok", text)

    def note(self, step: str, text: str, error: Exception | None = None) -> None:
        """Something that an admin should know, and that is no failure."""
        self._add(step, "note", text, error)

    def failed(self, step: str, text: str, error: Exception | None = None) -> None:
        self._add(step, "FAILED", text, error)

    def listen_to(self, log: logging.Logger) -> None:
        """Take what a backend writes into `log`, each once: errors as failures, warnings as notes."""
        handler = logging.Handler(logging.WARNING)
        handler.emit = self._hear  # type: ignore[method-assign]
        log.addHandler(handler)

    def _hear(self, record: logging.LogRecord) -> None:
        if (text := record.getMessage()) not in self._heard:
            self._heard.add(text)
            (self.note if record.levelno < logging.ERROR else self.failed)("store", text)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Report an error in the block as the failure of the step `name`, and raise StepFailed."""
        try:
            yield
        except StepFailed:
            raise
        except Exception as error:
            self.failed(name, in_words(error), error)
            raise StepFailed from error

    def _add(self, step: str, status: Status, text: str, error: Exception | None = None) -> None:
        text = self.secrets.hide(" ".join(text.split()))
        self.steps.append(Step(step, status, text))
        line = f"{status:<6}  {step:<7} {text}"
        # A line each for programs; people have them folded.
        self._tell("\n".join(wrapped(line, hanging=_INDENT)) if sys.stdout.isatty() else line)
        if error and self._debug:
            print(self.secrets.hide("\n".join(_trace(error))), file=sys.stderr, flush=True)


def in_words(error: Exception) -> str:
    """A sentence for an admin, if there is one."""
    if isinstance(error, KVProxyError):
        return str(error)
    return f"{describe(error)}. This is a fault of the program; --debug shows where."


def _trace(error: BaseException) -> Iterator[str]:
    """Where `error` came from, the first cause first. No line of source: one of a configuration may hold a secret."""
    if cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        yield from _trace(cause)
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    yield f"{type(error).__name__}: {error}"
