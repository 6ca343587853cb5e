"""A real JupyterHub behind a Traefik of its own, and people who use it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from servers.ports import free_port

CONFIG = """
import os, sys
c = get_config()
c.JupyterHub.proxy_class = "kvproxy"
c.JupyterHub.bind_url = "http://127.0.0.1:<PORT>"
c.JupyterHub.hub_port = <HUB_PORT>
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath("home/{username}")
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
"""
PATIENCE = 120
INTERVAL = 0.2


class Hub:
    """A JupyterHub in a process of its own, with all that it keeps in `directory`.

    At the end of `async with` it is stopped, and must leave no process behind. `config` comes after the
    configuration above, and ``<PORT>`` in it is the public port; `python` is the interpreter
    whose JupyterHub it is.
    """

    def __init__(self, directory: Path, config: str = "", *, python: str = sys.executable) -> None:
        self.directory = directory
        self.port, self.hub_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file = directory / "hub.log"
        text = CONFIG + config
        for name, port in (("PORT", self.port), ("HUB_PORT", self.hub_port)):
            text = text.replace(f"<{name}>", str(port))
        (directory / "jupyterhub_config.py").write_text(text)

    async def __aenter__(self) -> Hub:
        return self

    async def __aexit__(self, failure: Any, *_: Any) -> None:
        try:
            if not failure:
                if self._is_running:
                    await self.stop()
                # A kernel ends by itself when it finds that its server has gone.
                await until(lambda: not self.processes(), "the hub left processes behind")
        except BaseException:
            failure = True
            raise
        finally:
            if failure:
                print("\n".join(self.log.splitlines()[-80:]))
            await self.kill()
            kill_processes_of(self.directory)

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    @property
    def traefik_pid(self) -> int:
        return int(json.loads((self.directory / "kvproxy-run" / "traefik.json").read_text())["pid"])

    def processes(self) -> dict[int, str]:
        return processes_of(self.directory)

    async def start(self, *arguments: str) -> None:
        """Start it, with `arguments` on its command line, and wait until it answers through the proxy."""
        said_before = len(self.log)
        self._launch(*arguments)
        # It answers earlier, but can be stopped cleanly only from then on.
        await until(lambda: self._says("JupyterHub is now running", said_before), "the hub does not start")
        await until(lambda: answers(self.url + "/hub/login"), "the hub does not answer through its proxy")

    async def start_in_vain(self) -> int:
        """Start it, and wait until it ends by itself; its exit status."""
        self._launch()
        return await self._ended()

    async def stop(self) -> None:
        assert self._process
        self._process.terminate()
        status = await self._ended()
        assert status == 0, f"the hub ended with status {status}"

    async def kill(self) -> None:
        """End it as a crash would: it cannot clean up."""
        if self._process and self._is_running:
            self._process.kill()
            await self._ended()

    def _launch(self, *arguments: str) -> None:
        with open(self._log_file, "ab") as log:
            self._process = subprocess.Popen(
                [self.python, "-m", "jupyterhub", *arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=heed_signals,
            )

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _says(self, text: str, said_before: int) -> bool:
        assert self._is_running, "the hub ended while it started"
        return text in self.log[said_before:]

    async def _ended(self) -> int:
        assert self._process
        await until(lambda: not self._is_running, "the hub does not end")
        return int(self._process.returncode)


class User:
    """Somebody with a browser: cookies, and one connection pool for all hosts, which are all this machine."""

    def __init__(self, url: str, name: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        #: Where the user's own server is; known after `spawn`.
        self.server_url = ""
        self._url = url
        self._session = session

    async def log_in(self) -> None:
        login = f"{self._url}/hub/login"
        await self.get(login)
        form = {"username": self.name, "password": "any", "_xsrf": self._xsrf(login)}
        async with self._session.post(login, data=form) as answer:
            assert answer.ok, f"{self.name} cannot log in: {answer.status}"
            assert not answer.url.path.startswith("/hub/login"), f"{self.name} cannot log in"

    async def spawn(self) -> None:
        """Ask for a server, and wait until JupyterLab is served from there, as the spawn page does."""
        home = f"/user/{self.name}/"

        async def served() -> bool:
            status, url = await self.get(f"{self._url}/hub/spawn")
            self.server_url = str(url.origin()) + home
            return status == 200 and url.path == home + "lab"

        await until(served, f"the server of {self.name} does not come up")

    async def get(self, url: str) -> tuple[int, URL]:
        """Status, and where the redirects led to."""
        async with self._session.get(url) as answer:
            await answer.read()
            return answer.status, answer.url

    async def server_answers(self) -> bool:
        """Whether the user's server is reached, logged in."""
        try:
            async with self._session.get(f"{self.server_url}api/me") as answer:
                return answer.status == 200 and (await answer.json())["identity"]["name"] == self.name
        except (aiohttp.ClientError, ValueError):
            return False

    @asynccontextmanager
    async def kernel(self) -> AsyncIterator[Kernel]:
        """A new kernel, with an open websocket to it."""
        headers = {"X-XSRFToken": self._xsrf(self.server_url)}
        async with self._session.post(f"{self.server_url}api/kernels", json={}, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            kernel = (await answer.json())["id"]
        channels = f"{self.server_url}api/kernels/{kernel}/channels"
        async with self._session.ws_connect(channels, origin=str(URL(channels).origin())) as websocket:
            yield Kernel(websocket)

    def _xsrf(self, url: str) -> str:
        return self._session.cookie_jar.filter_cookies(URL(url))["_xsrf"].value


class Kernel:
    """A Jupyter kernel at the other end of a websocket (jupyter_client docs, "Messaging in Jupyter")."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket

    async def execute(self, code: str) -> str:
        """What the last expression of `code` comes to, as text."""
        asked = uuid.uuid4().hex
        await self._websocket.send_json(
            {
                "channel": "shell",
                "header": {
                    "msg_id": asked,
                    "msg_type": "execute_request",
                    "version": "5.3",
                    "session": "",
                    "username": "",
                },
                "parent_header": {},
                "metadata": {},
                "content": {"code": code, "silent": False},
            }
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self._websocket.receive_json()
                if message["parent_header"].get("msg_id") == asked and message["msg_type"] == "execute_result":
                    return message["content"]["data"]["text/plain"]


@asynccontextmanager
async def browsing(url: str, name: str) -> AsyncIterator[User]:
    """The user `name`, logged in to the hub at `url`."""
    connector = aiohttp.TCPConnector(resolver=ThisMachine())
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        user = User(url, name, session)
        await user.log_in()
        yield user


class ThisMachine(AbstractResolver):
    """Every host name is this machine: tests need no DNS."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def until(condition: Any, why: str) -> None:
    """Wait for `condition`, a function or coroutine function; AssertionError with `why` after two minutes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, why
        await asyncio.sleep(INTERVAL)


def heed_signals() -> None:
    # A background job's children inherit that these are ignored; JupyterHub stops servers with SIGINT.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def processes_of(directory: Path) -> dict[int, str]:
    """The command lines of the living processes that work in `directory` or were started with a path in it."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            if f"{directory}/" in f"{os.readlink(process / 'cwd')}/" or f"{directory}/" in command:
                found[int(process.name)] = command.replace("\0", " ")
    return found


def kill_processes_of(directory: Path) -> None:
    while left := processes_of(directory):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(INTERVAL)
