"""Certificates and keys of the admin's, read and checked before Traefik sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from ..errors import TraefikError

#: The kinds of keys that Traefik has (Go, crypto/tls).
_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
_CURVES = ("secp224r1", "secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True, slots=True)
class File:
    """A file that an option names, and what is in it now."""

    option: str
    path: Path
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with the ones between it and its authority, and its key, both PEM and nothing else."""

    certificate: str
    key: str
    expires: datetime


def read(option: str, path: Path) -> File:
    """Raises :class:`TraefikError` when it cannot be read."""
    try:
        return File(option, path, path.read_bytes())
    except OSError as error:
        raise TraefikError(f"{option}: {path} cannot be read: {error.strerror}.") from error


def pair(certificate: File, key: File) -> Pair:
    """The two as Traefik can use them. Raises :class:`TraefikError` for what it could not."""
    chain = _certificates(certificate)
    private = _private_key(key)
    try:
        public = chain[0].public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TraefikError(
            f"{certificate.option}: {certificate.path} has a key of a kind that Traefik has not."
        ) from error
    if public != private.public_key():
        raise TraefikError(
            f"{key.option}: {key.path} is not the key of the first certificate in {certificate.path} "
            f"({certificate.option})."
        )
    blocks = _blocks(certificate.text, "CERTIFICATE")
    return Pair("".join(blocks), "".join(_blocks(key.text, _PRIVATE_KEY)), chain[0].not_valid_after_utc)


def authorities(file: File) -> str:
    """The certificates of authorities in `file`, PEM. Raises :class:`TraefikError` when there is none."""
    _certificates(file)
    return "".join(_blocks(file.text, "CERTIFICATE"))


_PRIVATE_KEY = "(?:[A-Z]+ )?PRIVATE KEY"


def _blocks(text: str, label: str) -> list[str]:
    found = re.finditer(rf"-----BEGIN ({label})-----[^-]*-----END \1-----", text)
    return [block.group().replace("\r\n", "\n") + "\n" for block in found]


def _certificates(file: File) -> list[x509.Certificate]:
    blocks = _blocks(file.text, "CERTIFICATE")
    if not blocks:
        raise TraefikError(f"{file.option}: {file.path} has no certificate in it (PEM).")
    try:
        return [x509.load_pem_x509_certificate(block.encode()) for block in blocks]
    except ValueError as error:
        raise TraefikError(f"{file.option}: {file.path} has a certificate that cannot be read.") from error


def _private_key(file: File) -> PrivateKeyTypes:
    blocks = _blocks(file.text, _PRIVATE_KEY)
    if len(blocks) != 1:
        count = "no key" if not blocks else f"{len(blocks)} keys"
        raise TraefikError(f"{file.option}: {file.path} has {count} in it; it must have one (PEM).")
    try:
        key = serialization.load_pem_private_key(blocks[0].encode(), None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        raise TraefikError(
            f"{file.option}: {file.path} is encrypted, which Traefik cannot read; decrypt it into a directory in "
            f"memory, such as with `openssl pkey -in {file.path} -out /run/jupyterhub/key.pem`, and name that."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TraefikError(f"{file.option}: {file.path} has a key that cannot be read.") from error
    if not isinstance(key, _KEYS) or (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _CURVES):
        raise TraefikError(
            f"{file.option}: {file.path} has a key of a kind that Traefik has not; use RSA, ECDSA or Ed25519."
        )
    return key
