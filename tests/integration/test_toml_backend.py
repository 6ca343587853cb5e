"""The table in files: whole at every moment, whoever writes, reads, dies or fills the disk."""

from __future__ import annotations

import ast
import asyncio
import fcntl
import grp
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
import tomllib
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, write_atomically
from jhub_kvproxy_backends import toml
from jhub_kvproxy_backends.toml import TomlBackend

RULE = "traefik/http/routers/r{}/rule"


@pytest.fixture
async def backend(tmp_path):
    return await opened(tmp_path)


async def opened(tmp_path, **traits):
    backend = TomlBackend(path=str(tmp_path / "table"), prefix="hub", **traits)
    await backend.open()
    await backend.open()
    return backend


def stored(backend):
    """The table, read without the driver."""
    return json.loads(backend.table_file.read_text())["keys"]


def routers(backend):
    """What Traefik reads, read without the driver."""
    return tomllib.loads(backend.traefik_file.read_text()).get("http", {}).get("routers", {})


names = st.text("abé\"\\'{}\n .", min_size=1, max_size=4)
values = st.text(max_size=8) | st.sampled_from(["{{", "{{ env `HOME` }}", "{{{{}}", "\x00\x7f\u2028"])


async def test_traefik_reads_what_the_table_holds(backend):
    """And finds no template in it."""
    loop = asyncio.get_running_loop()

    @given(st.dictionaries(names, st.none() | values, max_size=6))
    def for_all(changes):
        batch = Batch({RULE.format(name): value for name, value in changes.items()})
        asyncio.run_coroutine_threadsafe(backend.apply(batch), loop).result()
        assert b"{{" not in backend.traefik_file.read_bytes()
        assert routers(backend) == {key.split("/")[3]: {"rule": value} for key, value in stored(backend).items()}

    await backend.apply(Batch({RULE.format("first"): "1"}))
    await asyncio.to_thread(for_all)


async def test_two_writers_lose_nothing(backend, tmp_path):
    """Two processes, each adding its own keys as fast as it can."""
    script = """
        import asyncio, sys
        from jhub_kvproxy import Batch
        from jhub_kvproxy_backends.toml import TomlBackend

        async def main(path, name):
            backend = TomlBackend(path=path, prefix="hub")
            await backend.open()
            for number in range(100):
                await backend.apply(Batch({f"traefik/http/routers/{name}{number}/rule": name, "routes/last": name}))
                await backend.apply(Batch({f"routes/{name}{number - 1}": None, f"routes/{name}{number}": name}))

        asyncio.run(main(*sys.argv[1:]))
    """
    writers = [run(script, backend.path, name) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    wanted = {f"traefik/http/routers/{name}{number}/rule": name for name in "ab" for number in range(100)}
    wanted |= {"routes/a99": "a", "routes/b99": "b"}
    found = dict((await backend.load()).keys)
    assert found.pop("routes/last") in "ab"
    assert found == wanted
    assert len(routers(backend)) == 200


def run(script, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), *arguments], **options)


async def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    backend = await opened(tmp_path)
    file, workshop = backend.directory / ".table.json.abc.tmp", backend.directory / ".def.tmp"
    workshop.mkdir()
    for leftover in (file, workshop / "table.json"):
        leftover.write_text("half")
    await backend.apply(Batch({"routes/a": "1"}))
    assert sorted(path.name for path in backend.directory.iterdir()) == ["lock", "table.json", "traefik"]


async def test_a_full_disk_loses_nothing(backend):
    """The kernel's own limit on a file's size stands in for the disk's."""
    await backend.apply(Batch({"routes/a": "1", RULE.format("a"): "1"}))
    script = """
        import asyncio, resource, signal, sys
        from jhub_kvproxy import BackendUnavailable, Batch
        from jhub_kvproxy_backends.toml import TomlBackend

        async def main(path):
            backend = TomlBackend(path=path, prefix="hub")
            before = (await backend.load()).keys
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
            try:
                await backend.apply(Batch({"routes/b": "x" * 2000}))
            except BackendUnavailable as error:
                print(error)
            assert (await backend.load()).keys == before
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await backend.apply(Batch({"routes/b": "2"}))

        asyncio.run(main(*sys.argv[1:]))
    """
    writer = run(script, backend.path, stdout=subprocess.PIPE, text=True)
    said, _ = writer.communicate()
    assert writer.returncode == 0
    assert f"The routing table in {backend.directory} cannot be used: " in said
    assert "File too large" in said
    assert stored(backend) == {"routes/a": "1", RULE.format("a"): "1", "routes/b": "2"}
    assert not list(backend.directory.glob(".*.tmp"))


