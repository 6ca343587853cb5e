"""What the hub starts a Traefik with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .launch_files import LaunchFiles
from .life_cycle import draining_seconds
from .ports import check_free
from .prometheus import METRICS, address_of
from .renewal import Renewal
from .static import API, PUBLIC, addresses

#: What gives an entry point its address; the others have it from the admin.
_OPTIONS = {METRICS: "KVProxy.traefik_metrics"}


@dataclass(frozen=True, slots=True)
class Launch:
    """All that the hub starts a Traefik with."""

    command: list[str]
    public_host: str
    public_port: int
    #: The static configuration, given the address that the API listens on, and the public port.
    static: Callable[[str, int], dict[str, Any]]
    #: What is merged over the static configuration, and must not be written to any file.
    secrets: Mapping[str, Any]
    #: Files that must stand before it starts, with their content: the base configuration, the certificate.
    files: LaunchFiles
    #: Files that each Traefik has for itself, by their path below its working directory: the plugin.
    local_files: Mapping[Path, bytes]
    #: The port whose requests are redirected to the public one; 0: none.
    redirect_port: int = 0
    #: Keeps `files` up to date with the admin's certificates.
    renewal: Renewal | None = None

    @property
    def draining_seconds(self) -> float:
        """How long Traefik takes to end, at most."""
        return draining_seconds(self.static("", self.public_port))

    async def check_ports(self) -> None:
        """Raises :class:`~jhub_kvproxy.errors.TraefikError` when users' port, or another, is taken."""
        await check_free(self.public_host, self.public_port)
        if self.redirect_port:
            await check_free(self.public_host, self.redirect_port, "KVProxy.redirect_http")
        static = self.static("", self.public_port)
        for name, where in addresses(static).items():
            if name in (PUBLIC, API) or static["entryPoints"][name].get("reusePort"):
                continue
            with contextlib.suppress(ValueError):  # that is of UDP, or an admin has written it in another way
                host, port = address_of(where.removesuffix("/tcp"))
                if port != self.redirect_port:
                    own = f"KVProxy.extra_static_config (entryPoints.{name})"
                    await check_free(host, port, _OPTIONS.get(name, own))
