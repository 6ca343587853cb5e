"""Names that are safe as a key segment of any store and as a Traefik name, and readable if they are short."""

from __future__ import annotations

import hashlib

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_LIMIT = 128


def escape_name(text: str) -> str:
    """`text` in lower-case letters, digits, ``-`` and ``_`` alone; different texts stay different.

    Lone surrogates are as good as other characters.
    """
    if _PLAIN.issuperset(text):
        return text
    return "".join(
        char if char in _PLAIN else "".join(f"_{byte:02x}" for byte in char.encode(errors="surrogatepass"))
        for char in text
    )


def shortened(kind: str, name: str) -> str:
    """`name`; a long one as a hash behind `kind`, with which no other name begins."""
    return name if len(name) <= _LIMIT else f"{kind}.{hashlib.sha256(name.encode()).hexdigest()}"


def spread(name: str) -> str:
    """`name` behind two characters that differ from one name to the next.

    Traefik compares each key's name with all names before it (paerser, containsNode), and
    names that begin alike cost it several times as much.
    """
    return f"{hashlib.sha256(name.encode()).hexdigest()[:2]}.{name}"
