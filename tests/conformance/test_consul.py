"""Consul fulfils the contract."""

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite, TraefikSuite
from jhub_kvproxy_backends.consul import ConsulBackend


class TestConsul(BackendSuite, OutageSuite, TraefikSuite):
    @pytest.fixture
    def backend(self, consul):
        self.consul = consul
        return ConsulBackend(url=consul.url, prefix=f"hub-{uuid4().hex}")

    @pytest.fixture
    def address(self, consul):
        return "127.0.0.1", consul.port

    def through(self, host, port):
        return {"url": f"http://{host}:{port}", "timeout": self.time_limit}

    async def read_raw(self, backend):
        below = f"{backend.root}/"
        keys = {key.removeprefix(below): value.decode() for key, value in self.consul.read(below).items()}
        return {key: value for key, value in keys.items() if key not in ("lease", "barrier", "recent")}
