"""The etcd driver is what the contract says, on a real etcd."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite, TraefikSuite
from jhub_kvproxy_backends.etcd import EtcdBackend


class TestEtcd(BackendSuite, OutageSuite, TraefikSuite):
    @pytest.fixture
    def backend(self, etcd):
        self.etcd = etcd
        return EtcdBackend(urls=[etcd.url], prefix=f"hub-{uuid4().hex}")

    @pytest.fixture
    def address(self, etcd):
        return "127.0.0.1", etcd.port

    def through(self, host, port):
        return {"urls": [f"http://{host}:{port}"], "timeout": self.time_limit}

    async def read_raw(self, backend):
        below = f"{backend.root}/"
        keys = {key.decode().removeprefix(below): value.decode() for key, value in self.etcd.read(below).items()}
        return {key: value for key, value in keys.items() if key not in ("lease", "barrier")}
