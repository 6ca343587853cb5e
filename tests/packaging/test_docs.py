"""The documentation: it builds, what it shows works, and the tutorial leads where it says.

A comment ``<!-- test: ... -->`` in a page, which a reader does not see, says what the test is to do there.
"""

from __future__ import annotations

import base64
import doctest
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser, SectionProxy
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jupyterhub.app import JupyterHub
from traitlets.config import Config, PyFileConfigLoader

from jhub_kvproxy.proxy import KVProxy
from jhub_kvproxy.registry import find_backend, installed_backends
from jhub_kvproxy.traefik.binary import find_traefik
from jhub_kvproxy.traefik.certificate import self_signed
from servers.ports import free_port
from tests.hub import answers, browsing, kill_processes_of, processes_of, until
from tests.servers import Client, user_server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
#: What tells of options that were once there.
HISTORY = [ROOT / "CHANGELOG.md", *DOCS.glob("adr/0*.md")]
TUTORIAL = DOCS / "tutorial" / "first-hub.md"
EXTERNAL = DOCS / "how-to" / "external-traefik.md"
BEHIND = DOCS / "how-to" / "behind-another-proxy.md"
EXTRA = DOCS / "how-to" / "extra-configuration.md"
BACKENDS = [find_backend(name) for name in installed_backends()]


