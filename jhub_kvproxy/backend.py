"""The contract between the core and a store. A driver is a subclass of :class:`Backend`."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from traitlets import MetaHasTraits, Unicode
from traitlets.config import LoggingConfigurable


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
    :class:`~jhub_kvproxy.errors.BackendRejected` when it will not, each raised ``from`` its cause,
    with a text that names the place and what to do, and no secret.

    Time: every call ends within a limit of the driver's choice, and nothing in it blocks the event
    loop, which JupyterHub shares, for 50 ms.
    """

    provider: ClassVar[str]
    """Suffix of the names that Traefik's API gives to what it read from this store: ``file``, ``etcd``."""

    max_txn_ops: ClassVar[int | None] = None
    """How many keys one :meth:`apply` may change; None: no limit. The core cuts larger changes between routes."""

    prefix = Unicode(help="Below which keys this hub's table lives; set from KVProxy.prefix.")

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

    @abstractmethod
    def traefik_provider_config(self) -> dict[str, Any]:
        """What to put under ``providers`` in Traefik's static configuration, without secrets."""

    def traefik_env(self) -> dict[str, str]:
        """Environment variables for Traefik, for what must not stand in a file or an argument."""
        return {}
