"""Ways to Redis, for the hub and for Traefik."""

from __future__ import annotations

import logging
import re

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable
from jhub_kvproxy.traefik_routers.rules import spread
from jhub_kvproxy_backends.redis import RedisBackend
from servers.ports import free_port
from servers.redis import RedisSentinel
from servers.traefik import Traefik
from tests.drivers import use_redis
from tests.hub import until
from tests.pages import HOW_TO
from tests.stores import Store

PAGE = HOW_TO / "redis.md"
SECRET = "s3cret@/:?#[] "


@pytest.fixture(scope="module")
def tls(authority):
    return (*authority.issue("server"), authority.ca_file)


async def serves(site, prefix="jupyterhub", **traits):
    """Assert that the hub and its Traefik can both use this store."""
    site.store = Store("redis", traits, prefix)
    proxy = await site.started()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"
    return proxy


def acl(user):
    """The line of the how-to for this user, and the password in it."""
    [line] = re.findall(rf"^user {user} on >.*$", PAGE.read_text(), re.MULTILINE)
    return line, re.search(r">(\S+)", line)[1]


async def test_redis_with_a_password(start_redis, site):
    await serves(site, url=start_redis(f'requirepass "{SECRET}"').url, password=SECRET)


async def test_a_password_in_the_url(start_redis, site):
    server = start_redis(f'user hub on ">{SECRET}" ~* &* +@all')
    login = "hub:s3cret%40%2F%3A%3F%23%5B%5D%20@"
    await serves(site, url=server.url.replace("//", f"//{login}"))


async def test_a_password_in_the_environment(start_redis, monkeypatch):
    monkeypatch.setenv("KVPROXY_REDIS_PASSWORD", SECRET)
    await use_redis(url=start_redis(f'requirepass "{SECRET}"').url)


@pytest.mark.parametrize("prefix", ["jupyterhub", "hub/", "*[a]?", "hüb"])
async def test_the_permissions_of_the_how_to_are_enough(start_redis, site, caplog, prefix):
    """For the hub and for the Traefik that it starts."""
    line, password = acl("hub")
    line = line.replace("jupyterhub/", f"{RedisBackend(prefix=prefix).root}/")
    server = start_redis("appendonly yes", "user default off", line)
    traits = {"url": f"{server.url}/1", "username": "hub", "password": password}
    await use_redis(**traits, prefix=prefix)
    proxy = await serves(site, prefix, **traits)
    await proxy.delete_route("/user/a/")
    assert await site.client.server("/user/a/") is None
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_each_permission_of_the_how_to_is_needed(start_redis):
    line, password = acl("hub")
    server = start_redis(line)
    traits = {"url": f"{server.url}/1", "username": "hub", "password": password}
    for_traefik_or_with_sentinels = ("+scan", "+psubscribe", "&__keyspace*:jupyterhub/traefik*", "+role")
    rules = [rule for rule in line.split()[2:] if rule not in for_traefik_or_with_sentinels]
    assert rules[0] == "on"
    for rule in rules[3:]:
        server.client().execute_command("ACL", "SETUSER", "hub", "reset", *(other for other in rules if other != rule))
        if rule == "+info":
            await use_redis(**traits)  # it can do without
            continue
        with pytest.raises(BackendRejected, match=r"forbids the user 'hub'.*needs ~jupyterhub/\*"):
            await use_redis(**traits)


async def test_the_permissions_of_the_how_to_for_a_traefik_of_others(start_redis, site, tmp_path):
    """One that the hub does not start, with a user of its own: it reads, and its attempt to set options is refused."""
    (hub, password), (reader, readers_password) = acl("hub"), acl("traefik")
    server = start_redis("user default off", hub, reader)
    [shown] = re.findall(r"^\[providers\.redis\]\n(?:[^`].*\n)+", PAGE.read_text(), re.MULTILINE)
    shown = shown.replace("redis.example.org:6379", f"127.0.0.1:{server.port}")
    assert readers_password in shown
    api = free_port()
    static = f"""
        entryPoints.public = {{address = "127.0.0.1:{site.port}", asDefault = true}}
        entryPoints.traefik = {{address = "127.0.0.1:{api}"}}
        api.insecure = true
        providers.providersThrottleDuration = "0s"
    """
    (tmp_path / "traefik.toml").write_text(f"{static}\n{shown}")
    traits = {"url": f"{server.url}/1", "username": "hub", "password": password}
    site.store = Store("redis", traits, "jupyterhub")
    with Traefik(tmp_path / "traefik.toml"):
        proxy = site.proxy(should_start=False, traefik_api_urls=[f"http://127.0.0.1:{api}"])
        for name in "ab":
            await proxy.add_route(f"/user/{name}/", await site.server(name), {})
            assert await site.client.server(f"/user/{name}/") == name
        await proxy.delete_route("/user/a/")
        assert await site.client.server("/user/a/") is None


