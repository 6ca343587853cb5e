"""The demo as a newcomer meets it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.ports import free_port
from tests.hub import browsing, heed_signals, kill_processes_of, processes_of, until
from tests.servers import user_server

ROOT = Path(__file__).parents[2]
CTRL_C = b"\x03"


class Demo:
    """demo/run.py on `port`, with its temporary files below `directory`."""

    def __init__(self, directory: Path, port: int) -> None:
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self.output_file = directory / "output"
        with open(self.output_file, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "demo" / "run.py", str(port)],
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

    def said(self, pattern: str) -> str:
        found = re.search(pattern, self.output)
        assert found, f"the demo does not say {pattern}"
        return found[1]

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


async def test_a_visitor_of_the_demo_runs_code(tmp_path):
    with running_demo(tmp_path, free_port()) as demo:
        await demo.says("kill -9")
        async with browsing(demo.said("Open (.*) and log in"), "alice") as alice:
            await alice.spawn()
            async with alice.kernel() as kernel:
                assert await kernel.execute("1 + 1") == "2"
            for place in (demo.said("you also see (.*) and"), demo.said("where requests go: (.*)")):
                assert (await alice.get(place))[0] == 403
        demo.process.send_signal(signal.SIGINT)
        await demo.says("Stopping")
        demo.process.send_signal(signal.SIGINT)
        assert await demo.status() == 0
        demo.assert_nothing_left()
        assert len(demo.output.splitlines()) == 6


async def test_an_admin_of_the_demo_kills_traefik_and_sees_another(tmp_path):
    """Does what each line says."""
    port = free_port()
    with running_demo(tmp_path, port) as demo:
        await demo.says("kill -9")
        url = demo.said("Open (.*) and log in")
        assert url == f"http://127.0.0.1:{port}"
        async with browsing(url, "admin") as admin, browsing(url, "alice") as alice:
            await alice.spawn()
            assert (await admin.get(demo.said("you also see (.*) and")))[0] == 200
            page = demo.said("where requests go: (.*)")
            assert (await admin.get(page))[0] == 200
            async with admin._session.get(f"{page}events") as events:
                assert await events.content.readline() == b"event: site\n"
            log = Path(demo.said("log of JupyterHub: (.*?) "))
            assert "JupyterHub is now running at" in log.read_text()

            kill = demo.said("servers go on: (.*)")
            killed = int(kill.rpartition(" ")[2])
            assert "traefik" in processes_of(demo.temporary)[killed]
            subprocess.run(kill, shell=True, check=True)
            await demo.says(f"Process {killed} is gone. JupyterHub has started another Traefik: kill -9 ")
            another = int(demo.said("another Traefik: kill -9 (.*)"))
            assert "traefik" in processes_of(demo.temporary)[another]
            await until(alice.server_answers, "alice does not reach her server")
            assert (await admin.get(page))[0] == 200
        demo.process.send_signal(signal.SIGINT)
        assert await demo.status() == 0
        demo.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_can_be_stopped_while_it_starts(tmp_path, number):
    with running_demo(tmp_path, free_port()) as demo:
        await until(lambda: any("traefik" in command for command in processes_of(tmp_path).values()), "no Traefik")
        demo.process.send_signal(number)
        assert await demo.status() == 0
        demo.assert_nothing_left()


async def test_ctrl_c_is_no_failure_to_make(tmp_path):
    with demo_in_a_terminal(tmp_path) as (make, keyboard):
        await until(lambda: hub_is_up(tmp_path), "the hub does not start")
        keyboard.write(CTRL_C)
        await until(lambda: make.poll() is not None, "the demo does not end")
        assert make.returncode == 0
        assert list(tmp_path.iterdir()) == []


async def test_a_closed_terminal_ends_it(tmp_path):
    with demo_in_a_terminal(tmp_path) as (make, keyboard):
        await until(lambda: hub_is_up(tmp_path), "the hub does not start")
        keyboard.close()  # and the terminal with it
        await until(lambda: make.poll() is not None, "the demo does not end")
        assert list(tmp_path.iterdir()) == []


@contextmanager
def demo_in_a_terminal(temporary: Path):
    """`make demo` with this environment and a terminal of its own; the process, and the terminal's other end."""
    other_end, terminal = os.openpty()
    command = ["make", "demo", f"PORT={free_port()}", f"VENV={sys.prefix}", "--assume-old", f"{sys.prefix}/.has-demo"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    env["TMPDIR"] = str(temporary)
    with open(other_end, "wb", buffering=0) as keyboard:
        make = subprocess.Popen(command, cwd=ROOT, env=env, preexec_fn=lambda: login(terminal))
        os.close(terminal)
        try:
            yield make, keyboard
        finally:
            make.kill()
            make.wait()
            kill_processes_of(temporary)


def login(terminal: int) -> None:
    heed_signals()
    os.login_tty(terminal)


def hub_is_up(temporary: Path) -> bool:
    logs = list(temporary.glob("*/hub.log"))
    return bool(logs) and "JupyterHub is now running" in logs[0].read_text()


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
                f"==> Port {port} of 127.0.0.1 cannot be used (Address already in use); "
                f"choose another: make demo PORT={port + 1}\n"
            )
