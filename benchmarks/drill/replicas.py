"""Traefiks that the hub does not start, set up as an administrator does it: by ``jhub-kvproxy traefik-config``."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from jhub_kvproxy.traefik.certificate import self_signed
from servers.ports import free_port
from servers.traefik import Traefik

from ..errors import BenchmarkError

# Of `traefik-config`, which is given the ports of each replica later.
_ANY_PORT = "0"
_RUN_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Replica:
    """A Traefik: its process, its port for users, and its API's."""

    process: Traefik
    port: int
    api_port: int

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
    if hub["KVProxy"]["delivery"] == "push":
        await _told(config, home, "--plugin", str(home))
    # Traefik has one file provider: with routes in files, what stands beside them is there too.
    beside = Path(static["providers"]["file"]["directory"])
    beside.mkdir(parents=True, exist_ok=True)
    (beside / "drill.toml").write_text(tomli_w.dumps(dynamic))
    for name, content in zip(("default-cert.pem", "default-key.pem"), self_signed(), strict=True):
        (home / name).write_bytes(content)
    return [_make_replica(number, static, env, home) for number in range(1, count + 1)]


def _make_replica(number: int, static: dict[str, Any], env: dict[str, str], home: Path) -> Replica:
    port, api_port = free_port(), free_port()
    name = f"traefik-{number}"
    own = json.loads(json.dumps(static))
    own["entryPoints"]["public"]["address"] = f"127.0.0.1:{port}"
    own["entryPoints"]["api"]["address"] = f"127.0.0.1:{api_port}"
    file = home / f"{name}.toml"
    file.write_text(tomli_w.dumps(own))
    return Replica(Traefik(file, name=name, env=env), port, api_port)


async def _told(config: Path, home: Path, *words: str) -> dict[str, Any]:
    """What ``jhub-kvproxy traefik-config`` says. Raises BenchmarkError with its words when it fails."""
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
