"""``jhub-kvproxy agent``, as a process that has no JupyterHub, with a Traefik that it starts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
import tomli_w
from aiohttp import web

from jhub_kvproxy import procfs
from jhub_kvproxy.agents.protocol import ACTIVITY, READY, credential
from jhub_kvproxy.traefik.state import State
from jhub_kvproxy_backends.toml import TomlBackend
from servers.ports import free_port, takes_connections
from tests.agents import TOKEN, Asking, Writing
from tests.hub import answers, heed_signals, kill_processes_of, processes_of, until
from tests.servers import Client, serving, user_server

#: As where no JupyterHub is installed.
WITHOUT_JUPYTERHUB = """
import sys
sys.modules["jupyterhub"] = None
from jhub_kvproxy.cli import main
sys.exit(main())
"""
SLOW = {"requestAcceptGraceTimeout": "1s", "graceTimeOut": "20s"}
#: For tests that do not care how a Traefik ends.
AT_ONCE = {"requestAcceptGraceTimeout": "0s", "graceTimeOut": "0.5s"}


class Scene:
    """A store in files, which a writer changes as a hub does, and the agents beside one Traefik."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.port, self.agent_port = free_port(), free_port()
        self.client = Client(self.port)
        self.log = directory / "agent.log"
        self.backend = TomlBackend(path=str(directory / "store"), prefix="jupyterhub")
        self.writing = Writing(self.backend)
        self._stack = stack

    def configure(self, life_cycle: dict[str, str] = AT_ONCE, **agent: object) -> None:
        points = {name: {"transport": {"lifeCycle": life_cycle}} for name in ("public", "api")}
        tables = {
            "JupyterHub": {"bind_url": f"http://127.0.0.1:{self.port}/"},
            "KVProxy": {"extra_static_config": {"entryPoints": points}},
            "TomlBackend": {"path": str(self.directory / "store")},
            "Agent": {"port": self.agent_port, **agent},
        }
        (self.directory / "agent.toml").write_text(tomli_w.dumps(tables))

    def start(self, *words: str, token: str = TOKEN) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WITHOUT_JUPYTERHUB, "agent", *words]
        environment = {**os.environ, "KVPROXY_AGENT_TOKEN": token}
        # No pipe: a Traefik that outlives the agent would keep it open.
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=log, stderr=log, preexec_fn=heed_signals
            )
        self._stack.callback(_kill, process)
        return process

    async def started(self, *words: str) -> subprocess.Popen[bytes]:
        """An agent, with its Traefik, that is ready."""
        process = self.start("--traefik", *words)

        async def is_ready() -> bool:
            assert process.poll() is None, self.log.read_text()
            return await answers(f"http://127.0.0.1:{self.agent_port}{READY}")

        await until(is_ready, "the agent is not ready")
        return process

    async def put(self, name: str) -> None:
        """Give /user/NAME/ a server, and wait until it is served."""
        await self.route(name, await self._stack.enter_async_context(user_server(name)))

    async def route(self, name: str, url: str) -> None:
        revision = await self.writing.put({f"/user/{name}/": url})
        async with aiohttp.ClientSession() as session:
            await asyncio.wait_for(Asking(self.agent_port, session, "jupyterhub").until(revision), 60)

    @property
    def traefik(self) -> int:
        """The process id of the Traefik that belongs to the agent now."""
        state = State.read(self.directory / "kvproxy-run" / "traefik.json")
        return state.pid if state else 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit status."""
    await until(lambda: process.poll() is not None, "the agent does not end")
    return process.returncode


def warnings(log: str) -> list[str]:
    return [line for line in log.splitlines() if not line.startswith("[I ")]


@pytest.fixture
async def scene(tmp_path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        stack.callback(kill_processes_of, tmp_path)
        made = Scene(tmp_path, stack)
        made.configure()
        await made.backend.open()
        stack.push_async_callback(made.backend.close)
        stack.push_async_callback(made.client.close)
        await made.writing.put({})
        yield made


def test_the_help_needs_no_jupyterhub():
    command = [sys.executable, "-c", WITHOUT_JUPYTERHUB, "agent", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--traefik" in told
    assert "--json" not in told


async def test_an_agent_with_its_traefik_serves_what_the_store_has_and_ends_both(scene):
    process = await scene.started()
    await scene.put("a")
    assert await scene.client.server("/user/a/") == "a"
    await scene.put("b")
    assert await scene.client.server("/user/b/") == "b"
    process.terminate()
    assert await ended(process) == 0
    log = scene.log.read_text()
    assert warnings(log) == []
    assert "Traefik ends" in log
    assert TOKEN not in log
    assert not processes_of(scene.directory / "kvproxy-run")
    assert not (scene.directory / "kvproxy-run").exists()


async def test_what_is_under_way_is_served_to_its_end(scene):
    scene.configure(SLOW)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slowly(request: web.Request) -> web.Response:
        begun.set()
        await may_end.wait()
        return web.Response(text="all of it")

    process = await scene.started()
    async with serving(slowly) as url, aiohttp.ClientSession() as session:
        await scene.route("slow", url)
        asking = asyncio.create_task(_text(session, f"http://127.0.0.1:{scene.port}/user/slow/"))
        await begun.wait()
        process.terminate()
        await until(lambda: not takes_connections(scene.port), "Traefik takes connections")
        process.terminate()  # it is not hurried
        assert process.poll() is None
        may_end.set()
        assert await asking == "all of it"
        assert await ended(process) == 0


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


async def test_the_traefik_of_a_killed_agent_serves_on_and_the_next_one_takes_it_over(scene):
    process = await scene.started()
    await scene.put("a")
    traefik = scene.traefik
    process.kill()
    await ended(process)
    assert await scene.client.server("/user/a/") == "a"
    await scene.started()
    assert scene.traefik == traefik
    await scene.put("b")
    assert await scene.client.server("/user/b/") == "b"


async def test_a_traefik_that_dies_is_started_again_and_has_the_table(scene):
    await scene.started()
    await scene.put("a")
    dead = scene.traefik
    os.kill(dead, signal.SIGKILL)
    await until(lambda: scene.traefik not in (0, dead), "it is not started again")
    await until(lambda: takes_connections(scene.port), "it does not listen")

    async def serves() -> bool:
        with suppress(OSError, EOFError, asyncio.IncompleteReadError):
            return await scene.client.server("/user/a/") == "a"
        return False

    await until(serves, "it has no table")


async def test_who_starts_later_has_traefik(scene):
    first = await scene.started()
    traefik = scene.traefik
    scene.agent_port = free_port()
    await scene.started(f"--Agent.port={scene.agent_port}")
    assert scene.traefik == traefik
    first.terminate()
    assert await ended(first) == 0
    assert procfs.start_time(traefik) is not None
    await scene.put("a")
    assert await scene.client.server("/user/a/") == "a"


@pytest.mark.parametrize("words", [["--traefik"], []], ids=["with Traefik", "alone"])
async def test_an_agent_whose_port_is_taken_starts_no_traefik(scene, words):
    async with _listening(scene.agent_port):
        assert await ended(scene.start(*words)) == 1
    assert scene.log.read_text() == (
        f"jhub-kvproxy: The agent cannot listen on port {scene.agent_port} of 127.0.0.1: another program listens "
        "there; end it, or choose another port with Agent.port.\n"
    )
    assert not (scene.directory / "kvproxy-run").exists()


async def test_an_agent_at_an_address_of_another_machine_names_the_option(scene):
    assert await ended(scene.start("--traefik", "--Agent.ip=192.0.2.1")) == 1
    assert "this machine has no such address; choose another with Agent.ip." in scene.log.read_text()


async def test_an_agent_without_its_certificate_starts_no_traefik(scene):
    assert await ended(scene.start("--traefik", "--Agent.tls_cert=none.pem", "--Agent.tls_key=none.pem")) == 1
    log = scene.log.read_text()
    assert log.startswith("jhub-kvproxy: Agent.tls_cert (none.pem) and Agent.tls_key (none.pem) cannot be used: "), log
    assert not (scene.directory / "kvproxy-run").exists()


async def test_an_agent_that_is_told_to_end_while_it_starts_leaves_nothing(scene):
    process = scene.start("--traefik")
    await until(lambda: processes_of(scene.directory / "kvproxy-run"), "Traefik is not started")
    process.terminate()
    assert await ended(process) == 0
    assert not processes_of(scene.directory / "kvproxy-run")


@pytest.mark.parametrize(("delivery", "status"), [("agent", 503), ("store", 200)])
async def test_an_agent_beside_a_traefik_of_others_runs_until_it_is_told_to_end(scene, delivery, status):
    """That Traefik does not run: then an agent that feeds its plugin is not ready."""
    api = f"--Agent.traefik_api_url=http://127.0.0.1:{free_port()}"
    process = scene.start(api, f"--KVProxy.delivery={delivery}")
    await until(lambda: takes_connections(scene.agent_port), "the agent does not listen")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{scene.agent_port}{READY}") as answer:
            assert answer.status == status
        url, headers = f"http://127.0.0.1:{scene.agent_port}{ACTIVITY}", credential(TOKEN)
        async with session.post(url, json=[], headers=headers) as answer:
            assert answer.status == (405 if delivery == "agent" else 200)
    process.send_signal(signal.SIGINT)
    assert await ended(process) == 0


async def test_an_agent_without_token_says_what_to_set(scene):
    assert await ended(scene.start(token="")) == 1
    assert scene.log.read_text() == (
        f"jhub-kvproxy: {scene.directory}/agent.toml: An agent needs a token, the same as the Hub: set the environment "
        "variable KVPROXY_AGENT_TOKEN.\n"
    )


@asynccontextmanager
async def _listening(port: int) -> AsyncIterator[None]:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
