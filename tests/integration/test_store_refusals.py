"""A store that answers, and refuses: what adding a route then says, and that it works again afterwards.

What each driver says in each case, its own tests tell; here it is what an admin finds in the hub's log.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable
from servers.certificates import Authority
from servers.consul import ConsulServer
from servers.errors import Refused
from servers.etcd import EtcdServer
from servers.redis import RedisServer
from tests.stores import Store

TARGET = "http://127.0.0.1:1"
PASSWORD = "a-password-of-the-tests"


@contextmanager
def full_etcd(directory):
    with EtcdServer(directory, "--quota-backend-bytes=2000000") as server:

        def refuse():
            with pytest.raises(Refused, match="space exceeded"):
                server.fill()

        yield {"urls": [server.url]}, refuse, lambda: server.make_room()


@contextmanager
def forbidding_etcd(directory):
    with EtcdServer(directory) as server:
        server.add_user("hub", PASSWORD, "hub/")
        server.enable_auth(PASSWORD)

        def ask(what):
            server.ask(
                f"/v3/auth/user/{what}", {"user": "hub", "name": "hub", "role": "hub"}, token=server._root_token()
            )

        yield (
            {"urls": [server.url], "username": "hub", "password": PASSWORD},
            lambda: ask("revoke"),
            lambda: ask("grant"),
        )


@contextmanager
def forbidding_consul(directory):
    rules = 'key_prefix "hub/" {{ policy = "{}" }} session_prefix "" {{ policy = "write" }}'
    with ConsulServer(directory, acl=True) as server:
        token = server.token(rules.format("write"))
        yield (
            {"url": server.url, "token": token},
            lambda: server.change_rules(token, rules.format("read")),
            lambda: server.change_rules(token, rules.format("write")),
        )


@contextmanager
def read_only_redis(directory):
    with RedisServer(directory) as server:
        client = server.client()
        yield {"url": server.url}, lambda: client.replicaof("127.0.0.1", 1), lambda: client.replicaof("no", "one")
        client.close()


@contextmanager
def redis_without_memory(directory):
    with RedisServer(directory) as server:
        client = server.client()
        yield (
            {"url": server.url},
            lambda: client.config_set("maxmemory", 1),
            lambda: client.config_set("maxmemory", 0),
        )
        client.close()


REFUSALS = {
    "etcd-full": (full_etcd, BackendUnavailable, "is full and takes no changes.*etcdctl alarm disarm"),
    "etcd-forbids": (forbidding_etcd, BackendRejected, "does not let the user 'hub' use the keys below hub/"),
    "consul-forbids": (forbidding_consul, BackendRejected, "denies us a permission that we need"),
    "redis-read-only": (read_only_redis, BackendUnavailable, "is a read-only replica"),
    "redis-full": (redis_without_memory, BackendUnavailable, "maxmemory"),
}


@pytest.fixture(params=REFUSALS)
def refusal(request, tmp_path):
    server, kind, words = REFUSALS[request.param]
    with server(tmp_path / "server") as (traits, refuse, relent):
        store = Store(request.param.partition("-")[0], {**traits, "timeout": 0.5}, "hub")
        yield store, refuse, relent, kind, words


@pytest.fixture
def store(refusal):
    return refusal[0]


async def test_a_store_that_refuses_changes_says_why_and_changes_again_when_it_may(site, refusal):
    _, refuse, relent, kind, words = refusal
    proxy = site.proxy(ready_timeout=2)
    await proxy.add_route("/user/a/", TARGET, {"n": 1})
    refuse()
    for call in (proxy.add_route("/user/a/", TARGET, {"n": 2}), proxy.add_route("/user/b/", TARGET, {})):
        with pytest.raises(BackendError, match=words) as error:
            await call
        assert isinstance(error.value, kind)
    relent()
    proxy.control.changes.timeout = 60
    await proxy.add_route("/user/c/", TARGET, {})
    routes = await proxy.get_all_routes()
    assert routes.keys() == {"/user/a/", "/user/c/"}
    assert routes["/user/a/"]["data"] == {"n": 1}


class TestExpired:
    @pytest.fixture
    def store(self, tmp_path):
        authority = Authority(tmp_path / "authority")
        good, expired = authority.issue("good"), authority.issue("expired", days=-0.5)
        with EtcdServer(tmp_path / "server", certificate=good, ca_file=authority.ca_file) as server:
            # etcd reads them for each connection.
            for new, old in zip(expired, good, strict=True):
                with open(new) as file:
                    content = file.read()
                with open(old, "w") as file:
                    file.write(content)
            yield Store("etcd", {"urls": [server.url], "ca_file": authority.ca_file})

    async def test_a_store_whose_certificate_has_expired_is_not_waited_for(self, site):
        with pytest.raises(BackendRejected, match="certificate has expired"):
            await site.proxy(store_timeout=3600).get_all_routes()
