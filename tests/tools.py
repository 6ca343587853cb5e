"""A hub, its Traefik or the agent beside one, and the commands that look at them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm

from jhub_kvproxy.aio import in_thread
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.store.registry import find_backend
from tests.agents import TOKEN, agent_for
from tests.command import USES_KVPROXY, Result, run
from tests.others_traefik import PASSWORD, others_traefik
from tests.site import Site
from tests.stores import STORES, TRAEFIK_READS, on

DELIVERIES = ("push", "agent", "store")
#: Runs a test that uses `site` and `delivery` once for each store and each way that the table gets from it to Traefik.
on_all_stores_and_deliveries = pytest.mark.parametrize(
    ("store", "delivery"),
    [
        on(store, delivery)
        for store in STORES
        for delivery in DELIVERIES
        if delivery != "store" or store in TRAEFIK_READS
    ],
    indirect=["store"],
)


@dataclass
class Looked:
    """A site, its hub's proxy, which is not started, and its configuration file."""

    site: Site
    proxy: KVProxy
    file: Path
    lines: Mapping[str, Any] = field(default_factory=dict)
    #: Where the hub sends the table: a URL, or nothing for a Traefik of its own.
    url: str = ""

    async def tell(self, *words: object, **environment: str) -> Result:
        """What the command says, with the configuration."""
        return await self.change(*words, *self.site.store.readers_words, **environment)

    async def change(self, *words: object, **environment: str) -> Result:
        """The same, for what needs the hub's own account."""
        return await told(*words, "--config", self.file, **environment)


async def told(*words: object, **options: Any) -> Result:
    """What the command says, while the hub and the agent of this process go on."""
    return await in_thread(run, *words, **options)


@asynccontextmanager
async def looked_at(site: Site, delivery: str, **traits: Any) -> AsyncIterator[Looked]:
    """A hub that starts its Traefik, or one with an agent beside a Traefik of others, and its configuration."""
    if delivery != "agent":
        lines = {"delivery": delivery, "runtime_dir": str(site.directory / "run"), **traits}
        yield _looked(site, lines)
        return
    directory = site.directory / "traefik"
    directory.mkdir()
    others = others_traefik(
        site, directory, "push", "".join(f"c.KVProxy.{name} = {traits[name]!r}\n" for name in traits)
    )
    backend = find_backend(site.store.name)(config=site.store.config, prefix=site.store.prefix, read_only=True)
    with others.traefik:
        async with agent_for({site.store.prefix: backend}, others.api_url, PASSWORD) as (_, asking):
            lines = {"delivery": delivery, "should_start": False, "agent_urls": [asking.url], "agent_token": TOKEN}
            yield _looked(site, {**lines, **traits}, asking.url)


def _looked(site: Site, lines: Mapping[str, Any], url: str = "") -> Looked:
    proxy = site.proxy(**lines)
    lines = {name: value for name, value in lines.items() if name != "host_routing"}
    text = [f"c.KVProxy.{name} = {value!r}" for name, value in {**lines, "prefix": site.store.prefix}.items()]
    bind = f'c.JupyterHub.bind_url = "http://127.0.0.1:{site.port}"'
    file = site.directory / "looked_config.py"
    file.write_text(USES_KVPROXY + "\n".join([bind, *text, site.store.config_lines]))
    return Looked(site, proxy, file, lines, url)


async def begin(looked: Looked) -> None:
    """Start the hub's proxy, in the way of its delivery."""
    await (looked.proxy.control.open() if looked.url else looked.proxy.start())


def database(path: Path, **ports: int) -> Path:
    """A database of JupyterHub's with running servers of these users."""
    session = orm.new_session_factory(f"sqlite:///{path}")()
    for name, port in ports.items():
        server = orm.Server(ip="127.0.0.1", port=port, base_url=f"/user/{name}/")
        user = orm.User(name=name)
        session.add_all([user, server])
        session.flush()
        session.add(orm.Spawner(name="", user=user, server=server))
    session.commit()
    session.close()
    return path
