"""The check of Traefik: what its configuration needs, and whether it serves the hub's table."""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import tomli_w

from ..agents import client
from ..agents.protocol import State
from ..errors import TraefikError
from ..hub.proxy import KVProxy
from ..options.chosen import provider_of, settings_of
from ..options.replicas import required_agents, required_traefiks
from ..options.settings import Delivery
from ..push import plugin
from ..routing.records import revision_in
from ..routing.revision import Revision
from ..store.contract import Backend
from ..traefik.api import TraefikAPI
from ..traefik.binary import check_version
from ..traefik.endpoint import Endpoint
from ..traefik.plugin_files import plugin_static
from ..traefik_routers.provider import readable_by_traefik
from .report import Report, StepFailed
from .secrets import Secrets
from .store import run_to_end
from .text import aligned, wrapped

_INTERVAL = 0.25
#: How many of the routes that an agent refuses are named.
_SHOWN = 5
#: Seconds that an agent has for its answer.
_LIMIT = 3.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What a Traefik that others start needs in its static configuration."""

    static: dict[str, Any]
    #: The secret options, such as ``providers.etcd.password``, and the environment variable of each.
    secrets: dict[str, str]

    @classmethod
    def of(cls, proxy: KVProxy, secrets: Secrets) -> Needs:
        store = provider_of(proxy)
        if store is None:
            return cls(plugin_static(), {})
        providers = {"providersThrottleDuration": "0s", **secrets.hide_leaves(store.static)}
        options = secret_options({"providers": store.secrets})
        # Traefik docs, "Install Configuration: Environment Variables".
        return cls({"providers": providers}, {name: f"TRAEFIK_{name.replace('.', '_').upper()}" for name in options})

    def lines(self) -> Iterator[str]:
        """The text for an admin."""
        yield from wrapped("Each Traefik needs this in its static configuration, beside its entry points:")
        yield ""
        yield from textwrap.indent(tomli_w.dumps(self.static), "    ").splitlines()
        if "experimental" in self.static:
            yield ""
            yield from wrapped(
                "and the plugin's files below its working directory: jhub-kvproxy traefik-config --plugin DIRECTORY. "
                "jhub-kvproxy traefik-config prints the whole static configuration; with --dynamic, the dynamic one, "
                "with the routers that the plugin needs."
            )
        if not self.secrets:
            return
        yield ""
        yield from wrapped("and these secrets, which are not shown:")
        yield ""
        yield from (f"    {line}" for line in aligned([*self.secrets.items()]))
        yield ""
        yield from wrapped(
            "A Traefik with a configuration file does not read these variables: put the secrets into that file, and "
            "let only Traefik's user read it. The variables are for a Traefik that has all its static configuration in "
            "its environment."
        )


def secret_options(tree: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The names of the options in `tree`, such as ``providers.etcd.password``."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from secret_options(value, f"{above}{name}.")
        else:
            yield above + name


@dataclass(slots=True)
class Replica:
    """A Traefik that others start, by its API, or by that of the agent beside it. None: not known."""

    api: Endpoint
    version: str | None = None
    #: Whether it serves the hub's table.
    serves_table: bool | None = None

    def facts(self, secrets: Secrets) -> dict[str, Any]:
        url = secrets.hide(self.api.name)
        return {"url": url, "version": self.version, "serves_table": self.serves_table}

    def __str__(self) -> str:
        return f"{self.api.name} (Traefik {self.version})"


async def try_replicas(proxy: KVProxy, table: Backend | None, report: Report) -> None:
    """Report whether each replica that others start answers, and serves what `table` holds (None: it is not open)."""
    with suppress(StepFailed):
        with report.step("traefik"):
            replicas = [Replica(api) for api in await _found(proxy)]
        try:
            async with aiohttp.ClientSession() as session:
                reached = await _reached(replicas, proxy, session, report)
                with report.step("traefik"):
                    await _compare(reached, table, proxy, session, report)
        finally:
            report.facts["replicas"] = [replica.facts(report.secrets) for replica in replicas]


async def _found(proxy: KVProxy) -> Sequence[Endpoint]:
    settings = settings_of(proxy)
    discovery = required_agents if _has_agents(proxy) else required_traefiks
    return await discovery(settings, proxy.log).find()


async def _reached(
    replicas: list[Replica], proxy: KVProxy, session: aiohttp.ClientSession, report: Report
) -> list[Replica]:
    """The `replicas` that answer, and have a Traefik that is new enough; report the others."""
    versions = [_version(replica, proxy, session) for replica in replicas]
    reached = []
    for replica, version in zip(replicas, await asyncio.gather(*versions, return_exceptions=True), strict=True):
        with suppress(StepFailed), report.step("traefik"):
            if isinstance(version, BaseException):
                raise version
            replica.version = version
            check_version(version, replica.api.name)
            reached.append(replica)
    return reached


async def _compare(
    replicas: list[Replica], table: Backend | None, proxy: KVProxy, session: aiohttp.ClientSession, report: Report
) -> None:
    """Wait until each of `replicas` serves what `table` holds, up to ``ready_timeout`` of `proxy`."""
    deadline = time.monotonic() + proxy.ready_timeout
    while replicas:
        keys = (await run_to_end(table.load())).keys if table else {}
        stored = revision_in(keys)
        if not stored:
            for replica in replicas:
                report.note("traefik", f"{replica} answers. Check again after the hub has made its table.")
            return
        is_last = time.monotonic() > deadline
        left = []
        for replica in replicas:
            with suppress(StepFailed), report.step("traefik"):
                served = await _served(replica, proxy, session)
                replica.serves_table = served is not None and Revision.read(stored).is_reached_by(served)
                if replica.serves_table:
                    if proxy.delivery == Delivery.STORE:
                        await _check_routers(replica, _provider(proxy), session)
                    elif _has_agents(proxy):
                        await _check_routes(replica, proxy, session)
                    report.ok("traefik", f"{replica} serves this table.")
                elif is_last:
                    raise TraefikError(_explain(replica, served, stored, proxy))
                else:
                    left.append(replica)
        replicas = left
        if replicas:
            await asyncio.sleep(_INTERVAL)


def _has_agents(proxy: KVProxy) -> bool:
    return bool(proxy.delivery == Delivery.AGENT)


def _provider(proxy: KVProxy) -> str:
    return readable_by_traefik(proxy.backend).provider


async def _version(replica: Replica, proxy: KVProxy, session: aiohttp.ClientSession) -> str:
    if _has_agents(proxy):
        return (await _state(replica, proxy, session)).traefik
    return await cast(TraefikAPI, replica.api).version(session)


async def _served(replica: Replica, proxy: KVProxy, session: aiohttp.ClientSession) -> str | None:
    """The revision of the table that the replica serves; None: it serves none."""
    match proxy.delivery:
        case Delivery.PUSH:
            return (await plugin.ask(replica.api, session)).served.revision or None
        case Delivery.AGENT:
            return (await _state(replica, proxy, session)).revision or None
    return await cast(TraefikAPI, replica.api).revision(session, _provider(proxy))


async def _state(replica: Replica, proxy: KVProxy, session: aiohttp.ClientSession) -> State:
    """What the agent says, unless that is that there is something wrong."""
    state = await client.state(replica.api, session, proxy.prefix, "", _LIMIT)
    if state.trouble:
        raise TraefikError(f"{replica.api.title} says: {state.trouble}")
    return state


async def _check_routes(replica: Replica, proxy: KVProxy, session: aiohttp.ClientSession) -> None:
    refused = (await _state(replica, proxy, session)).refused
    if refused:
        shown = [f"{routespec}: {why.rstrip('.')}" for routespec, why in sorted(refused.items())[:_SHOWN]]
        more = ["..."] if len(refused) > _SHOWN else []
        raise TraefikError(
            f"{replica} serves this table without {len(refused)} of its routes. {'; '.join(shown + more)}."
        )


async def _check_routers(replica: Replica, provider: str, session: aiohttp.ClientSession) -> None:
    errors = await cast(TraefikAPI, replica.api).errors(session)
    ours = sorted(name for name in errors if name.endswith(f"@{provider}"))
    if ours:
        raise TraefikError(
            f"{replica} serves this table without {len(ours)} of its routers; of {ours[0]} it says: {errors[ours[0]]}"
        )


def _explain(replica: Replica, served: str | None, stored: str, proxy: KVProxy) -> str:
    if served is None and _has_agents(proxy):
        return f"{replica} has no table from its agent yet. Does that read this store?"
    if served is None and proxy.delivery == Delivery.PUSH:
        return f"{replica} has our plugin, but no hub has sent it a table yet. Is the hub running?"
    if served is None:
        return f"{replica} serves no table of its provider {_provider(proxy)!r}; it needs what is shown below."
    if served.partition(".")[0] == stored.partition(".")[0]:
        return (
            f"{replica} serves revision {served} of this table, and after {proxy.ready_timeout:g} s not yet {stored}."
        )
    return f"{replica} serves a table at revision {served}, but this table is at {stored}: " + (
        "an earlier hub or another one has sent it."
        if proxy.delivery == Delivery.PUSH
        else "it reads another prefix or store, or has lost this one."
    )
