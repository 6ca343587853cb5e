"""What a Traefik that the hub starts is started with, by the options of the proxy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from .traefik.binary import check_version, find_traefik, installed_version
from .traefik.certificate import self_signed
from .traefik.dynamic import base_config
from .traefik.static import public_address, static_config
from .traefik.supervisor import Launch

if TYPE_CHECKING:
    from .proxy import KVProxy


async def launch_of(proxy: KVProxy) -> Launch:
    """How to start a Traefik for `proxy`. Raises :class:`~jhub_kvproxy.errors.TraefikError`."""
    command = find_traefik(proxy.traefik_cmd)
    version = await installed_version(command)
    check_version(version, command[0])
    host, port, tls = public_address(proxy.public_url)
    run = Path(proxy.runtime_dir).absolute()
    providers = proxy.traefik_provider_config()
    # Traefik has one file provider: a backend that uses it shares its directory with us.
    dynamic_dir = Path(providers["file"]["directory"]) if "file" in providers else run / "dynamic"
    files = {}
    if tls and proxy.ssl_cert and proxy.ssl_key:
        cert, key = Path(proxy.ssl_cert).absolute(), Path(proxy.ssl_key).absolute()
    else:
        cert, key = run / "default-cert.pem", run / "default-key.pem"
        files[cert], files[key] = self_signed()
    base = base_config(
        provider=proxy.traefik_provider,
        # It would be an error in Traefik's log, until the table comes.
        has_health=not proxy.is_fed,
        cert_file=str(cert),
        key_file=str(key),
        extra=proxy.extra_dynamic_config,
    )
    files[dynamic_dir / "kvproxy-base.toml"] = tomli_w.dumps(base).encode()

    def static(api_address: str, public_port: int) -> dict[str, Any]:
        return static_config(
            public_host=host,
            public_port=public_port,
            tls=tls,
            api_address=api_address,
            dynamic_dir=str(dynamic_dir),
            providers=providers,
            trusted_ips=proxy.trusted_proxies_of(proxy.app.trusted_downstream_ips if proxy.app else []),
            log_level=proxy.traefik_log_level,
            extra=proxy.extra_static_config,
            version=version,
        )

    secrets = {"providers": proxy.traefik_provider_secrets()}
    return Launch(command, host, port, static, secrets, files)
