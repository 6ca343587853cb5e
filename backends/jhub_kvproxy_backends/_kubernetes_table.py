"""The table in Kubernetes: one head, which is replaced by each commit, and bases that are never changed.

A commit replaces the head as we know it: Kubernetes refuses that if the head has another version by then. When the
journal is full, the whole table goes into new bases, which the next head names. The old ones are deleted afterwards.

A base that no head names, which a crash left behind, is deleted by whoever comes across it in a slot that it needs, but
only after it has written the head itself: whoever had made that base for a head of its own is refused then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, BatchRejected, in_thread

from ._kubernetes_api import KubernetesAPI
from ._kubernetes_errors import Absent, Conflict, NotKubernetes
from ._kubernetes_head import (
    JOURNAL_BYTES,
    NOTHING,
    Base,
    Head,
    base_body,
    body_of,
    head_in,
    keys_in_base,
    pack,
    pack_bases,
    table,
)
from ._kubernetes_names import SLOTS, slot_name


class Fence(Protocol):
    """Who may write."""

    def check(self, head: Head) -> str:
        """The fence of the next head; raises LeaseLost if another may write."""


class _Moved(Exception):
    """The head has changed since we read it."""


class KubernetesTable:
    """The table `name`."""

    def __init__(self, api: KubernetesAPI, name: str) -> None:
        self._api = api
        self._name = name
        self._turn = asyncio.Lock()
        #: As we know it; None before we have asked.
        self._head: Head | None = None
        #: The keys in these bases.
        self._bases: tuple[Base, ...] = ()
        self._base: Mapping[str, str] = {}
        #: Whether a head of ours may still replace the one that there is: one whose answer did not come.
        self._is_in_doubt = False

    async def head(self, deadline: float) -> Head:
        """The head as Kubernetes has it now."""
        return self._parsed(await self._api.get(self._name, deadline))

    async def load(self) -> dict[str, str]:
        deadline = self._api.deadline()
        async with self._in_turn(deadline):
            await self._settle(deadline)
            before = None
            while True:
                head = await self._read(deadline)
                try:
                    return await self._keys(head, deadline)
                except _Moved as moved:
                    if head == before:
                        raise self._damaged(str(moved)) from moved
                    before = head

    async def commit(self, changes: Mapping[str, str | None], fence: Fence) -> None:
        """Make all `changes`, or none."""
        deadline = self._api.deadline()
        packed = await in_thread(pack, changes)
        async with self._in_turn(deadline):
            await self._settle(deadline)
            head = self._head or await self._read(deadline)
            while True:
                after = head.with_commit(packed, fence.check(head))
                try:
                    if after.is_full:
                        await self._rebase(head, after, changes, deadline)
                    else:
                        await self._replace(after, deadline)
                    return
                except (Conflict, Absent, _Moved):
                    before, head = head, await self._read(deadline)
                    if after.is_full and head == before:
                        await self._check_bases(head, deadline)

    async def turn(self, deadline: float) -> int:
        """That of the fence in the head."""
        return (await self.head(deadline)).turn

    async def claim(self, fence: str, deadline: float) -> bool:
        """Write the head with this fence: from now on, no head is written that another made from an older one.

        False if the fence in the head is later than this one.
        """
        async with self._in_turn(deadline):
            return await self._claim(fence, deadline) is not None

    async def remove(self, deadline: float) -> None:
        async with self._in_turn(deadline):
            await self._settle(deadline)
            for name in (self._name, *(slot_name(self._name, slot) for slot in range(SLOTS))):
                with suppress(Absent):
                    await self._api.delete(name, deadline)
            self._head = None

    @asynccontextmanager
    async def _in_turn(self, deadline: float) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError as error:
            raise BackendUnavailable(f"An earlier call to Kubernetes at {self._api.url} still waits.") from error
        try:
            yield
        finally:
            self._turn.release()

    async def _read(self, deadline: float) -> Head:
        self._head = await self.head(deadline)
        return self._head

    async def _settle(self, deadline: float) -> None:
        """Make sure that no earlier head of ours is written from now on."""
        if self._is_in_doubt:
            await self._claim("", deadline)

    async def _claim(self, fence: str, deadline: float) -> Head | None:
        """Write the head as it is; with a `fence`, with that, unless the head has a later one: then return None."""
        while True:
            head = await self._read(deadline)
            after = replace(head, fence=fence or head.fence)
            if fence and head.turn >= after.turn:
                return None
            with suppress(Conflict, Absent):
                return await self._replace(after, deadline)

    async def _replace(self, head: Head, deadline: float) -> Head:
        """Write `head` over the version that it was made from. Raises Conflict or Absent if there is another now."""
        body = body_of(self._name, head)
        self._is_in_doubt = True
        try:
            if head.version:
                meta = await self._api.replace(body, deadline)
            else:
                meta = await self._api.create(body, deadline)
        except (Conflict, Absent, BackendRejected) as error:
            self._is_in_doubt = isinstance(error, NotKubernetes)
            raise
        self._is_in_doubt = False
        self._head = replace(head, uid=meta["uid"], version=meta["resourceVersion"])
        return self._head

    async def _keys(self, head: Head, deadline: float) -> dict[str, str]:
        """The table of `head`. Raises _Moved if one of its bases is gone."""
        if head.bases != self._bases:
            keys: dict[str, str] = {}
            for base in head.bases:
                name = slot_name(self._name, base.slot)
                found = await self._api.get(name, deadline)
                if found is None or found["metadata"]["uid"] != base.uid:
                    raise _Moved(f"the ConfigMap {name} is not there, or another")
                keys |= await self._decoded(name, keys_in_base, found)
            self._bases, self._base = head.bases, keys
        return await self._decoded(self._name, table, self._base, head)

    async def _rebase(self, head: Head, after: Head, changes: Mapping[str, str | None], deadline: float) -> None:
        """Write the head `after` with new bases. Raises Conflict, Absent or _Moved if `head` is no longer the head."""
        packed = after.journal[after.sequence]
        # A commit that stays in the journal is told to those who watch.
        stays = len(packed) * 2 < JOURNAL_BYTES
        keys = await self._keys(head if stays else after, deadline)
        packed_bases = await in_thread(pack_bases, keys)
        if len(packed_bases) > SLOTS // 2:
            raise BatchRejected(
                f"The table {self._name} would need {len(packed_bases)} ConfigMaps in Kubernetes, and may have "
                f"{SLOTS // 2}: it is too large for this store."
            )
        made: list[Base] = []
        left = list(head.bases)
        try:
            free = iter(sorted(set(range(SLOTS)) - {base.slot for base in head.bases}))
            for content in packed_bases:
                made.append(await self._make_base(content, free, left, deadline))
            journal = {after.sequence: packed} if stays else {}
            await self._replace(replace(after, bases=tuple(made), journal=journal), deadline)
        except (Conflict, Absent, BackendRejected):
            if not self._is_in_doubt:
                with suppress(BackendError):
                    await self._delete(made, deadline)
            raise
        self._bases, self._base = tuple(made), keys
        with suppress(BackendError):  # whoever comes across them deletes them
            await self._delete(left, deadline)

    async def _make_base(self, content: bytes, free: Iterable[int], left: list[Base], deadline: float) -> Base:
        """Make a base in one of the `free` slots. What was left behind in others is added to `left`."""
        for slot in free:
            name = slot_name(self._name, slot)
            body = await in_thread(base_body, name, content)
            try:
                meta = await self._api.create(body, deadline, again=True)
            except Conflict:
                if found := await self._api.metadata(name, deadline):
                    left.append(Base(slot, found["uid"]))
                continue
            return Base(slot, meta["uid"])
        # Each slot has something that was left behind, or is another's who writes at this moment.
        head = await self._claim("", deadline)
        await self._delete([base for base in left if head and base not in head.bases], deadline)
        raise _Moved("all slots were in use")

    async def _delete(self, bases: Iterable[Base], deadline: float) -> None:
        for base in bases:
            with suppress(Absent, Conflict):
                await self._api.delete(slot_name(self._name, base.slot), deadline, uid=base.uid)

    async def _check_bases(self, head: Head, deadline: float) -> None:
        """Raise BackendRejected if a base of `head` is gone, and `head` is still the head."""
        try:
            await self._keys(head, deadline)
        except _Moved as moved:
            if head == await self._read(deadline):
                raise self._damaged(str(moved)) from moved

    def _parsed(self, found: Mapping[str, Any] | None) -> Head:
        try:
            return head_in(found) if found else NOTHING
        except ValueError as error:
            raise self._damaged(f"the ConfigMap {self._name} cannot be read: {error}") from error

    async def _decoded(self, name: str, work: Any, *arguments: Any) -> dict[str, str]:
        try:
            found: dict[str, str] = await in_thread(work, *arguments)
            return found
        except ValueError as error:
            raise self._damaged(f"the ConfigMap {name} cannot be read: {error}") from error

    def _damaged(self, what: str) -> BackendRejected:
        return BackendRejected(
            f"The table {self._name} in Kubernetes is damaged: {what}. Find out who changed it; if it cannot be "
            f"restored, remove it, and the hub writes it anew: kubectl delete configmap {self._name} "
            f"--namespace {self._api.namespace}"
        )
