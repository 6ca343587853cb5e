"""Finds out why an etcd does not answer as it should."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

_OLDEST = (3, 4)


def gateway_fault(url: str, version: str) -> str:
    """Why the server has no JSON API. It says that it is etcd `version`, which is empty if it does not say."""
    if not version:
        return f"What answers at {url} is not an etcd; is EtcdBackend.urls right?"
    if tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2]) < _OLDEST:
        return f"etcd at {url} is {version}; etcd 3.4 or newer is needed."
    return (
        f"etcd at {url} has its JSON gateway disabled: start it without --enable-grpc-gateway=false "
        "(ETCD_ENABLE_GRPC_GATEWAY)."
    )


async def connection_fault(url: str, tls: ssl.SSLContext | None, patience: float) -> str:
    """Why there is no connection to the server at `url`, with `tls`.

    Empty if this is not found out within `patience` seconds.
    """
    parts = urlsplit(url)
    host, port = str(parts.hostname), int(parts.port or 0)
    with suppress(OSError, TimeoutError, EOFError):
        async with asyncio.timeout(patience):
            if tls is None:
                if await _speaks_tls(host, port):
                    return f"etcd at {url} speaks TLS: write https:// in EtcdBackend.urls."
            elif await _speaks_http(host, port):
                return f"etcd at {url} does not speak TLS: write http:// in EtcdBackend.urls."
            else:
                return await _certificate_fault(url, host, port, tls, patience / 2)
    return ""


async def _speaks_tls(host: str, port: int) -> bool:
    anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anything.check_hostname = False
    anything.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=anything)
    writer.close()
    return True


async def _speaks_http(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.read(12)
    except OSError:
        return False
    finally:
        writer.close()
    # A TLS server answers 400.
    return head == b"HTTP/1.1 200"


async def _certificate_fault(url: str, host: str, port: int, tls: ssl.SSLContext, patience: float) -> str:
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        try:
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            # In TLS 1.3 the server checks our certificate after the handshake.
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await reader.read(1)
        finally:
            writer.close()
    except ssl.SSLError as error:
        return (
            f"etcd at {url} refuses our client certificate, or requires one ({error}); "
            "are EtcdBackend.cert_file and EtcdBackend.key_file right?"
        )
    with suppress(x509.ExtensionNotFound, ValueError):
        uses = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        if ExtendedKeyUsageOID.CLIENT_AUTH not in uses.value:
            return (
                f"etcd at {url} cannot use its JSON gateway: it asks for client certificates, and its own, with "
                "which the gateway connects to it, is not for clients. Issue it with clientAuth beside serverAuth "
                "as extended key usage, or (etcd 3.5) give it another by --client-cert-file."
            )
    return ""
