"""The etcd driver is what the contract says, on a real etcd."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, TraefikSuite
from jhub_kvproxy_backends.etcd import EtcdBackend


class TestEtcd(BackendSuite, TraefikSuite):
    @pytest.fixture
    def backend(self, etcd):
        self.etcd = etcd
        return EtcdBackend(urls=[etcd.url], prefix=f"hub-{uuid4().hex}")

    async def read_raw(self, backend):
        below = f"{backend.root}/"
        keys = {key.decode().removeprefix(below): value.decode() for key, value in self.etcd.read(below).items()}
        return {key: value for key, value in keys.items() if key not in ("lease", "barrier")}
