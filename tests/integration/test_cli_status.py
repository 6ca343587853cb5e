"""``jhub-kvproxy status``: what it says of a hub, its store and its Traefiks, whether they run or not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from tests.command import USES_KVPROXY, ended, start, tree
from tests.hub import until
from tests.site import leave, pid_of
from tests.stores import on_all_stores
from tests.tools import begin, looked_at, on_all_stores_and_deliveries, told


@on_all_stores_and_deliveries
async def test_a_site_that_works(site, delivery):
    async with looked_at(site, delivery) as looked:
        await begin(looked)
        await looked.proxy.add_route("/user/a/", await site.server("a"), {"user": "a"})
        assert await site.client.server("/user/a/") == "a"
        before = await looked.proxy.get_all_routes()
        result = await looked.tell("status")
        assert (result.status, result.err) == (0, ""), result.out
        assert f"The hub with process {os.getpid()}" in " ".join(result.out.split())
        assert result.out.splitlines()[-1] == "verdict  The only replica serves all of the table: 1 route."
        facts = (await looked.tell("status", "--json")).json
        assert facts["ok"]
        assert not facts["problems"]
        hub, store, [replica] = facts["hub"], facts["store"], facts["replicas"]
        assert hub["holder"].startswith(f"The hub with process {os.getpid()} on ")
        assert (hub["lease"], hub["seconds"], hub["unknown"]) == (True, 10, None)
        assert hub["since"].endswith("+00:00")
        assert isinstance(hub["term"], int)
        assert (store["prefix"], store["routes"], store["error"]) == (site.store.prefix, 1, None)
        assert store["latency"] > 0
        assert (replica["revision"], replica["current"], replica["behind"]) == (store["revision"], True, 0)
        assert replica["version"].startswith("3.")
        assert (replica["kind"], replica["state"]) == (delivery, "serves the table")
        assert replica["name"] == (looked.url or "local")
        if delivery != "store":
            assert replica["routes"] == 1
            assert set(replica["requests"]) == {"hub", "user", "service", "other"}
            assert replica["since"] > 0
        if delivery == "push":
            assert replica["requests"]["user"] == 1
        if delivery != "agent":
            assert replica["connections"] == 1
        assert await looked.proxy.get_all_routes() == before


@on_all_stores
async def test_without_a_hub(site):
    """Traefik runs on, and a table is there: the only trouble is the hub."""
    async with looked_at(site, "push") as looked:
        await begin(looked)
        await leave(looked.proxy)
        result = await looked.tell("status", "--json")
        assert result.status == 1
        facts = result.json
        assert [problem.partition(":")[0] for problem in facts["problems"]] == ["No hub has the lease"]
        assert facts["hub"]["holder"] is None
        assert facts["replicas"][0]["current"]
        assert "No hub has the lease" in (await looked.tell("status")).out


@on_all_stores
async def test_nothing_is_there(site):
    """No hub has ever run, and the command makes nothing."""
    async with looked_at(site, "push") as looked:
        before = tree(site.directory)
        result = await looked.tell("status", "--json")
        assert result.status == 1
        [table, *_, replica] = result.json["problems"]
        assert "no hub has written one" in table or "the Hub makes it when it starts" in table
        assert "No Traefik of this user runs in" in replica
        assert tree(site.directory) == before


@on_all_stores
async def test_a_store_that_is_away(site, tmp_path):
    away = {
        "toml": "c.TomlBackend.path = '/no/such/path'",
        "etcd": f"c.EtcdBackend.urls = ['http://127.0.0.1:{free_port()}']",
        "consul": f"c.ConsulBackend.url = 'http://127.0.0.1:{free_port()}'",
        "redis": f"c.RedisBackend.url = 'redis://127.0.0.1:{free_port()}'",
        "kubernetes": f"c.KubernetesBackend.api_url = 'https://127.0.0.1:{free_port()}'",
        "postgres": f"c.PostgresBackend.url = 'postgresql://hub@127.0.0.1:{free_port()}/hub'",
    }[site.store.name]
    async with looked_at(site, "push") as looked:
        looked.file.write_text(f"{looked.file.read_text()}\n{away}\n")
        await begin(looked)
        result = await looked.tell("status", "--json")
        assert result.status == 1
        [problem] = result.json["problems"]
        assert problem.startswith("The store cannot be read: ")
        assert result.json["store"]["routes"] is None
        assert result.json["hub"]["unknown"]
        [replica] = result.json["replicas"]
        assert (replica["routes"], replica["current"]) == (0, None)


async def test_a_replica_that_lags_and_one_that_is_gone(site):
    """The hub's own Traefiks: one is stopped, the other is ended while the hub does not look."""
    async with looked_at(site, "push", local_replicas=2) as looked:
        await begin(looked)
        await leave(looked.proxy)
        pids = [supervisor._instance.pid for supervisor in looked.proxy.control.local.supervisors]
        backend = find_backend("toml")(config=site.store.config, prefix=site.store.prefix)
        await backend.open()
        keys = (await backend.load()).keys
        head, number = keys["revision"].rsplit(".", 1)
        await backend.apply(Batch({"revision": f"{head}.{int(number) + 2}"}))
        await backend.close()
        os.kill(pids[1], signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{pids[1]}/cmdline").read_bytes(), "Traefik does not end")
        facts = (await looked.tell("status", "--json")).json
        first, second = facts["replicas"]
        assert (first["name"], first["current"], first["behind"]) == ("local", False, 2)
        assert (second["name"], second["url"]) == ("local-2", "")
        assert any("which is 2 commits behind" in problem for problem in facts["problems"])
        assert any("local-2: No Traefik of this user runs" in problem for problem in facts["problems"])
        shown = (await looked.tell("status")).out
        assert "lags" in shown
        assert "not found" in shown


async def test_a_replica_that_does_not_answer_holds_nothing_up(site):
    async with looked_at(site, "push") as looked:
        await begin(looked)
        os.kill(pid_of(looked.proxy), signal.SIGSTOP)
        try:
            result = await looked.tell("status")
        finally:
            os.kill(pid_of(looked.proxy), signal.SIGCONT)
        assert result.status == 1
        assert "not known" in result.out
        assert "no answer in time" in " ".join(result.out.split())


async def test_others_traefiks_are_asked_by_their_urls(site):
    """Nothing answers there, and the password is in no output."""
    lines = {
        "should_start": False,
        "traefik_api_urls": [f"http://127.0.0.1:{free_port()}"],
        "traefik_api_password": "Hush4Ever",
    }
    async with looked_at(site, "push", **lines) as looked:
        for words in (["status"], ["status", "--json"]):
            result = await looked.tell(*words)
            assert result.status == 1
            assert "connection refused" in " ".join(result.out.split())
            assert "Hush4Ever" not in result.out + result.err


async def test_it_is_shown_again_and_again(site):
    async with looked_at(site, "push") as looked:
        await begin(looked)
        process = start("status", "--watch", "0.2", "--json", "--config", looked.file)
        for _ in range(3):
            assert '"ok": true' in await _line(process)
        process.send_signal(signal.SIGINT)
        result = ended(process)
        assert (result.status, result.err) == (0, "")


async def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return await asyncio.to_thread(process.stdout.readline)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--watch", "0"], "'0' is no number of seconds"),
        (["--watch", "soon"], "'soon' is no number of seconds"),
        (["--wach"], "did you mean --watch?"),
        (["more"], "unexpected argument 'more'."),
        (["--KVProxy.prefx=x"], "c.KVProxy.prefx: KVProxy has no such option; did you mean prefix?"),
        (["--KvProxy.prefix=x"], "c.KvProxy: there is no such class; did you mean c.KVProxy?"),
    ],
)
async def test_wrong_usage(words, message):
    result = await told("status", *words)
    assert (result.status, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (None, "; name the hub's file with --config."),
        ("c.KVProxy.backend_class = 'ectd'", "did you mean etcd?"),
        ("c.KVProxy.prefix = ''", "KVProxy.prefix must not be empty"),
        ("raise ValueError('no')", "jupyterhub_config.py, line 2: ValueError: no."),
    ],
)
async def test_a_configuration_that_is_none(tmp_path, lines, message):
    if lines:
        (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY + lines)
    result = await told("status", cwd=tmp_path)
    assert (result.status, result.out) == (1, "")
    assert message in result.err


async def test_extra_routes_do_not_disturb(site):
    """JupyterHub gives a proxy these, and there is no JupyterHub here."""
    async with looked_at(site, "push") as looked:
        with looked.file.open("a") as file:
            file.write('\nc.KVProxy.extra_routes = c.Proxy.extra_routes = {"/x/": "http://127.0.0.1:1"}\n')
        result = await looked.tell("status", "--json")
        assert result.json["problems"]
