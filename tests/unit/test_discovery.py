"""Replicas that a name stands for, while names and whoever hears of them fail."""

from __future__ import annotations

import logging

import pytest

from jhub_kvproxy.traefik import discovery
from jhub_kvproxy.traefik.api import TraefikAPI
from jhub_kvproxy.traefik.discovery import Discovery
from tests.hub import until

LOG = logging.getLogger("discovery")


@pytest.fixture
def addresses(monkeypatch):
    """Fake: what each name has, because this machine has no DNS to write to."""
    found = ["10.0.0.1", "10.0.0.2"]

    async def lookup(_):
        return list(found)

    monkeypatch.setattr(discovery, "lookup", lookup)
    monkeypatch.setattr(discovery, "_INTERVAL", 0.01)
    return found


async def test_a_change_that_cannot_be_taken_in_is_logged_and_told_again(addresses, caplog):
    heard = []

    def changed(apis):
        heard.append([api.name for api in apis])
        if len(heard) == 1:
            raise RuntimeError("a fault of ours")

    places = Discovery(["http://traefik.test:8099"], TraefikAPI, LOG)
    places.follow(changed, await places.find())
    try:
        addresses.append("10.0.0.3")
        await until(lambda: len(heard) == 2, "it follows no more")
        assert heard[0] == heard[1]
        assert "a fault of ours" in caplog.text
    finally:
        await places.close()


async def test_a_name_that_cannot_be_one_is_a_replica_that_is_not_found():
    url = f"http://{'a' * 64}.test:8099"
    assert [api.name for api in await Discovery([url], TraefikAPI, LOG).find()] == [url]
