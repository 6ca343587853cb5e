"""Agents with a Traefik each, on this machine, and hubs that use them."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from servers.etcd import EtcdServer
from servers.ports import free_port
from servers.process import Process
from servers.programs import ROOT

from ..routes import Route

TOKEN = secrets.token_urlsafe(16)


class AgentProcess(Process):
    """``jhub-kvproxy agent --traefik``; users come to :attr:`public`."""

    def __init__(self, name: str, etcd: EtcdServer, prefix: str, directory: Path) -> None:
        self.public = free_port()
        port, file = free_port(), directory / f"{name}.json"
        config = {
            "JupyterHub": {"bind_url": f"http://127.0.0.1:{self.public}"},
            "KVProxy": {
                "backend_class": "etcd",
                "prefix": prefix,
                "delivery": "agent",
                "should_start": False,
                "agent_token": TOKEN,
                "runtime_dir": str(directory / name),
            },
            "EtcdBackend": etcd.traits,
            "Agent": {"port": port},
        }
        file.write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "jhub_kvproxy", "agent", f"--config={file}", "--traefik"]
        super().__init__(name, command, directory / f"{name}.log", port=port, cwd=ROOT, death_signal="TERM")


class Fleet:
    """An etcd, `count` agents, and the hub's proxy for them, within ``async with``."""

    hub: KVProxy

    def __init__(self, count: int, directory: Path) -> None:
        self.etcd = EtcdServer(directory / "etcd", durable=True)
        self.prefix = f"bench-{secrets.token_hex(4)}"
        self.agents = [AgentProcess(f"agent-{n}", self.etcd, self.prefix, directory) for n in range(count)]
        self._directory = directory
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._stack.callback(self.etcd.kill)
            await asyncio.to_thread(self.etcd.start)
            for agent in self.agents:
                self._stack.push_async_callback(asyncio.to_thread, agent.stop)
                agent.launch()
            for agent in self.agents:
                await asyncio.to_thread(agent.wait)
            self.hub = self.new_hub(delivery="agent", should_start=False, agent_urls=[a.url for a in self.agents])
            self._stack.push_async_callback(self.hub.stop)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def new_hub(self, *, prefix: str = "", **traits: Any) -> KVProxy:
        """A proxy on the same etcd, which whoever asks for it stops."""
        config = Config({"EtcdBackend": self.etcd.traits})
        config.KVProxy.update({"backend_class": "etcd", "prefix": prefix or self.prefix, "agent_token": TOKEN})
        config.KVProxy.runtime_dir = str(self._directory / "hub")
        config.KVProxy.update(traits)
        return KVProxy(public_url=f"http://127.0.0.1:{free_port()}/", config=config)


async def add_all(hub: KVProxy, routes: list[Route]) -> None:
    await asyncio.gather(*(hub.add_route(*route) for route in routes))
