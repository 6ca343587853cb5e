"""The driver whose mutants the kit catches passes the kit."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite
from tests.conformance.networked import NetworkedBackend, Store, Table, serving


class NetworkedSuite(BackendSuite, OutageSuite):
    backend_class = NetworkedBackend
    shortest_lease = 0.2
    time_limit = 0.5

    @pytest.fixture
    def address(self):
        self.store = Store()
        with serving(self.store) as port:
            yield "127.0.0.1", port

    @pytest.fixture
    def backend(self, address):
        return self.backend_class(port=address[1], prefix=f"hub-{uuid4().hex}")

    def through(self, host, port):
        return {"host": host, "port": port, "timeout": self.time_limit}

    async def forbid(self, backend):
        self.store.tables[backend.prefix].is_forbidden = True

    async def read_raw(self, backend):
        return self.store.tables.get(backend.prefix, Table()).keys


class TestNetworked(NetworkedSuite):
    pass
