"""What a Traefik of ours is started with, by what the admin has chosen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from ..aio import in_thread
from ..errors import TraefikError
from . import pem
from .away_page import away_page
from .binary import find_traefik
from .certificate import self_signed
from .dynamic import base_config
from .entry import check_metrics_port, entry_address, front_of, make_private
from .launch import Launch
from .launch_files import LaunchFiles
from .paths import absolute_paths
from .plugin_dynamic import PluginOptions
from .plugin_files import plugin_files, plugin_static
from .prometheus import metrics_config
from .renewal import Renewal
from .settings import StoreProvider, TraefikSettings
from .static import merges, static_config
from .upstream import ClientFiles, upstream_dynamic, upstream_static

SSL_CERT, SSL_KEY, CLIENT_CA = "JupyterHub.ssl_cert", "JupyterHub.ssl_key", "KVProxy.client_ca"
INTERNAL_CERT = "JupyterHub.internal_ssl's certificate"
INTERNAL_KEY, INTERNAL_CA = "JupyterHub.internal_ssl's key", "JupyterHub.internal_ssl's authorities"
#: What the plugin shows servers, and checks theirs with.
IDENTITY_FILE = "internal-identity.pem"
_BASE_FILE, _CERT_FILE, _KEY_FILE = "kvproxy-base.toml", "default-cert.pem", "default-key.pem"


async def launch_of(
    settings: TraefikSettings, store: StoreProvider | None, log: Any, *, base_static: Mapping[str, Any] | None = None
) -> Launch:
    """How to start a Traefik that reads the `store` by itself (None: that has our plugin).

    `base_static` is a part of the static configuration, over which the admin's comes.

    Raises :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    command = find_traefik(list(settings.traefik_cmd))
    host, port, tls = entry_address(settings)
    storage = str(Path(settings.acme_storage).absolute())
    front = front_of(settings, port=port, tls=tls, acme_storage=storage, logs_routes=store is None)
    if front.access_log not in ("", "-"):
        await in_thread(make_private, "KVProxy.access_log", front.access_log)
    check_metrics_port(settings, port)
    run = Path(settings.runtime_dir).absolute()
    providers, dynamic_dir = store.static if store else {}, _dynamic_dir(run, store)
    here = os.getcwd()
    transport = absolute_paths(settings.extra_static_config, here).get("serversTransport", {})
    files = LaunchFiles()
    sources = _certificates(settings, tls)
    cert, key = run / _CERT_FILE, run / _KEY_FILE
    if SSL_CERT not in sources:
        files[cert], files[key] = self_signed()

    def base(read: Sequence[pem.File]) -> dict[Path, bytes]:
        by_option = {file.option: file for file in read}
        pair = pem.pair(by_option[SSL_CERT], by_option[SSL_KEY]) if SSL_CERT in by_option else None
        rendered, client, identity = {}, None, ""
        if INTERNAL_CERT in by_option:
            inner = pem.pair(by_option[INTERNAL_CERT], by_option[INTERNAL_KEY])
            client = ClientFiles(inner.certificate, inner.key, pem.authorities(by_option[INTERNAL_CA]))
            identity = client.identity
        if identity and store is None:
            rendered[run / IDENTITY_FILE] = identity.encode()
        client_ca = pem.authorities(by_option[CLIENT_CA]) if CLIENT_CA in by_option else ""
        config = base_config(
            cert_file=pair.certificate if pair else str(cert),
            key_file=pair.key if pair else str(key),
            extra=merges(
                table_dynamic(settings, store, transport, str(run / IDENTITY_FILE) if identity else "", identity),
                upstream_dynamic(settings.limits, client) if store else {},
                front.dynamic(client_ca),
                absolute_paths(settings.extra_dynamic_config, here),
            ),
        )
        rendered[dynamic_dir / _BASE_FILE] = tomli_w.dumps(config).encode()
        return rendered

    renewal = Renewal(sources, base, files, log)
    await renewal.load()

    def static(api_address: str, public_port: int) -> dict[str, Any]:
        config = static_config(
            public_host=host,
            public_port=public_port,
            tls=tls,
            api_address=api_address,
            dynamic_dir=str(dynamic_dir),
            providers=providers,
            trusted_ips=settings.trusted_proxies,
            log_level=settings.traefik_log_level,
            extra=merges(
                base_static or {},
                upstream_static(settings.limits, has_plugin=store is None),
                absolute_paths(front.static(host, public_port, shift=public_port - port), here),
                metrics_config(settings.traefik_metrics, settings.traefik_metrics_labels, public_port - port),
                {} if store else plugin_static(),
                absolute_paths(settings.extra_static_config, here),
            ),
        )
        return front.with_headers(config)

    secrets = {"providers": store.secrets if store else {}}
    local_files = {} if store else plugin_files()
    return Launch(command, host, port, static, secrets, files, local_files, front.redirect_port, renewal)


def files_for(run: Path, store: StoreProvider | None) -> list[Path]:
    """All files that a Traefik with the runtime directory `run` may have been given, apart from those of its state."""
    own = [run / name for name in (_CERT_FILE, _KEY_FILE, IDENTITY_FILE)]
    return [*own, _dynamic_dir(run, store) / _BASE_FILE, *(run / path for path in plugin_files())]


def _dynamic_dir(run: Path, store: StoreProvider | None) -> Path:
    # Traefik has one file provider: a backend that uses it shares its directory with us.
    providers = store.static if store else {}
    return Path(providers["file"]["directory"]) if "file" in providers else run / "dynamic"


def table_dynamic(
    settings: TraefikSettings,
    store: StoreProvider | None,
    transport: Mapping[str, Any],
    identity_file: str,
    identity: str,
) -> Mapping[str, Any]:
    """The part of the dynamic configuration by which Traefik gets the routes.

    `transport` is the admin's own ``serversTransport``. With JupyterHub.internal_ssl, `identity_file` is where the
    plugin finds the `identity`, if that is known yet.
    """
    if store:
        return store.dynamic
    return PluginOptions(
        limits=settings.limits,
        error_target=settings.policy.error_target,
        tells_url=settings.policy.tells_url,
        away_page=away_page(settings.away_page),
        activity=settings.activity,
        log=bool(settings.access_log),
        identity_file=identity_file,
        transport=transport,
        identity_hash=hashlib.sha256(identity.encode()).hexdigest()[:12] if identity else "",
    ).dynamic()


def _certificates(settings: TraefikSettings, tls: bool) -> dict[str, Path]:
    """The admin's files that Traefik's dynamic configuration has a copy of, by the options that name them."""
    named = {}
    if client := settings.internal_ssl:
        named = {INTERNAL_CERT: client.cert, INTERNAL_KEY: client.key, INTERNAL_CA: client.ca}
    if tls:
        named |= {SSL_CERT: settings.ssl_cert, SSL_KEY: settings.ssl_key, CLIENT_CA: settings.client_ca}
    if tls and bool(settings.ssl_cert) != bool(settings.ssl_key):
        there, missing = (SSL_CERT, SSL_KEY) if settings.ssl_cert else (SSL_KEY, SSL_CERT)
        raise TraefikError(f"{there} is set, and {missing} is not; TLS needs both.")
    return {option: Path(name).absolute() for option, name in named.items() if name}
