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
from servers.certificates import Authority
from tests.site import Site


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
