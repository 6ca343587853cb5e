"""Real Traefiks as an admin would start them, and what tests do to them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from servers.ports import free_port
from servers.traefik import Traefik
from tests.servers import Client

_INTERVAL = 0.02


class Replica(Traefik):
    """A Traefik that reads `provider` (``Backend.traefik_provider_config``)."""

    def __init__(
        self, directory: Path, provider: Mapping[str, Any], *, host: str = "127.0.0.1", api_port: int = 0
    ) -> None:
        port, self.api_port = free_port(), api_port or free_port()
        self.api_url = f"http://{host}:{self.api_port}"
        static = {
            "api": {"insecure": True, "dashboard": False},
            "entryPoints": {
                "public": {"address": f"127.0.0.1:{port}", "asDefault": True},
                "traefik": {"address": f"{host}:{self.api_port}"},
            },
            "providers": {"providersThrottleDuration": "0s", **provider},
            "log": {"level": "FATAL"},
        }
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / f"traefik-{self.api_port}-{host}.toml"
        file.write_text(tomli_w.dumps(static))
        super().__init__(file, port=port)

    async def server(self, path: str) -> str | None:
        return await served_at(self.port, path)


async def served_at(port: int, path: str) -> str | None:
    """The name of the user server that answers there; None when none does."""
    client = Client(port)
    try:
        return await client.server(path)
    except (OSError, asyncio.IncompleteReadError):
        return None
    finally:
        await client.close()
