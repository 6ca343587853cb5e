"""Certificates and keys as admins have them, and what is said of those that Traefik cannot use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ssl import DER_cert_to_PEM_cert

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from jhub_kvproxy.errors import TraefikError
from jhub_kvproxy.traefik import pem
from jhub_kvproxy.traefik.certificate import self_signed

RSA = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
TRADITIONAL, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


def text(key, form=PKCS8, encryption=None):
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.PEM)


def file(content, option="JupyterHub.ssl_key"):
    return pem.File(option, pem.Path("/key.pem"), content)


@pytest.mark.parametrize("key", [RSA, CURVE])
@pytest.mark.parametrize("form", [TRADITIONAL, PKCS8])
def test_an_encrypted_key_is_said_to_be_encrypted(key, form):
    encrypted = text(key, form, BestAvailableEncryption(b"sesame"))
    with pytest.raises(TraefikError, match=r"JupyterHub.ssl_key: /key.pem is encrypted.* `openssl pkey -in /key.pem"):
        pem.pair(file(certificate(key)), file(encrypted))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no key in it"),
        (certificate(RSA), "has no key in it"),
        (b"\xff\x00", "has no key in it"),
        (b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "has a key that cannot be read"),
        (b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", "has a key that cannot be read"),
        (text(dsa.generate_private_key(1024)), "has a key of a kind"),
        (text(ec.generate_private_key(ec.SECP256K1())), "has a key of a kind"),
        (text(CURVE), "is not the key of the first certificate"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_without_its_content(content, words):
    with pytest.raises(TraefikError, match=f"^JupyterHub.ssl_key: /key.pem {words}") as caught:
        pem.pair(file(certificate(RSA), "JupyterHub.ssl_cert"), file(content))
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no certificate in it"),
        (text(RSA), "has no certificate in it"),
        (b"-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n", "has a certificate that cannot be"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(content, words):
    for use in (pem.authorities, lambda given: pem.pair(given, file(text(RSA)))):
        with pytest.raises(TraefikError, match=f"^JupyterHub.ssl_cert: /key.pem {words}"):
            use(file(content, "JupyterHub.ssl_cert"))


@pytest.mark.parametrize("key", [RSA, CURVE, ed25519.Ed25519PrivateKey.generate()])
def test_what_stands_beside_the_pem_does_not_matter(key):
    """As openssl writes it: text before a certificate, parameters before a key, all in one file, lines of Windows."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    both = file((b"Certificate:\n    Data: x\n" + certificate(key) + parameters + text(key)).replace(b"\n", b"\r\n"))
    found = pem.pair(both, both)
    assert found.certificate.encode() == certificate_of(both) == pem.authorities(both).encode()
    assert load_pem_private_key(found.key.encode(), None).public_key() == key.public_key()


def certificate_of(found):
    return x509.load_pem_x509_certificate(found.content).public_bytes(Encoding.PEM)


def test_a_chain_stays_in_its_order():
    first, second = certificate(RSA), certificate(CURVE)
    assert pem.pair(file(first + second), file(text(RSA))).certificate.encode() == first + second


def test_our_own_certificate_is_one_that_traefik_can_use():
    cert, key = self_signed()
    assert pem.pair(file(cert), file(key)).certificate.encode() == cert


def test_a_certificate_of_a_version_that_there_is_not_is_said_to_be_damaged():
    known = x509.load_pem_x509_certificate(certificate(CURVE)).public_bytes(Encoding.DER)
    changed = known.replace(bytes.fromhex("a003020102"), bytes.fromhex("a00302010a"), 1)
    content = DER_cert_to_PEM_cert(changed).encode()
    with pytest.raises(TraefikError, match=r"JupyterHub.ssl_cert: /key.pem has a certificate that cannot be read"):
        pem.pair(file(content, "JupyterHub.ssl_cert"), file(text(CURVE)))
