"""What the page about three replicas shows, on three addresses of this machine that stand for three machines."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from traitlets.config import PyFileConfigLoader

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.traefik.certificate import self_signed
from servers.process import Process
from servers.programs import find
from tests.command import run
from tests.hub import until
from tests.pages import HOW_TO, texts
from tests.servers import user_server

PAGE = HOW_TO / "three-replicas.md"
PASSWORD = "a-password"
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
        text = text.replace('":8000"', f'"{self.address(machine)}:8000"').replace(
            '":8099"', f'"{self.address(machine)}:8099"'
        )
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
        variables = dict(
            line.split("=", 1) for line in Path(service["EnvironmentFile"]).read_text().splitlines() if "=" in line
        )
        variables = {name: value.strip('"') for name, value in variables.items()}
        program, *arguments = shlex.split(service["ExecStart"])
        arguments = [re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], word) for word in arguments]
        name = Path(program).name
        home = self.directory / str(machine)
        for path in re.findall(rf"{home}/var/[\w/]+", " ".join(arguments) + self._configuration(arguments)):
            Path(path).mkdir(parents=True, exist_ok=True)
        directory = Path(service.get("WorkingDirectory", str(home)))
        self._run(unit, machine, [find(name), *arguments], env=os.environ | variables, cwd=directory)

    def _configuration(self, arguments: list[str]) -> str:
        return "".join(Path(word).read_text() for word in arguments if Path(word).is_file())

    def stop(self, unit: str, machine: int) -> None:
        self._processes[unit, machine].stop()

    def kill(self, unit: str, machine: int) -> None:
        self._processes[unit, machine].kill()

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()

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
    """The hub's proxy, with the three replicas and the store that the test asks for running.

    Behind the name of the store may stand that the hub pushes the routes.
    """
    kind, _, pushes = request.param.partition(", ")
    monkeypatch.setenv("KVPROXY_TRAEFIK_API_PASSWORD", PASSWORD)
    stores = {text.split('"')[1]: text for text in texts(PAGE, "python") if "backend_class" in text}
    [ours] = [text for text in texts(PAGE, "python") if "should_start" in text]
    if pushes:
        [further] = [text for text in texts(PAGE, "python") if "delivery" in text]
        ours += further
    for machine in (1, 2, 3):
        machines.write("/etc/replica.env", f"ADDRESS=10.0.0.{machine}\n", machine)
        for name in ("redis", "sentinel"):
            more = "replicaof 10.0.0.1 6379\n" if name == "redis" and machine > 1 else ""
            machines.write(f"/etc/redis/{name}.conf", block(f"# /etc/redis/{name}.conf") + more, machine)
        (machines.directory / str(machine) / "etc" / "traefik" / "dynamic").mkdir(parents=True)
        for name, content in zip(("cert", "key"), self_signed(), strict=True):
            (machines.directory / str(machine) / "etc" / "traefik" / f"default-{name}.pem").write_bytes(content)
        file = machines.write(
            "/hub/jupyterhub_config.py".replace("/hub", str(machines.directory)), stores[kind] + ours, 1
        )
        configure(machines, machine, kind, pushes=bool(pushes))
        machines.start("traefik", machine)
    # Before its store, a Traefik has its own files and no table.
    for machine in (1, 2, 3):
        await until(lambda machine=machine: status(machines, machine, 8099, "/api/version"), "Traefik does not start")
        assert await status(machines, machine, 8099, "/api/version") == 401
        assert await status(machines, machine, 8000, "/_chp_healthz") == (503 if pushes else 404)
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


def configure(machines: Machines, machine: int, kind: str, *, pushes: bool) -> None:
    """Make the files of a Traefik with the page's commands."""
    [commands, plugin] = [text for text in texts(PAGE, "console") if "traefik-config" in text]
    places = {"traefik.toml": "/etc/traefik", "jupyterhub.toml": "/etc/traefik/dynamic", "traefik.env": "/etc/traefik"}
    for line in commands.splitlines():
        command, name = line.removeprefix("$ jhub-kvproxy ").split(" > ")
        words = command.split()
        if kind == "consul":
            words.append(f"--ConsulBackend.url=http://{machines.address(machine)}:8500")
        result = run(*words, cwd=machines.directory)
        assert result.status == 0, result.err
        machines.write(f"{places[name]}/{name}", result.out, machine)
    if pushes:
        home = machines.directory / str(machine)
        result = run(*plugin.removeprefix("$ jhub-kvproxy ").split(), cwd=home)
        assert result.status == 0, result.err
        (home / "plugins-local").rename(home / "etc" / "traefik" / "plugins-local")


async def status(machines: Machines, machine: int, port: int, path: str) -> int:
    """The status that a machine answers with; 0: nobody answers, or Traefik has not read its files."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://{machines.address(machine)}:{port}{path}") as answer:
                return answer.status if port == 8000 or answer.status != 404 else 0
        except aiohttp.ClientError:
            return 0


async def is_healthy(machines: Machines, machine: int) -> bool:
    return await status(machines, machine, 8000, "/_chp_healthz") == 200


async def all_are_healthy(machines: Machines) -> None:
    for machine in (1, 2, 3):
        await until(lambda machine=machine: is_healthy(machines, machine), f"replica {machine} is not healthy")


@pytest.mark.parametrize("hub", [*STORES, "etcd, pushed"], indirect=True)
async def test_three_replicas_set_up_as_the_page_says_serve_the_table(machines, hub):
    async with user_server("hub") as server:
        await hub.add_route("/", server, {})
        await all_are_healthy(machines)
        await hub.add_route("/user/a/", server, {})
        async with aiohttp.ClientSession() as session:
            for machine in (1, 2, 3):
                async with session.get(f"http://{machines.address(machine)}:8000/user/a/") as answer:
                    assert (await answer.json())["server"] == "hub"
                async with session.get(f"http://{machines.address(machine)}:8099/api/overview") as answer:
                    assert answer.status == 401


@pytest.mark.parametrize("hub", ["etcd", "etcd, pushed"], indirect=True)
async def test_an_exchange_of_all_traefiks_fails_no_request(machines, hub):
    text = block("# /etc/haproxy/haproxy.cfg").replace("inter 1s", "inter 100ms").replace(":80\n", ":8000\n")
    text = text.replace("maxconn 20000", "maxconn 100")  # which is a matter of the machine's limits
    for machine in (1, 2, 3):
        # The page's times are for a load balancer that looks every second.
        file = machines.directory / str(machine) / "etc" / "traefik" / "traefik.toml"
        shown = file.read_text()
        assert 'requestAcceptGraceTimeout = "10s"' in shown
        machines.kill("traefik", machine)
        file.write_text(shown.replace('"10s"', '"1500ms"'))
        machines.start("traefik", machine)
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
                await asyncio.to_thread(machines.stop, "traefik", machine)
                machines.start("traefik", machine)
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
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    found = [text for text in texts(PAGE, "ini") if text.startswith("# /etc/systemd")]
    assert len(found) == 5
    for text in found:
        path = text.splitlines()[0].removeprefix("# ")
        # It looks for the programs, and for the users.
        text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", re.sub(r"User=\w+", "User=root", text))
        file = machines.write(path, text, 1)
        result = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60)
        said = [line for line in result.stderr.splitlines() if file.name in line]
        assert (result.returncode, said) == (0, []), result.stderr
