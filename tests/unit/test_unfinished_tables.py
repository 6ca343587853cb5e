"""A hub that brings a table back in several batches says so to its agents."""

from __future__ import annotations

import logging

from jhub_kvproxy import Batch
from jhub_kvproxy.routing.hub_options import HubOptions
from jhub_kvproxy.routing.records import RECORDS, UNFINISHED, Table
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.store.lease import Lease
from jhub_kvproxy.store.reconciler import Reconciler
from tests.hubs_in_memory import PREFIX, Store


async def repaired(name: str, options: str) -> list[Batch]:
    """The batches that bring back an emptied table of 20 routes, where a batch may have 8 keys."""
    backend = Store(name=name, prefix=PREFIX)
    backend.max_txn_ops = 8
    log = logging.getLogger("hub")
    stored = Reconciler(Table((), options), backend, Lease(backend, 10, log), log)
    await stored.check()
    await stored.put({r.name: r for r in (Route(f"/user/{n}/", "http://127.0.0.1:1", {}) for n in range(20))}, False)
    await backend.apply(Batch(dict.fromkeys((await backend.load()).keys)))
    batches, apply = [], backend.apply

    async def noted(batch: Batch) -> None:
        batches.append(batch)
        await apply(batch)

    backend.apply = noted
    await stored.check()
    keys = (await backend.load()).keys
    assert sum(key.startswith(RECORDS) for key in keys) == 20
    assert UNFINISHED not in keys
    return batches


async def test_it_is_unfinished_from_the_first_batch_to_the_last(request) -> None:
    batches = await repaired(request.node.name, HubOptions().to_record())
    assert batches[0].changes[UNFINISHED] == "1"
    assert batches[-1].changes[UNFINISHED] is None
    assert len(batches) > 4


async def test_nobody_needs_it_without_agents(request) -> None:
    batches = await repaired(request.node.name, "")
    assert not any(UNFINISHED in batch.changes for batch in batches)
