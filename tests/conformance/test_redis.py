"""Redis, under the kit."""

from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, TraefikSuite
from jhub_kvproxy_backends.redis import RedisBackend


class TestRedis(BackendSuite, TraefikSuite):
    @pytest.fixture
    def backend(self, redis_server):
        return RedisBackend(url=redis_server.url, prefix=f"hub-{uuid4().hex}")

    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self._client = redis_server.client()
        yield
        self._client.close()

    async def read_raw(self, backend):
        root = backend.root
        rest = self._client.hgetall(f"{root}/table").items()
        names = list(self._client.scan_iter(match=f"{root}/traefik/*", count=1000))
        strings = zip(names, self._client.mget(names) if names else [], strict=True)
        return {key: value for key, value in rest if not key.startswith(("traefik/", "/"))} | {
            name.removeprefix(f"{root}/"): value for name, value in strings
        }