async def test_a_symlinked_file_and_directory_stay_links(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "table").symlink_to(elsewhere)
    backend = await opened(tmp_path)
    await backend.apply(Batch({"routes/a": "1"}))
    real = tmp_path / "real.json"
    backend.table_file.rename(real)
    backend.table_file.symlink_to(real)
    await backend.apply(Batch({"routes/a": "2"}))
    assert (tmp_path / "table").is_symlink()
    assert backend.table_file.is_symlink()
    assert stored(backend) == {"routes/a": "2"} == json.loads(real.read_text())["keys"]


async def test_traefik_sees_changes_through_a_symlinked_file(site):
    proxy = await site.started()
    server = await site.server("a")
    await proxy.add_route("/user/a/", server, {})
    file, real = proxy.backend.traefik_file, site.directory / "real.toml"
    file.rename(real)
    file.symlink_to(real)
    for number in range(5):
        await proxy.add_route(f"/user/{number}/", server, {})
        assert await site.client.server(f"/user/{number}/") == "a"
    assert file.is_symlink()


async def test_modes_and_groups_are_kept(backend):
    await backend.apply(Batch({"routes/a": "1", RULE.format("a"): "1"}))
    for path, mode in ((backend.table_file, 0o640), (backend.traefik_file, 0o644)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, 1, 1)
    await backend.apply(Batch({"routes/a": "2", RULE.format("a"): "x"}))
    for path, mode in ((backend.table_file, 0o640), (backend.traefik_file, 0o644)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        if os.geteuid() == 0:
            assert (path.stat().st_uid, path.stat().st_gid) == (1, 1)


async def test_a_group_may_read(tmp_path):
    group = grp.getgrgid(os.getgroups()[-1] if os.geteuid() else 1)
    backend = await opened(tmp_path, group=group.gr_name)
    await backend.apply(Batch({"routes/a": "1", RULE.format("a"): "x"}))
    await backend.acquire_lease("a hub", 60)
    for path, mode in {
        backend.directory: 0o750,
        backend.directory / "lease": 0o640,
        backend.traefik_file.parent: 0o750,
        backend.traefik_file: 0o640,
        backend.table_file: 0o640,
    }.items():
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (mode, group.gr_gid)


async def test_an_unknown_group_is_named(tmp_path):
    with pytest.raises(BackendRejected, match=r"TomlBackend\.group = 'no-such-group'"):
        await opened(tmp_path, group="no-such-group")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", "line 1"),
        (b'{"format": 1, "keys": {\n"routes/a": "1",\n"rou', "line 3"),
        (b'{"format": 1, "keys": {"routes/a": 1}}', "a value is not text"),
        (b'{"format": 1}', "'keys'"),
        (b"[]", "it is no JSON object"),
        (b"\xff\xfe", "line 1"),
        (b'{"format": 2, "keys": {}}', "format 2"),
    ],
)
async def test_a_damaged_table_is_reported_and_kept(backend, content, where):
    await backend.apply(Batch({"routes/a": "1"}))
    backend.table_file.write_bytes(content)
    for call in (backend.load, lambda: backend.apply(Batch({"routes/b": "2"}))):
        with pytest.raises(BackendRejected, match=r"move .* away") as damaged:
            await call()
        assert str(backend.table_file) in str(damaged.value)
        assert where in str(damaged.value)
    assert backend.table_file.read_bytes() == content


@pytest.mark.parametrize("damage", ["unlink", "half", "edit"])
async def test_what_traefik_reads_is_made_again(backend, damage):
    await backend.apply(Batch({RULE.format("a"): "x", RULE.format("b"): "y"}))
    file, content = backend.traefik_file, backend.traefik_file.read_bytes()
    if damage == "unlink":
        file.unlink()
    elif damage == "half":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.write_bytes(content.replace(b'"x"', b'"z"'))
    await backend.load()
    assert file.read_bytes() == content


