"""``jhub-kvproxy agent --check``: test what an agent needs, from its own machine. It changes nothing."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path

import aiohttp

from ..agent.configuration import AgentConfiguration
from ..agent.listening import read_tls
from ..aio import in_thread, to_the_end
from ..errors import KVProxyError
from ..push import plugin
from ..routing.records import RECORDS, revision_in
from ..store.contract import Backend, SupportsWatch
from ..traefik.api import TraefikAPI
from ..traefik.binary import check_version, find_traefik, installed_version
from ..words import counted
from .report import Report, StepFailed
from .secrets import Secrets

_PATIENCE = 10.0


def check_agent(chosen: AgentConfiguration, file: str, *, starts_traefik: bool) -> int:
    """Print the steps; returns the exit status."""
    secrets = Secrets()
    secrets.add([chosen.settings.token, chosen.api[2]])
    for backend in chosen.backends.values():
        secrets.learn_traits(backend)
    report = Report(partial(print, flush=True), secrets, debug=False)
    report.ok("config", f"{file or 'No configuration file here'}: serves {', '.join(map(repr, chosen.backends))}.")
    asyncio.run(_check(chosen, report, starts_traefik))
    return 0 if report.is_ok else 1


async def _check(chosen: AgentConfiguration, report: Report, starts_traefik: bool) -> None:
    with suppress(StepFailed), report.step("tls"):
        await read_tls(chosen.settings)
    if chosen.settings.cache:
        await in_thread(_try_cache, Path(chosen.settings.cache).absolute().parent, report)
    if chosen.provider is None:
        for backend in chosen.backends.values():
            with suppress(StepFailed):
                await _try_store(backend, report)
    with suppress(StepFailed), report.step("traefik"):
        if starts_traefik:
            await _try_binary(list(chosen.traefik.traefik_cmd), report)
        elif chosen.provider is None:
            await _try_plugin(TraefikAPI(*chosen.api), report)


def _try_cache(directory: Path, report: Report) -> None:
    if not os.access(directory, os.W_OK | os.X_OK):
        report.note("cache", f"{directory}, for Agent.cache, is not there, or this user may not write to it.")


async def _try_store(backend: Backend, report: Report) -> None:
    """Whether the agent may read the table, and hears of changes."""
    try:
        with report.step("open"):
            await backend.open()
            report.ok("open", "The store answers.")
        with report.step("table"):
            keys = (await backend.load()).keys
            routes = sum(key.startswith(RECORDS) for key in keys)
            if revision_in(keys):
                report.ok("table", f"{backend.prefix!r} holds {counted(routes, 'route')}.")
            else:
                report.note("table", f"{backend.prefix!r} holds no table yet; its hub makes it when it starts.")
        if isinstance(backend, SupportsWatch):
            with report.step("watch"):
                await _try_watch(backend)
                report.ok("watch", "The store lets the agent watch for changes.")
    finally:
        await to_the_end(asyncio.ensure_future(backend.close()))


async def _try_watch(backend: SupportsWatch) -> None:
    try:
        async with asyncio.timeout(_PATIENCE), aclosing(backend.watch()) as changes:
            await anext(changes)
    except (TimeoutError, StopAsyncIteration):
        raise KVProxyError(f"The store began no watch within {_PATIENCE:g} s.") from None


async def _try_binary(command: list[str], report: Report) -> None:
    found = find_traefik(command)
    version = await installed_version(found)
    check_version(version, found[0])
    report.ok("traefik", f"{found[0]} is Traefik {version}; the agent starts it.")


async def _try_plugin(api: TraefikAPI, report: Report) -> None:
    async with aiohttp.ClientSession() as session:
        version = await api.version(session)
        check_version(version, f"That at {api.name}")
        await plugin.ask(api, session)
    report.ok("traefik", f"Traefik {version} at {api.name} has our plugin.")
