"""``jhub-kvproxy`` as a user runs it, and the packages that strangers may have installed beside it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tomli_w
from traitlets.config import Config

from jhub_kvproxy.cli import main
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.traefik.binary import find_traefik
from servers.ports import free_port
from tests.hub import PATIENCE, answers, heed_signals, until
from tests.site import writer_for

#: The steps of a check that finds nothing wrong.
GOOD = ["ok config", "ok open", "ok table", "ok write", "ok watch", "ok lease", "ok traefik", "ok start", "ok trial"]
USES_KVPROXY = 'c.JupyterHub.proxy_class = "kvproxy"\n'


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def steps(self) -> list[str]:
        """Status and name of each step of a check, such as ``ok write``."""
        if self.out.startswith("{"):
            return [f"{step['status']} {step['step']}" for step in self.json["steps"]]
        lines = (line.split() for line in self.out.splitlines())
        return [" ".join(line[:2]) for line in lines if line and line[0] in ("ok", "note", "FAILED")]


def run(*words: object, cwd: Path = Path("/"), **environment: str) -> Result:
    """Run the command with `words` in this process, which spares its start."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd), patch.dict(os.environ, environment, COLUMNS="80"):
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
    return Result(status, out.getvalue(), err.getvalue())


def start(*words: object, **options: Any) -> subprocess.Popen[str]:
    """Run the command as a process of its own."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "jhub_kvproxy", *map(str, words)]
    return subprocess.Popen(command, preexec_fn=heed_signals, **pipes | options)


def ended(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, out, err)


def install(directory: Path, package: str, code: str, backends: Mapping[str, str], *metadata: str) -> None:
    """Put version 1.2 of `package` into `directory` as pip would: `code` is the module that `backends` are in."""
    info = directory / f"{package}-1.2.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {package}", "Version: 1.2", *metadata, ""]
    (info / "METADATA").write_text("\n".join(lines))
    lines = ["[jhub_kvproxy.backends]", *(f"{name} = {value}" for name, value in backends.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    module = next(iter(backends.values())).partition(":")[0]
    (directory / f"{module}.py").write_text(textwrap.dedent(code))


def fill(config: Config, routes: int) -> None:
    """Put a table with that many routes into the store of `config`, as a hub does."""

    async def write() -> None:
        proxy = KVProxy(config=config)
        backend = proxy.backend_class(parent=proxy, prefix=proxy.prefix)
        await backend.open()
        writer = writer_for(backend)
        calls = (writer.put(Route(f"/user/{number}/", "http://127.0.0.1:1", {}), 60) for number in range(routes))
        await asyncio.gather(writer.touch(60), *calls)
        await backend.close()

    asyncio.run(write())


@contextmanager
def traefik(
    directory: Path, static: Mapping[str, Any], *, entry_points: Sequence[str] = ("public",), **environment: str
) -> Iterator[str]:
    """The URL of the API of a Traefik with this static configuration, in a file, or else in its environment."""
    port = free_port()
    addresses = {name: f"127.0.0.1:{free_port()}" for name in entry_points} | {"traefik": f"127.0.0.1:{port}"}
    if static:
        file = directory / f"traefik-{port}.toml"
        ours = {"entryPoints": {name: {"address": address} for name, address in addresses.items()}}
        file.write_text(tomli_w.dumps({"api": {"insecure": True}, "log": {"level": "FATAL"}, **ours, **static}))
        arguments = [f"--configFile={file}"]
    else:
        variables = {f"TRAEFIK_ENTRYPOINTS_{name.upper()}_ADDRESS": address for name, address in addresses.items()}
        environment |= {"TRAEFIK_API_INSECURE": "true", **variables}
        arguments = []
    process = subprocess.Popen([*find_traefik(["traefik"]), *arguments], env=os.environ | environment, cwd=directory)
    url = f"http://127.0.0.1:{port}"

    def is_up() -> Any:
        assert process.poll() is None, "Traefik ended"
        return answers(f"{url}/api/version")

    try:
        asyncio.run(until(is_up, "Traefik does not start"))
        yield url
    finally:
        process.terminate()
        process.wait(30)


def tree(directory: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")
    }


def answered(answer: str, *words: object, cwd: Path) -> Result:
    """Run the command as a process of its own, on whose terminal somebody types `answer`."""
    ours, its = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        with start(*words, stdin=its, cwd=cwd) as process:
            return ended(process)
    finally:
        os.close(ours)
        os.close(its)