async def test_traefik_has_a_file_only_while_the_table_has_something_for_it(backend, tmp_path, caplog):
    await backend.apply(Batch({"routes/a": "1", RULE.format("a"): "x"}))
    assert list(routers(backend)) == ["ra"]
    await backend.apply(Batch({"routes/b": "2"}))
    assert list(routers(backend)) == ["ra"]
    await backend.apply(Batch({"routes/a": "2", RULE.format("a"): None}))
    assert not list(backend.traefik_file.parent.iterdir())
    backend.traefik_file.write_text("# left by an earlier version")
    other = await opened(tmp_path)
    assert (await other.load()).keys == {"routes/a": "2", "routes/b": "2"}
    await other.apply(Batch({"routes/a": "3"}))
    assert not list(backend.traefik_file.parent.iterdir())
    await other.apply(Batch({RULE.format("a"): "x"}))
    assert list(routers(backend)) == ["ra"]
    assert not caplog.records


async def test_traefik_keeps_its_routes_until_a_lost_table_is_written_again(backend):
    await backend.apply(Batch({RULE.format("a"): "x"}))
    backend.table_file.unlink()
    assert (await backend.load()).keys == {}
    assert list(routers(backend)) == ["ra"]
    await backend.apply(Batch({RULE.format("b"): "x"}))
    assert list(routers(backend)) == ["rb"]


async def test_a_symlink_that_traefik_reads_stays_one(backend, tmp_path):
    """An admin has made it: Traefik may read what it leads to."""
    await backend.apply(Batch({RULE.format("a"): "x"}))
    real = tmp_path / "real.toml"
    backend.traefik_file.rename(real)
    backend.traefik_file.symlink_to(real)
    await backend.apply(Batch({RULE.format("a"): None}))
    assert routers(backend) == {}
    await backend.apply(Batch({RULE.format("b"): "x"}))
    assert backend.traefik_file.is_symlink()
    assert list(tomllib.loads(real.read_text())["http"]["routers"]) == ["rb"]


async def test_a_held_lock_is_a_clear_error(tmp_path):
    backend = await opened(tmp_path, timeout=0.1)
    with open(backend.directory / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BackendUnavailable, match=r"Another process has held .*/lock for 0\.1 s"):
            await backend.apply(Batch({"routes/a": "1"}))
        assert (await backend.load()).keys == {}
    await backend.apply(Batch({"routes/a": "1"}))


class StuckDisk:
    """Lets the next change wait, in its thread, until `may_go_on` is set."""

    def __init__(self, monkeypatch):
        self.is_reached, self.may_go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def wait(*arguments, **options):
            loop.call_soon_threadsafe(self.is_reached.set)
            self.may_go_on.wait()
            write_atomically(*arguments, **options)

        monkeypatch.setattr(toml, "write_atomically", wait)


@pytest.fixture
async def stuck_disk(monkeypatch):
    disk = StuckDisk(monkeypatch)
    yield disk
    disk.may_go_on.set()


async def test_no_call_begins_while_an_earlier_one_goes_on(backend, stuck_disk, monkeypatch):
    """Its caller has given up, and yet its thread still changes the files."""
    backend.timeout = 0.05
    monkeypatch.setattr(toml, "_GRACE", 0.05)
    with pytest.raises(BackendUnavailable, match=r"did not answer within 0\.05 s; is its disk healthy"):
        await backend.apply(Batch({"routes/a": "1"}))
    for call in (
        backend.load(),
        backend.apply(Batch({"routes/b": "1"})),
        backend.acquire_lease("me", 60),
        backend.release_lease(),
        backend.remove(),
    ):
        with pytest.raises(BackendUnavailable, match=r"An earlier call still uses .*/table/hub"):
            await call
    backend.timeout = 60
    loading = asyncio.create_task(backend.load())
    await asyncio.sleep(0)
    stuck_disk.may_go_on.set()
    assert (await loading).keys == {"routes/a": "1"}
    assert sorted(path.name for path in backend.directory.iterdir()) == ["lock", "table.json", "traefik"]


