"""What the users that the pages about the stores set up may do, as shown there: what they need, and no more.

That they may do what they need is tested with those pages (``test_etcd_howto``, ``test_consul_access``,
``test_redis_access``), with Traefiks that they let in.
"""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from contextlib import aclosing
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from jhub_kvproxy import BackendError, Batch
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy_backends.consul import ConsulBackend
from jhub_kvproxy_backends.etcd import EtcdBackend
from jhub_kvproxy_backends.redis import RedisBackend
from servers.consul import ConsulServer
from servers.errors import Refused
from servers.etcd import EtcdServer, encode, end_of
from servers.redis import RedisServer
from tests.etcdctl import etcdctl
from tests.pages import HOW_TO, texts
from tests.site import writer_for

PASSWORD = "pass-word"
#: Keys that are not Traefik's to see: the hub's own, those of another hub, and of others.
NOT_TRAEFIKS = [
    "jupyterhub/routes/p",
    "jupyterhub/lease",
    "jupyterhub/",
    "jupyterhub2/traefik/a",
    "other/traefik/a",
    "a",
]
NOT_THE_HUBS = [
    "jupyterhub2/routes/p",
    "jupyterhub2/traefik/a",
    "jupyterhub2/lease",
    "other/traefik/a",
    "jupyterhub",
    "a",
]


async def use_all(backend):
    """All that a hub does with its store."""
    writer = writer_for(backend)
    await backend.open()
    await backend.acquire_lease("hub", 60)
    await writer.put(Route("/user/a/", "http://127.0.0.1:1", {}), 60)
    watch = backend.watch()
    await anext(watch)
    await writer.put(Route("/user/a/", "http://127.0.0.1:2", {}), 60)
    await anext(watch)
    await watch.aclose()
    await backend.acquire_lease("hub", 60)
    assert (await backend.load()).keys


async def follow(backend, reader):
    """All that an agent does with the store, where `backend` writes; and what it may not do."""
    await reader.open()
    async with asyncio.timeout(60), aclosing(reader.watch()) as watch:
        assert await anext(watch) is None
        await backend.apply(Batch({"routes/read": "1"}))
        assert await anext(watch) == {"routes/read": "1"}
    assert (await reader.load()).keys == (await backend.load()).keys
    report = await reader.read_lease()  # which `jhub-kvproxy status` does
    assert report.holder == "hub"
    await reader.close()


# etcd


class EtcdUser:
    """What etcd lets a user do, asked without our driver."""

    def __init__(self, server, name):
        self._server = server
        self._token = server.ask("/v3/auth/authenticate", {"name": name, "password": PASSWORD})["token"]

    def may(self, path, message):
        try:
            self._server.ask(path, message, token=self._token)
        except Refused as refusal:
            if "permission denied" not in str(refusal):
                raise
            return False
        return True

    def may_read(self, start):
        one, all_below = {"key": encode(start)}, {"key": encode(start), "range_end": encode(end_of(start))}
        watch = {"create_request": all_below}
        answers = {self.may("/v3/kv/range", one), self.may("/v3/kv/range", all_below), self._may_watch(watch)}
        assert len(answers) == 1, f"{start}: {answers}"
        return answers.pop()

    def may_write(self, key):
        put, delete = {"key": encode(key), "value": encode("x")}, {"key": encode(key)}
        txn = {"success": [{"request_put": put}]}
        below = {"key": encode(key), "range_end": encode(end_of(key))}
        questions = {"put": put, "deleterange": delete, "txn": txn}
        answers = {self.may(f"/v3/kv/{name}", message) for name, message in questions.items()}
        answers.add(self.may("/v3/kv/deleterange", below))
        assert len(answers) == 1, f"{key}: {answers}"
        return answers.pop()

    def _may_watch(self, message):
        headers = {"Authorization": self._token}
        body = json.dumps(message).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self._server.url}/v3/watch", body, headers)) as answer:
            said = json.loads(answer.readline())["result"]
        return not said.get("canceled", False)


@pytest.fixture
def etcd_of_the_page(tmp_path):
    """An etcd with the users that the page makes, by its own commands, and what another hub keeps there."""
    user, enable, traefik, agent, *_ = texts(HOW_TO / "etcd.md", "console")
    with EtcdServer(tmp_path / "etcd") as server:
        for block in (user, enable, traefik, agent):
            etcdctl(server, block, PASSWORD)
        server._users["root"] = PASSWORD
        server.write(dict.fromkeys({*NOT_TRAEFIKS, *NOT_THE_HUBS} - {"jupyterhub/"}, "x"))
        yield server