@dataclass(frozen=True)
class Step:
    """A fenced block of a page, or a comment for the test (`language` is empty)."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def steps(page: Path) -> Iterator[Step]:
    text = page.read_text()
    for found in re.finditer(r"^<!-- test: (.*?) -->$|^```([a-z]+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        comment, language, block = found.groups()
        yield Step(page, text.count("\n", 0, found.start()) + 1, language or "", comment or block)


def blocks(language: str, first_line: str = "", pages: list[Path] = PAGES) -> list[Step]:
    return [
        step
        for page in sorted(pages)
        for step in steps(page)
        if step.language == language and step.text.startswith(first_line)
    ]


def each(found: list[Step]) -> pytest.MarkDecorator:
    assert found
    return pytest.mark.parametrize("block", found, ids=[step.place for step in found])


def need(found: object, what: str) -> None:
    """Skip without `what`; where all is promised to be there, fail."""
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is missing")


def test_it_builds_without_a_warning(tmp_path):
    for extension in ("sphinx", "autodoc_traits", "myst_parser", "pydata_sphinx_theme"):
        need(importlib.util.find_spec(extension), extension)
    html = tmp_path / "html"
    options = ["-W", "--keep-going", "-q", "-d", tmp_path / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, DOCS, html]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout
    assert (html / "index.html").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    # Sphinx does not see all pages, and a git server shows them without it.
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=lambda page: page.name)
def test_options_that_a_page_names_are_there_and_take_the_values(page):
    text = page.read_text()
    for name in set(re.findall(r"\bKVProxy\.([a-z]\w+)", text)):
        assert hasattr(KVProxy, name), name
    for value in set(re.findall(r'\bdelivery = "(\w+)"', text)):
        KVProxy(delivery=value)


@each(blocks("toml"))
def test_toml_is_toml(block):
    tomllib.loads(block.text)


@each(blocks("pycon"))
def test_python_answers_as_shown(block):
    # A page is one session.
    session = "\n".join(step.text for step in blocks("pycon", pages=[block.page]))
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(session, {}, block.place, str(block.page), 0)
    assert doctest.DocTestRunner(verbose=False).run(test, out=report.append).failed == 0, "".join(report)


@each(blocks("python", "# jupyterhub_config.py"))
def test_hub_configuration_is_valid(block, tmp_path):
    config = load(block.text, tmp_path)
    known = {
        ancestor.__name__: ancestor
        for configurable in (*JupyterHub().classes, JupyterHub, KVProxy, *BACKENDS)
        for ancestor in configurable.mro()
    }
    for section, options in config.items():
        for option in options:
            assert option in known[section].class_trait_names(config=True), f"c.{section}.{option}"
    # Their values are checked here.
    KVProxy(config=config, app=JupyterHub(config=config))
    for configurable in BACKENDS:
        configurable(config=config)


@each(blocks("python", "# jupyterhub_config.py", [EXTRA]))
async def test_traefik_takes_the_extra_configuration(block, tmp_path):
    text = re.sub(r'"address": "[\d.]*:\d+"', lambda _: f'"address": "127.0.0.1:{free_port()}"', block.text)
    config = load(text.replace("/var/log/jupyterhub", str(tmp_path)), tmp_path)
    config.KVProxy.runtime_dir = str(tmp_path / "run")
    config.TomlBackend.path = str(tmp_path / "table")
    proxy = KVProxy(public_url=f"http://127.0.0.1:{free_port()}/", config=config)
    await proxy.start()
    try:
        async with aiohttp.ClientSession() as session:
            assert await proxy._local.supervisors[0].api.errors(session) == {}
    finally:
        await proxy.stop()


@pytest.mark.parametrize("host", ["", "hub.example.org"])
async def test_a_router_of_the_admins_comes_before_all_routes(host, tmp_path):
    [block] = [block for block in blocks("python", "# jupyterhub_config.py", [EXTRA]) if "handbook" in block.text]
    port = free_port()
    client = Client(port)
    async with AsyncExitStack() as stack:
        handbook, other = [await stack.enter_async_context(user_server(name)) for name in ("handbook", "other")]
        config = load(block.text.replace("http://127.0.0.1:9000", handbook), tmp_path)
        config.KVProxy.runtime_dir = str(tmp_path / "run")
        config.TomlBackend.path = str(tmp_path / "table")
        proxy = KVProxy(public_url=f"http://127.0.0.1:{port}/", host_routing=bool(host), config=config)
        stack.push_async_callback(client.close)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        await proxy.add_route(f"{host}/", other, {})
        await proxy.add_route(f"{host}/handbook/x/", other, {})
        for path, name in [("/handbook/x/y", "handbook"), ("/handbook", "other"), ("/", "other")]:
            assert await client.server(path, host or "127.0.0.1") == name


@pytest.mark.parametrize("way", ["as shown", "with what may be added", "pushed"])
async def test_traefik_run_by_others(way, tmp_path, monkeypatch):
    table, public, api = tmp_path / "table", free_port(), free_port()
    replaced = {
        "/var/lib/jupyterhub/kvproxy": str(table),
        "/etc/traefik": str(tmp_path),
        '":8000"': f'"127.0.0.1:{public}"',
        "127.0.0.1:8099": f"127.0.0.1:{api}",
        "PUT-YOURS-HERE": base64.b64encode(hashlib.sha1(b"sesame").digest()).decode(),
    }

    def adapted(step: Step) -> str:
        text = step.text
        for old, new in replaced.items():
            text = text.replace(old, new)
        return text

    first_line = "# /etc/traefik/traefik.toml"
    static, *more = map(adapted, blocks("toml", first_line, [EXTERNAL]) + blocks("toml", first_line, [BEHIND]))
    [dynamic] = map(adapted, blocks("toml", "# /var/lib/jupyterhub", [EXTERNAL]))
    shown, pushing, *_ = map(adapted, blocks("python", "# jupyterhub_config.py", [EXTERNAL]))
    traefik: list[str] = [*find_traefik(["traefik"]), f"--configFile={tmp_path}/traefik.toml"]
    options: dict[str, Any] = {"cwd": tmp_path}
    if way == "pushed":
        # The hub's files and Traefik's are in one directory here.
        shown = pushing.replace("http://:8000", f"http://127.0.0.1:{public}")
        monkeypatch.setenv("KVPROXY_TRAEFIK_API_PASSWORD", "sesame")
        (tmp_path / "jupyterhub_config.py").write_text(shown)
        [commands] = blocks("console", "# mkdir -p /etc/traefik/dynamic", [EXTERNAL])
        text = adapted(commands).replace("traefik-config", f"traefik-config --directory={tmp_path}")
        run(re.sub("^# ", "$ ", text, flags=re.MULTILINE), tmp_path, commands.place)
        unit = unit_of(adapted(blocks("ini", "# /etc/systemd/system/traefik.service", [EXTERNAL])[0]))
        name, _, value = Path(unit["EnvironmentFile"]).read_text().strip().partition("=")
        traefik = [*find_traefik(["traefik"]), *unit["ExecStart"].split()[1:]]
        options = {"cwd": unit["WorkingDirectory"], "env": os.environ | {name: value.strip('"')}}
        options["umask"] = int(unit["UMask"], 8)
    else:
        (tmp_path / "traefik.toml").write_text("\n".join([static, *more]) if "added" in way else static)
        directory = table / "jupyterhub" / "traefik"
        directory.mkdir(parents=True)
        (directory / "site.toml").write_text(dynamic)
    for name, content in zip(("cert", "key"), self_signed(), strict=True):
        (tmp_path / f"default-{name}.pem").write_bytes(content)
    config = load(shown, tmp_path)
    config.TomlBackend.path = str(table)
    config.TomlBackend.pop("group", None)  # this machine has no such group
    config.KVProxy.traefik_api_password = "sesame"
    proxy = KVProxy(public_url=f"http://127.0.0.1:{public}/", config=config)
    client = Client(public)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(traefik, **options))
        stack.push_async_callback(client.close)
        stack.push_async_callback(proxy.stop)
        hub = await stack.enter_async_context(user_server("hub"))
        await proxy.add_route("/", hub, {})
        if way != "with what may be added":  # which switches TLS on
            assert await client.server("/hub/") == "hub"
        if way == "pushed":
            need(shutil.which("curl"), "curl")
            [asked] = blocks("console", "$ curl -u kvproxy http://127.0.0.1:8099/kvproxy/table", [EXTERNAL])
            text = adapted(asked).replace("-u kvproxy", "-s -u kvproxy:sesame").replace("curl -i", "curl -s -i")
            run(text.replace(":8000", f":{public}"), tmp_path, asked.place)


def test_the_credential_of_the_api_is_one(tmp_path):
    need(shutil.which("openssl"), "openssl")
    [block] = blocks("console", "$ password=", [EXTERNAL])
    said = run(block.text, tmp_path, block.place)
    password = re.search("password: (.*)", said)[1]
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    assert f"user: kvproxy:{{SHA}}{digest}" in said


async def test_the_tutorial(tmp_path):
    """Does what the page tells its reader to do, and looks for what the page says will be seen.

    In place of a new virtual environment it uses the one that it runs in, and in place of the ports
    8000 and 8081 free ones. JupyterLab gets leave to run as root, if that is who runs the test.
    """
    need(importlib.util.find_spec("jupyterlab"), "jupyterlab")
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
                [words] = re.findall(r'/hub/home> answers "(.+?)"', TUTORIAL.read_text())
                async with aiohttp.ClientSession() as session, session.get(self._url + "/hub/home") as answer:
                    assert words == answer.reason
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


def load(text: str, directory: Path) -> Config:
    file = directory / "jupyterhub_config.py"
    file.write_text(text)
    return PyFileConfigLoader(file.name, path=str(directory)).load_config()


def unit_of(text: str) -> SectionProxy:
    """The section [Service] of a systemd unit."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser["Service"]


def run(block: str, directory: Path, place: str) -> str:
    """Run the commands of a block as one script; what they print must be what the block shows."""
    lines = block.splitlines()
    script = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    shown = [line for line in lines if not line.startswith("$ ")]
    command = ["bash", "-euo", "pipefail", "-c", script]
    result = subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"{place}: {result.stderr}"
    printed = result.stdout + ("\n" if result.stdout and not result.stdout.endswith("\n") else "")
    expected = "".join(r"(?:.*\n)*?" if line == "..." else as_pattern(line) + r"\n" for line in shown)
    assert re.fullmatch(expected, printed), f"{place}: {printed}"
    return printed


def as_pattern(line: str) -> str:
    """A regular expression for a line of output, where ``...`` stands for anything."""
    return re.escape(line).replace(re.escape("..."), ".*")


def environment() -> dict[str, str]:
    """As after ``. venv/bin/activate``, for the environment that the test runs in."""
    return {**os.environ, "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])}


@asynccontextmanager
async def running(command: list[str], *arguments: str, **options: Any):
    process = subprocess.Popen([*command, *arguments], **options)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
