"""What the hub's options, and its internal certificates, make of how Traefik speaks with the servers behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..traefik.upstream import ClientFiles, TimeLimits

if TYPE_CHECKING:
    from .proxy import KVProxy


def has_internal_ssl(app: Any) -> bool:
    """Whether `app`, a JupyterHub or None, has ``JupyterHub.internal_ssl``."""
    return bool(app and app.internal_ssl)


def client_files(app: Any) -> ClientFiles | None:
    """The files of `app`, a JupyterHub, that its proxy needs; None without ``JupyterHub.internal_ssl``.

    JupyterHub makes them before it makes its proxy (``JupyterHub.init_internal_ssl``).
    """
    if not has_internal_ssl(app):
        return None
    pair = app.internal_proxy_certs["proxy-client"]
    names = pair["certfile"], pair["keyfile"], app.internal_trust_bundles["proxy-client-ca"]
    return ClientFiles(*(str(Path(name).absolute()) for name in names))


def client_files_in(directory: Path) -> ClientFiles:
    """Those files where all of them, with the names that JupyterHub gives them, were copied to `directory`."""
    names = "proxy-client.crt", "proxy-client.key", "proxy-client-ca_trust.crt"
    return ClientFiles(*(str(directory / name) for name in names))


def time_limits(proxy: KVProxy) -> TimeLimits:
    return TimeLimits(proxy.timeout, proxy.header_timeout, proxy.proxy_timeout, proxy.server_keep_alive_timeout)
