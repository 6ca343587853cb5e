"""Consul fulfils the contract."""

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, TraefikSuite
from jhub_kvproxy_backends.consul import ConsulBackend


class TestConsul(BackendSuite, TraefikSuite):
    @pytest.fixture
    def backend(self, consul):
        self.consul = consul
        return ConsulBackend(url=consul.url, prefix=f"hub-{uuid4().hex}")

    async def read_raw(self, backend):
        below = f"{backend.root}/"
        keys = {key.removeprefix(below): value.decode() for key, value in self.consul.read(below).items()}
        return {key: value for key, value in keys.items() if key not in ("lease", "recent")}
