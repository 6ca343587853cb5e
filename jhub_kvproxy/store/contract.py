"""The contract between the core and a store. A driver is a subclass of :class:`Backend`."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable
from urllib.parse import quote

from traitlets import Bool, MetaHasTraits, Unicode
from traitlets.config import LoggingConfigurable

from ..errors import BackendRejected
from .batches import Limits, cut_anywhere

CONTRACT = 2
"""The version of this contract, which :attr:`Backend.contract` states. It rises only when a driver that fulfils the
previous version may fail with the new one."""

ACCEPTED = frozenset({1, CONTRACT})
"""The versions that a driver may state. A driver of version 1 knows nothing of :attr:`Backend.read_only`, and its watch
never says what has changed."""

Told = Mapping[str, str | None]
"""What a watch tells of: keys with their new values, or None for a key that is gone."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are applied together: each key with its new value, or None to delete the key.

    Keys are relative to :attr:`Backend.prefix`, without a leading slash. Traefik reads the keys below ``traefik/``, in
    the layout of its KV providers (Traefik docs, "Routing & Load Balancing: KV"). The core uses all others for itself.
    Keys and values are text, mostly ASCII.
    """

    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys below the prefix and their values, as they stood in the store at one moment."""

    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """Who has the lease: what people want to know of it."""

    #: What the writer said of itself in ``acquire_lease``.
    holder: str
    #: Since when this writer has it, in UTC, by the clock of whoever wrote it down; None: not known.
    since: datetime | None
    #: The `ttl` that this writer asked for last; None: not known.
    seconds: float | None


class _MetaBackend(MetaHasTraits, ABCMeta):
    """Allows abstract methods in a class with traits."""


class Backend(LoggingConfigurable, metaclass=_MetaBackend):
    """A store that keeps the routing table.

    Lifecycle: the core constructs the backend (which does no I/O), awaits :meth:`open`, calls :meth:`apply` and
    :meth:`load` one at a time, and awaits :meth:`close`. After `close` it may call `open` again. It may also do so
    without `close`, to have made again what others have removed.

    Errors: a driver raises only :class:`~jhub_kvproxy.errors.BackendError`:
    :class:`~jhub_kvproxy.errors.BackendUnavailable` if the same call may succeed later,
    :class:`~jhub_kvproxy.errors.BackendRejected` if it will not, and its subclass
    :class:`~jhub_kvproxy.errors.BatchRejected` if another batch may. It raises each ``from`` its cause. The text says
    where the error is and what to do, and contains no secret.

    Time: every call ends within a limit that the driver chooses. No call blocks the event loop, which it shares with
    JupyterHub, for 50 ms.
    """

    contract: ClassVar[int]
    """The version of the contract that the driver fulfils, as a number: ``contract = 2``.

    jhub-kvproxy refuses a driver that states a version which it does not know, or none.
    """

    max_txn_ops: int | None = None
    """The most keys that one :meth:`apply` may change; None: no limit. :meth:`open` may set it from the store's answer.

    The core cuts larger changes into several batches, between routes where it can.
    """

    max_txn_bytes: int | None = None
    """The most bytes of one :meth:`apply`: its keys (without prefix) and values together, in UTF-8; None: no limit."""

    prefix = Unicode(help="The part of the store that belongs to this hub; set from KVProxy.prefix.")

    read_only = Bool(False, help="Whether this object only reads, as beside a Traefik; set before open().")
    """If True, the driver needs no permission to write, changes nothing in the store, and waits for no writer's lock.

    :meth:`apply`, :meth:`remove` and ``acquire_lease`` then raise :class:`~jhub_kvproxy.errors.BackendRejected`, as
    :meth:`check_writable` does. If the store has to be made before it can be read, :meth:`open` and :meth:`load` raise
    :class:`~jhub_kvproxy.errors.BackendUnavailable` until a hub has made it: whoever reads waits for that.
    """

    def check_writable(self) -> None:
        """Raise BackendRejected if the object is :attr:`read_only`. Drivers call it before they write."""
        if self.read_only:
            raise BackendRejected(f"This {type(self).__name__} is for reading only (read_only), so it changes nothing.")

    @property
    def root(self) -> str:
        """:attr:`prefix`, quoted for use as one segment of a key or a path.

        Different prefixes have different roots. A root has no slash, no dot, and no character that is special in a glob
        pattern or a URL.
        """
        return quote(self.prefix, safe="").replace(".", "%2E")

    async def open(self) -> None:
        """Import client libraries, connect, and check permissions.

        A second call makes again what others have removed.
        """

    async def close(self) -> None:
        """Release what :meth:`open` took, and the lease. A call without `open`, or a second one, changes nothing.

        When the store cannot be told, it raises :class:`~jhub_kvproxy.errors.BackendUnavailable` or nothing, within the
        time limit, and has released all that is on this side: connections, tasks, threads, files. A watch that is open
        then raises :class:`~jhub_kvproxy.errors.BackendUnavailable`.
        """

    @abstractmethod
    async def apply(self, batch: Batch) -> None:
        """Make all changes of `batch`, or none.

        When it returns, the changes are durable, and every later :meth:`load` returns them. Applying the same batch
        again changes nothing. Deleting an absent key succeeds. Keys that are not in the batch stay as they are, whoever
        wrote them. When it raises :class:`~jhub_kvproxy.errors.BackendUnavailable`, or is cancelled, the changes may
        have been made or not: the core loads before it applies again. From then on it is decided: changes that
        :meth:`load` did not return are not made later, although they may be on their way to the store still.
        """

    @abstractmethod
    async def load(self) -> Snapshot:
        """Return the table as the store has it now, whoever wrote it; empty if the store has none.

        Raise an error if the table cannot be read (damaged, no permission, unreachable): never return an empty one
        then.
        """

    async def remove(self) -> None:
        """Remove the table and all that the driver made to keep it. Afterwards the core calls only :meth:`close`.

        The core calls it for a prefix that no hub uses, such as that of ``jhub-kvproxy check``. A driver that makes
        more than keys, such as files, removes that too.
        """
        self.check_writable()
        keys = (await self.load()).keys
        for part in cut_anywhere(dict.fromkeys(keys), Limits(self.max_txn_ops, self.max_txn_bytes)):
            await self.apply(Batch(part))


