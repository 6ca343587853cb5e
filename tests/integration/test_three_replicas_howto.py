"""What the page about three replicas shows, on three addresses of this machine that stand for three machines."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from traitlets.config import PyFileConfigLoader

from jhub_kvproxy.hub.proxy import KVProxy
from servers.process import Process
from servers.programs import find
from tests.hub import kill_processes_of, until
from tests.pages import HOW_TO, texts
from tests.servers import user_server
from tests.shell import run

PAGE = HOW_TO / "three-replicas.md"
TOKEN = "PUT-THE-TOKEN-HERE"
AGENT = "kvproxy-agent"
STORES = {"etcd": ["etcd"], "consul": ["consul"], "redis": ["redis", "redis-sentinel"]}


class Machines:
    """The page's machines, each a directory and an address in 127.0.0.0/8 that no other test has."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        number = os.getpid() % 60000
        self._network = f"127.{number // 250 + 1}.{number % 250 + 1}"
        self._processes: dict[tuple[str, int], subprocess.Popen[bytes]] = {}

    def address(self, machine: int) -> str:
        return f"{self._network}.{machine}"

    def adapted(self, text: str, machine: int) -> str:
        """`text` of the page, with the paths of `machine` and our addresses."""
        text = text.replace("10.0.0.", f"{self._network}.")
        # All machines are this one, so no address may stand for all of a machine's.
        text = text.replace("http://:8000", f"http://{self.address(machine)}:8000")
        return re.sub(r"/(etc|var)/", rf"{self.directory}/{machine}/\1/", text)

    def write(self, path: str, text: str, machine: int) -> Path:
        file = Path(self.adapted(path, machine))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.adapted(text, machine))
        return file

    def start(self, unit: str, machine: int) -> None:
        """Do what systemd would do with the page's `unit`, as this user."""
        parser = ConfigParser(strict=False, interpolation=None, comment_prefixes="#")
        parser.optionxform = str
        parser.read_string(self.adapted(block(f"# /etc/systemd/system/{unit}.service"), machine).replace("\\\n", ""))
        service = parser["Service"]
        variables = self._variables(block(f"# /etc/systemd/system/{unit}.service"), machine)
        program, *arguments = shlex.split(service["ExecStart"])
        arguments = [re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], word) for word in arguments]
        name = Path(program).name
        home = self.directory / str(machine)
        directory = Path(service.get("WorkingDirectory", str(home)))
        words = " ".join([*arguments, str(directory)])
        for path in re.findall(rf"{home}/var/[\w/]+", words + self._configuration(arguments)):
            Path(path).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "jhub_kvproxy"] if name == "jhub-kvproxy" else [find(name)]
        self._run(unit, machine, [*command, *arguments], env=os.environ | variables, cwd=directory)

    def _variables(self, unit: str, machine: int) -> dict[str, str]:
        """What the files in EnvironmentFile= of a unit have."""
        files = re.findall(r"^EnvironmentFile=(.*)$", self.adapted(unit, machine), re.MULTILINE)
        lines = [line for file in files for line in Path(file).read_text().splitlines()]
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def _configuration(self, arguments: list[str]) -> str:
        return "".join(Path(word).read_text() for word in arguments if Path(word).is_file())

    def stop(self, unit: str, machine: int) -> None:
        self._processes[unit, machine].stop()

    def kill(self, unit: str, machine: int) -> None:
        self._processes[unit, machine].kill()

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
        kill_processes_of(self.directory)  # of agents

    def balance(self, file: Path) -> None:
        self._run("haproxy", 9, [find("haproxy"), "-f", str(file), "-db"])

    def _run(self, unit: str, machine: int, command: list[str], **options: Any) -> None:
        log_file = self.directory / str(machine) / f"{unit}.log"
        self._processes[unit, machine] = Process(unit, command, log_file, **options)
        self._processes[unit, machine].launch()


def block(first_line: str) -> str:
    [found] = [
        text for language in ("ini", "text", "python") for text in texts(PAGE, language) if text.startswith(first_line)
    ]
    return found


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    yield machines
    machines.end()


