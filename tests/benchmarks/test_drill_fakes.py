"""What the drill makes slow, full and wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.drill.network import SlowStore
from servers.disk import own_mounts
from servers.errors import Unavailable

ROOT = Path(__file__).parents[2]


async def test_all_that_the_hub_knows_of_a_store_leads_through_slow_networks():
    """A Sentinel's answer too, which names a port of the store."""
    asked = []

    async def answer(reader, writer):
        asked.append((await reader.readline(), asyncio.get_running_loop().time()))
        writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%d\r\n" % port)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    member = SimpleNamespace(port=port)
    store = SimpleNamespace(members=[member], helpers=[], traits={"urls": [f"http://127.0.0.1:{port}"], "n": 1})
    async with server, SlowStore(store) as slow:
        new = int(slow.traits["urls"][0].rpartition(":")[2])
        assert (new != port, slow.traits["n"]) == (True, 1)
        for delay in (0.0, 0.3):
            slow.delay = delay
            began = asyncio.get_running_loop().time()
            reader, writer = await asyncio.open_connection("127.0.0.1", new)
            writer.write(b"who\n")
            said = await reader.read()
            writer.close()
            assert said == b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%d\r\n" % new
            assert asked[-1][0] == b"who\n"
            assert asked[-1][1] - began >= delay  # a delay that is not kept makes the row say nothing


def test_a_process_may_live_two_hours_ahead():
    code = (
        "import json, time; from benchmarks.drill.clock import set_ahead; before = time.monotonic(); set_ahead(7200);"
        "from datetime import UTC, datetime; real = time.clock_gettime(time.CLOCK_REALTIME); now = datetime.now;"
        "print(json.dumps([time.time(), time.time_ns() / 1e9, now(UTC).timestamp(), now().timestamp(),"
        "datetime.utcnow().replace(tzinfo=UTC).timestamp(), real, time.monotonic() - before]))"
    )
    now = time.time()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, check=True)
    *told, passed = json.loads(done.stdout)
    assert told == pytest.approx([now + 7200] * 6, abs=600)
    assert passed < 600


def test_a_small_disk_is_full_until_there_is_room_again(tmp_path):
    """In a process of its own, whose mounts nobody else sees."""
    code = (
        "from pathlib import Path; from servers.disk import *; own_mounts(); disk = SmallDisk(Path('disk'));"
        "disk.mount(); disk.fill()\n"
        "try: Path('disk/a').write_bytes(bytes(9000))\n"
        "except OSError as error: print(error.strerror)\n"
        "disk.make_room(); Path('disk/a').write_text('good'); print(Path('disk/a').read_text()); disk.unmount()"
    )
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unavailable" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.stdout.split("\n") == ["No space left on device", "good", ""], done.stderr
    assert not list((tmp_path / "disk").iterdir())


def test_who_may_not_mount_is_told_so(monkeypatch):
    monkeypatch.setattr("servers.disk._unshare", lambda flags: -1)
    with pytest.raises(Unavailable, match="no file system can be mounted here"):
        own_mounts()
