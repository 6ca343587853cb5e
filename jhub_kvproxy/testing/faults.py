"""Backends that fail as stores do, made from one that works.

Each function makes a class for ``KVProxy.backend_class``: a subclass of the class that it gets, with the same options
and powers. The faults are set on the new class, for all its objects.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar

from ..errors import BackendUnavailable, BatchRejected
from ..store.contract import Backend, Batch, Snapshot

T = TypeVar("T")


class SlowBackend(Backend):
    """Takes `seconds` longer for each `apply` and `load`."""

    seconds: ClassVar[float] = 0.0

    async def apply(self, batch: Batch) -> None:
        await asyncio.sleep(self.seconds)
        await super().apply(batch)  # type: ignore[safe-super]

    async def load(self) -> Snapshot:
        await asyncio.sleep(self.seconds)
        return await super().load()  # type: ignore[safe-super]


class FlakyBackend(Backend):
    """Raises BackendUnavailable as its `faults` say.

    Each call of `apply` and `load` takes the next fault from the left. ``"before"``: fail without a change.
    ``"after"``: make the change and then fail, as if the answer were lost. ``""``: succeed. When no fault is left, all
    calls succeed. With `is_down`, every call fails without a change.
    """

    faults: ClassVar[deque[str]]
    is_down: ClassVar[bool] = False

    async def apply(self, batch: Batch) -> None:
        await self._with_fault(lambda: super(FlakyBackend, self).apply(batch))  # type: ignore[safe-super]

    async def load(self) -> Snapshot:
        return await self._with_fault(super().load)  # type: ignore[safe-super]

    async def _with_fault(self, call: Callable[[], Awaitable[T]]) -> T:
        fault = "before" if self.is_down else self.faults.popleft() if self.faults else ""
        if fault == "before":
            raise BackendUnavailable("The store is unavailable on purpose.")
        result = await call()
        if fault == "after":
            raise BackendUnavailable("The store's answer is lost on purpose.")
        return result


class FussyBackend(Backend):
    """Raises BatchRejected for each batch with `word` in a key or value."""

    word: ClassVar[str] = ""

    async def apply(self, batch: Batch) -> None:
        if self.word and any(self.word in key or self.word in (value or "") for key, value in batch.changes.items()):
            raise BatchRejected(f"The store refuses {self.word!r} on purpose.")
        await super().apply(batch)  # type: ignore[safe-super]


def slow(backend_class: type[Backend], seconds: float) -> type[SlowBackend]:
    """A class like `backend_class` whose `apply` and `load` take `seconds` more."""
    made: type[SlowBackend] = _mixed(SlowBackend, backend_class, seconds=seconds)
    return made


def flaky(backend_class: type[Backend], *faults: str) -> type[FlakyBackend]:
    """A class like `backend_class` that fails according to `faults`; see :class:`FlakyBackend`."""
    made: type[FlakyBackend] = _mixed(FlakyBackend, backend_class, faults=deque(faults))
    return made


def fussy(backend_class: type[Backend], word: str) -> type[FussyBackend]:
    """A class like `backend_class` that refuses batches with `word` in a key or value."""
    made: type[FussyBackend] = _mixed(FussyBackend, backend_class, word=word)
    return made


def _mixed(fault: Any, backend_class: Any, **attributes: Any) -> Any:
    name = fault.__name__.replace("Backend", backend_class.__name__)
    return type(backend_class)(name, (fault, backend_class), {"__module__": __name__, **attributes})
