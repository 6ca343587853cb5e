"""Reads and checks the admin's certificates and keys before Traefik sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ..errors import TraefikError

#: The kinds of keys that Traefik supports (Go, crypto/tls).
_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
_CURVES = ("secp224r1", "secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True, slots=True)
class File:
    """A file that an option names, and what is in it now."""

    option: str
    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its private key, both PEM, with nothing else beside it."""

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
            f"{certificate.option}: {certificate.path} has a key of a kind that Traefik does not support."
        ) from error
    if public != private.public_key():
        raise TraefikError(
            f"{key.option}: {key.path} is not the key of the first certificate in {certificate.path} "
            f"({certificate.option})."
        )
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Pair(_text(chain), text, chain[0].not_valid_after_utc)


def authorities(file: File) -> str:
    """The certificates of authorities in `file`, PEM. Raises :class:`TraefikError` when there is none."""
    return _text(_certificates(file))


def _text(certificates: Sequence[x509.Certificate]) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def _certificates(file: File) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.content)
    except (ValueError, x509.InvalidVersion) as error:
        raise TraefikError(f"{file.option}: {file.path} {_fault(file, 'certificate')}.") from error


def _private_key(file: File) -> PrivateKeyTypes:
    try:
        # Whether an RSA key is sound, Traefik checks itself, and it takes long.
        key = load_pem_private_key(file.content, None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        raise TraefikError(
            f"{file.option}: {file.path} is encrypted, which Traefik cannot read; decrypt it into a directory in "
            f"memory, such as with `openssl pkey -in {file.path} -out /run/jupyterhub/key.pem`, and name that."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TraefikError(f"{file.option}: {file.path} {_fault(file, 'key')}.") from error
    if not isinstance(key, _KEYS) or (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _CURVES):
        raise TraefikError(
            f"{file.option}: {file.path} has a key of a kind that Traefik does not support; use RSA, ECDSA or Ed25519."
        )
    return key


def _fault(file: File, what: str) -> str:
    """Why the library does not read `file`: it raises the same error for all that is wrong."""
    label = f"{what.upper()}-----".encode()
    has_one = any(line.startswith(b"-----BEGIN ") and line.endswith(label) for line in file.content.splitlines())
    return f"has a {what} that cannot be read" if has_one else f"has no {what} in it (PEM)"
