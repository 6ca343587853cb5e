"""``jhub-kvproxy export`` and ``import``: a table leaves a store as a file, and comes back, into any store."""

from __future__ import annotations

import json
import stat
from contextlib import asynccontextmanager

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend
from jhub_kvproxy.survey.table_file import from_file
from tests.command import answered
from tests.stores import on_all_stores
from tests.tools import looked_at, told

ALICE, BOB = "http://127.0.0.1:1001", "http://127.0.0.1:1002"
#: Of the hub's lease; a command waits for so long for a hub that may have ended.
LEASE = 1


async def filled(looked, **routes):
    for name, target in (routes or {"alice": ALICE, "bob": BOB}).items():
        await looked.proxy.add_route(f"/user/{name}/", target, {"user": name})


@asynccontextmanager
async def written(site, delivery):
    """A hub that has written a table, and ended."""
    async with looked_at(site, delivery, lease_seconds=LEASE) as looked:
        await filled(looked)
        await looked.proxy.control.close()
        yield looked


async def routes_of(looked):
    """What the table has now, read by the command."""
    result = await looked.tell("routes", "--json")
    return {route["routespec"]: route["target"] for route in result.json["routes"]}


def opened(site):
    return find_backend(site.store.name)(config=site.store.config, prefix=site.store.prefix)


@on_all_stores
async def test_a_table_goes_out_and_comes_back(site, tmp_path):
    """Out beside a hub and without one; in only when no hub runs."""
    file = tmp_path / "table.jsonl"
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await filled(looked)
        beside = await looked.tell("export")
        assert (beside.status, beside.err) == (0, "")
        head, *records = map(json.loads, beside.out.splitlines())
        assert (head["version"], head["routes"]) == (1, 2)
        assert head["revision"] == looked.proxy.control.writer.revision.text
        assert records[0] == {"routespec": "/user/alice/", "target": ALICE, "data": {"user": "alice"}}
        to_file = await looked.tell("export", "--output", file, "--json")
        assert to_file.json == {"file": str(file), "routes": 2, "revision": head["revision"]}
        assert file.read_text() == beside.out
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

        await filled(looked, bob=ALICE, carol=BOB)
        refused = await looked.change("import", file, "--yes")
        assert refused.status == 1
        assert "Waiting for up to 2 s" in refused.err
        assert "The hub with process" in refused.err
        assert "Nothing was changed: end that one first." in refused.err
        assert await routes_of(looked) == {"/user/alice/": ALICE, "/user/bob/": ALICE, "/user/carol/": BOB}

        await looked.proxy.control.close()
        planned = await looked.change("import", file, "--dry-run", "--json")
        changes = {"added": [], "changed": ["/user/bob/"], "removed": ["/user/carol/"]}
        assert planned.json == {"file": str(file), **changes, "done": False}
        assert len(await routes_of(looked)) == 3
        done = await looked.change("import", file, "--yes", "--json")
        assert done.status == 0
        assert done.json == {"file": str(file), **changes, "done": True}
        assert await routes_of(looked) == {"/user/alice/": ALICE, "/user/bob/": BOB}
        assert (await looked.tell("export")).out.splitlines()[1:] == beside.out.splitlines()[1:]
        # The next hub takes it over at once: the lease was given up.
        assert (await looked.proxy.get_all_routes()).keys() == {"/user/alice/", "/user/bob/"}


@on_all_stores
async def test_into_a_store_without_a_table(site, tmp_path):
    file = tmp_path / "table.jsonl"
    async with written(site, "push") as looked:
        await looked.tell("export", "--output", file)
        other = f"--KVProxy.prefix={site.store.prefix}-two"
        if site.store.name != "kubernetes":
            assert "There is no" in (await looked.tell("export", other)).err
        assert (await looked.change("import", file, "--dry-run", other)).status == 0
        done = await looked.change("import", file, "--yes", other)
        assert done.status == 0
        assert "has no table" in " ".join(done.out.split())
        assert "2 routes are added:\n    /user/alice/\n    /user/bob/\n" in done.out
        assert len((await looked.change("routes", "--json", other)).json["routes"]) == 2
        assert (await looked.change("purge", f"{site.store.prefix}-two", "--yes")).status == 0


@pytest.mark.parametrize("delivery", ["agent", "store"])
async def test_what_agents_and_traefik_read_is_written_too(site, tmp_path, delivery):
    """The table has the form that the hub of this configuration gives it."""
    file = tmp_path / "table.jsonl"
    async with written(site, delivery) as looked:
        backend = opened(site)
        await backend.open()
        before = (await backend.load()).keys
        await looked.tell("export", "--output", file)
        await backend.apply(Batch(dict.fromkeys(before)))
        assert (await looked.change("import", file, "--yes")).status == 0
        after = (await backend.load()).keys
        changing = {key for key in before if key in ("revision", "sum") or "X-Kvproxy-Revision" in key}
        assert before.keys() == after.keys()
        assert {key for key in before if before[key] != after[key]} <= changing
        await backend.close()


