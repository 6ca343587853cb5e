"""Clients of the public entry point that speak TLS, and the files that it speaks it with."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from yarl import URL

from jhub_kvproxy.hub.proxy import KVProxy
from tests.site import Site
from tests.stores.certificates import Authority


class Certificates:
    """A certificate in use, as certbot keeps it: two symlinks into a directory of versions."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "authority")
        self.cert, self.key = directory / "live-cert.pem", directory / "live-key.pem"
        self.renew("first")

    def renew(self, name: str) -> None:
        for link, file in zip((self.cert, self.key), self.issue(name), strict=True):
            replace_link(link, file)

    def issue(self, name: str) -> tuple[str, str]:
        return self.authority.issue(name, common_name=name)

    def trust(self, **options: Any) -> ssl.SSLContext:
        """What a client uses that trusts the authority."""
        context = ssl.create_default_context(cafile=self.authority.ca_file)
        for option, value in options.items():
            setattr(context, option, value)
        return context


def replace_link(link: Path, target: str) -> None:
    new = link.with_suffix(".new")
    new.symlink_to(target)
    os.replace(new, link)


def copy_over(source: str, target: Path) -> None:
    """Put the content of `source` in the place of `target`, a file of its own from then on."""
    new = target.with_suffix(".new")
    shutil.copyfile(source, new)
    os.replace(new, target)


async def started_with_tls(site: Site, certificates: Certificates, **traits: Any) -> KVProxy:
    proxy = tls_proxy(site, certificates, **traits)
    await proxy.start()
    return proxy


def tls_proxy(site: Site, certificates: Certificates, **traits: Any) -> KVProxy:
    proxy = site.proxy(**{"delivery": "push", **traits})
    proxy.public_url = f"https://127.0.0.1:{site.port}/"
    proxy.ssl_cert, proxy.ssl_key = str(certificates.cert), str(certificates.key)
    return proxy


async def served_name(port: int, host: str = "127.0.0.1", **hello: Any) -> str:
    """The common name of the certificate that is served; empty when there is no TLS to be had."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, **hello)
    except (OSError, ssl.SSLError):
        return ""
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    subject = x509.load_der_x509_certificate(der).subject
    return "".join(str(part.value) for part in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))


async def get(url: str | URL, context: ssl.SSLContext | None = None, **options: Any) -> aiohttp.ClientResponse:
    """The answer to one request on a connection of its own, redirects not followed, and read to its end."""
    connector = aiohttp.TCPConnector(ssl=context if context is not None else True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, allow_redirects=False, **options) as answer,
    ):
        await answer.read()
        return answer


async def h2_get(port: int, path: str, context: ssl.SSLContext) -> bytes:
    """What comes back on an HTTP/2 connection (RFC 9113) to one request, to the end of its body, frames and all."""
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    host = b"127.0.0.1"
    # :method GET, :scheme https, :path and :authority as literals (RFC 7541, appendix A).
    head = b"\x82\x87\x04" + bytes([len(path)]) + path.encode() + b"\x01" + bytes([len(host)]) + host
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0) + _frame(1, 5, 1, head))
    received = b""
    try:
        while True:
            start = await reader.readexactly(9)
            body = await reader.readexactly(int.from_bytes(start[:3], "big"))
            received += start + body
            if start[3] == 0 and start[4] & 1:
                return received
    finally:
        writer.close()


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
