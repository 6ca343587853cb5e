"""What is said when a way to Redis is closed, or leads elsewhere."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback

import pytest

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable
from servers.redis import RedisSentinel
from tests.drivers import use_redis
from tests.servers import user_server

SECRET = "s3cret@/:?#[] "


FAULTS = {
    "a wrong password": (
        ['requirepass "right"'],
        {"password": SECRET},
        r"refuses the login as the default user \(inval",
    ),
    "no password": (['requirepass "right"'], {}, "refuses the login as the default user .*KVPROXY_REDIS_PASSWORD"),
    "a password too many": ([], {"password": SECRET}, r"without any password configured"),
    "an unknown user": ([], {"username": "alice", "password": SECRET}, "refuses the login as the user 'alice'"),
    "no such database": (["databases 4"], {"db": 4}, "has no such database"),
    "a renamed AUTH": (['rename-command AUTH ""'], {"password": SECRET}, "does not know what is needed"),
    "a renamed MULTI": (['rename-command MULTI ""'], {}, "does not know what is needed .*MULTI"),
    "a cluster": (["cluster-enabled yes"], {}, "is a Redis Cluster, which Traefik cannot read"),
    "too many clients": (
        ["maxclients 1"],
        {"first": True, "timeout": 0.5},
        "has reached its limit of clients|broke off",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_is_named_and_no_secret_is(start_redis, caplog, fault):
    lines, traits, words = FAULTS[fault]
    server = start_redis(*lines)
    traits = dict(traits)
    db = traits.pop("db", 0)
    if traits.pop("first", False):
        first = server.client()
        first.ping()
    with caplog.at_level(logging.DEBUG), pytest.raises(BackendError, match=words) as raised:
        await use_redis(url=f"{server.url}/{db}", **traits)
    assert f"Redis at 127.0.0.1:{server.port}" in str(raised.value)
    assert type(raised.value) is (BackendUnavailable if "clients" in fault else BackendRejected)
    assert SECRET not in "".join(traceback.format_exception(raised.value)) + repr(raised.value) + caplog.text


async def test_what_is_no_redis():
    async with user_server("no Redis") as url:
        with pytest.raises(BackendRejected, match="does not answer as a Redis does; check the address"):
            await use_redis(url=url.replace("http:", "redis:"))


async def test_what_does_not_answer():
    server = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    with pytest.raises(BackendUnavailable, match="did not answer in time"):
        await use_redis(url=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.2)
    server.close()


async def test_a_host_that_is_unknown():
    with pytest.raises(BackendUnavailable, match=r"Redis at nowhere.invalid:6379 cannot be reached \("):
        await use_redis(url="redis://nowhere.invalid", timeout=0.5)


async def test_the_library_is_missing(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("jhub_kvproxy_backends._redis_store")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendRejected, match=r'pip install "jhub-kvproxy\[redis\]"'):
        await use_redis()


async def test_tls_on_one_side_only(start_redis, authority):
    encrypted = start_redis("tls-auth-clients no", tls=(*authority.issue("server"), authority.ca_file))
    with pytest.raises(BackendUnavailable, match=r"broke off the connection; does it want TLS \(rediss://\)"):
        await use_redis(url=encrypted.url.replace("rediss:", "redis:"), timeout=0.5)
    plain = start_redis(name="plain")
    with pytest.raises(BackendUnavailable, match=r"did not answer in time; does it speak TLS"):
        await use_redis(url=plain.url.replace("redis:", "rediss:"), ca_file=authority.ca_file, timeout=0.5)


async def test_a_sentinel_that_names_a_replica(start_redis, tmp_path):
    """As one may for moments after a failover."""
    master = start_redis(name="master")
    replica = start_redis(f"replicaof 127.0.0.1 {master.port}", name="replica")
    with RedisSentinel(tmp_path / "sentinel", replica) as sentinel:
        traits = {"sentinels": [sentinel.address], "sentinel_master": sentinel.master_name, "timeout": 0.5}
        with pytest.raises(BackendUnavailable, match=r"which the Sentinels name, is not a master"):
            await use_redis(**traits)


@pytest.mark.parametrize("sentinel", ["", "nowhere:x", "a:b@c", "[::1"])
async def test_a_sentinel_that_is_none(sentinel):
    with pytest.raises(BackendRejected, match=r"RedisBackend.sentinels: write each as HOST:PORT"):
        await use_redis(sentinels=[sentinel], sentinel_master="m")


async def test_sentinels_without_a_master():
    with pytest.raises(BackendRejected, match=r"needs RedisBackend.sentinel_master"):
        await use_redis(sentinels=["a:1"])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "http://example.org",
        "redis://:secret@example.org:port",
        "redis://:secret@example.org/one",
        "redis://:secret@example.org/1?db=2",
        "redis://:secret@example.org/-1",
        "redis://:secret@example.org/²",
        "redis://:secret@example.org?timeout=3",
        "redis://:sec#secret@example.org",
        "redis://:secret@[::1",
        "unix://host/run/redis.sock",
        "unix://",
    ],
)
async def test_a_url_that_is_none(url):
    with pytest.raises(BackendRejected, match="write it like redis://HOST:PORT/DATABASE") as rejected:
        await use_redis(url=url)
    assert "secret" not in "".join(traceback.format_exception(rejected.value, limit=0))
