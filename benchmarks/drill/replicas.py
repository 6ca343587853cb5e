"""Traefiks that the hub does not start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from jhub_kvproxy.traefik.certificate import self_signed
from jhub_kvproxy.traefik.static import API, static_config

from ..processes import free_port
from ..tools import find
from .part import Part


@dataclass(frozen=True, slots=True)
class Replica:
    """A Traefik: its process, its port for users, and its API's."""

    part: Part
    port: int
    api_port: int

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"


def make_replicas(count: int, providers: dict[str, Any], directory: Path) -> list[Replica]:
    """So many, not started, with the `providers` of a backend's configuration."""
    # Traefik has one file provider: with routes in files, the base stands beside them.
    dynamic = Path(providers.get("file", {}).get("directory", directory / "dynamic"))
    dynamic.mkdir(parents=True, exist_ok=True)
    certificate = directory / "cert.pem", directory / "key.pem"
    for file, content in zip(certificate, self_signed(), strict=True):
        file.write_bytes(content)
    (dynamic / "drill.toml").write_text(tomli_w.dumps(_base(*map(str, certificate))))
    return [_make_replica(number, providers, dynamic, directory) for number in range(1, count + 1)]


def _make_replica(number: int, providers: dict[str, Any], dynamic: Path, directory: Path) -> Replica:
    port, api_port = free_port(), free_port()
    static = static_config(
        public_host="127.0.0.1",
        public_port=port,
        tls=False,
        api_address=f"127.0.0.1:{api_port}",
        dynamic_dir=str(dynamic),
        providers=providers,
        trusted_ips=[],
        log_level="ERROR",
        extra={},
    )
    name = f"traefik-{number}"
    file = directory / f"{name}.toml"
    file.write_text(tomli_w.dumps(static))
    command = [find("traefik"), f"--configFile={file}"]
    return Replica(Part(name, command, directory / f"{name}.log"), port, api_port)


def _base(cert_file: str, key_file: str) -> dict[str, Any]:
    api = {"rule": 'PathPrefix("/api")', "entryPoints": [API], "service": "api@internal"}
    certificate = {"certFile": cert_file, "keyFile": key_file}
    return {
        "http": {"routers": {"drill-api": api}},
        "tls": {"stores": {"default": {"defaultCertificate": certificate}}},
    }