async def test_users_of_etcd_may_do_what_they_need_and_no_more(etcd_of_the_page):
    server = etcd_of_the_page
    server.delete("jupyterhub/")
    backend = EtcdBackend(urls=[server.url], prefix="jupyterhub", username="jupyterhub", password=PASSWORD)
    await use_all(backend)
    lease = server.ask("/v3/kv/range", {"key": encode("jupyterhub/lease")}, token=server._root_token())["kvs"][0][
        "lease"
    ]
    login = {"username": "agent", "password": PASSWORD}
    await follow(backend, EtcdBackend(urls=[server.url], prefix="jupyterhub", read_only=True, **login))
    with pytest.raises(BackendError, match="readwrite"):
        await EtcdBackend(urls=[server.url], prefix="jupyterhub", **login).open()
    with pytest.raises(BackendError, match="true read other/"):
        await EtcdBackend(urls=[server.url], prefix="other", read_only=True, **login).open()
    agent = EtcdUser(server, "agent")
    assert agent.may_read("jupyterhub/")
    for key in ("jupyterhub/", "jupyterhub/routes/p", "jupyterhub/traefik/a", "jupyterhub/lease"):
        assert not agent.may_write(key), key
    for key in NOT_THE_HUBS:
        assert not agent.may_read(key), key
        assert not agent.may_write(key), key
    assert not agent.may("/v3/lease/revoke", {"ID": lease}), "the hub's lease"
    hub, traefik = EtcdUser(server, "jupyterhub"), EtcdUser(server, "traefik")
    assert traefik.may_read("jupyterhub/traefik")
    assert not traefik.may_write("jupyterhub/traefik/a")
    for key in NOT_TRAEFIKS:
        assert not traefik.may_read(key), key
        assert not traefik.may_write(key), key
    assert not traefik.may("/v3/lease/revoke", {"ID": lease}), "the hub's lease"
    for key in NOT_THE_HUBS:
        assert not hub.may_read(key), key
        assert not hub.may_write(key), key
    everything = {"key": "AA==", "range_end": "AA=="}
    for user in (hub, traefik):
        assert not user.may("/v3/kv/range", everything)
        assert not user.may("/v3/kv/deleterange", everything)
        for path, message in [
            ("/v3/auth/user/add", {"name": "x", "password": "x"}),
            ("/v3/auth/role/grant", {"name": "traefik", "perm": {"permType": "READWRITE", **everything}}),
            ("/v3/auth/user/changepw", {"name": "root", "password": "x"}),
            ("/v3/auth/disable", {}),
            ("/v3/maintenance/snapshot", {}),
        ]:
            assert not user.may(path, message), path
    # What anybody may, without a name, as the page says; but not this.
    for path, message in [
        ("/v3/lease/leases", {}),
        ("/v3/lease/keepalive", {"ID": lease}),
        ("/v3/lease/grant", {"TTL": 60}),
        ("/v3/kv/compaction", {"revision": 1}),
    ]:
        server.ask(path, message)
    for path, message in [("/v3/lease/revoke", {"ID": lease}), ("/v3/kv/range", everything)]:
        with pytest.raises(Refused, match=r"user name is empty|permission denied"):
            server.ask(path, message)
    await backend.close()


# Consul


