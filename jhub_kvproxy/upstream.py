"""What the hub's options, and its internal certificates, make of how Traefik speaks with the servers behind it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import write_atomically
from .traefik.upstream import ClientFiles, TimeLimits
from .watched import WatchedFiles

if TYPE_CHECKING:
    from .proxy import KVProxy


def client_files(app: Any) -> ClientFiles | None:
    """The files of `app`, a JupyterHub, that its proxy needs; None without ``JupyterHub.internal_ssl``.

    JupyterHub makes them before it makes its proxy (``JupyterHub.init_internal_ssl``).
    """
    if not (app and app.internal_ssl):
        return None
    pair = app.internal_proxy_certs["proxy-client"]
    names = pair["certfile"], pair["keyfile"], app.internal_trust_bundles["proxy-client-ca"]
    return ClientFiles(*(str(Path(name).absolute()) for name in names))


def client_files_in(directory: Path) -> ClientFiles:
    """Those files where all of them, with the names that JupyterHub gives them, were copied to `directory`."""
    names = "proxy-client.crt", "proxy-client.key", "proxy-client-ca_trust.crt"
    return ClientFiles(*(str(directory / name) for name in names))


def time_limits(proxy: KVProxy) -> TimeLimits:
    return TimeLimits(proxy.timeout, proxy.proxy_timeout, proxy.server_keep_alive_timeout)


def watch_client_files(proxy: KVProxy, written: Mapping[Path, bytes]) -> WatchedFiles | None:
    """Makes Traefik read the internal certificates again when they were replaced; None if there are none.

    Traefik reads them with each change of its dynamic configuration's files, and only then (pkg/provider/file):
    so those of `written`, the files it was started with, are written again.
    """
    files = client_files(proxy.app)
    if not files:
        return None
    dynamic = {path: content for path, content in written.items() if path.suffix == ".toml"}

    async def changed() -> None:
        await asyncio.to_thread(_check, files)
        for path, content in dynamic.items():
            await asyncio.to_thread(write_atomically, path, content)
        proxy.log.info("The certificate that Traefik shows the servers behind it is now the one in %s", files.cert)

    return WatchedFiles(map(Path, (files.cert, files.key, files.ca)), changed, proxy.log)


def _check(files: ClientFiles) -> None:
    """Raises ValueError when they cannot be used, such as while only one of a pair has been replaced."""
    try:
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.cert, files.key)
    except OSError as error:  # of which ssl.SSLError is one
        raise ValueError(
            f"Traefik goes on with the certificate it has for the servers behind it: {files.cert}, {files.key} and "
            f"{files.ca} do not make a new one ({error})."
        ) from error
