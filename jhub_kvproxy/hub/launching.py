"""What a Traefik that the hub starts is started with, by the options of the proxy."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from ..errors import TraefikError
from ..traefik import pem, prometheus
from ..traefik.binary import find_traefik
from ..traefik.certificate import self_signed
from ..traefik.dynamic import base_config, store_dynamic
from ..traefik.launch import Launch
from ..traefik.paths import absolute_paths
from ..traefik.plugin_dynamic import PluginOptions
from ..traefik.plugin_files import plugin_files, plugin_static
from ..traefik.renewal import Renewal
from ..traefik.static import merges, static_config
from ..traefik.upstream import ClientFiles, upstream_dynamic, upstream_static
from .fronting import address_of, front_of, make_private
from .upstream import client_files, time_limits

if TYPE_CHECKING:
    from .proxy import KVProxy

SSL_CERT, SSL_KEY, CLIENT_CA = "JupyterHub.ssl_cert", "JupyterHub.ssl_key", "KVProxy.client_ca"
INTERNAL_CERT = "JupyterHub.internal_ssl's certificate"
#: What the plugin shows servers, and checks theirs with.
IDENTITY_FILE = "internal-identity.pem"
INTERNAL_KEY, INTERNAL_CA = "JupyterHub.internal_ssl's key", "JupyterHub.internal_ssl's authorities"


async def launch_of(proxy: KVProxy) -> Launch:
    """How to start a Traefik for `proxy`. Raises :class:`~jhub_kvproxy.errors.TraefikError`."""
    command = find_traefik(proxy.traefik_cmd)
    host, port, tls = address_of(proxy, proxy.public_url)
    front = front_of(proxy, port=port, tls=tls, acme_storage=str(Path(proxy.acme_storage).absolute()))
    if front.access_log not in ("", "-"):
        await asyncio.to_thread(make_private, "KVProxy.access_log", front.access_log)
    _check_metrics_ports(proxy, port)
    run = Path(proxy.runtime_dir).absolute()
    providers = proxy.traefik_provider_config()
    # Traefik has one file provider: a backend that uses it shares its directory with us.
    dynamic_dir = Path(providers["file"]["directory"]) if "file" in providers else run / "dynamic"
    limits = time_limits(proxy)
    here = os.getcwd()
    transport = absolute_paths(proxy.extra_static_config, here).get("serversTransport", {})
    files: dict[Path, bytes] = {}
    sources = _certificates(proxy, tls)
    cert, key = run / "default-cert.pem", run / "default-key.pem"
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
        if identity and proxy.is_pushed:
            rendered[run / IDENTITY_FILE] = identity.encode()
        client_ca = pem.authorities(by_option[CLIENT_CA]) if CLIENT_CA in by_option else ""
        config = base_config(
            cert_file=pair.certificate if pair else str(cert),
            key_file=pair.key if pair else str(key),
            extra=merges(
                table_dynamic(proxy, transport, str(run / IDENTITY_FILE) if identity else "", identity),
                {} if proxy.is_pushed else upstream_dynamic(limits, client),
                front.dynamic(client_ca),
                absolute_paths(proxy.extra_dynamic_config, here),
            ),
        )
        rendered[dynamic_dir / "kvproxy-base.toml"] = tomli_w.dumps(config).encode()
        return rendered

    renewal = Renewal(sources, base, files, proxy.log)
    await renewal.load()

    def static(api_address: str, public_port: int) -> dict[str, Any]:
        config = static_config(
            public_host=host,
            public_port=public_port,
            tls=tls,
            api_address=api_address,
            dynamic_dir=str(dynamic_dir),
            providers=providers,
            trusted_ips=proxy.trusted_proxies_of(proxy.app.trusted_downstream_ips if proxy.app else []),
            log_level=proxy.traefik_log_level,
            extra=merges(
                upstream_static(limits, has_plugin=proxy.is_pushed),
                absolute_paths(front.static(host, public_port, shift=public_port - port), here),
                prometheus.metrics_config(proxy.traefik_metrics, proxy.traefik_metrics_labels, public_port - port),
                plugin_static() if proxy.is_pushed else {},
                absolute_paths(proxy.extra_static_config, here),
            ),
        )
        return front.with_headers(config)

    secrets = {"providers": proxy.traefik_provider_secrets()}
    local_files = plugin_files() if proxy.is_pushed else {}
    return Launch(command, host, port, static, secrets, files, local_files, front.redirect_port, renewal)


def table_dynamic(proxy: KVProxy, transport: Mapping[str, Any], identity_file: str, identity: str) -> dict[str, Any]:
    """The part of the dynamic configuration by which Traefik gets the routes.

    `transport` is the admin's own ``serversTransport``. With JupyterHub.internal_ssl, `identity_file` is where the
    plugin finds the `identity`, if that is known yet.
    """
    if not proxy.is_pushed:
        return store_dynamic(proxy.traefik_provider)
    serving = proxy.serving
    return PluginOptions(
        limits=time_limits(proxy),
        error_target=serving.error_target,
        tells_url=serving.tells_url,
        activity=proxy.activity,
        log=bool(proxy.access_log),
        identity_file=identity_file,
        transport=transport,
        identity_hash=hashlib.sha256(identity.encode()).hexdigest()[:12] if identity else "",
    ).dynamic()


def _certificates(proxy: KVProxy, tls: bool) -> dict[str, Path]:
    """The admin's files that Traefik's dynamic configuration has a copy of, by the options that name them."""
    named = {}
    if client := client_files(proxy.app):
        named = {INTERNAL_CERT: client.cert, INTERNAL_KEY: client.key, INTERNAL_CA: client.ca}
    if tls:
        named |= {SSL_CERT: proxy.ssl_cert, SSL_KEY: proxy.ssl_key, CLIENT_CA: proxy.client_ca}
    if tls and bool(proxy.ssl_cert) != bool(proxy.ssl_key):
        there, missing = (SSL_CERT, SSL_KEY) if proxy.ssl_cert else (SSL_KEY, SSL_CERT)
        raise TraefikError(f"{there} is set, and {missing} is not; TLS needs both.")
    return {option: Path(name).absolute() for option, name in named.items() if name}


def _check_metrics_ports(proxy: KVProxy, public_port: int) -> None:
    if not proxy.traefik_metrics:
        return
    port, count = prometheus.address_of(proxy.traefik_metrics)[1], proxy.local_replicas
    if abs(port - public_port) < count:
        taken = f"{public_port}" if count == 1 else f"{public_port} to {public_port + count - 1}"
        raise TraefikError(
            f"KVProxy.traefik_metrics has port {port}, which comes into conflict with users' ({taken}, by "
            "JupyterHub.bind_url and KVProxy.local_replicas); choose another."
        )