async def test_redis_over_tls(start_redis, site, authority, tls):
    server = start_redis("tls-auth-clients no", tls=tls)
    proxy = await serves(site, url=server.url, ca_file=authority.ca_file)
    assert "password" not in str(proxy.backend.traefik_provider_config())
    with pytest.raises(BackendRejected, match=r"its certificate is not accepted \(.*is RedisBackend.ca_file the right"):
        await use_redis(url=server.url)


async def test_tls_with_the_authorities_of_the_machine(start_redis, site, authority, tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
    await serves(site, url=start_redis("tls-auth-clients no", tls=tls).url)


async def test_redis_asks_for_a_client_certificate(start_redis, site, authority, tls):
    server = start_redis(tls=tls)
    cert_file, key_file = authority.issue("client")
    traits = {"url": server.url, "ca_file": authority.ca_file}
    await serves(site, **traits, cert_file=cert_file, key_file=key_file)
    with pytest.raises(BackendRejected, match=r"the TLS handshake failed .*accept RedisBackend.cert_file"):
        await use_redis(**traits)
    with pytest.raises(BackendRejected, match="belong together"):
        await use_redis(**traits, cert_file=cert_file)


async def test_redis_over_a_unix_socket(start_redis, site, tmp_path):
    start_redis("port 0", f'unixsocket "{tmp_path}/s"')
    await serves(site, url=f"unix://{tmp_path}/s?db=3")
    with pytest.raises(BackendUnavailable, match=r"Redis at /nowhere/s cannot be reached \(No such file"):
        await use_redis(url="unix:///nowhere/s", timeout=0.2)


async def test_redis_found_by_sentinels(start_redis, site, tmp_path, caplog):
    """The master dies, a replica takes its place: the hub and Traefik go on."""
    lines = (f'requirepass "{SECRET}"', f'masterauth "{SECRET}"', "save 3600 1")
    master = start_redis(*lines, "repl-diskless-sync-delay 0", name="master")
    replica = start_redis(*lines, f"replicaof 127.0.0.1 {master.port}", name="replica")
    auth = f'sentinel auth-pass {RedisSentinel.master_name} "{SECRET}"'
    with RedisSentinel(tmp_path / "sentinel", master, auth, 'requirepass "sentinel"') as sentinel:
        traits = {
            "url": "redis://ignored/5",
            "password": SECRET,
            "sentinels": [f"127.0.0.1:{free_port()}", sentinel.address],
            "sentinel_master": sentinel.master_name,
        }
        with pytest.raises(
            BackendRejected, match=r"The Redis Sentinel at .* refuses the login .*RedisBackend.sentinel_"
        ):
            await use_redis(**traits)
        traits["sentinel_password"] = "sentinel"
        with pytest.raises(BackendRejected, match=r"knows no master named 'other' \(RedisBackend.sentinel_master\)"):
            await use_redis(**traits | {"sentinel_master": "other", "sentinels": [sentinel.address]})
        proxy = await serves(site, **traits)
        copy = replica.client(db=5, password=SECRET)
        rule = "jupyterhub/traefik/http/routers/{}/rule".format
        await until(lambda: copy.exists(rule(spread("p.user.a"))), "the replica has no copy")
        known = sentinel.client(password="sentinel")
        await until(lambda: known.sentinel_masters()[sentinel.master_name]["num-slaves"] == 1, "no replica is known")
        master.kill()

        async def is_added():
            try:
                await proxy.add_route("/user/b/", await site.server("b"), {})
            except BackendUnavailable:
                return False
            return True

        await until(is_added, "no master takes over")
        assert await site.client.server("/user/a/") == "a"
        assert await site.client.server("/user/b/") == "b"
        # The old master comes back as a replica, and nobody writes to it.
        master.start()
        await proxy.add_route("/user/c/", await site.server("c"), {})
        assert await site.client.server("/user/c/") == "c"
        assert copy.exists(rule(spread("p.user.c")))
        assert copy.info("replication")["role"] == "master"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("url", "endpoint", "db"),
    [
        ("redis://example.org", "example.org:6379", 0),
        ("redis://example.org:1/", "example.org:1", 0),
        ("rediss://example.org:1/15", "example.org:1", 15),
        ("redis://example.org?db=3", "example.org:6379", 3),
        ("redis://[::1]:1/2", "[::1]:1", 2),
        ("redis:///4", "localhost:6379", 4),
        ("unix:///run/a%20b.sock", "/run/a b.sock", 0),
        ("unix://user:pass@/run/redis.sock?db=7", "/run/redis.sock", 7),
    ],
)
def test_forms_of_redis_urls(url, endpoint, db):
    config = RedisBackend(url=url, prefix="hub").traefik_provider_config()["redis"]
    assert (config["endpoints"], config["db"], config["rootKey"]) == ([endpoint], db, "hub/traefik")
    assert ("tls" in config) == url.startswith("rediss")


def test_the_login_of_the_options_comes_before_that_of_the_url():
    backend = RedisBackend(url="redis://alice:one@example.org", password="two")
    assert backend.traefik_provider_secrets() == {"redis": {"username": "alice", "password": "two"}}
    assert "two" not in str(backend.traefik_provider_config())
    assert RedisBackend(url="redis://example.org").traefik_provider_secrets() == {}
