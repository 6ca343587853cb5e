"""A test of a writer that is stopped, as by SIGSTOP, at any moment of its writing."""

from __future__ import annotations

import asyncio
from typing import ClassVar, cast

import pytest

from ..errors import BackendUnavailable, LeaseHeld
from ..store.contract import Backend
from ._holder import KEYS, holder_of
from ._kit import Kit, Suite, asynchronous, batch_of, until
from ._lease import Lessee, lessees

_ROUNDS = 8


class StoppedTests(Suite):
    """What a stopped holder of the lease leaves to others."""

    #: Why a process that is stopped may keep others out of the store for longer than its lease; empty: it may not.
    stopped_holder_blocks: ClassVar[str] = ""
    shortest_lease: ClassVar[float]

    @asynchronous
    async def test_a_holder_that_is_stopped_keeps_nobody_out(self, kit: Kit) -> None:
        """And when it goes on, it learns that it has lost the lease, and changes nothing."""
        _, second = await lessees(kit)
        if self.stopped_holder_blocks:
            pytest.skip(self.stopped_holder_blocks)
        reader = kit.new(read_only=True)
        await reader.open()
        async with holder_of(kit.backend, self.shortest_lease) as holder:
            for turn in range(_ROUNDS):
                said = await holder.says("The lease must be free after release_lease(), also for another process.")
                assert said == "writes", "A backend must work in another process."
                await asyncio.sleep(0.007 * turn)
                await holder.stop()
                await reader.load()  # it waits for no lock
                await until(
                    lambda: _is_acquired(second),
                    "A holder that is stopped must keep nobody out for longer than its lease.",
                )
                keys = (*KEYS, "routes/second")
                await second.apply(batch_of(f"second {turn}", *keys))
                holder.go_on()
                said = await holder.says("A holder that goes on after another got the lease must be told.")
                assert said == "lost", "A holder that goes on after another got the lease must be told."
                await kit.holds(
                    dict.fromkeys(keys, f"second {turn}"),
                    "A holder that goes on after another got the lease must change nothing.",
                    cast(Backend, second),
                )
                await second.release_lease()


async def _is_acquired(backend: Lessee) -> bool:
    try:
        await backend.acquire_lease("second", 600)
    except (LeaseHeld, BackendUnavailable):
        return False
    return True
