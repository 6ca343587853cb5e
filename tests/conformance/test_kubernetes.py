"""The driver for Kubernetes is what the contract says, on a real API server, with the documented Role and no more."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite
from jhub_kvproxy_backends._kubernetes_head import NOTHING, head_in, keys_in_base, table
from jhub_kvproxy_backends._kubernetes_names import name_of, slot_name
from tests.kubernetes import Account, GrantedBackend


class KubernetesSuite(BackendSuite, OutageSuite):
    @pytest.fixture
    def server(self, kubernetes):
        return kubernetes

    @pytest.fixture
    def backend(self, server, monkeypatch):
        self.account = Account(server)
        monkeypatch.setattr(GrantedBackend, "account", self.account)
        return GrantedBackend(**self.account.traits, prefix=f"hub-{uuid4().hex[:8]}")

    async def forbid(self, backend):
        self.account.forbid()

    @pytest.fixture
    def address(self, server):
        return "127.0.0.1", server.port

    def through(self, host, port):
        return {"api_url": f"https://{host}:{port}", "timeout": self.time_limit}

    async def read_raw(self, backend):
        objects = self.account.server.objects(self.account.namespace)
        name = name_of(backend.prefix)
        head = head_in(objects[name]) if name in objects else NOTHING
        keys = {}
        for base in head.bases:
            keys |= keys_in_base(objects[slot_name(name, base.slot)])
        return table(keys, head)


class TestKubernetes(KubernetesSuite):
    pass