@pytest.fixture
async def hub(machines: Machines, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """The hub's proxy, with the three replicas and the store that the test asks for running."""
    kind = request.param
    monkeypatch.setenv("KVPROXY_AGENT_TOKEN", TOKEN)
    stores = {text.split('"')[1]: text for text in texts(PAGE, "python") if "backend_class" in text}
    [ours] = [text for text in texts(PAGE, "python") if "should_start" in text]
    file = machines.write(f"{machines.directory}/jupyterhub_config.py", stores[kind] + ours, 1)
    for machine in (1, 2, 3):
        machines.write("/etc/replica.env", f"ADDRESS=10.0.0.{machine}\n", machine)
        for name in ("redis", "sentinel"):
            more = "replicaof 10.0.0.1 6379\n" if name == "redis" and machine > 1 else ""
            machines.write(f"/etc/redis/{name}.conf", block(f"# /etc/redis/{name}.conf") + more, machine)
        machines.write("/etc/kvproxy/agent.env", block("# /etc/kvproxy/agent.env"), machine)
        machines.write("/etc/kvproxy/agent.toml", agent_toml(kind, machine), machine)
        machines.start(AGENT, machine)
    # Before its store, an agent has a Traefik and no table.
    for machine in (1, 2, 3):
        await until(lambda machine=machine: status(machines, machine, "/livez"), "the agent does not start")
        assert await status(machines, machine, "/readyz") == 503
    for unit in STORES[kind]:
        for machine in (1, 2, 3):
            machines.start(unit, machine)
    config = PyFileConfigLoader(file.name, path=str(file.parent)).load_config()
    proxy = KVProxy(public_url="http://127.0.0.1:8000/", config=config)

    async def opens():
        try:
            await proxy.get_all_routes()
        except Exception as error:
            print(error)
            return False
        return True

    await until(opens, "the store does not come up")
    yield proxy
    await proxy.stop()


def agent_toml(kind: str, machine: int) -> str:
    """The file of the agent on this machine, with other times than the page's, for a load balancer that looks often."""
    found = texts(PAGE, "toml")
    [store] = [text for text in found if f'backend_class = "{kind}"' in text]
    [ours] = [text for text in found if "[Agent]" in text]
    [longer] = [text for text in found if "graceTimeOut" in text]
    shorter = longer.replace('graceTimeOut = "10m"', 'requestAcceptGraceTimeout = "1500ms"')
    store = store.replace("http://10.0.0.1:8500", f"http://10.0.0.{machine}:8500")
    return store + ours + shorter + shorter.replace(".public.", ".api.")


async def status(machines: Machines, machine: int, path: str) -> int:
    """The status that the agent of a machine answers with; 0: nobody answers."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://{machines.address(machine)}:8098{path}") as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


async def is_healthy(machines: Machines, machine: int) -> bool:
    return await status(machines, machine, "/readyz") == 200


async def all_are_healthy(machines: Machines) -> None:
    for machine in (1, 2, 3):
        await until(lambda machine=machine: is_healthy(machines, machine), f"replica {machine} is not healthy")


@pytest.mark.parametrize("hub", STORES, indirect=True)
async def test_three_replicas_set_up_as_the_page_says_serve_the_table(machines, hub):
    async with user_server("hub") as server:
        await hub.add_route("/", server, {})
        await all_are_healthy(machines)
        await hub.add_route("/user/a/", server, {})
        async with aiohttp.ClientSession() as session:
            for machine in (1, 2, 3):
                async with session.get(f"http://{machines.address(machine)}:8000/user/a/") as answer:
                    assert (await answer.json())["server"] == "hub"
        command = sys.executable, "-m", "jhub_kvproxy", "check"
        checked = await asyncio.to_thread(run, *command, cwd=machines.directory)
        assert " ".join(checked.split()).count("serves this table") == 3, checked


@pytest.mark.parametrize("hub", ["etcd"], indirect=True)
async def test_an_exchange_of_all_traefiks_fails_no_request(machines, hub):
    text = block("# /etc/haproxy/haproxy.cfg").replace("inter 1s", "inter 100ms").replace(":80\n", ":8000\n")
    text = text.replace("maxconn 20000", "maxconn 100")  # which is a matter of the machine's limits
    async with user_server("hub") as server:
        await hub.add_route("/", server, {})
        await all_are_healthy(machines)
        machines.balance(machines.write("/etc/haproxy/haproxy.cfg", text, 1))
        url = f"http://{machines.address(9)}:8000/user/a/"
        statuses: list[object] = []

        async def visit(session):
            while True:
                try:
                    async with session.get(url) as answer:
                        await answer.read()
                        statuses.append(answer.status)
                except aiohttp.ClientError as error:
                    statuses.append(repr(error))
                await asyncio.sleep(0.01)

        async with aiohttp.ClientSession() as session:

            async def is_up():
                try:
                    async with session.get(url) as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(is_up, "the load balancer does not serve")
            visitors = [asyncio.create_task(visit(session)) for _ in range(5)]
            for machine in (1, 2, 3):
                await asyncio.to_thread(machines.stop, AGENT, machine)
                machines.start(AGENT, machine)
                await until(lambda machine=machine: is_healthy(machines, machine), "the new one is not healthy")
                seen = len(statuses)
                await until(lambda seen=seen: len(statuses) > seen + 100, "nobody is served")
            for visitor in visitors:
                visitor.cancel()
            await asyncio.wait(visitors)
        assert set(statuses) == {200}
        # Those of the exchange went to others; each has had some.
        assert len(statuses) > 300


def test_systemd_understands_the_units(machines):
    found = [text for text in texts(PAGE, "ini") if text.startswith("# /etc/systemd")]
    assert len(found) == 5
    for text in found:
        path = text.splitlines()[0].removeprefix("# ")
        # It looks for the programs, and for the users.
        text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", re.sub(r"User=\w+", "User=root", text))
        file = machines.write(path, text, 1)
        result = subprocess.run([find("systemd-analyze"), "verify", file], capture_output=True, text=True, timeout=60)
        said = [line for line in result.stderr.splitlines() if file.name in line]
        assert (result.returncode, said) == (0, []), result.stderr
