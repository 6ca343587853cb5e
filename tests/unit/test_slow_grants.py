"""How long a lease a hub asks for, by how long the store takes to grant it."""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendUnavailable
from jhub_kvproxy.store.lease import Lease
from jhub_kvproxy.testing import MemoryBackend

LOG = logging.getLogger(__name__)


class Store(MemoryBackend):
    """Takes the first of the seconds in `takes` to grant a lease, then the next; in the end, none. None: it fails."""

    def __init__(self, *takes):
        super().__init__(prefix=uuid4().hex)
        self.takes, self.asked = list(takes), []

    async def acquire_lease(self, holder, ttl):
        self.asked.append(ttl)
        takes = self.takes.pop(0) if self.takes else 0
        if takes is None:
            raise BackendUnavailable("The store is away.")
        await asyncio.sleep(takes)
        await super().acquire_lease(holder, ttl)


async def renewed(lease):
    """Hold it until it has been renewed once."""
    await asyncio.sleep(lease.interval)
    await lease.hold()


@pytest.mark.parametrize(("takes", "longer"), [(0.2, 2), (0.45, 4), (0.9, 8)])
async def test_a_store_that_is_slow_once_grants_no_longer_lease(caplog, takes, longer):
    """Whoever has to wait for the lease of a hub that was killed would wait longer."""
    store = Store(takes)
    lease = Lease(store, 1, LOG)
    await lease.hold()
    await renewed(lease)
    assert store.asked[:3] == [1, longer, 1]
    assert set(store.asked[3:]) <= {1}
    assert lease.is_held
    assert "asks for" not in caplog.text


async def test_a_store_that_is_slow_twice_grants_a_longer_lease(caplog):
    store = Store(0.2, 0.2)
    lease = Lease(store, 1, LOG)
    await lease.hold()
    await renewed(lease)
    assert store.asked == [1, 2]
    assert "so this hub asks for 2 s instead of the 1 s of KVProxy.lease_seconds" in caplog.text
    await renewed(lease)
    assert store.asked == [1, 2, 2, 1], "the store is fast again"


async def test_a_lease_of_which_too_little_is_left_is_renewed_at_once():
    """A change that comes then finds it fresh."""
    store = Store(0.6, 0.6)
    lease = Lease(store, 1, LOG)
    await lease.hold()
    assert store.asked == [1, 4]
    assert await lease.hold()
    assert store.asked == [1, 4]


async def test_no_lease_is_longer_than_8_times_what_was_set():
    store = Store(0.9, 2, 3, 0)
    lease = Lease(store, 1, LOG)
    await lease.hold()
    assert store.asked == [1, 8]
    await renewed(lease)
    assert max(store.asked) == 8


async def test_a_grant_that_takes_longer_than_it_lasts_is_none():
    lease = Lease(Store(1.1), 1, LOG)
    with pytest.raises(BackendUnavailable, match=r"which lasts 1 s; set KVProxy\.lease_seconds to [56] or more"):
        await lease.hold()
    assert not lease.is_held


async def test_that_the_lease_was_not_held_for_a_while_is_told_also_after_a_failure():
    lease = Lease(Store(0.6, None), 1, LOG)
    with pytest.raises(BackendUnavailable):
        await lease.hold()
    assert not await lease.hold()
    assert await lease.hold()
