"""The tutorial leads where it says.

A comment ``<!-- test: ... -->`` in the page, which a reader does not see, says what the test is to do there.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from servers.ports import free_port
from tests.hub import answers, browsing, kill_processes_of, processes_of, until
from tests.pages import DOCS, Step, as_pattern, environment, need, run, steps

TUTORIAL = DOCS / "tutorial" / "first-hub.md"


async def test_the_tutorial(tmp_path):
    """Does what the page tells its reader to do, and looks for what the page says will be seen.

    In place of a new virtual environment it uses the one that it runs in, and in place of the ports
    8000 and 8081 free ones. JupyterLab gets leave to run as root, if that is who runs the test.
    """
    need("jupyterlab")
    reader = Reader(tmp_path)
    comment = ""
    try:
        async with AsyncExitStack() as stack:
            for step in steps(TUTORIAL):
                if not step.language:
                    comment = step.text
                elif comment.startswith("not run"):
                    comment = ""
                    continue
                await reader.follow(step, stack)
    except BaseException:
        print(reader.log)
        raise
    finally:
        kill_processes_of(tmp_path)


class Reader:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log_file = directory.with_name(directory.name + ".log")
        self._seen = 0
        self._started_at = 0
        self._hub: subprocess.Popen[bytes] | None = None
        self._port, self._hub_port = free_port(), free_port()
        self._url = f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    async def follow(self, step: Step, stack: AsyncExitStack) -> None:
        text = re.sub(r"\b8000\b", str(self._port), step.text)
        text = re.sub(r"\b8081\b", str(self._hub_port), text)
        match step.language, text:
            case "python", _:
                self._configure(text)
            case "console", _ if text.startswith("$ jupyterhub"):
                self._start_hub(text.removeprefix("$ ").strip())
            case "console", _:
                run(text, self._directory, step.place)
            case "text", _:
                await self._see(text.splitlines(), step.place)
            case "", "alice logs in":
                self._alice = await stack.enter_async_context(browsing(self._url, "alice"))
                await self._alice.spawn()
            case "", "JupyterLab answers":
                await until(self._alice.server_answers, f"{step.place}: JupyterLab does not answer")
            case "", "the hub does not answer":
                assert not await answers(self._url + "/hub/login")
                [words] = re.findall(r'/hub/home> shows "(.+?)"', TUTORIAL.read_text())
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(self._url + "/hub/home", headers={"Accept": "text/html"}) as answer,
                ):
                    assert answer.status == 503
                    assert words in await answer.text()
            case "", "Ctrl-C":
                await self._press_ctrl_c()
            case "", "nothing runs any more":
                await until(lambda: not processes_of(self._directory), f"{step.place}: something still runs")
            case _:
                assert not step.language, f"{step.place}: the test cannot follow a block of {step.language}"
                assert text.startswith("not run"), f"{step.place}: the test does not know {text!r}"

    def _configure(self, text: str) -> None:
        text += f"\nc.JupyterHub.hub_port = {self._hub_port}\n"
        if os.geteuid() == 0:
            text += 'c.Spawner.args = ["--allow-root"]\n'
        (self._directory / "jupyterhub_config.py").write_text(text)

    def _start_hub(self, command: str) -> None:
        self._started_at = len(self.log)
        with open(self._log_file, "ab") as log:
            self._hub = subprocess.Popen(
                shlex.split(command),
                cwd=self._directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A background job's children inherit that it is ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    async def _see(self, lines: list[str], place: str) -> None:
        """Each of `lines` appears in the hub's log, after what was seen before."""
        for line in lines:

            def found(line: str = line) -> re.Match[str] | None:
                return re.compile(as_pattern(line)).search(self.log, self._seen)

            await until(lambda: found() or self._has_ended(), f"{place}: the hub does not say {line!r}")
            seen = found()
            assert seen, f"{place}: the hub ended without saying {line!r}"
            self._seen = seen.end()

    async def _press_ctrl_c(self) -> None:
        await until(lambda: "JupyterHub is now running" in self.log[self._started_at :], "the hub does not start")
        assert self._hub
        self._hub.send_signal(signal.SIGINT)
        await until(self._has_ended, "the hub does not end")

    def _has_ended(self) -> bool:
        return self._hub is None or self._hub.poll() is not None
