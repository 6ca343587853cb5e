"""Runs an agent, with or without a Traefik of its own, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ..traefik.api import TraefikAPI
from ..traefik.ports import check_free
from .agent import ActivityAgent, Agent
from .configuration import AgentConfiguration
from .listening import read_tls

if TYPE_CHECKING:
    from .local_traefik import LocalTraefik

#: Of a terminal that is closed, too.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def run_agent(chosen: AgentConfiguration, log: Any, *, starts_traefik: bool) -> None:
    """Run until cancelled. Raises :class:`~jhub_kvproxy.errors.KVProxyError` when it cannot start."""
    # Before a Traefik is started, which would have to end again.
    await read_tls(chosen.settings)
    await check_free(chosen.settings.ip, chosen.settings.port, "Agent.port", who="The agent", host_option="Agent.ip")
    traefik = _local_traefik(chosen, log) if starts_traefik else None
    api = await traefik.start() if traefik else TraefikAPI(*chosen.api)
    try:
        agent = _agent(chosen, api, log)
        await agent.start()
    except BaseException:
        if traefik:
            await traefik.stop(keep_adopted=True)
        raise
    try:
        await asyncio.Event().wait()
    finally:
        agent.end()
        try:
            if traefik:
                await traefik.stop()
        finally:
            await agent.close()


def _local_traefik(chosen: AgentConfiguration, log: Any) -> LocalTraefik:
    # What reads and makes certificates takes 7 MB, which an agent beside a Traefik of others can spare.
    from .local_traefik import LocalTraefik

    return LocalTraefik(chosen.traefik, chosen.provider, log)


def _agent(chosen: AgentConfiguration, api: TraefikAPI, log: Any) -> Agent | ActivityAgent:
    if chosen.provider:
        return ActivityAgent(chosen.settings, log)
    return Agent(chosen.settings, chosen.backends, api, log)


async def until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until a signal tells the process to end; then cancel it, and wait for its end."""
    task = asyncio.ensure_future(work)
    is_told = False

    def end() -> None:
        nonlocal is_told
        if not is_told:  # it is not hurried by a second one: users' requests are under way
            is_told = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        await task
    except asyncio.CancelledError:
        if not is_told:
            raise
