"""A runtime directory that is full or read-only: Traefik is started again all the same, and the log says what is wrong.

On a small file system of its own, so that the tests need root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik.instance import Instance
from jhub_kvproxy.traefik.state import State
from servers.disk import SmallDisk
from servers.errors import Unavailable
from tests.hub import until
from tests.site import comes_back

SAID = {"full": "No space left on device", "read-only": "Read-only file system"}


def pid_of(proxy):
    return proxy.control.local.supervisors[0]._pid


class Disk(SmallDisk):
    def spoil(self, fault):
        if fault == "full":
            self.fill()
        else:
            subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)

    def repair(self):
        subprocess.run(["mount", "-o", "remount,rw", self.path], check=True)
        self.make_room()


@pytest.fixture
def disk(site, request):
    """That of the runtime directory, or of another one in the place of `site`."""
    disk = Disk(site.directory / getattr(request, "param", "run"))
    disk.path.mkdir()
    try:
        disk.mount()
    except Unavailable as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield disk
    disk.unmount()


@pytest.mark.parametrize("fault", SAID)
@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_dead_traefik_comes_back_and_is_written_down_later(site, disk, caplog, fault, delivery):
    proxy = await site.started(delivery=delivery)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    for _ in range(2):
        disk.spoil(fault)
        dead = pid_of(proxy)
        os.kill(dead, signal.SIGKILL)
        await until(lambda dead=dead: pid_of(proxy) != dead, "it is not started again")
        await until(lambda: comes_back(site), "its routes do not come back")
        state = disk.path / "traefik.json"
        [line] = [line for line in caplog.messages if str(state) in line]
        assert SAID[fault] in line
        disk.repair()
        await until(lambda state=state: State.read(state).pid == pid_of(proxy), "it is not written down")
        caplog.clear()
    await proxy.stop()
    assert not list(disk.path.iterdir())


@pytest.mark.parametrize("fault", SAID)
async def test_one_that_cannot_be_started_is_as_soon_as_its_files_can_be_written(
    site, disk, caplog, fault, monkeypatch
):
    """However long that takes, and with a line that names the file."""
    tries = []
    spawn = Instance.spawn

    def counted(self, *arguments):
        tries.append(arguments)
        return spawn(self, *arguments)

    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    shutil.rmtree(disk.path / "dynamic")
    disk.spoil(fault)
    monkeypatch.setattr(Instance, "spawn", counted)
    os.kill(pid_of(proxy), signal.SIGKILL)
    await until(lambda: len(tries) >= 12, "it is tried ever more rarely")
    [line] = [line for line in caplog.messages if SAID[fault] in line]
    assert str(disk.path / "dynamic") in line
    disk.repair()
    await until(lambda: comes_back(site), "it is not started when the disk is repaired")


async def test_a_start_without_room_names_the_file(site, disk):
    disk.spoil("full")
    with pytest.raises(TraefikError, match=rf"No space left on device: '{disk.path}/.*'"):
        await site.started(delivery="push")


@pytest.mark.parametrize("disk", ["run", "table"], indirect=True)
async def test_stop_says_in_one_line_what_it_cannot_remove(site, disk, caplog):
    proxy = await site.started(delivery="push")
    disk.spoil("read-only")
    await proxy.stop()
    [line] = [line for line in caplog.messages if SAID["read-only"] in line]
    assert str(disk.path) in line
    assert "\n" not in line
    assert not any(record.exc_info for record in caplog.records)
    disk.repair()
