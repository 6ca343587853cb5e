"""A Traefik that others start with what ``jhub-kvproxy traefik-config`` prints, as the pages tell them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from jhub_kvproxy.traefik.certificate import self_signed
from servers.ports import free_port
from servers.traefik import Traefik
from tests.command import USES_KVPROXY, run
from tests.site import Site

PASSWORD = "a-password-of-the-api"
_CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.KVProxy.should_start = False
c.KVProxy.delivery = "{delivery}"
c.KVProxy.traefik_api_urls = ["{api_url}"]
c.KVProxy.traefik_api_password = "{password}"
c.KVProxy.prefix = "{prefix}"
"""


@dataclass
class OthersTraefik:
    """The Traefik, not started, the URL of its API, and the file with the dynamic configuration."""

    traefik: Traefik
    api_url: str
    dynamic: Path


def others_traefik(site: Site, directory: Path, delivery: str, lines: str = "") -> OthersTraefik:
    """One in `directory` for the hub of `site`, whose configuration has these `lines` too."""
    api_url = f"http://127.0.0.1:{free_port()}"
    config = _CONFIG.format(
        port=site.port, delivery=delivery, api_url=api_url, password=PASSWORD, prefix=site.store.prefix
    )
    (site.directory / "jupyterhub_config.py").write_text(USES_KVPROXY + config + site.store.config_lines + lines)

    def printed(*words: object) -> str:
        result = run("traefik-config", "--directory", directory, *words, cwd=site.directory)
        assert result.status == 0, result.err
        return result.out

    for name, content in zip(("cert", "key"), self_signed(), strict=True):
        (directory / f"default-{name}.pem").write_bytes(content)
    # Traefik has one file provider.
    is_in_table = site.store.name == "toml" and delivery == "store"
    base = site.directory / "table" / site.store.prefix / "traefik" if is_in_table else directory / "dynamic"
    (directory / "dynamic").mkdir(exist_ok=True)
    base.mkdir(parents=True, exist_ok=True)
    dynamic = base / "jupyterhub.toml"
    dynamic.write_text(printed("--dynamic"))
    (directory / "traefik.toml").write_text(printed("--secrets"))
    if delivery == "push":
        printed("--plugin", directory)
    name, value = shlex.split(printed("--env"))[0].split("=", 1)
    return OthersTraefik(Traefik(directory / "traefik.toml", env={name: value}), api_url, dynamic)
