"""Traefiks that the hub does not start, configured like an admin's: with ``jhub-kvproxy traefik-config``."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from jhub_kvproxy.traefik.certificate import self_signed
from servers.ports import free_port
from servers.process import Process
from servers.programs import ROOT
from servers.traefik import Traefik

from ..errors import BenchmarkError

# For `traefik-config`; the ports of each replica are set later.
_ANY_PORT = "0"
_RUN_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Replica:
    """A Traefik: its process, its port for users, and its API's; and the agent beside it, if there is one."""

    process: Traefik
    port: int
    api_port: int
    agent: Process | None = None
    agent_port: int = 0

    def launch(self) -> None:
        """Start what does not run, without waiting."""
        for process in self.processes:
            if not process.is_running:
                process.launch()

    @property
    def processes(self) -> list[Process]:
        return [self.process, *([self.agent] if self.agent else [])]

    @property
    def agent_url(self) -> str:
        return f"http://127.0.0.1:{self.agent_port}"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"


async def make_replicas(count: int, hub: dict[str, Any], directory: Path) -> list[Replica]:
    """So many, not started, for a hub with this configuration, which needs no ``traefik_api_urls`` yet."""
    home = directory / "traefik"
    home.mkdir()
    config = directory / "drill_config.json"
    config.write_text(json.dumps(hub))
    asked = (["--secrets"], ["--dynamic"], ["--env"])
    static, dynamic, env = await asyncio.gather(*(_told(config, home, *words) for words in asked))
    if hub["KVProxy"]["delivery"] != "store":
        await _told(config, home, "--plugin", str(home))
    # Traefik has one file provider: with routes in files, what stands beside them is there too.
    beside = Path(static["providers"]["file"]["directory"])
    beside.mkdir(parents=True, exist_ok=True)
    (beside / "drill.toml").write_text(tomli_w.dumps(dynamic))
    for name, content in zip(("default-cert.pem", "default-key.pem"), self_signed(), strict=True):
        (home / name).write_bytes(content)
    return [_make_replica(number, hub, static, env, home) for number in range(1, count + 1)]


def _make_replica(number: int, hub: dict[str, Any], static: dict[str, Any], env: dict[str, str], home: Path) -> Replica:
    port, api_port = free_port(), free_port()
    name = f"traefik-{number}"
    own = json.loads(json.dumps(static))
    own["entryPoints"]["public"]["address"] = f"127.0.0.1:{port}"
    own["entryPoints"]["api"]["address"] = f"127.0.0.1:{api_port}"
    file = home / f"{name}.toml"
    file.write_text(tomli_w.dumps(own))
    replica = Replica(Traefik(file, name=name, env=env), port, api_port)
    return replace(replica, **_make_agent(number, hub, replica, home)) if _has_agent(hub) else replica


def _has_agent(hub: dict[str, Any]) -> bool:
    return bool(hub["KVProxy"]["delivery"] == "agent")


def _make_agent(number: int, hub: dict[str, Any], replica: Replica, home: Path) -> dict[str, Any]:
    """The agent beside `replica`, whose configuration is the hub's, and its port."""
    name, port = f"agent-{number}", free_port()
    own = {"port": port, "traefik_api_url": replica.api_url, "cache": str(home / f"{name}.cache")}
    file = home / f"{name}.json"
    file.write_text(json.dumps(hub | {"Agent": own}))
    command = [sys.executable, "-m", "jhub_kvproxy", "agent", f"--config={file}"]
    return {"agent": Process(name, command, home / f"{name}.log", port=port, cwd=ROOT), "agent_port": port}


async def _told(config: Path, home: Path, *words: str) -> dict[str, Any]:
    """The output of ``jhub-kvproxy traefik-config``. Raises BenchmarkError with its message if it fails."""
    command = [sys.executable, "-m", "jhub_kvproxy", "traefik-config", f"--config={config}", f"--directory={home}"]
    command += [f"--api-address=127.0.0.1:{_ANY_PORT}", "--json", *words]
    try:
        done = await asyncio.to_thread(
            subprocess.run, command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_RUN_TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(str(error)) from None
    if done.returncode:
        raise BenchmarkError(f"traefik-config failed: {done.stdout}{done.stderr}".strip())
    told: dict[str, Any] = json.loads(done.stdout)
    return told
