"""A hub that brings a table back in several batches writes the sum of the whole, so that agents wait for all of it."""

from __future__ import annotations

import logging

from jhub_kvproxy import Batch
from jhub_kvproxy.routing.hub_options import HubOptions
from jhub_kvproxy.routing.records import RECORDS, SUM, Table, sum_of, sum_text
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
    assert keys.get(SUM) == (sum_text(sum_of(keys)) if options else None)
    return batches


async def test_each_batch_has_the_sum_of_the_whole(request) -> None:
    batches = await repaired(request.node.name, HubOptions().to_record())
    assert len(batches) > 2
    assert len({batch.changes[SUM] for batch in batches}) == 1


async def test_nobody_needs_it_without_agents(request) -> None:
    batches = await repaired(request.node.name, "")
    assert not any(SUM in batch.changes for batch in batches)
