"""The commands that show a table and remove it work with the users and tokens of the pages that have them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jhub_kvproxy import Batch
from jhub_kvproxy_backends.consul import ConsulBackend
from jhub_kvproxy_backends.redis import RedisBackend
from servers.consul import ConsulServer
from servers.programs import find
from servers.redis import RedisServer
from tests.pages import HOW_TO, Step, blocks, run, texts

CONSUL, REDIS = HOW_TO / "consul.md", HOW_TO / "redis.md"


def commands(page: Path, first_line: str) -> Step:
    [block] = blocks("console", first_line, [page])
    return block


def without_password(text: str) -> str:
    """`text` without the line that asks for the password, which the test has in its environment."""
    asked, rest = text.split("\n", 1)
    assert asked.startswith("$ read -rsp")
    return rest


async def test_the_table_in_redis(tmp_path, monkeypatch):
    [line] = re.findall("^user hub on >.*$", REDIS.read_text(), re.MULTILINE)
    [password] = re.findall(r">(\S+)", line)
    monkeypatch.setenv("PATH", str(Path(find("redis-cli")).parent), prepend=os.pathsep)
    monkeypatch.setenv("REDISCLI_AUTH", password)
    with RedisServer(tmp_path, "user default off", "user admin on >admin ~* &* +@all", line) as server:
        backend = RedisBackend(url=f"{server.url}/1", prefix="jupyterhub", username="hub", password=password)
        await backend.open()
        await backend.apply(Batch({"routes/p": "the route"}))
        await backend.close()
        look, remove = commands(REDIS, "$ read -rsp"), commands(REDIS, "$ redis-cli --user hub -n 1 --scan")
        here = f"redis-cli -p {server.port} "
        said = without_password(look.text).replace("redis-cli ", here)
        assert "the route" in run(f"{said}...", tmp_path, look.place)
        run(f"{remove.text.replace('redis-cli ', here)}...", tmp_path, remove.place)
        assert server.client(1, username="admin", password="admin").keys() == []


async def test_the_table_in_consul(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(find("consul")).parent), prepend=os.pathsep)
    rules = texts(CONSUL, "text")[0]
    with ConsulServer(tmp_path, acl=True) as server:
        rules = rules.replace("NODE", server.ask("GET", "/v1/agent/self")["Config"]["NodeName"])
        monkeypatch.setenv("CONSUL_HTTP_ADDR", server.url)
        monkeypatch.setenv("CONSUL_HTTP_TOKEN", server.master)
        (tmp_path / "jupyterhub.hcl").write_text(rules)
        make = commands(CONSUL, '$ read -rsp "Management')
        [token] = re.findall(r"^SecretID: +(\S+)", run(f"{without_password(make.text)}...", tmp_path, make.place), re.M)
        backend = ConsulBackend(url=server.url, prefix="jupyterhub", token=token)
        await backend.open()
        await backend.apply(Batch({"routes/p": "the route"}))
        await backend.close()
        monkeypatch.setenv("CONSUL_HTTP_TOKEN", token)
        look, remove = commands(CONSUL, '$ read -rsp "The hub'), commands(CONSUL, "$ consul kv delete")
        assert "the route" in run(f"{without_password(look.text)}...", tmp_path, look.place)
        run(f"{remove.text}...", tmp_path, remove.place)
        assert not [key for key in server.ask("GET", "/v1/kv/?keys") if key.startswith("jupyterhub/")]
