"""A cluster of three etcds."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ...errors import BenchmarkError
from ...processes import free_port
from ...tools import find
from ..part import Part
from .base import Store, ask, run


class EtcdStore(Store):
    """With etcd's defaults for elections and heartbeats."""

    backend, section = "etcd", "EtcdBackend"

    def __init__(self, directory: Path) -> None:
        super().__init__()
        names = [f"etcd-{number}" for number in (1, 2, 3)]
        peers = {name: f"http://127.0.0.1:{free_port()}" for name in names}
        self._urls = {name: f"http://127.0.0.1:{free_port()}" for name in names}
        self.traits = {"urls": list(self._urls.values())}
        for name in names:
            command = [
                find("etcd"),
                f"--name={name}",
                f"--data-dir={directory / name}",
                f"--listen-client-urls={self._urls[name]}",
                f"--advertise-client-urls={self._urls[name]}",
                f"--listen-peer-urls={peers[name]}",
                f"--initial-advertise-peer-urls={peers[name]}",
                "--initial-cluster=" + ",".join(f"{peer}={url}" for peer, url in peers.items()),
                "--logger=zap",
                "--log-level=error",
            ]
            self.parts.append(Part(name, command, directory / f"{name}.log"))

    def looks_ready(self) -> bool:
        return all(ask(f"{url}/health")["health"] == "true" for url in self._urls.values())

    async def empty(self) -> None:
        endpoints = ",".join(self._urls.values())
        await run(["env", "ETCDCTL_API=3", find("etcdctl"), f"--endpoints={endpoints}", "del", "", "--from-key=true"])

    async def leader(self) -> Part:
        for part in self.parts:
            url = f"{self._urls[part.name]}/v3/maintenance/status"
            status = await asyncio.to_thread(ask, url, {})
            if status["leader"] == status["header"]["member_id"]:
                return part
        raise BenchmarkError("the etcds have no leader")
