"""Backends that fail in the ways that stores do, on top of one that works.

Each function makes a class, to be chosen as ``KVProxy.backend_class``: a subclass of the class that it is given,
with its options and powers. What shall go wrong is set on the new class, and holds for all its objects.
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
    """Takes `seconds` more for each `apply` and `load`."""

    seconds: ClassVar[float] = 0.0

    async def apply(self, batch: Batch) -> None:
        await asyncio.sleep(self.seconds)
        await super().apply(batch)  # type: ignore[safe-super]

    async def load(self) -> Snapshot:
        await asyncio.sleep(self.seconds)
        return await super().load()  # type: ignore[safe-super]


class FlakyBackend(Backend):
    """Raises BackendUnavailable as its `faults` say.

    Each call of `apply` and `load` takes the next one from the left: ``"before"`` fails without a change,
    ``"after"`` makes the change and then fails, as when the answer is lost, and ``""`` goes well, as do all calls when
    none is left. With `is_down`, every call fails without a change.
    """

    faults: ClassVar[deque[str]]
    is_down: ClassVar[bool] = False

    async def apply(self, batch: Batch) -> None:
        await self._meddle(lambda: super(FlakyBackend, self).apply(batch))  # type: ignore[safe-super]

    async def load(self) -> Snapshot:
        return await self._meddle(super().load)  # type: ignore[safe-super]

    async def _meddle(self, call: Callable[[], Awaitable[T]]) -> T:
        fault = "before" if self.is_down else self.faults.popleft() if self.faults else ""
        if fault == "before":
            raise BackendUnavailable("The store is made to be away.")
        result = await call()
        if fault == "after":
            raise BackendUnavailable("The store's answer is made to be lost.")
        return result


class FussyBackend(Backend):
    """Raises BatchRejected for each batch in which a key or value holds `word`."""

    word: ClassVar[str] = ""

    async def apply(self, batch: Batch) -> None:
        if self.word and any(self.word in key or self.word in (value or "") for key, value in batch.changes.items()):
            raise BatchRejected(f"The store is made to refuse what holds {self.word!r}.")
        await super().apply(batch)  # type: ignore[safe-super]


def slow(backend_class: type[Backend], seconds: float) -> type[SlowBackend]:
    """A class like `backend_class` that takes `seconds` more for each call."""
    made: type[SlowBackend] = _mixed(SlowBackend, backend_class, seconds=seconds)
    return made


def flaky(backend_class: type[Backend], *faults: str) -> type[FlakyBackend]:
    """A class like `backend_class` that fails; :class:`FlakyBackend` says how `faults` tell when."""
    made: type[FlakyBackend] = _mixed(FlakyBackend, backend_class, faults=deque(faults))
    return made


def fussy(backend_class: type[Backend], word: str) -> type[FussyBackend]:
    """A class like `backend_class` that refuses batches with `word` in them."""
    made: type[FussyBackend] = _mixed(FussyBackend, backend_class, word=word)
    return made


def _mixed(fault: Any, backend_class: Any, **attributes: Any) -> Any:
    name = fault.__name__.replace("Backend", backend_class.__name__)
    return type(backend_class)(name, (fault, backend_class), {"__module__": __name__, **attributes})
