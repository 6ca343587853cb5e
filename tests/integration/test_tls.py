"""TLS at the public entry point: certificates and their renewal, versions, ciphers, client certificates."""

from __future__ import annotations

import asyncio
import errno
import shutil
import ssl
import stat
import tomllib
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from traitlets import TraitError

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import renewal
from tests.http2 import ask, fields
from tests.hub import until
from tests.public_tls import Certificates, copy_over, get, replace_link, served_name, started_with_tls, tls_proxy
from tests.site import leave, restart_traefik


@pytest.fixture
def certificates(tmp_path, monkeypatch):
    monkeypatch.setattr(renewal, "_INTERVAL", 0.05)
    return Certificates(tmp_path)


async def until_served(site, name):
    async def served():
        return await served_name(site.port) == name

    await until(served, f"{name} is not served")


def base_file(site):
    return site.directory / "run" / "dynamic" / "kvproxy-base.toml"


async def test_http_1_http_2_and_websockets_are_served_over_tls(site, certificates):
    proxy = await started_with_tls(site, certificates)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    trust = certificates.trust()
    answer = await get(f"https://127.0.0.1:{site.port}/user/a/x", trust)
    assert (await answer.json())["headers"]["X-Forwarded-Proto"] == "https"
    reply = await ask(site.port, fields(path="/user/a/x", scheme="https"), context=certificates.trust())
    assert reply.server == "a"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"wss://127.0.0.1:{site.port}/user/a/ws", ssl=trust) as websocket,
    ):
        await websocket.send_str("hello")
        assert (await websocket.receive()).data == "a: hello"


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_renewed_certificate_is_served_and_connections_live_on(site, certificates, delivery, caplog):
    caplog.set_level("INFO")
    proxy = await started_with_tls(site, certificates, delivery=delivery)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    url = f"wss://127.0.0.1:{site.port}/user/a/ws"
    pid = proxy.control.local.supervisors[0]._pid
    async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=certificates.trust()) as websocket:
        assert await served_name(site.port) == "first"
        certificates.renew("by-symlink")
        await until_served(site, "by-symlink")
        for source, target in zip(certificates.issue("by-rename"), (certificates.cert, certificates.key), strict=True):
            copy_over(source, target)
        await until_served(site, "by-rename")
        cert, key = certificates.issue("in-place")
        certificates.cert.write_bytes(Path(cert).read_bytes())
        certificates.key.write_bytes(Path(key).read_bytes())
        await until_served(site, "in-place")
        await websocket.send_str("hello")
        assert (await websocket.receive()).data == "a: hello"
    assert proxy.control.local.supervisors[0]._pid == pid
    assert "Traefik uses what is new in JupyterHub.ssl_cert and JupyterHub.ssl_key" in caplog.text


async def test_what_is_half_renewed_is_not_served_and_said_once(site, certificates, caplog):
    proxy = await started_with_tls(site, certificates, delivery="store")
    cert, key = certificates.issue("second")
    replace_link(certificates.cert, cert)

    def complaints():
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    await until(lambda: complaints(), "nobody is told")
    # Traefik's provider looks at all files again.
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await served_name(site.port) == "first"
    certificates.key.unlink()
    await until(lambda: len(complaints()) == 2, "nobody is told that the key is gone")
    copy_over(key, certificates.key)
    await until_served(site, "second")
    assert complaints() == [
        f"JupyterHub.ssl_key: {certificates.key} is not the key of the first certificate in {certificates.cert} "
        "(JupyterHub.ssl_cert). Traefik keeps what it has.",
        f"JupyterHub.ssl_key: {certificates.key} cannot be read: No such file or directory. Traefik keeps what it has.",
    ]


async def test_a_traefik_that_is_started_again_has_the_renewed_certificate(site, certificates):
    proxy = await started_with_tls(site, certificates)
    certificates.renew("second")
    await until_served(site, "second")
    replace_link(certificates.cert, "/dev/null")
    await restart_traefik(proxy)
    await until_served(site, "second")


async def test_the_next_hub_brings_what_was_renewed_while_there_was_none(site, certificates):
    first = await started_with_tls(site, certificates)
    await leave(first)
    certificates.renew("second")
    assert await served_name(site.port) == "first"
    second = await started_with_tls(site, certificates)
    assert second.control.local.supervisors[0]._pid == first.control.local.supervisors[0]._pid
    await until_served(site, "second")


async def test_the_key_is_for_its_owner_only_and_nothing_is_left(site, certificates, capfd):
    proxy = await started_with_tls(site, certificates, traefik_log_level="DEBUG")
    certificates.renew("second")
    await until_served(site, "second")
    copies = [path for path in (site.directory / "run").rglob("*") if path.is_file()]
    copies = [path for path in copies if "PRIVATE KEY-----" in path.read_text(errors="replace")]
    assert copies == [base_file(site)]
    assert stat.S_IMODE(copies[0].stat().st_mode) == 0o600
    await proxy.stop()
    assert not (site.directory / "run").exists()
    line = certificates.key.read_text().splitlines()[1]
    assert line not in "".join(capfd.readouterr())