async def test_a_cancelled_call_ends_when_its_thread_does(backend, stuck_disk):
    applying = asyncio.create_task(backend.apply(Batch({"routes/a": "1"})))
    waiting = asyncio.create_task(backend.apply(Batch({"routes/b": "1"})))
    await stuck_disk.is_reached.wait()
    for task in (waiting, applying):
        task.cancel()
    await asyncio.wait([waiting])
    assert not applying.done()
    stuck_disk.may_go_on.set()
    await asyncio.wait([applying])
    assert stored(backend) == {"routes/a": "1"}


async def test_a_cancelled_call_waits_no_longer_than_the_time_limit(backend, stuck_disk, monkeypatch):
    monkeypatch.setattr(toml, "_GRACE", 0.05)
    backend.timeout = 0.05
    applying = asyncio.create_task(backend.apply(Batch({"routes/a": "1"})))
    await stuck_disk.is_reached.wait()
    applying.cancel()
    await asyncio.wait([applying])
    assert not stuck_disk.may_go_on.is_set()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "table").write_text("a file")
    with pytest.raises(BackendUnavailable, match=str(tmp_path / "table")):
        await opened(tmp_path)


async def test_a_table_without_permission_is_an_error(backend):
    await backend.apply(Batch({"routes/a": "1"}))
    backend.table_file.chmod(0)
    script = """
        import asyncio, os, sys
        from jhub_kvproxy import BackendRejected
        from jhub_kvproxy_backends.toml import TomlBackend

        async def main(path):
            backend = TomlBackend(path=path, prefix="hub")
            await asyncio.to_thread(int)  # all that needs importing, root's Python perhaps
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may read everything
            try:
                await backend.load()
            except BackendRejected as error:
                print(error)

        asyncio.run(main(*sys.argv[1:]))
    """
    reader = run(script, backend.path, stdout=subprocess.PIPE, text=True)
    said, _ = reader.communicate()
    assert f"The Hub's user may not use the routing table in {backend.directory}" in said


async def test_changes_are_seen_when_the_clock_stands_still(backend):
    """Kernels' clocks may tick every 4 ms. Here, the table's file is from the future."""
    await backend.apply(Batch({"routes/a": "first"}))
    os.utime(backend.table_file, ns=(2**62, 2**62))
    other = TomlBackend(path=backend.path, prefix="hub")
    times = [2**62]
    for burst in range(1, 8):  # the last of some files may get the inode that the first had
        for number in range(burst):
            await backend.apply(Batch({"routes/a": f"{burst}-{number}"}))
            times.append(backend.table_file.stat().st_mtime_ns)
        assert (await other.load()).keys == {"routes/a": f"{burst}-{burst - 1}"}
    assert times == sorted(set(times))


async def test_a_watch_sees_what_happens_to_the_file(backend):
    """What it cannot compare it does not tell of: whoever follows it loads, and learns what is wrong."""
    await backend.apply(Batch({"routes/a": "1"}))
    async with aclosing(backend.watch()) as watch:
        assert await anext(watch) is None
        backend.table_file.rename(backend.directory / "away")
        assert await asyncio.wait_for(anext(watch), 60) is None
        assert (await backend.load()).keys == {}
        (backend.directory / "away").rename(backend.table_file)
        assert await asyncio.wait_for(anext(watch), 60) == {"routes/a": "1"}
        content = backend.table_file.read_bytes()
        backend.table_file.write_bytes(content.replace(b"1", b"2"))
        assert await asyncio.wait_for(anext(watch), 60) is None
        with pytest.raises(BackendRejected):
            await backend.load()
        backend.table_file.write_bytes(content)
        assert await asyncio.wait_for(anext(watch), 60) is None


async def test_a_watch_tells_what_has_changed(backend, tmp_path):
    other = await opened(tmp_path)
    await other.apply(Batch({"routes/a": "1", "routes/b": "1", 'routes/",\n': '",\n'}))
    async with aclosing(backend.watch()) as watch:
        assert await anext(watch) is None
        await other.apply(Batch({"routes/b": "2"}))
        assert await anext(watch) is None, "who follows the watch has loaded nothing yet"
        await backend.load()
        for changes in (
            {"routes/b": "3", "routes/c": "1"},
            {"routes/a": None, "routes/c": "2"},
            {"routes/c": None, "routes/b": None, 'routes/",\n': None},
            {"routes/a": "1"},
        ):
            await other.apply(Batch(changes))
            assert await anext(watch) == changes


