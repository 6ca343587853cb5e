"""What a pattern is in Traefik: its rule, and the priority of its router (Traefik docs, "Rules & Priority"). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from ..routing.routes import Pattern

#: Routes with a host come before routes without one, however long their paths are.
HOST_PRIORITY = 1_000_000

# Traefik keeps these percent-encoded when it matches (pkg/muxer/http/mux.go, reservedCharacters) ...
_RESERVED = frozenset(":/?#[]@!$&'()*+,;=%")
# ... and these of them can stand in a path literally too, so that a request may come in either form.
_EITHER_FORM = _RESERVED - frozenset("/?#%")

# In a tree key a reserved character is a lone surrogate, which is in no text.
_TOKEN = 0xDC00
_EITHER_FORM_TOKENS = frozenset(chr(_TOKEN + ord(char)) for char in _EITHER_FORM)


def pattern_rule(pattern: Pattern) -> str:
    """The rule that matches exactly the requests of `pattern`, in every percent-encoding of their paths."""
    segments = pattern.segments
    return _on_host(pattern.host, _path_regexp_rule(segments) if _has_two_forms(segments) else _path_rule(segments))


def priority_at_top(pattern: Pattern) -> int:
    """The priority of a router that has no parent. Traefik tries higher ones first: the longest pattern wins.

    All patterns that match a request are prefixes of its path, so the number of segments orders them. The figures are
    small, so that a router of the admin's own (whose default priority is the length of its rule) comes before ours.
    0 would mean "default" to Traefik.
    """
    return 1 + len(pattern.segments) + (0 if pattern.host is None else HOST_PRIORITY)


def priority_below(pattern: Pattern) -> int | None:
    """The priority of a router below a parent, where no router of the admin's is; None: Traefik's default.

    That is the length of the rule. A longer path has a longer rule, unless the rule is a regular expression.
    """
    return len(_on_host(pattern.host, _path_rule(pattern.segments))) if _has_two_forms(pattern.segments) else None


def _on_host(host: str | None, path_rule: str) -> str:
    return path_rule if host is None else f"Host({_go_string(host)}) && ({path_rule})"


def _has_two_forms(segments: tuple[str, ...]) -> bool:
    return any(_EITHER_FORM.intersection(segment) for segment in segments)


def tree_key(pattern: Pattern) -> str:
    """`pattern` as text, for :class:`~jhub_kvproxy.traefik_routers.tree.Tree`.

    Each character of it stands for a thing that a request holds: a byte of UTF-8, or a reserved character in either
    of its forms. Behind the first of those that has two forms it is a whole character instead of a byte, because
    rules are regular expressions from there on, and Go's cannot cut a character.
    """
    to_text: Callable[[str], str] = _bytes_as_text
    key = [pattern.host or ""]
    for segment in pattern.segments:
        key.append("/")
        for char in segment:
            if char in _RESERVED:
                key.append(chr(_TOKEN + ord(char)))
                to_text = str if char in _EITHER_FORM else to_text
            else:
                key.append(to_text(char))
    return "".join(key)


def prefix_rule(prefix: str) -> str:
    """The rule that matches exactly the requests whose tree key begins with `prefix`."""
    host, slash, rest = prefix.partition("/")
    if not slash:
        return f"HostRegexp({_go_string('^' + re.escape(host))})"
    rule = _path_prefix_rule(slash + rest)
    return f"Host({_go_string(host)}) && {rule}" if host else rule


def _path_prefix_rule(path: str) -> str:
    cut = next((at for at, token in enumerate(path) if token in _EITHER_FORM_TOKENS), None)
    if cut is None:
        return 'PathPrefix("' + "".join(map(_go_byte, map(_token_literal, path))) + '")'
    start = "".join(map(_token_literal, path[:cut])).encode("latin-1").decode()
    tokens = "".join(map(_plain_regexp, start)) + "".join(
        _regexp(chr(ord(token) - _TOKEN)) if _is_token(token) else _plain_regexp(token) for token in path[cut:]
    )
    return f"PathRegexp({_go_string('^' + tokens)})"


def _is_token(char: str) -> bool:
    return _TOKEN <= ord(char) < _TOKEN + 0x80


def _token_literal(token: str) -> str:
    return _literal(chr(ord(token) - _TOKEN)) if _is_token(token) else token


def _bytes_as_text(char: str) -> str:
    return char.encode().decode("latin-1")


def _path_rule(segments: tuple[str, ...]) -> str:
    if not segments:
        return 'PathPrefix("/")'
    path = "".join("/" + "".join(map(_literal, segment)) for segment in segments)
    return f"PathPrefix({_go_string(path + '/')}) || Path({_go_string(path)})"


def _path_regexp_rule(segments: tuple[str, ...]) -> str:
    path = "".join("/" + "".join(map(_regexp, segment)) for segment in segments)
    return f"PathRegexp({_go_string(f'^{path}(?:/|$)')})"


def _literal(char: str) -> str:
    return f"%{ord(char):02X}" if char in _RESERVED else char


def _regexp(char: str) -> str:
    if char in _EITHER_FORM:
        return rf"(?:\{char}|%{ord(char):02X})"
    return _plain_regexp(_literal(char))


def _plain_regexp(text: str) -> str:
    return rf"\{text}" if text in r"\.|^{}" else text


def _go_string(text: str) -> str:
    """A Go string literal in printable ASCII: nothing in `text` can end it or mean anything else."""
    return '"' + "".join(map(_go_char, text)) + '"'


def _go_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if " " <= char <= "~":
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _go_byte(text: str) -> str:
    return text if len(text) > 1 else _go_char(text) if text.isascii() else f"\\x{ord(text):02x}"


def spread(name: str) -> str:
    """`name` behind two characters that differ from one name to the next.

    Traefik compares each key's name with all names before it (paerser, containsNode), and
    names that begin alike cost it several times as much.
    """
    return f"{hashlib.sha256(name.encode()).hexdigest()[:2]}.{name}"