async def test_a_renewal_that_could_not_be_written_is_written_later(site, certificates, monkeypatch, caplog):
    """Fake: the disk is full once."""
    await started_with_tls(site, certificates)
    write, failures = renewal._write_all, []

    def fails_once(files):
        if not failures:
            failures.append(files)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(files)

    monkeypatch.setattr(renewal, "_write_all", fails_once)
    certificates.renew("second")
    await until_served(site, "second")
    assert "cannot be written, which is tried again" in caplog.text


async def test_versions_and_ciphers_can_be_chosen(site, certificates):
    proxy = await started_with_tls(site, certificates, tls_ciphers=["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    await proxy.add_route("/user/a/", await site.server("a"), {})

    async def spoken(**options):
        trust = certificates.trust(**options)
        _, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=trust)
        said = writer.get_extra_info("ssl_object")
        writer.close()
        return said.version(), said.cipher()[0]

    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    assert (await spoken())[0] == "TLSv1.3"
    assert await spoken(**old) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    await proxy.stop()
    await started_with_tls(site, certificates, tls_min_version="1.3")
    assert (await spoken())[0] == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match="protocol version"):
        await spoken(**old)


async def test_only_clients_with_a_certificate_of_the_authority_get_in(site, certificates, tmp_path):
    clients = Certificates(tmp_path / "clients")
    others = Certificates(tmp_path / "others")
    ca = tmp_path / "client-ca.pem"
    shutil.copyfile(clients.authority.ca_file, ca)
    url = f"https://127.0.0.1:{site.port}/user/a/x"

    def context(of):
        trust = certificates.trust()
        if of:
            trust.load_cert_chain(*of.issue("client"))
        return trust

    async def gets_in(of):
        try:
            return (await get(url, context(of))).status == 200
        except (aiohttp.ClientError, ssl.SSLError):
            return False

    proxy = await started_with_tls(site, certificates, client_ca=str(ca))
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert [await gets_in(of) for of in (None, clients, others)] == [False, True, False]
    copy_over(others.authority.ca_file, ca)
    await until(lambda: gets_in(others), "the new authority is not used")
    assert not await gets_in(clients)
    await proxy.stop()
    await started_with_tls(site, certificates, client_ca=str(ca), client_auth="optional")
    await until(lambda: gets_in(None), "a client without a certificate does not get in")
    assert [await gets_in(of) for of in (None, clients, others)] == [True, False, True]


def other_key(certificates):
    return certificates.issue("other")[1]


def encrypted(certificates):
    key = serialization.load_pem_private_key(certificates.key.read_bytes(), None)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    path = certificates.key.with_name("encrypted.pem")
    path.write_bytes(text)
    return path


@pytest.mark.parametrize(
    ("cert", "key", "sentence"),
    [
        (None, other_key, r"JupyterHub.ssl_key: /\S+ is not the key of the first certificate in /\S+ \("),
        (lambda _: "/absent.pem", None, r"JupyterHub.ssl_cert: /absent.pem cannot be read: No such file"),
        (None, lambda _: "/", r"JupyterHub.ssl_key: / cannot be read: Is a directory"),
        (lambda own: own.key, None, r"JupyterHub.ssl_cert: /\S+ has no certificate in it"),
        (None, lambda own: own.cert, r"JupyterHub.ssl_key: /\S+ has no key in it"),
        (None, encrypted, r"JupyterHub.ssl_key: /\S+ is encrypted, which Traefik cannot read; decrypt it"),
        (None, lambda _: "", r"JupyterHub.ssl_cert is set, and JupyterHub.ssl_key is not"),
    ],
)
async def test_what_cannot_be_served_is_said_when_the_hub_starts(site, certificates, cert, key, sentence):
    proxy = tls_proxy(site, certificates)
    if cert:
        proxy.ssl_cert = str(cert(certificates))
    if key:
        proxy.ssl_key = str(key(certificates))
    with pytest.raises(TraefikError, match=sentence) as caught:
        await proxy.start()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("traits", "sentence"),
    [
        ({"tls_min_version": "1.4"}, "1.4"),
        ({"tls_ciphers": ["ECDHE-RSA-AES128-GCM-SHA256"]}, "did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ({"tls_ciphers": ["TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"]}, "Traefik has no cipher suite 'TLS_DHE_RSA_"),
        ({"tls_ciphers": ["x"]}, "Traefik has no cipher suite 'x' to choose; known are TLS_"),
        ({"acme_domains": ["https://hub.example.org"]}, "is not a host name"),
        ({"client_auth": "maybe"}, "maybe"),
    ],
)
def test_a_value_that_cannot_be_is_refused(site, traits, sentence):
    with pytest.raises(TraitError, match=sentence):
        site.proxy(**traits)


async def test_client_certificates_need_tls(site, certificates):
    with pytest.raises(TraefikError, match=r"KVProxy\.client_ca needs TLS"):
        await site.proxy(client_ca=certificates.authority.ca_file).start()


async def test_the_base_file_is_toml_that_holds_the_pair(site, certificates):
    cert = certificates.cert
    # As `openssl x509 -text` writes it: none of this is for a Go template to see.
    copy_over(str(cert), cert)
    cert.write_text("Certificate: {{ nonsense }}\r\n" + cert.read_text())
    await started_with_tls(site, certificates)
    stored = tomllib.loads(base_file(site).read_text())["tls"]["stores"]["default"]["defaultCertificate"]
    assert stored["certFile"].startswith("-----BEGIN CERTIFICATE-----\n")
    assert await served_name(site.port) == "first"
