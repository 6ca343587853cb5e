"""The configuration of a Traefik that others start, by what the admin has chosen. Pure, but for the plugin's hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .dynamic import base_config
from .entry import entry_address, front_of
from .front import Front
from .launching import IDENTITY_FILE, table_dynamic
from .life_cycle import DRAINING
from .plugin_files import plugin_static
from .prometheus import metrics_config
from .settings import StoreProvider, TraefikSettings
from .static import merges, static_config
from .upstream import ClientFiles, upstream_dynamic, upstream_static


def external_static(
    settings: TraefikSettings, store: StoreProvider | None, *, directory: Path, api_address: str
) -> dict[str, Any]:
    """The static configuration, without the secrets of the `store`. Traefik's files are in `directory`."""
    host, port, front = _front(settings, store, directory)
    static = static_config(
        public_host=host,
        public_port=port,
        tls=front.tls,
        api_address=api_address,
        dynamic_dir=str(directory / "dynamic"),
        providers=store.static if store else {},
        trusted_ips=settings.trusted_proxies,
        log_level=settings.traefik_log_level,
        extra=merges(
            DRAINING,
            upstream_static(settings.limits, has_plugin=store is None),
            front.static(host, port),
            metrics_config(settings.traefik_metrics, settings.traefik_metrics_labels),
            {} if store else plugin_static(),
            settings.extra_static_config,
        ),
    )
    return front.with_headers(static)


def external_dynamic(
    settings: TraefikSettings, store: StoreProvider | None, *, directory: Path, is_internal: bool
) -> dict[str, Any]:
    """The dynamic configuration. `is_internal` says whether JupyterHub has its ``internal_ssl``."""
    _, _, front = _front(settings, store, directory)
    client = _client_files_in(directory) if is_internal and store else None
    transport = settings.extra_static_config.get("serversTransport", {})
    identity_file = str(directory / IDENTITY_FILE) if is_internal else ""
    client_ca = str(directory / "client-ca.pem") if settings.client_ca else ""
    return base_config(
        cert_file=str(directory / "default-cert.pem"),
        key_file=str(directory / "default-key.pem"),
        extra=merges(
            table_dynamic(settings, store, transport, identity_file, ""),
            upstream_dynamic(settings.limits, client),
            front.dynamic(client_ca),
            settings.extra_dynamic_config,
        ),
    )


def _front(settings: TraefikSettings, store: StoreProvider | None, directory: Path) -> tuple[str, int, Front]:
    """Host and port of the public entry point, and what it does."""
    host, port, tls = entry_address(settings)
    tls = tls or bool(settings.ssl_key)
    storage = str(directory / "acme.json")
    return host, port, front_of(settings, port=port, tls=tls, acme_storage=storage, logs_routes=store is None)


def _client_files_in(directory: Path) -> ClientFiles:
    """The files of JupyterHub.internal_ssl, copied to `directory` with the names that JupyterHub gives them."""
    names = "proxy-client.crt", "proxy-client.key", "proxy-client-ca_trust.crt"
    return ClientFiles(*(str(directory / name) for name in names))
