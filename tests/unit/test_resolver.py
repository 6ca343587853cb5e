"""Names and their addresses, as the system resolves them, with name servers that do not answer."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import resolver
from jhub_kvproxy.traefik.ports import check_free, free_port


async def test_an_address_and_a_name():
    assert await resolver.lookup("127.0.0.1") == ["127.0.0.1"]
    assert "127.0.0.1" in await resolver.lookup("localhost")


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 64 + ".test", "", "a\0b", "\udcff.test"])
async def test_no_name(name):
    with pytest.raises(OSError, match=r".+"):
        await resolver.lookup(name)


async def test_a_name_server_that_does_not_answer_is_not_waited_for(silent_names, monkeypatch):
    monkeypatch.setattr(resolver, "_PATIENCE", 0.1)
    with pytest.raises(OSError, match=r"no name server tells the address of traefik\.test within 0\.1 s"):
        await resolver.lookup("traefik.test")


async def test_names_that_hang_keep_no_other_thread_waiting(silent_names):
    lookups = [asyncio.create_task(resolver.lookup("traefik.test")) for _ in range(100)]
    await asyncio.sleep(0)
    assert await asyncio.to_thread(lambda: "done") == "done"
    for lookup in lookups:
        lookup.cancel()
    await asyncio.wait(lookups)


async def test_names_that_hang_keep_no_address_waiting(silent_names):
    """Otherwise a Traefik that has ended is not started again before the name server is back."""
    lookups = [asyncio.create_task(resolver.lookup("traefik.test")) for _ in range(100)]
    await asyncio.sleep(0)
    for host in ("127.0.0.1", "::1", ""):
        await check_free(host, free_port())
    assert await resolver.lookup("127.0.0.1") == ["127.0.0.1"]
    for lookup in lookups:
        lookup.cancel()
    await asyncio.wait(lookups)


async def test_where_to_listen():
    found = await resolver.listening_addresses("127.0.0.1", 8000)
    assert [address for *_, address in found] == [("127.0.0.1", 8000)]
    everywhere = await resolver.listening_addresses("", 8000)
    assert ("0.0.0.0", 8000) in [address for *_, address in everywhere]
