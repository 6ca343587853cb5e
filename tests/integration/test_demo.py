"""The demo as a newcomer meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hub import browsing, heed_signals, kill_processes_of, processes_of, until
from tests.servers import free_port, user_server

DEMO = Path(__file__).parents[2] / "demo" / "run.py"


class Demo:
    """demo/run.py on `port`, with its temporary files below `directory`."""

    def __init__(self, directory: Path, port: int) -> None:
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self.output_file = directory / "output"
        with open(self.output_file, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, DEMO, str(port)],
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=heed_signals,
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    async def says(self, text: str) -> None:
        await until(lambda: text in self.output or self.process.poll() is not None, f"the demo does not say: {text}")
        assert text in self.output

    async def status(self) -> int:
        await until(lambda: self.process.poll() is not None, "the demo does not end")
        return self.process.returncode

    def assert_nothing_left(self) -> None:
        assert processes_of(self.temporary) == {}
        assert list(self.temporary.iterdir()) == []


@contextmanager
def running_demo(directory: Path, port: int):
    demo = Demo(directory, port)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()
        kill_processes_of(demo.temporary)
        print(demo.output)


async def test_a_visit(tmp_path):
    port = free_port()
    with running_demo(tmp_path, port) as demo:
        await demo.says(f"Open http://127.0.0.1:{port} and log in")
        async with browsing(f"http://127.0.0.1:{port}", "alice") as alice:
            await alice.spawn()
            async with alice.kernel() as kernel:
                assert await kernel.execute("1 + 1") == "2"
        demo.process.send_signal(signal.SIGINT)
        await demo.says("Stopping")
        demo.process.send_signal(signal.SIGINT)
        assert await demo.status() == 0
        demo.assert_nothing_left()
        assert len(demo.output.splitlines()) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_can_be_stopped_while_it_starts(tmp_path, number):
    with running_demo(tmp_path, free_port()) as demo:
        await until(lambda: any("traefik" in command for command in processes_of(tmp_path).values()), "no Traefik")
        demo.process.send_signal(number)
        assert await demo.status() == 0
        demo.assert_nothing_left()


async def test_a_hub_that_dies_is_reported_and_what_it_left_is_ended(tmp_path):
    port = free_port()
    with running_demo(tmp_path, port) as demo:
        await demo.says("Open http")
        (hub,) = (pid for pid, command in processes_of(demo.temporary).items() if "-m jupyterhub " in command)
        os.kill(hub, signal.SIGKILL)
        assert await demo.status() == 1
        assert "JupyterHub ended with status -9. The end of its log:" in demo.output
        assert "JupyterHub is now running at" in demo.output
        demo.assert_nothing_left()


async def test_a_taken_port_is_reported_before_anything_starts(tmp_path):
    async with user_server("stranger") as url:
        port = int(url.rpartition(":")[2])
        with running_demo(tmp_path, port) as demo:
            assert await demo.status() == 1
            assert demo.output == (
                f"==> Port {port} of 127.0.0.1 cannot be had (Address already in use); "
                f"choose another: make demo PORT={port + 1}\n"
            )