async def test_a_damaged_table_is_told_and_not_exported(site, tmp_path):
    file = tmp_path / "table.jsonl"
    async with written(site, "push") as looked:
        await looked.tell("export", "--output", file)
        kept = file.read_bytes()
        backend = opened(site)
        await backend.open()
        await backend.apply(Batch({"routes/p.user.x": "{"}))
        await backend.close()
        for words in ([], ["--output", file], ["--output", file, "--json"]):
            result = await looked.tell("export", *words)
            assert (result.status, result.out) == (1, "")
            assert "The record 'routes/p.user.x' is damaged" in result.err
        assert file.read_bytes() == kept
        # To import over it repairs it.
        done = await looked.change("import", file, "--yes")
        assert done.status == 0
        assert "The record 'routes/p.user.x' is damaged" in " ".join(done.out.split())
        assert (await looked.tell("export")).status == 0
        backend.table_file.write_text("{")
        assert "table.json" in (await looked.tell("export")).err


async def test_a_file_that_is_no_table_changes_nothing(site, tmp_path):
    file = tmp_path / "table.jsonl"
    async with written(site, "push") as looked:
        content = (await looked.tell("export")).out
        file.write_text(content.replace('"version": 1', '"version": 9'))
        assert "line 1: the table has version 9" in (await looked.change("import", file, "--yes")).err
        file.write_text(content[:-5])
        result = await looked.change("import", file, "--yes")
        assert (result.status, result.out) == (1, "")
        assert f"{file}, line 3: this line has no end: the file was cut off." in result.err
        assert "cannot be read" in (await looked.change("import", tmp_path / "none", "--yes")).err
        assert "cannot be read: Is a directory" in (await looked.change("import", tmp_path, "--yes")).err
        assert len(await routes_of(looked)) == 2


async def test_it_asks_first(site, tmp_path):
    file = tmp_path / "table.jsonl"
    async with written(site, "push") as looked:
        await looked.tell("export", "--output", file)
        await filled(looked, carol=BOB)
        await looked.proxy.control.close()
        unasked = await looked.change("import", file)
        assert unasked.status == 1
        assert "There is no terminal to ask on, so nothing was changed; give --yes." in unasked.err
        words = ("import", str(file), "--config", str(looked.file))
        for answer in ("n", "", "yess"):
            result = answered(answer, *words, cwd=tmp_path)
            assert result.status == 1
            assert "1 route is removed:\n    /user/carol/\n" in result.out
            assert result.err == "Replace the table? [y/N] Nothing was changed.\n"
        assert len(await routes_of(looked)) == 3
        result = answered("y", *words, "--json", cwd=tmp_path)
        assert (result.status, result.json["done"]) == (0, True)
        assert len(await routes_of(looked)) == 2


async def test_without_a_lease(site, tmp_path):
    file = tmp_path / "table.jsonl"
    async with looked_at(site, "push", lease_seconds=0) as looked:
        await filled(looked)
        await looked.proxy.control.close()
        await looked.tell("export", "--output", file)
        done = await looked.change("import", file, "--yes")
        assert done.status == 0
        assert "nobody knows whether a hub runs: make sure that none does." in " ".join(done.out.split())
        done = await looked.change("purge", site.store.prefix, "--yes")
        assert done.status == 0
        assert "nobody knows whether a hub runs: make sure that none does." in " ".join(done.out.split())


@pytest.mark.parametrize("store", ["etcd", "consul"], indirect=True)
async def test_what_the_store_refuses_leaves_the_table_as_it_was(site, tmp_path):
    """One route is larger than any transaction of this store."""
    file = tmp_path / "table.jsonl"
    async with written(site, "push") as looked:
        big = {"routespec": "/big/", "target": BOB, "data": {"x": "x" * 3_000_000}}
        small = {"routespec": "/small/", "target": BOB, "data": {}}
        head = {"format": "jhub-kvproxy table", "version": 1, "routes": 2}
        file.write_text("".join(f"{json.dumps(line)}\n" for line in (head, small, big)))
        assert len(from_file(file.read_bytes(), "")) == 2
        result = await looked.change("import", file, "--yes")
        assert result.status == 1
        assert "The store refuses 1 of the routes. The table is as it was." in result.err
        assert await routes_of(looked) == {"/user/alice/": ALICE, "/user/bob/": BOB}


async def test_a_store_that_is_away(tmp_path):
    away = ["--KVProxy.backend_class=etcd", "--EtcdBackend.urls=http://127.0.0.1:1", "--EtcdBackend.timeout=0.5"]
    file = tmp_path / "table.jsonl"
    file.write_text('{"format": "jhub-kvproxy table", "version": 1, "routes": 0}\n')
    for words in (["export"], ["import", str(file), "--yes"]):
        result = await told(*words, *away)
        assert (result.status, result.out) == (1, "")
        assert "http://127.0.0.1:1" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "--json"], "JSON lines are printed anyway"),
        (["export", "x"], "unexpected argument 'x'"),
        (["import"], "the following arguments are required: FILE"),
        (["import", "x", "--dry"], "there is no option --dry; did you mean --dry-run?"),
    ],
)
async def test_wrong_usage(words, message):
    result = await told(*words)
    assert (result.status, result.out) == (2, "")
    assert message in result.err


async def test_an_output_that_cannot_be_written(site, tmp_path):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await filled(looked)
        result = await looked.tell("export", "--output", tmp_path / "none" / "x")
        assert (result.status, result.out) == (1, "")
        assert "cannot be written: No such file or directory." in result.err
