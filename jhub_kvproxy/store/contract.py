"""The contract between the core and a store. A driver is a subclass of :class:`Backend`."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable
from urllib.parse import quote

from traitlets import MetaHasTraits, Unicode
from traitlets.config import LoggingConfigurable

from .batches import Limits, cut


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that belong together: each key with its new value, or None to delete it.

    Keys are relative to :attr:`Backend.prefix`, without a leading slash: ``traefik/...`` is what
    Traefik reads, in the layout of its KV providers (Traefik docs, "Routing & Load Balancing:
    KV"); everything else is the core's own. Keys and values are text, mostly ASCII.
    """

    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys below the prefix and their values, as they were at one moment."""

    keys: Mapping[str, str]


class _MetaBackend(MetaHasTraits, ABCMeta):
    """Lets a class with traits have abstract methods."""


class Backend(LoggingConfigurable, metaclass=_MetaBackend):
    """A store that keeps the routing table and from which Traefik reads it.

    Lifecycle: the core constructs it (which does no I/O), awaits :meth:`open`, calls :meth:`apply`
    and :meth:`load` serially, never two at once, and awaits :meth:`close`. After `close`, `open`
    may be called again.

    Errors: only :class:`~jhub_kvproxy.errors.BackendError` leaves a driver:
    :class:`~jhub_kvproxy.errors.BackendUnavailable` when the same call may succeed later,
    :class:`~jhub_kvproxy.errors.BackendRejected` when it will not (its subclass
    :class:`~jhub_kvproxy.errors.BatchRejected` when another batch may), each raised ``from`` its
    cause, with a text that names the place and what to do, and no secret.

    Time: every call ends within a limit of the driver's choice, and nothing in it blocks the event
    loop, which JupyterHub shares, for 50 ms.
    """

    provider: ClassVar[str]
    """Suffix of the names that Traefik's API gives to what it read from this store: ``file``, ``etcd``."""

    lists_at_once: ClassVar[bool] = True
    """Whether Traefik reads all keys of this store as they were at one moment.

    Otherwise what it serves may miss a part of a commit, so the core confirms each one by another.
    """

    max_txn_ops: int | None = None
    """How many keys one :meth:`apply` may change; None: no limit. :meth:`open` may set it to what it finds out.

    The core cuts larger changes between routes. It needs 64 at least for what a single route may change.
    """

    max_txn_bytes: int | None = None
    """How long the keys (without prefix) and values of one :meth:`apply` may be together, in UTF-8; None: no limit."""

    prefix = Unicode(help="Below which keys this hub's table lives; set from KVProxy.prefix.")

    @property
    def root(self) -> str:
        """:attr:`prefix` as one segment of a key or a path, for stores that many hubs share.

        Different prefixes have different roots, none with a slash, a dot, or a character that means
        something in a glob pattern or a URL.
        """
        return quote(self.prefix, safe="").replace(".", "%2E")

    async def open(self) -> None:
        """Make ready: import client libraries, connect, check permissions. Calling it twice is harmless."""

    async def close(self) -> None:
        """Release what :meth:`open` took. Calling it twice, or without `open`, is harmless."""

    @abstractmethod
    async def apply(self, batch: Batch) -> None:
        """Make all of `batch`'s changes, or none.

        When it returns they are durable, and every later :meth:`load` sees them. Doing it again
        changes nothing; deleting an absent key succeeds. When it raises
        :class:`~jhub_kvproxy.errors.BackendUnavailable` the outcome may be unknown: the core loads
        before it applies again. Keys outside the batch stay as they are, whoever wrote them.
        """

    @abstractmethod
    async def load(self) -> Snapshot:
        """The table as the store has it now, whoever wrote it; empty when there is none.

        A table that cannot be read (damaged, no permission, unreachable) is an error, never an
        empty table.
        """

    async def remove(self) -> None:
        """Remove the table and all that was made to keep it; after it only :meth:`close` may be called.

        For a prefix that nobody uses, such as one made to try the store. A driver that makes more than
        keys, such as files, removes that too.
        """
        keys = (await self.load()).keys
        for part in cut(dict.fromkeys(keys), keys, Limits(self.max_txn_ops, self.max_txn_bytes)):
            await self.apply(Batch(part))

    @abstractmethod
    def traefik_provider_config(self) -> dict[str, Any]:
        """What to put under ``providers`` in Traefik's static configuration, without secrets."""

    def traefik_provider_secrets(self) -> dict[str, Any]:
        """What must be merged over :meth:`traefik_provider_config` and stand in no file or argument."""
        return {}


@runtime_checkable
class SupportsWatch(Protocol):
    """A backend that tells when its table changes. Optional: a backend has it by having the method."""

    def watch(self) -> AsyncIterator[None]:
        """Yield once when the watch has begun, then after each change of the table, whoever made it.

        Changes in quick succession may be told as one. A lease is not a part of the table. Other
        methods may be called meanwhile. It ends by ``aclose()``, or by raising
        :class:`~jhub_kvproxy.errors.BackendUnavailable` when changes may have been missed: the caller
        then watches anew.
        """


@runtime_checkable
class SupportsLease(Protocol):
    """A backend that can hold the prefix for one writer at a time. Optional: a backend has it by having the methods."""

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        """Become the only writer for `ttl` seconds, or stay it for `ttl` seconds from now.

        `holder` says for people who it is. From the first call until :meth:`release_lease`, every
        :meth:`~Backend.apply` of this object is made only while the lease is still its own, which
        the store checks in the same transaction; otherwise it raises
        :class:`~jhub_kvproxy.errors.LeaseLost` and changes nothing. Raises
        :class:`~jhub_kvproxy.errors.LeaseHeld` when another object has it, in this process or another.
        """

    async def release_lease(self) -> None:
        """Let another writer have it at once. Harmless without one. :meth:`~Backend.close` does it too."""
