"""The backend in memory, under the kit."""

from uuid import uuid4

import pytest

from jhub_kvproxy.errors import KVProxyError
from jhub_kvproxy.testing import BackendSuite, MemoryBackend, TraefikSuite
from jhub_kvproxy.traefik_routers.provider import store_provider


class TestMemory(BackendSuite, TraefikSuite):
    stopped_holder_blocks = "The table is in the memory of one process."

    @pytest.fixture
    def backend(self):
        return MemoryBackend(name=uuid4().hex, prefix="hub")

    async def read_raw(self, backend):
        return backend.tables[backend.name, backend.prefix].keys


def test_traefik_cannot_read_it():
    with pytest.raises(KVProxyError, match=r'set KVProxy\.delivery to "push"'):
        store_provider(MemoryBackend(prefix="hub"))
