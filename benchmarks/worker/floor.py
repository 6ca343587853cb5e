"""The floor: a bare Traefik, and raw writes of the keys that jhub-kvproxy would write, without a hub part."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from traitlets.config import Config

from jhub_kvproxy.registry import find_backend
from jhub_kvproxy.traefik.certificate import self_signed

from ..routes import Route
from .mirror import Changes, Mirror
from .parts import HubPart
from .raw import RAW_WRITERS, RawWriter


class Floor(HubPart):
    """Stands where the proxy object of the others stands, and writes what was prepared."""

    def __init__(
        self, *, config: Config, public_url: str, backend: str, store: str, directory: str, traefik: list[str]
    ) -> None:
        """`store` is where the store is, in the words of :mod:`.raw`; `traefik` the command that starts it."""
        super().__init__(self)
        self._address = public_url.removeprefix("http://").rstrip("/")
        self._directory = Path(directory)
        self._traefik = traefik
        self._mirror = Mirror(config, public_url)
        driver = find_backend(backend)(config=config, prefix=self._mirror.proxy.prefix)
        self._provider = driver.traefik_provider_config()
        self._raw: RawWriter = RAW_WRITERS[backend](store, driver.root)
        self._prepared: list[Any] = []
        self._process: asyncio.subprocess.Process | None = None

    async def open(self, routes: list[Route]) -> None:
        await asyncio.gather(*(self._mirror.proxy.add_route(*route) for route in routes))
        self._mirror.taken()
        for changes in _chunks(self._mirror.keys, self._raw.most_keys):
            await self._raw.write(self._raw.prepare(changes))
        await self.start()

    async def prepare(self, do: str, **arguments: Any) -> None:
        await (self._mirror.proxy.add_route if do == "add" else self._mirror.proxy.delete_route)(**arguments)
        self._prepared = [self._raw.prepare(changes) for changes in self._mirror.taken()]

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        await self._write_prepared()

    async def delete_route(self, routespec: str) -> None:
        await self._write_prepared()

    async def get_all_routes(self) -> dict[str, Any]:
        return dict(await self._mirror.proxy.get_all_routes())

    async def start(self) -> None:
        # Traefik has one file provider: with routes in a file, the base stands beside them.
        directory = Path(self._provider.get("file", {}).get("directory", self._directory / "dynamic"))
        directory.mkdir(parents=True, exist_ok=True)
        cert, key = self._directory / "cert.pem", self._directory / "key.pem"
        for file, content in zip((cert, key), self_signed(), strict=True):
            file.write_bytes(content)
        certificate = {"certFile": str(cert), "keyFile": str(key)}
        base = {"tls": {"stores": {"default": {"defaultCertificate": certificate}}}}
        (directory / "kvproxy-base.toml").write_text(tomli_w.dumps(base))
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "entryPoints": {"public": {"address": self._address, "asDefault": True}},
            "providers": {
                "providersThrottleDuration": "0s",
                "file": {"directory": str(directory), "watch": True},
                **self._provider,
            },
        }
        config = self._directory / "traefik.toml"
        config.write_text(tomli_w.dumps(static))
        self._process = await asyncio.create_subprocess_exec(
            *self._traefik, f"--configFile={config}", stdin=subprocess.DEVNULL
        )

    async def stop(self) -> None:
        if self._process:
            self._process.terminate()
            await self._process.wait()
            self._process = None
        await self._raw.close()

    async def _write_prepared(self) -> None:
        payloads, self._prepared = self._prepared, []
        for payload in payloads:
            await self._raw.write(payload)


def _chunks(keys: dict[str, str], most: int | None) -> Iterator[Changes]:
    items = list(keys.items())
    size = most or max(1, len(items))
    for start in range(0, len(items), size):
        yield dict(items[start : start + size])