async def test_a_watch_tells_also_what_differs_only_from_what_was_loaded(backend, tmp_path):
    """A key that has changed, and changed back since the watch looked, and was loaded in between."""
    other = await opened(tmp_path)
    await backend.apply(Batch({"routes/a": "1"}))
    async with aclosing(backend.watch()) as watch:
        assert await anext(watch) is None
        for number in range(3):
            await other.apply(Batch({"routes/a": "changed", "routes/b": "1"}))
            await backend.load()
            await other.apply(Batch({"routes/a": "1", "routes/b": None, "routes/c": f"{number}"}))
            assert await anext(watch) == {"routes/a": "1", "routes/b": None, "routes/c": f"{number}"}
        for number in range(5):  # so many that the watch remembers them no longer
            await other.apply(Batch({"routes/a": f"{number}"}))
            await backend.load()
        assert await anext(watch) is None


async def test_a_file_that_is_written_again_is_no_change(backend):
    await backend.apply(Batch({"routes/a": "1"}))
    async with aclosing(backend.watch()) as watch:
        await anext(watch)
        await backend.load()
        coming = asyncio.ensure_future(anext(watch))
        write_atomically(backend.table_file, backend.table_file.read_bytes())
        await asyncio.sleep(0.6)
        await backend.apply(Batch({"routes/b": "1"}))
        assert await coming == {"routes/b": "1"}


READ = """
    import asyncio, os, sys
    from jhub_kvproxy import BackendError
    from jhub_kvproxy_backends.toml import TomlBackend

    async def main(path, group):
        backend = TomlBackend(path=path, prefix="hub", read_only=True)
        await asyncio.to_thread(int)  # all that needs importing, root's Python perhaps
        if os.geteuid() == 0:  # root may read everything
            os.setgroups([])
            os.setegid(int(group))
            os.seteuid(65534)
        try:
            await backend.open()
            watch = backend.watch()
            await anext(watch)
            print(dict((await backend.load()).keys), flush=True)
            print(await anext(watch), flush=True)
            await watch.aclose()
            await backend.close()
        except BackendError as error:
            print(f"{type(error).__name__}: {error}")

    asyncio.run(main(*sys.argv[1:]))
"""


def times_in(directory):
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in directory.rglob("*")}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_with_permission_to_read_reads(tmp_path):
    for directory in (tmp_path, *tmp_path.parents):
        if str(directory).startswith("/tmp/pytest"):
            directory.chmod(0o755)
    group = grp.getgrgid(1)
    backend = await opened(tmp_path, group=group.gr_name)
    backend.directory.parent.chmod(0o755)
    await backend.apply(Batch({"routes/a": "1"}))
    before = times_in(backend.directory)
    reader = run(READ, backend.path, "1", stdout=subprocess.PIPE, text=True)
    assert reader.stdout.readline() == "{'routes/a': '1'}\n"
    assert times_in(backend.directory) == before
    await backend.apply(Batch({"routes/a": None, "routes/b": "2"}))
    assert ast.literal_eval(reader.communicate()[0]) == {"routes/a": None, "routes/b": "2"}
    refused, _ = run(READ, backend.path, "2", stdout=subprocess.PIPE, text=True).communicate()
    assert refused.startswith("BackendRejected: This user may not use the routing table in ")


async def test_who_reads_only_makes_nothing_and_waits_for_the_hub(tmp_path):
    reader = TomlBackend(path=str(tmp_path / "table"), prefix="hub", read_only=True)
    for call in (reader.open, reader.load):
        with pytest.raises(BackendUnavailable, match=r"There is no .*/table/hub yet; the Hub makes it"):
            await call()
    assert not list(tmp_path.iterdir())
    hub = await opened(tmp_path)
    await reader.open()
    assert (await reader.load()).keys == {}
    await hub.apply(Batch({"routes/a": "1", RULE.format("a"): "x"}))
    hub.traefik_file.unlink()
    assert len((await reader.load()).keys) == 2
    assert not hub.traefik_file.exists()
    await hub.remove()
    with pytest.raises(BackendUnavailable):
        await reader.load()
