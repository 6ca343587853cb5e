"""A Traefik with one router, as the floor for requests: what each costs in Traefik itself, without a table."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from servers.traefik import Traefik


class BareTraefik:
    """Sends every request on `port` to `target`; from its construction to :meth:`stop`."""

    def __init__(self, directory: Path, port: int, target: str) -> None:
        directory.mkdir(parents=True)
        routes, config = directory / "routes.toml", directory / "traefik.toml"
        router = {"rule": 'PathPrefix("/")', "service": "one"}
        services = {"one": {"loadBalancer": {"servers": [{"url": target}]}}}
        routes.write_text(tomli_w.dumps({"http": {"routers": {"one": router}, "services": services}}))
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "ERROR"},
            "entryPoints": {"public": {"address": f"127.0.0.1:{port}"}},
            "providers": {"file": {"filename": str(routes)}},
        }
        config.write_text(tomli_w.dumps(static))
        self._server = Traefik(config, name="the bare Traefik", port=port)
        self._server.start()

    @property
    def pid(self) -> int:
        return self._server.pid

    def stop(self) -> None:
        self._server.stop()
