"""Redis, under the kit."""

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite, TraefikSuite
from jhub_kvproxy_backends.redis import RedisBackend


class TestRedis(BackendSuite, OutageSuite, TraefikSuite):
    @pytest.fixture
    def backend(self, redis_server):
        name = f"hub-{uuid4().hex}"
        with redis_server.client() as self._client:
            self._client.acl_setuser(name, enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"])
            yield RedisBackend(url=redis_server.url, prefix=name, username=name, password="x", timeout=60)
            self._client.acl_deluser(name)

    async def forbid(self, backend):
        self._client.acl_setuser(backend.username, categories=["-@all", "+@connection"])

    @pytest.fixture
    def address(self, redis_server):
        return "127.0.0.1", redis_server.port

    def through(self, host, port):
        return {"url": f"redis://{host}:{port}", "timeout": self.time_limit}

    async def read_raw(self, backend):
        root = backend.root
        rest = self._client.hgetall(f"{root}/table").items()
        names = list(self._client.scan_iter(match=f"{root}/traefik/*", count=1000))
        strings = zip(names, self._client.mget(names) if names else [], strict=True)
        return {key: value for key, value in rest if not key.startswith(("traefik/", "/"))} | {
            name.removeprefix(f"{root}/"): value for name, value in strings
        }
