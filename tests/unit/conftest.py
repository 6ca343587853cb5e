"""Hubs without Traefik, for each way in which Traefik would get the table, and trees that are soon deep."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from uuid import uuid4

import pytest
from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.testing import MemoryBackend
from jhub_kvproxy.traefik_routers import tree
from tests.hubs_in_memory import PREFIX, Store


@pytest.fixture(params=["push", "store"])
async def hubs(request):
    """Makes hubs on one store, and sees to it that they leave no task behind."""
    name, made = uuid4().hex, []

    def new(**traits):
        config = Config(
            {"KVProxy": {"backend_class": Store, "delivery": request.param, **traits}, "MemoryBackend": {"name": name}}
        )
        hub = KVProxy(config=config)
        made.append(hub)
        return hub

    yield SimpleNamespace(new=new, table=MemoryBackend(name=name, prefix=PREFIX)._table, name=name)
    for hub in made:
        await hub.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture(scope="module")
def small_nodes():
    """Nodes that a few routes suffice for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "SPLIT", 2)
        patch.setattr(tree, "GROUP", 2)
        yield
