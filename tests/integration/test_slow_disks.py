"""The files of the default store on a disk that is slow, as NFS may be. All times are a tenth of the default ones."""

from __future__ import annotations

import os
import time

import pytest

from jhub_kvproxy import BackendUnavailable
from jhub_kvproxy_backends.toml import TomlBackend
from tests.stores import Store

DELAY, LEASE = 0.3, 1
#: The driver adds a second, so a call may take 1.1 s, and with the default 11 s.
TIMEOUT = 0.1


class SlowDisk:
    """Takes :attr:`delay` seconds longer for each call of the driver, or for each sync."""

    delay = 0.0

    def __init__(self, monkeypatch, slow):
        if slow == "call":
            monkeypatch.setattr(TomlBackend, "_in_thread", self._slowed(TomlBackend._in_thread))
        else:
            monkeypatch.setattr(os, "fsync", self._synced(os.fsync))

    def _slowed(self, in_thread):
        async def slowed(backend, thread, work):
            def slow_work():
                time.sleep(self.delay)
                return work()

            return await in_thread(backend, thread, slow_work)

        return slowed

    def _synced(self, fsync):
        def synced(fd):
            time.sleep(self.delay)
            fsync(fd)

        return synced


@pytest.mark.parametrize(("slow", "delivery"), [("call", "push"), ("call", "store"), ("sync", "push")])
async def test_routes_change_on_a_disk_that_takes_3_seconds(slow, delivery, site, tmp_path, monkeypatch, caplog):
    """A change syncs a file and its directory."""
    disk = SlowDisk(monkeypatch, slow)
    site.store = Store("toml", {"path": str(tmp_path / "table"), "timeout": TIMEOUT})
    proxy = await site.started(delivery=delivery, lease_seconds=LEASE)
    url = await site.server("a")
    disk.delay = DELAY
    for number in range(5):
        await proxy.add_route(f"/user/{number}/", url, {})
    assert await site.client.server("/user/4/") == "a"
    assert (await proxy.get_all_routes()).keys() == {f"/user/{number}/" for number in range(5)}
    await proxy.delete_route("/user/4/")
    assert await site.client.server("/user/4/") is None
    assert "of KVProxy.lease_seconds" in caplog.text
    disk.delay = 0


async def test_a_hub_starts_on_a_disk_that_takes_3_seconds(site, tmp_path, monkeypatch):
    disk = SlowDisk(monkeypatch, "call")
    disk.delay = DELAY
    site.store = Store("toml", {"path": str(tmp_path / "table"), "timeout": TIMEOUT})
    proxy = await site.started(delivery="push", lease_seconds=LEASE)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"
    disk.delay = 0


async def test_a_disk_that_is_too_slow_is_named(site, tmp_path, monkeypatch):
    disk = SlowDisk(monkeypatch, "call")
    site.store = Store("toml", {"path": str(tmp_path / "table"), "timeout": TIMEOUT})
    proxy = site.proxy(delivery="push", ready_timeout=3)
    await proxy.get_all_routes()
    disk.delay = 1.5
    with pytest.raises(BackendUnavailable, match=r"is its disk healthy\? If it is slow, raise TomlBackend\.timeout"):
        await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
    disk.delay = 0
