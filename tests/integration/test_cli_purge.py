"""``jhub-kvproxy purge``: nothing of ours is left in the store, and what others have there stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend
from jhub_kvproxy_backends._kubernetes_names import name_of
from tests.command import answered
from tests.site import leave
from tests.stores import on_all_stores
from tests.tools import begin, looked_at, told

TARGET = "http://127.0.0.1:1001"
LEASE = 1


def driver(site):
    return find_backend(site.store.name)(config=site.store.config, prefix=site.store.prefix)


def left_in(store, request):
    """What a store has below the prefix, seen without our driver."""
    prefix = store.prefix
    match store.name:
        case "toml":
            return [*(request.getfixturevalue("tmp_path") / "table").rglob("*")]
        case "etcd":
            return [*request.getfixturevalue("etcd").read(f"{prefix}/")]
        case "consul":
            return [*request.getfixturevalue("consul").read(f"{prefix}/")]
        case "redis":
            return request.getfixturevalue("redis_server").client().keys(f"{prefix}/*")
        case "postgres":
            tables = (f"SELECT prefix FROM kvproxy.{table} WHERE prefix = '{prefix}'" for table in ("keys", "leases"))
            return request.getfixturevalue("postgres").ask("; ".join(tables)).split()
    server = request.getfixturevalue("kubernetes")
    namespace = json.loads(Path(store.traits["kubeconfig"]).read_text())["contexts"][0]["context"]["namespace"]
    objects = [*server.objects(namespace), *server.objects(namespace, "leases")]
    return [name for name in objects if name_of(prefix) in name]


@on_all_stores
async def test_nothing_is_left(site, request):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        for number in range(3):
            await looked.proxy.add_route(f"/user/{number}/", TARGET, {})
        words = ("purge", site.store.prefix)
        refused = await looked.change(*words, "--yes")
        assert refused.status == 1
        assert "The hub with process" in refused.err
        assert "Nothing was changed: end that one first." in refused.err
        assert len((await looked.tell("routes", "--json")).json["routes"]) == 3
        await looked.proxy.control.close()
        assert "give --yes" in (await looked.change(*words)).err
        assert left_in(site.store, request)
        done = await looked.change(*words, "--yes")
        assert done.status == 0
        assert "a table with 3 routes; 4 keys of jhub-kvproxy's" in " ".join(done.out.split())
        assert done.out.endswith("Removed.\n")
        assert left_in(site.store, request) == []
        again = await looked.change(*words, "--yes", "--json")
        assert again.status == 0
        assert (again.json["routes"], again.json["keys"], again.json["prefix"]) == (0, 0, site.store.prefix)
        assert left_in(site.store, request) == []


@on_all_stores
@pytest.mark.parametrize("has_table", [True, False])
async def test_what_others_have_written_stays(site, has_table):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        if has_table:
            await looked.proxy.add_route("/user/a/", TARGET, {})
            await looked.proxy.control.close()
        backend = driver(site)
        await backend.open()
        theirs = {"mine/x": "1", "other": "2"} | ({} if has_table else {"routes/%2Fuser%2Fa": '{"target": "http://x"}'})
        await backend.apply(Batch(theirs))
        result = await looked.change("purge", site.store.prefix, "--yes")
        assert result.status == 0
        assert (await backend.load()).keys == theirs
        if has_table:
            assert "Others have written these, which stay: 'mine/x', 'other'." in " ".join(result.out.split())
        else:
            assert "There is nothing of jhub-kvproxy's" in result.out
        said = (await looked.change("purge", site.store.prefix, "--yes", "--json")).json
        assert (said["foreign"], said["done"]) == (sorted(theirs), False)
        await backend.apply(Batch(dict.fromkeys(theirs)))
        await backend.close()


async def test_files_of_others_stay(site, tmp_path):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await looked.proxy.add_route("/user/a/", TARGET, {})
        await looked.proxy.control.close()
        directory = tmp_path / "table" / site.store.prefix
        mine = directory / "traefik" / "mine.toml"
        mine.write_text("")
        assert (await looked.change("purge", site.store.prefix, "--yes")).status == 0
        assert [path for path in directory.rglob("*") if path.is_file()] == [mine]


async def test_only_this_prefix(site):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await looked.proxy.add_route("/user/a/", TARGET, {})
        await looked.proxy.control.close()
        result = await looked.change("purge", site.store.prefix + "2", "--yes")
        assert (result.status, result.err) == (0, "")
        assert "There is nothing of jhub-kvproxy's" in result.out
        assert len((await looked.tell("routes", "--json")).json["routes"]) == 1


async def test_it_asks_first(site, tmp_path):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await looked.proxy.add_route("/user/a/", TARGET, {})
        await looked.proxy.control.close()
        words = ("purge", site.store.prefix, "--config", str(looked.file))
        result = answered("n", *words, cwd=tmp_path)
        assert (result.status, result.err) == (1, "Remove it? [y/N] Nothing was changed.\n")
        assert len((await looked.tell("routes", "--json")).json["routes"]) == 1
        result = answered("yes", *words, "--json", cwd=tmp_path)
        assert (result.status, result.json["done"]) == (0, True)
        assert result.json == {
            "backend": "TomlBackend",
            "prefix": site.store.prefix,
            "routes": 1,
            "keys": 2,
            "foreign": [],
            "done": True,
        }


@pytest.mark.parametrize("store", ["toml", "redis"], indirect=True)
async def test_not_while_traefik_reads_it(site):
    """Another Traefik has its routes in memory, and serves on."""
    async with looked_at(site, "store", lease_seconds=LEASE) as looked:
        await begin(looked)
        await looked.proxy.add_route("/user/a/", await site.server("a"), {})
        await leave(looked.proxy)
        result = await looked.change("purge", site.store.prefix, "--yes")
        assert result.status == 1
        assert "reads its routes there. End it first: jhub-kvproxy stop." in result.err
        assert await site.client.server("/user/a/") == "a"
        assert (await looked.change("purge", f"{site.store.prefix}-other", "--yes")).status == 0


async def test_while_traefik_has_its_routes_from_the_hub(site):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await begin(looked)
        await looked.proxy.add_route("/user/a/", await site.server("a"), {})
        await leave(looked.proxy)
        assert (await looked.change("purge", site.store.prefix, "--yes")).status == 0
        assert await site.client.server("/user/a/") == "a"


async def test_a_table_that_cannot_be_read(site):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await looked.proxy.add_route("/user/a/", TARGET, {})
        await looked.proxy.control.close()
        looked.proxy.backend.table_file.write_text("{")
        result = await looked.change("purge", site.store.prefix, "--yes")
        assert result.status == 1
        assert "table.json" in result.err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "the following arguments are required: PREFIX"),
        (["x", "--prefix=y"], 2, "there is no option --prefix"),
        (["/", "--KVProxy.backend_class=toml"], 1, "KVProxy.prefix must not be empty"),
        (["x", "--EtcdBackend.urls=http://127.0.0.1:1", "--KVProxy.backend_class=etcd", "--yes"], 1, "127.0.0.1:1"),
    ],
)
async def test_wrong_input(words, status, message):
    result = await told("purge", *words)
    assert (result.status, result.out) == (status, "")
    assert message in result.err