@runtime_checkable
class SupportsWatch(Protocol):
    """A backend that reports changes of its table. Optional: a backend that has the method supports it."""

    def watch(self) -> AsyncGenerator[Told | None]:
        """Yield once when the watch has begun, then after each change of the table, whoever made it.

        The first yield is None, and so is each one that does not say what has changed: then whoever wants to know
        loads, by the same object. Any other is all that has changed since the yield before: each key that has, with
        its value now, or with None if it is gone. It has whole
        commits: never a part of what one :meth:`~Backend.apply` has changed. One yield
        may stand for several commits in quick succession. The lease is not part of the table.

        The core may call other methods meanwhile. The watch ends by ``aclose()``, or raises
        :class:`~jhub_kvproxy.errors.BackendUnavailable` if it may have missed changes: the core then starts a new one.
        It notices within the time limit of a call when its connection is dead, also if nothing says so.
        """


@runtime_checkable
class SupportsLease(Protocol):
    """A backend that lets one writer at a time write. Optional: a backend that has both methods supports it."""

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        """Acquire the lease of the prefix, or renew it: for `ttl` seconds from now, this object is the only writer.

        `holder` describes this writer for people. From the first call until :meth:`release_lease`, each
        :meth:`~Backend.apply` of this object makes its changes only while the object has the lease, which the store
        checks in the same transaction. Otherwise `apply` raises :class:`~jhub_kvproxy.errors.LeaseLost` and changes
        nothing. `acquire_lease` raises :class:`~jhub_kvproxy.errors.LeaseHeld`, which says who and since when, and with
        which `ttl` if the driver knows it, if another object has the lease, in this process or another. After `ttl`
        seconds without a call it is free, also if the process that has it is stopped in the middle of a call, and goes
        on later.
        """

    async def release_lease(self) -> None:
        """Release the lease, so that another writer gets it at once. Without a lease, change nothing.

        A release that failed and reaches the store late does not end a lease that this object has acquired since.
        :meth:`~Backend.close` releases it too.
        """


@runtime_checkable
class SupportsLeaseReport(Protocol):
    """A backend that says who has the lease. Optional: a backend that has the method supports it."""

    async def read_lease(self) -> LeaseReport | None:
        """Who has the lease of the prefix; None: nobody.

        It asks for no lease and changes nothing, also without :attr:`~Backend.read_only`. An object that has read the
        lease may write as before. An object that is asked again and again reports a lease that ran out no longer than
        until :meth:`acquire_lease <SupportsLease.acquire_lease>` of another object would succeed that has tried all the
        time. A new object may report it for longer, but not for ever.
        """


@runtime_checkable
class SupportsTraefik(Protocol):
    """A backend whose store Traefik can read by itself, with ``KVProxy.delivery = "store"``.

    Optional: a backend that has all four members supports it. Traefik reads the keys below ``traefik/``.
    """

    provider: str
    """Name of the Traefik provider that reads this store, such as ``file`` or ``etcd``.

    Traefik's API appends it to the names of what it read there, such as ``name@etcd``.
    """

    lists_at_once: bool
    """Whether Traefik reads all keys of this store as they stood at one moment.

    If not, Traefik may serve only a part of a commit, so the core confirms each commit by another.
    """

    def traefik_provider_config(self) -> dict[str, Any]:
        """Return the section ``providers`` of Traefik's static configuration, without secrets."""

    def traefik_provider_secrets(self) -> dict[str, Any]:
        """Return the secrets to merge over :meth:`traefik_provider_config`. They get into no file and no argument."""


def supports(backend: type[Backend], power: type) -> bool:
    """Whether objects of the class `backend` have all members of `power`, such as :class:`SupportsTraefik`.

    issubclass() knows no protocol with members that are no methods.
    """
    members = {name for name in {*vars(power), *power.__annotations__} if not name.startswith("_")}
    return all(hasattr(backend, name) for name in members)
