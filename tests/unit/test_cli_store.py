"""What ``jhub-kvproxy check`` writes into a store: what the hub would write there."""

from __future__ import annotations

from uuid import uuid4

import pytest
from traitlets.config import Config

from jhub_kvproxy.cli.report import Report
from jhub_kvproxy.cli.secrets import Secrets
from jhub_kvproxy.cli.store import try_store
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.routing.records import TRAEFIK
from tests.hubs_in_memory import ReadableBackend


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_it_writes_what_traefik_reads_only_where_traefik_reads_the_store(delivery):
    written = set()

    class Recording(ReadableBackend):
        async def apply(self, batch):
            written.update(batch.changes)
            await super().apply(batch)

    traits = {"backend_class": Recording, "delivery": delivery}
    proxy = KVProxy(config=Config({"KVProxy": traits, "MemoryBackend": {"name": uuid4().hex}}))
    report = Report(print, Secrets(), debug=False)
    await try_store(proxy, None, report)
    assert report.is_ok
    assert "routes/p.check" in written
    assert any(key.startswith(TRAEFIK) for key in written) == (delivery == "store")
