"""A cluster of three Consul servers, and the agent that each machine has beside them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from ...errors import BenchmarkError
from ...processes import free_port
from ...tools import find
from ..part import Part
from .base import Store, ask, run


class ConsulStore(Store):
    """The hub and the Traefiks use the agent, as Consul's documentation has it."""

    backend, section = "consul", "ConsulBackend"

    def __init__(self, directory: Path) -> None:
        super().__init__()
        names = [f"consul-{number}" for number in (1, 2, 3)]
        ports = {name: {"server": free_port(), "serf_lan": free_port(), "http": free_port()} for name in names}
        self._servers = {name: f"127.0.0.1:{ports[name]['server']}" for name in names}
        meet = [f"127.0.0.1:{ports[name]['serf_lan']}" for name in names]
        for name in names:
            server = {"server": True, "bootstrap_expect": 3, "performance": {"raft_multiplier": 1}}
            self.parts.append(_part(name, ports[name], meet, server, directory))
        agent = {"server": free_port(), "serf_lan": free_port(), "http": free_port()}
        self._url = f"http://127.0.0.1:{agent['http']}"
        self.traits = {"url": self._url}
        self.parts.append(_part("consul-agent", agent, meet, {"server": False}, directory))

    def looks_ready(self) -> bool:
        probe = [{"KV": {"Verb": "delete", "Key": "drill"}}]
        return bool(ask(f"{self._url}/v1/txn", probe, "PUT")) and len(ask(f"{self._url}/v1/status/peers")) == 3

    async def empty(self) -> None:
        await run([find("consul"), "kv", "delete", f"-http-addr={self._url}", "-recurse", ""])

    async def leader(self) -> Part:
        address = await asyncio.to_thread(ask, f"{self._url}/v1/status/leader")
        for part in self.parts:
            if self._servers.get(part.name) == address:
                return part
        raise BenchmarkError("the Consuls have no leader")


def _part(name: str, ports: dict[str, int], meet: list[str], more: dict[str, Any], directory: Path) -> Part:
    config = {
        "node_name": name,
        "bind_addr": "127.0.0.1",
        "data_dir": str(directory / name),
        "disable_update_check": True,
        "log_level": "warn",
        "ports": {"dns": -1, "grpc": -1, "serf_wan": -1, **ports},
        "retry_join": meet,
        "retry_interval": "1s",
        **more,
    }
    file = directory / f"{name}.json"
    file.write_text(json.dumps(config))
    return Part(name, [find("consul"), "agent", f"-config-file={file}"], directory / f"{name}.log")
