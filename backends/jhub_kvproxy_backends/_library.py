"""For drivers that reach the store by a client library, which is an extra of ours."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Mapping
from types import ModuleType
from typing import Generic, Protocol, TypeVar

from jhub_kvproxy import Backend, BackendRejected, BackendUnavailable, Batch, LeaseReport, Snapshot, Told, in_thread


class Store(Protocol):
    """The table of one prefix, over the library."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def apply(self, batch: Mapping[str, str | None], /) -> None: ...

    async def load(self) -> dict[str, str]: ...

    async def remove(self) -> None: ...

    def watch(self) -> AsyncGenerator[Told | None]: ...

    async def acquire_lease(self, holder: str, ttl: float) -> None: ...

    async def release_lease(self) -> None: ...

    async def read_lease(self) -> LeaseReport | None: ...


AnyStore = TypeVar("AnyStore", bound=Store)


class LibraryBackend(Backend, Generic[AnyStore]):
    """Base class for backends whose calls a store makes, which needs a library."""

    _store: AnyStore | None = None

    async def new_store(self) -> AnyStore:
        """A store, not yet open; by :func:`load_module`."""
        raise NotImplementedError

    async def open(self) -> None:
        if self._store is None:
            store = await self.new_store()
            try:
                await store.open()
            except BaseException:
                await store.close()
                raise
            self._store = store

    async def close(self) -> None:
        store, self._store = self._store, None
        if store:
            await store.close()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        await self.opened.apply(batch.changes)

    async def load(self) -> Snapshot:
        return Snapshot(await self.opened.load())

    def watch(self) -> AsyncGenerator[Told | None]:
        return self.opened.watch()

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        await self.opened.acquire_lease(holder, ttl)

    async def release_lease(self) -> None:
        if self._store:
            await self._store.release_lease()

    async def read_lease(self) -> LeaseReport | None:
        return await self.opened.read_lease()

    @property
    def opened(self) -> AnyStore:
        if self._store is None:
            raise BackendUnavailable(f"{type(self).__name__} is not open.")
        return self._store


async def load_module(module: str, product: str, extra: str) -> ModuleType:
    """The `module` of this package, which imports the library for `product`. Raises BackendRejected without that."""

    def load() -> ModuleType:
        try:
            return importlib.import_module(f".{module}", __package__)
        except ImportError as error:
            raise BackendRejected(
                f"The {product} backend needs a library that is missing; install it: "
                f'pip install "jhub-kvproxy[{extra}]"'
            ) from error

    # In a thread: to load the library takes long.
    return await in_thread(load)
