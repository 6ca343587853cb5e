"""The public entry point, by the options of the proxy, and what these may not be together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TraefikError
from ..traefik.front import Acme, Front
from ..traefik.static import public_address

if TYPE_CHECKING:
    from .proxy import KVProxy


def address_of(proxy: KVProxy, public_url: str) -> tuple[str, int, bool]:
    """Host, port, and whether TLS is spoken, as :func:`~jhub_kvproxy.traefik.static.public_address` has them."""
    if proxy.acme_domains and public_url.startswith("http:"):
        # JupyterHub.bind_url is never https without JupyterHub.ssl_cert (jupyterhub.app, _validate_bind_url).
        public_url = "https:" + public_url.removeprefix("http:")
    return public_address(public_url)


def front_of(proxy: KVProxy, *, port: int, tls: bool, acme_storage: str) -> Front:
    """What `proxy` makes of the entry point on `port`. Raises :class:`~jhub_kvproxy.errors.TraefikError`."""
    for option in ("redirect_http", "client_ca"):
        if getattr(proxy, option) and not tls:
            raise TraefikError(f"KVProxy.{option} needs TLS: set JupyterHub.ssl_cert and JupyterHub.ssl_key.")
    if proxy.redirect_http == port:
        raise TraefikError(
            f"KVProxy.redirect_http and JupyterHub.bind_url both have port {port}; choose another for one of them."
        )
    acme = None
    if proxy.acme_domains:
        if proxy.local_replicas > 1:
            raise TraefikError(
                f"KVProxy.acme_domains is for one Traefik, and KVProxy.local_replicas is {proxy.local_replicas}: get "
                "the certificate with another program, and name it in JupyterHub.ssl_cert and JupyterHub.ssl_key."
            )
        acme = Acme(tuple(proxy.acme_domains), acme_storage, proxy.acme_email, proxy.acme)
    return Front(
        tls=tls,
        min_version=proxy.tls_min_version,
        ciphers=tuple(proxy.tls_ciphers),
        client_auth=proxy.client_auth,
        acme=acme,
        redirect_port=proxy.redirect_http,
        redirect_to=proxy.redirect_http_to,
        headers=proxy.headers,
        request_headers=proxy.request_headers,
        keep_alive_timeout=proxy.keep_alive_timeout,
        access_log=access_log_of(proxy),
        access_log_format=proxy.access_log_format,
        logs_routes=proxy.is_pushed,
    )


def access_log_of(proxy: KVProxy) -> str:
    """``-``, or an absolute path; empty: none."""
    name = str(proxy.access_log)
    return name if name in ("", "-") else str(Path(name).absolute())


def make_private(option: str, file: str) -> None:
    """Make `file` for its owner only, if there is none: Traefik would make it for all.

    Raises :class:`~jhub_kvproxy.errors.TraefikError` when it cannot be written to.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except OSError as error:
        raise TraefikError(f"{option}: {file} cannot be written: {error.strerror}.") from error
