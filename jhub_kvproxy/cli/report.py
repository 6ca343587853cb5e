"""The steps of a check, printed as they end."""

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
    """A step failed and is reported. The steps that depend on it are skipped."""


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one test."""

    step: str
    status: Status
    text: str


class Report:
    """The steps so far. It hides `secrets`, and calls `tell` with the line of each step."""

    def __init__(self, tell: Callable[[str], None], secrets: Secrets, *, debug: bool) -> None:
        self.steps: list[Step] = []
        #: Findings for the JSON.
        self.facts: dict[str, Any] = {}
        self.secrets = secrets
        self._heard: set[str] = set()
        self.tell = tell
        self._debug = debug

    @property
    def is_ok(self) -> bool:
        return all(step.status != "FAILED" for step in self.steps)

    def ok(self, step: str, text: str) -> None:
        self._add(step, "ok", text)

    def note(self, step: str, text: str, error: Exception | None = None) -> None:
        """Report what an admin should know, and what is no failure."""
        self._add(step, "note", text, error)

    def failed(self, step: str, text: str, error: Exception | None = None) -> None:
        self._add(step, "FAILED", text, error)

    def listen_to(self, log: logging.Logger) -> None:
        """Report what a backend logs to `log`, each message once: errors as failures, warnings as notes."""
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
        # Programs get one line for each step; on a terminal it is wrapped.
        self.tell("\n".join(wrapped(line, hanging=_INDENT)) if sys.stdout.isatty() else line)
        if error and self._debug:
            print(self.secrets.hide("\n".join(_trace(error))), file=sys.stderr, flush=True)


def in_words(error: Exception) -> str:
    """`error` as a sentence for an admin."""
    if isinstance(error, KVProxyError):
        return str(error)
    return f"{describe(error)}. This is a bug in the program; --debug shows where."


def _trace(error: BaseException) -> Iterator[str]:
    """The traceback of `error`, the first cause first, without source lines: a configuration's may hold a secret."""
    if cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        yield from _trace(cause)
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    yield f"{type(error).__name__}: {error}"
