"""How long the lease of another hub lasts, which a hub that must wait for it has to know."""

from __future__ import annotations

import pytest

from jhub_kvproxy import LeaseHeld
from jhub_kvproxy.store.registry import find_backend
from tests.stores import on_every_store


@pytest.mark.parametrize("ttl", [30, 600])
@on_every_store
async def test_our_drivers_say_how_long_the_lease_of_another_lasts(store, ttl):
    first, second = (find_backend(store.name)(config=store.config, prefix=store.prefix) for _ in range(2))
    try:
        await first.open()
        await second.open()
        await first.acquire_lease("the first", 60)
        await first.acquire_lease("the first", ttl)
        with pytest.raises(LeaseHeld) as held:
            await second.acquire_lease("the second", 10)
        assert held.value.seconds == ttl
    finally:
        await second.close()
        await first.close()
