"""The lease in a file: what becomes of it when its holder dies, or somebody touches the file."""

from __future__ import annotations

import errno
import json
import shutil
import stat
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, LeaseHeld, LeaseLost
from jhub_kvproxy_backends import _lease_file
from jhub_kvproxy_backends.toml import TomlBackend
from tests.hub import until


@pytest.fixture
async def backend(tmp_path):
    backend = TomlBackend(path=str(tmp_path / "table"), prefix="hub")
    await backend.open()
    return backend


async def test_the_lease_of_a_killed_process_runs_out(backend):
    script = """
        import asyncio, sys
        from jhub_kvproxy_backends.toml import TomlBackend

        async def main(path):
            backend = TomlBackend(path=path, prefix="hub")
            await backend.open()
            await backend.acquire_lease("the hub on node-7", 2)
            print("acquired", flush=True)
            await asyncio.sleep(3600)

        asyncio.run(main(*sys.argv[1:]))
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), backend.path], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"acquired\n"
    holder.kill()
    holder.communicate()
    with pytest.raises(LeaseHeld, match=r"the hub on node-7 has had the lease in .*/lease since \d{4}-.* UTC"):
        await backend.acquire_lease("another", 60)

    async def is_acquired():
        try:
            await backend.acquire_lease("another", 60)
        except LeaseHeld:
            return False
        return True

    await until(is_acquired, "the lease of a killed process does not run out")
    assert stat.S_IMODE((backend.directory / "lease").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": "x"}', b'{"since": 1}', b"\xff"])
async def test_a_damaged_lease_is_named(backend, content):
    await backend.acquire_lease("hub", 60)
    lease = backend.directory / "lease"
    lease.write_bytes(content)
    for call in (lambda: backend.apply(Batch({"routes/a": "1"})), lambda: backend.acquire_lease("hub", 60)):
        with pytest.raises(BackendRejected, match=rf"The lease {lease} is damaged .*; remove it"):
            await call()
    await backend.close()
    assert not backend.table_file.exists()
    lease.unlink()
    await backend.acquire_lease("hub", 60)
    await backend.apply(Batch({"routes/a": "1"}))


async def test_a_lease_that_was_removed_is_lost(backend):
    await backend.acquire_lease("hub", 60)
    (backend.directory / "lease").unlink()
    with pytest.raises(LeaseLost, match="it is gone"):
        await backend.apply(Batch({"routes/a": "1"}))
    shutil.rmtree(backend.directory)
    await backend.close()
    await backend.open()
    await backend.apply(Batch({"routes/a": "1"}))


async def test_a_lease_that_cannot_be_given_up_does_not_keep_the_store_open(backend, monkeypatch, caplog):
    """As on a disk that has become read-only: the lease then runs out by itself."""
    await backend.acquire_lease("hub", 60)
    with monkeypatch.context() as patch:
        patch.setattr(type(backend), "_release_lease", raises(OSError(errno.EROFS, "Read-only file system")))
        with pytest.raises(BackendUnavailable):
            await backend.release_lease()
        await backend.close()
    [line] = caplog.messages
    assert "cannot be given up" in line
    assert "Read-only file system" in line
    await backend.acquire_lease("hub", 60)
    await backend.close()
    assert not (backend.directory / "lease").exists()


def raises(error):
    def fail(*_):
        raise error

    return fail


class Clocks:
    """Stands in for the machine's clocks as the driver reads them: from its start, and that on the wall."""

    def __init__(self, monkeypatch):
        self.now, self.boot, self.wall = 1000.0, "this boot", datetime(2026, 1, 1, tzinfo=UTC)
        monkeypatch.setattr(_lease_file, "_now", lambda: self.now)
        monkeypatch.setattr(_lease_file, "_clock", lambda: self.boot)
        monkeypatch.setattr(_lease_file, "_wall", lambda: self.wall)


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


async def another(backend):
    other = TomlBackend(path=backend.path, prefix=backend.prefix)
    await other.open()
    return other


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(hours=-2), timedelta(days=36500)])
async def test_no_wall_clock_moves_the_end_of_a_lease(backend, clocks, jump):
    other = await another(backend)
    clocks.wall += jump  # the holder's clock is wrong, and it dies
    await backend.acquire_lease("the dead hub", 10)
    clocks.wall -= jump
    with pytest.raises(LeaseHeld, match="the dead hub"):
        await other.acquire_lease("other", 10)
    clocks.now += 10
    await other.acquire_lease("other", 10)
    clocks.wall += jump
    with pytest.raises(LeaseHeld, match="other"):
        await backend.acquire_lease("back again", 10)
    await other.apply(Batch({"routes/a": "1"}))


async def test_a_lease_of_another_machine_ends_when_it_was_not_renewed_since_it_was_seen(backend, clocks):
    """Also of the same machine before it was started again."""
    other = await another(backend)

    async def of_other(boot="another boot", now=5.0):
        here = clocks.boot, clocks.now
        clocks.boot, clocks.now = boot, now
        try:
            await other.acquire_lease("the hub elsewhere", 10)
        finally:
            clocks.boot, clocks.now = here

    await of_other()
    for renewal in range(3):
        for _ in range(2):
            with pytest.raises(LeaseHeld, match="the hub elsewhere"):
                await backend.acquire_lease("here", 60)
            clocks.now += 9.9
            if renewal < 2:
                await of_other(now=6.0 + renewal)
                break
    clocks.now += 0.1
    await backend.acquire_lease("here", 60)
    with pytest.raises(LeaseHeld, match="here"):
        await of_other()
    with pytest.raises(LeaseLost, match="here has it"):
        await other.apply(Batch({"routes/a": "1"}))
    await backend.apply(Batch({"routes/a": "2"}))


async def test_a_machine_that_was_set_back_to_a_snapshot_does_not_wait_for_the_time_it_lost(backend, clocks):
    """Its disk is elsewhere, and knows a later time of the same boot."""
    clocks.now += 100_000
    await backend.acquire_lease("before", 10)
    clocks.now -= 100_000
    other = await another(backend)
    with pytest.raises(LeaseHeld, match="before"):
        await other.acquire_lease("other", 10)
    clocks.now += 10
    await other.acquire_lease("other", 10)


async def test_a_lease_of_an_older_release_is_waited_for(backend, clocks):
    """It has an end by the wall clock, and no length: it ends when it stood for as long as one of ours lasts."""
    old = {"token": "x", "holder": "the old hub", "since": "2026-01-01T00:00:00+00:00"}
    (backend.directory / "lease").write_text(json.dumps({**old, "expiry": "2126-01-01T00:00:00+00:00"}))
    with pytest.raises(LeaseHeld, match="the old hub"):
        await backend.acquire_lease("here", 10)
    clocks.now += 10
    await backend.acquire_lease("here", 10)


async def test_the_lease_of_an_earlier_start_of_the_machine_is_not_reported_for_ever(backend, clocks):
    """The machine went down with the hub, and a command looks for the first time."""
    await backend.acquire_lease("the hub", 10)
    clocks.boot, clocks.now, clocks.wall = "another", 5, datetime.now(UTC)
    reader = TomlBackend(path=backend.path, prefix="hub", read_only=True)
    await reader.open()
    assert (await reader.read_lease()).holder == "the hub"
    clocks.wall += timedelta(seconds=100)
    assert await reader.read_lease() is None
    with pytest.raises(LeaseHeld):  # no wall clock decides who may write
        await (await another(backend)).acquire_lease("another", 10)
