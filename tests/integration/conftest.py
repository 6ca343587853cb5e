"""A KVProxy with a real Traefik, for each test its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.site import Site
from tests.stores import Store


@pytest.fixture
async def site(tmp_path: Path, store: Store) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(tmp_path, store, stack)
        yield site
        await site.client.close()
