"""The lease in a file: what becomes of it when its holder dies, or somebody touches the file."""

from __future__ import annotations

import errno
import shutil
import stat
import subprocess
import sys
import textwrap

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, LeaseHeld, LeaseLost
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


async def test_a_lease_that_cannot_be_given_up_does_not_keep_the_store_open(backend, monkeypatch):
    """As on a disk that has become read-only: the lease then runs out by itself."""
    await backend.acquire_lease("hub", 60)
    with monkeypatch.context() as patch:
        patch.setattr(type(backend), "_release_lease", raises(OSError(errno.EROFS, "Read-only file system")))
        with pytest.raises(BackendUnavailable):
            await backend.release_lease()
        await backend.close()
    await backend.acquire_lease("hub", 60)
    await backend.close()
    assert not (backend.directory / "lease").exists()


def raises(error):
    def fail(*_):
        raise error

    return fail
