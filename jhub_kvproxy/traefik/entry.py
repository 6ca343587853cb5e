"""The public entry point, by what the admin has chosen, and what these choices may not be together."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import TraefikError
from .admin_config import check_sections, check_tables, check_toml
from .front import Acme, Front
from .prometheus import address_of
from .settings import TraefikSettings
from .static import public_address


def entry_address(settings: TraefikSettings) -> tuple[str, int, bool]:
    """Host, port, and whether TLS is spoken, as :func:`~jhub_kvproxy.traefik.static.public_address` has them."""
    public_url = settings.public_url
    if settings.acme_domains and public_url.startswith("http:"):
        # JupyterHub.bind_url is never https without JupyterHub.ssl_cert (jupyterhub.app, _validate_bind_url).
        public_url = "https:" + public_url.removeprefix("http:")
    return public_address(public_url)


def front_of(settings: TraefikSettings, *, port: int, tls: bool, acme_storage: str, logs_routes: bool) -> Front:
    """The entry point on `port`. Raises :class:`~jhub_kvproxy.errors.TraefikError`.

    `logs_routes` says whether the plugin tells the access log about routes.
    """
    for option in ("extra_static_config", "extra_dynamic_config", "acme_resolver"):
        check_toml(f"KVProxy.{option}", getattr(settings, option))
    check_sections(settings.extra_static_config, settings.extra_dynamic_config)
    check_tables("KVProxy.extra_static_config", settings.extra_static_config)
    for option in ("redirect_http", "client_ca"):
        if getattr(settings, option) and not tls:
            raise TraefikError(f"KVProxy.{option} needs TLS: set JupyterHub.ssl_cert and JupyterHub.ssl_key.")
    if settings.redirect_http == port:
        raise TraefikError(
            f"KVProxy.redirect_http and JupyterHub.bind_url both have port {port}; choose another for one of them."
        )
    acme = None
    if settings.acme_domains:
        if settings.local_replicas > 1:
            raise TraefikError(
                f"KVProxy.acme_domains is for one Traefik, and KVProxy.local_replicas is {settings.local_replicas}: "
                "get the certificate with another program, and name it in JupyterHub.ssl_cert and JupyterHub.ssl_key."
            )
        acme = Acme(settings.acme_domains, acme_storage, settings.acme_email, settings.acme_resolver)
    return Front(
        tls=tls,
        min_version=settings.tls_min_version,
        ciphers=settings.tls_ciphers,
        client_auth=settings.client_auth,
        acme=acme,
        redirect_port=settings.redirect_http,
        redirect_to=settings.redirect_http_to,
        headers=settings.response_headers,
        request_headers=settings.request_headers,
        keep_alive_timeout=settings.keep_alive_timeout,
        access_log=access_log_of(settings),
        access_log_format=settings.access_log_format,
        logs_routes=logs_routes,
    )


def access_log_of(settings: TraefikSettings) -> str:
    """``-``, or an absolute path; empty: none."""
    name = settings.access_log
    return name if name in ("", "-") else str(Path(name).absolute())


def make_private(option: str, file: str) -> None:
    """Make `file` for its owner only, if there is none: Traefik would make it for all.

    Raises :class:`~jhub_kvproxy.errors.TraefikError` when it cannot be written to.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except OSError as error:
        raise TraefikError(f"{option}: {file} cannot be written: {error.strerror}.") from error


def check_metrics_port(settings: TraefikSettings, public_port: int) -> None:
    """Raises :class:`~jhub_kvproxy.errors.TraefikError` when a port for Prometheus is one of the users'."""
    if not settings.traefik_metrics:
        return
    port, count = address_of(settings.traefik_metrics)[1], settings.local_replicas
    if abs(port - public_port) < count:
        taken = f"{public_port}" if count == 1 else f"{public_port} to {public_port + count - 1}"
        raise TraefikError(
            f"KVProxy.traefik_metrics has port {port}, which comes into conflict with users' ({taken}, by "
            "JupyterHub.bind_url and KVProxy.local_replicas); choose another."
        )
