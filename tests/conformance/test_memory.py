"""The backend in memory, under the kit."""

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, MemoryBackend


class TestMemory(BackendSuite):
    @pytest.fixture
    def backend(self):
        return MemoryBackend(name=uuid4().hex, prefix="hub")

    async def read_raw(self, backend):
        return backend.tables[backend.name, backend.prefix].keys