class ConsulToken:
    def __init__(self, server, token):
        self._server = server
        self._token = token

    def ask(self, method, path, message=None):
        """Status and answer."""
        body = None if message is None else json.dumps(message).encode()
        request = urllib.request.Request(self._server.url + path, body, {"X-Consul-Token": self._token}, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None

    def sees(self, start):
        """The keys that begin with `start`, asked for in each way there is."""
        found = set()
        for options in ("?recurse", "?keys"):
            status, said = self.ask("GET", f"/v1/kv/{start}{options}")
            if status == 200:
                found |= {entry["Key"] if isinstance(entry, dict) else entry for entry in said}
        return found

    def may_write(self, key):
        operation = {"KV": {"Verb": "set", "Key": key, "Value": "eA=="}}
        below = {"KV": {"Verb": "delete-tree", "Key": key}}
        answers = {self.ask("PUT", "/v1/txn", [one])[0] == 200 for one in (operation, below)}
        answers |= {self.ask("PUT", f"/v1/kv/{key}", "x")[0] == 200, self.ask("DELETE", f"/v1/kv/{key}")[0] == 200}
        assert len(answers) == 1, f"{key}: {answers}"
        return answers.pop()


async def test_tokens_of_consul_may_do_what_they_need_and_no_more(tmp_path):
    rules, traefiks_rules, agents_rules = texts(HOW_TO / "consul.md", "text")
    node_rule = 'session "{}" {{\n  policy = "write"\n}}'
    with ConsulServer(tmp_path, acl=True) as server:
        node = server.ask("GET", "/v1/agent/self")["Config"]["NodeName"]
        assert 'session "NODE"' in rules
        rules = rules.replace("NODE", node)
        assert node_rule.format(node) in rules
        backend = ConsulBackend(url=server.url, prefix="jupyterhub", token=server.token(rules))
        await use_all(backend)
        others = {"jupyterhub2/traefik/a", "jupyterhub2/lease", "other/traefik/a", "a"}
        server.write(dict.fromkeys(others, b"x"))
        lease = server.ask("GET", "/v1/kv/jupyterhub/lease")[0]["Session"]
        login = {"url": server.url, "token": server.token(agents_rules)}
        await follow(backend, ConsulBackend(prefix="jupyterhub", read_only=True, **login))
        with pytest.raises(BackendError, match="denies us"):
            await ConsulBackend(prefix="jupyterhub", **login).open()
        with pytest.raises(BackendError, match=r'"other/" \{ policy = "read" \}'):
            await ConsulBackend(prefix="other", read_only=True, **login).open()
        agent = ConsulToken(server, login["token"])
        assert {key for key in agent.sees("") if not key.startswith("jupyterhub/")} == set()
        for key in (*NOT_THE_HUBS, "jupyterhub/routes/p", "jupyterhub/lease", "jupyterhub/recent"):
            assert not agent.may_write(key), key
        assert agent.ask("PUT", f"/v1/session/destroy/{lease}")[0] == 403
        assert agent.ask("PUT", "/v1/session/create", {})[0] == 403
        hub, traefik = ConsulToken(server, backend.token), ConsulToken(server, server.token(traefiks_rules))
        seen = traefik.sees("")
        assert seen
        assert all(key.startswith("jupyterhub/traefik/") for key in seen)
        assert seen == traefik.sees("jupyterhub/traefik")
        for key in (*NOT_TRAEFIKS, "jupyterhub/traefik/a", "jupyterhub/traefik/http/routers/x/rule"):
            assert not traefik.may_write(key), key
        assert not {key for key in hub.sees("") if not key.startswith("jupyterhub/")}
        for key in NOT_THE_HUBS:
            assert not hub.may_write(key), key
        assert traefik.ask("PUT", f"/v1/session/destroy/{lease}")[0] == 403
        assert traefik.ask("PUT", "/v1/session/create", {})[0] == 403
        for token in (hub, traefik):
            for path in ("/v1/acl/tokens", "/v1/agent/self", "/v1/agent/metrics", "/v1/snapshot"):
                assert token.ask("GET", path)[0] in (403, 404), path
            for path in ("/v1/catalog/services", "/v1/health/state/any"):
                assert not token.ask("GET", path)[1], path
            service = {"Name": "x", "Port": 1}
            assert token.ask("PUT", "/v1/agent/service/register", service)[0] == 403
        with pytest.raises(BackendError):
            await ConsulBackend(url=server.url, prefix="jupyterhub2", token=backend.token).open()
        await backend.close()


# Redis


def acl(user):
    [line] = re.findall(rf"^user {user} on >.*$", (HOW_TO / "redis.md").read_text(), re.MULTILINE)
    return line, re.search(r">(\S+)", line)[1]


async def test_users_of_redis_may_do_what_they_need_and_no_more(tmp_path):
    (hub_line, hub_password), (line, password), (agent_line, agent_password) = acl("hub"), acl("traefik"), acl("agent")
    lines = "user default off", "user admin on >admin ~* &* +@all", hub_line, line, agent_line
    with RedisServer(tmp_path, *lines) as server:
        backend = RedisBackend(url=f"{server.url}/1", prefix="jupyterhub", username="hub", password=hub_password)
        await use_all(backend)
        login = {"url": f"{server.url}/1", "username": "agent", "password": agent_password}
        await follow(backend, RedisBackend(prefix="jupyterhub", read_only=True, **login))
        with pytest.raises(BackendError, match=r"\+watch"):
            await RedisBackend(prefix="jupyterhub", **login).open()
        with pytest.raises(BackendError, match="~other/table"):
            await RedisBackend(prefix="other", read_only=True, **login).open()
        admin = server.client(1, username="admin", password="admin")
        for key in ("jupyterhub2/traefik/a", "jupyterhub2/table", "a"):
            admin.set(key, "x")
        hub = server.client(1, username="hub", password=hub_password)
        traefik = server.client(1, username="traefik", password=password)
        served = "jupyterhub/traefik/http/routers/p.user.a/rule"
        assert traefik.mget([key for key in admin.keys("jupyterhub/traefik/*")])

        agent = server.client(1, username="agent", password=agent_password)

        def refused(user, *command):
            with pytest.raises(NoPermissionError):
                user.execute_command(*command)

        for key in ("jupyterhub/table", "jupyterhub/lease", "jupyterhub2/traefik/a", "jupyterhub2/table", "a"):
            refused(traefik, "MGET", key)
            refused(traefik, "EXISTS", key)
        for key in (served, "jupyterhub/lease", "a"):
            for command in (("SET", key, "x"), ("DEL", key), ("HSET", key, "a", "b"), ("RESTORE", key, 0, "")):
                refused(traefik, *command)
        for key in ("jupyterhub2/traefik/a", "jupyterhub2/table", "jupyterhub", "a"):
            for command in (("SET", key, "x"), ("DEL", key), ("GET", key), ("HGETALL", key), ("EXISTS", key)):
                refused(hub, *command)
            refused(hub, "WATCH", key)
            refused(agent, "HGETALL", key)
        for key in ("jupyterhub/table", "jupyterhub/table.recent", "jupyterhub/format", "jupyterhub/lease", served):
            for command in (("SET", key, "x"), ("DEL", key), ("HSET", key, "a", "b"), ("XADD", key, "*", "a", "b")):
                refused(agent, *command)
        for user in (hub, traefik, agent):
            for command in (
                *(("CONFIG", "GET", "*"), ("CONFIG", "SET", "requirepass", "x"), ("ACL", "LIST"), ("CLIENT", "LIST")),
                *(("FLUSHDB",), ("FLUSHALL",), ("KEYS", "*"), ("MONITOR",), ("EVAL", "return 1", 0), ("SAVE",)),
                *(("SHUTDOWN",), ("REPLICAOF", "127.0.0.1", 1), ("MODULE", "LIST")),
                *(("PSUBSCRIBE", "*"), ("SUBSCRIBE", "x"), ("SWAPDB", 0, 1), ("MOVE", served, 0)),
            ):
                refused(user, *command)
        refused(traefik, "PUBLISH", f"__keyspace@1__:{served}", "set")
        refused(hub, "PUBLISH", "x", "x")
        # What ACLs do not bound, as the page says: names of keys, and which database it is.
        assert "jupyterhub2/table" in traefik.scan(count=1000)[1]
        assert server.client(2, username="hub", password=hub_password).set("jupyterhub/table", "x")
        await backend.close()


# The hub pushes the table


@pytest.mark.parametrize("store", ["etcd", "consul", "redis"], indirect=True)
async def test_a_traefik_that_is_handed_the_table_is_told_nothing_of_the_store(site):
    """Not even where it is: its configuration, environment and open connections."""
    proxy = await site.started(delivery="push")
    process = Path(f"/proc/{proxy.control.local.supervisors[0]._pid}")
    config = (site.directory / "run" / "traefik.toml").read_bytes()
    port = re.search(r":(\d+)", str(site.store.traits))[1].encode()
    assert port not in config + (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    connected = f":{int(port):04X} "
    sockets = {link.readlink().name for link in (process / "fd").iterdir() if link.is_symlink()}
    lines = [line for line in (process / "net" / "tcp").read_text().splitlines()[1:] if connected in line]
    assert lines, "the hub is connected"
    assert not [line for line in lines if f"socket:[{line.split()[9]}]" in sockets]
