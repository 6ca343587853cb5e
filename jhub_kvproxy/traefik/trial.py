"""Starts a Traefik for a moment, with what the hub would start it with, to find out whether it takes that.

It works in a directory of its own, listens on loopback only, asks no store, and writes no log of the admin's.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w

from ..aio import cancel, in_thread
from ..errors import TraefikError
from ..files import write_atomically
from .api import TraefikAPI
from .commands import output_of
from .dynamic import base_env
from .entry import entry_address
from .instance import environment
from .launch import Launch
from .launching import launch_of
from .plugin_files import plugin_static
from .plugin_trial import not_loaded, plugin_error
from .ports import free_port
from .running import API_USER
from .settings import StoreProvider, TraefikSettings
from .static import API, address

_PATIENCE = 20.0
#: Seconds for which an API that does not answer is waited for after an error that Traefik wrote.
_AFTER_AN_ERROR = 2.0
#: The parts of the static configuration that send nothing, and write nothing.
_HARMLESS = ("global", "api", "ping", "serversTransport")
_ERROR = re.compile(r" (?:ERR|FTL) (.*)$")
_CAUSE = re.compile(r'error="((?:[^"\\]|\\.)*)"')
_EXTRA, _EXTRA_DYNAMIC = "KVProxy.extra_static_config", "KVProxy.extra_dynamic_config"


async def try_static(launch: Launch) -> None:
    """Raises :class:`~jhub_kvproxy.errors.TraefikError` if Traefik cannot read the static configuration of `launch`.

    Traefik reads all of it, and starts nothing.
    """
    config = launch.static("127.0.0.1:0", launch.public_port)
    # It would ask a Traefik that runs whether it is well, if it knew where.
    config["ping"] = {**config["ping"], "entryPoint": "none"}
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(tomli_w.dumps(config).encode())
        file.flush()
        command = [*launch.command, "healthcheck", f"--configFile={file.name}"]
        try:
            async with asyncio.timeout(_PATIENCE), output_of(command, env=environment()) as output:
                async for line in output:
                    if why := _refusal(line):
                        raise TraefikError(
                            f"Traefik does not take its static configuration ({why}). A field that it did not find "
                            f"is misspelt in {_EXTRA}, or in KVProxy.acme_resolver."
                        )
        except TimeoutError:
            raise TraefikError(f"{launch.command[0]} cannot be run: it does not end within {_PATIENCE:g} s.") from None


def _refusal(line: bytes) -> str:
    """Why Traefik cannot read its configuration, if `line` says so. Pure."""
    with suppress(ValueError):
        match json.loads(line):
            case {"error": str(why)}:
                return why.removeprefix("command healthcheck error: ")
    return ""


async def try_launch(settings: TraefikSettings, store: StoreProvider | None, log: Any) -> None:
    """Start a Traefik with `settings`, and end it. `store` is as for :func:`~.launching.launch_of`.

    Raises :class:`~jhub_kvproxy.errors.TraefikError` if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="kvproxy-check-") as name:
        run = Path(name)
        # Certificates have been looked at before, and their keys are to be copied to no other place. With TLS, the
        # trial has one of its own.
        host, public_port, has_tls = entry_address(settings)
        chosen = replace(
            settings,
            public_url=f"{'https' if has_tls else 'http'}://{address(host, public_port)}",
            runtime_dir=name,
            access_log="",
            acme_domains=(),
            ssl_cert="",
            ssl_key="",
            internal_ssl=None,
        )
        reads = StoreProvider({}, {}, store.dynamic) if store else None
        launch = await launch_of(chosen, reads, log)
        port, password = free_port(), secrets.token_urlsafe(32)
        static = _on_loopback(launch.static(f"127.0.0.1:{port}", launch.public_port), port, has_plugin=store is None)
        files = {**launch.files, **{run / path: content for path, content in launch.local_files.items()}}
        file = run / "traefik.toml"
        await in_thread(_write, {**files, file: tomli_w.dumps(static).encode()})
        command = [*launch.command, f"--configFile={file}"]
        api = TraefikAPI(f"http://127.0.0.1:{port}", API_USER, password)
        try:
            async with output_of(command, cwd=run, env=environment() | base_env(API_USER, password)) as output:
                await _wait_for(api, output)
        except OSError as error:
            raise TraefikError(f"{launch.command[0]} cannot be started: {error}.") from error


def _write(files: Mapping[Path, bytes]) -> None:
    for path, content in files.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, content)


def _on_loopback(static: Mapping[str, Any], api_port: int, *, has_plugin: bool) -> dict[str, Any]:
    """The part of `static` that disturbs nobody, with other addresses. Pure."""
    points = {
        name: {**point, "address": f"127.0.0.1:{api_port}" if name == API else _any_port(point["address"])}
        for name, point in static["entryPoints"].items()
    }
    file = {"directory": static["providers"]["file"]["directory"], "watch": False}
    return {
        **{name: static[name] for name in _HARMLESS if name in static},
        **(plugin_static() if has_plugin else {}),
        "log": {"level": "ERROR", "noColor": True},
        "entryPoints": points,
        "providers": {"providersThrottleDuration": "0s", "file": file},
    }


def _any_port(address: str) -> str:
    return "127.0.0.1:0/udp" if address.lower().endswith("/udp") else "127.0.0.1:0"


async def _wait_for(api: TraefikAPI, output: asyncio.StreamReader) -> None:
    """Wait until its API answers. Raises TraefikError, with what it wrote, if it ends before, or takes too long."""
    said: list[str] = []
    reading = asyncio.create_task(_read(output, said))
    asking = asyncio.create_task(_answers(api, said))
    try:
        await asyncio.wait([reading, asking], return_when=asyncio.FIRST_COMPLETED)
        if asking.done() and asking.result():
            return
    finally:
        await cancel([reading, asking])
    if why := next(filter(None, map(plugin_error, said)), ""):
        raise not_loaded(why)
    what = "starts, but its API does not answer" if asking.done() and not asking.cancelled() else "ends at once"
    errors = "; ".join(dict.fromkeys(filter(None, map(_error, said))))
    raise TraefikError(f"Traefik {what}{f' ({errors})' if errors else ''}; look at {_EXTRA} and {_EXTRA_DYNAMIC}.")


def _error(line: str) -> str:
    """The error in `line` of Traefik's log; empty: there is none. Pure."""
    if not (found := _ERROR.search(line)):
        return ""
    cause = _CAUSE.search(found[1])
    # Whoever reads it does not know our file.
    return cause[1].replace('\\"', '"').rpartition("kvproxy-base.toml: ")[2] if cause else found[1]


async def _read(output: asyncio.StreamReader, said: list[str]) -> None:
    async for line in output:
        said.append(line.decode(errors="replace").rstrip())


async def _answers(api: TraefikAPI, said: Sequence[str]) -> bool:
    """Whether its API answers in time."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _PATIENCE
    async with aiohttp.ClientSession() as session:
        while clock() < deadline:
            with suppress(TraefikError):
                await api.version(session)
                return True
            if said:
                deadline = min(deadline, clock() + _AFTER_AN_ERROR)
            await asyncio.sleep(0.02)
    return False
