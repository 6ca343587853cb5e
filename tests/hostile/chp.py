"""Who gets a request with configurable-http-proxy: a model of it, the program itself, and what it was seen to do.

The corpus has what it was seen to do, with version 5.3.0.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from servers.ports import free_port
from servers.programs import find
from tests.hostile.echo import echoing
from tests.wire import Wire, request

CORPUS = Path(__file__).parent / "corpus.json"

#: Who gets what, by routespec: as JupyterHub lays it out without subdomains, and with them.
PATHS = {
    "/": "hub",
    "/user/alice/": "alice",
    "/user/bob/": "bob",
    "/user/bob/named/": "named",
    "/user/zo%C3%AB@x/": "zoe",
    "/user/a%2Fb/": "slash",
    "/services/s/": "service",
}
HOSTS = {"/": "hub", "alice.hub.example/user/alice/": "alice", "bob.hub.example/user/bob/": "bob"}


def model(target: str, routes: Mapping[str, str] = PATHS) -> str | None:
    """The name of the server that gets a request for `target`; ``400`` or ``500`` for none; None where the model ends.

    It reads the target as a URL (whatwg URL standard, basic URL parser; ``targetForReq``), decodes all of the
    path, and takes the longest route (``lib/trie.js``).
    """
    if not re.match(r"/|\*$|http://", target, re.IGNORECASE):
        return None if "://" in target else "400"
    if re.search(r"[^!-~]", target):
        return "400"  # Node.js reads no other characters
    if re.match(r"http://[/\\]", target, re.IGNORECASE):
        return None
    found = re.match(r"(?:[hH][tT][tT][pP]://|[/\\]{2})[/\\]*([^/\\?#]*)", target)
    if found:
        if not re.fullmatch(r"[a-z][a-z0-9.-]*(:[0-9]{0,4})?", found[1]) or re.search(r"\.[0-9]+$", found[1]):
            return None
        target = target[found.end() :]
    path = re.split(r"[?#]", target)[0]
    segments: list[str] = []
    parts = re.split(r"[/\\]", path)[1:]
    for at, part in enumerate(parts):
        plain = re.sub("%2e", ".", part, flags=re.IGNORECASE)
        if plain == "..":
            del segments[-1:]
        if plain not in (".", ".."):
            segments.append(part)
        elif at == len(parts) - 1:
            segments.append("")
    joined = "/".join(segments)
    if re.search("%(?![0-9a-fA-F]{2})", joined):
        return "500"
    try:
        decoded = unquote(joined, errors="strict")
    except UnicodeDecodeError:
        return "500"
    asked = decoded.strip("/").split("/")
    table = {tuple(unquote(spec).strip("/").split("/")) if spec != "/" else (): name for spec, name in routes.items()}
    return next(table[key] for end in range(len(asked), -1, -1) if (key := tuple(asked[:end])) in table)


@contextmanager
def running(*arguments: str) -> Iterator[tuple[int, int]]:
    """The ports of the program and of its API."""
    command = find("configurable-http-proxy")
    port, api_port = free_port(), free_port()
    options = ["--ip=127.0.0.1", f"--port={port}", "--api-ip=127.0.0.1", f"--api-port={api_port}", "--log-level=error"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": "any"}
    process = subprocess.Popen([command, *options, *arguments], env=environment, **quiet)  # type: ignore[call-overload]
    try:
        while True:
            assert process.poll() is None
            try:
                _call(api_port, "", None)
                break
            except urllib.error.URLError:
                pass
        yield port, api_port
    finally:
        process.terminate()
        process.wait()


def add_route(api_port: int, routespec: str, target: str) -> None:
    """As JupyterHub does (``jupyterhub.proxy.ConfigurableHTTPProxy.add_route``)."""
    _call(api_port, quote(routespec if routespec.startswith("/") else "/" + routespec, safe="/%@~"), {"target": target})


def _call(api_port: int, path: str, body: dict[str, str] | None) -> None:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{api_port}/api/routes{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": "token any"},
    )
    with urllib.request.urlopen(asked) as answer:
        answer.read()


async def answers(routes: Mapping[str, str], asked: list[tuple[str, str]], *arguments: str) -> list[str]:
    """Who gets each request (target, host)."""
    with running(*arguments) as (port, api_port):
        wire = Wire(port)
        async with AsyncExitStack() as stack:
            for routespec, name in routes.items():
                echo = await stack.enter_async_context(echoing(name))
                await asyncio.to_thread(add_route, api_port, routespec, echo.url)
            said = []
            for target, host in asked:
                said.append((await wire.ask(request(target, host=host or None))).server)
            await wire.close()
            return said
