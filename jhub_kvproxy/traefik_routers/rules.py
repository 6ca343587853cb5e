"""Traefik's rules for paths and hosts (Traefik docs, "Rules & Priority"). Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable

# Traefik keeps these percent-encoded when it matches (pkg/muxer/http/mux.go, reservedCharacters) ...
_RESERVED = frozenset(":/?#[]@!$&'()*+,;=%")
# ... and these of them can stand in a path literally too, so that a request may come in either form.
_EITHER_FORM = _RESERVED - frozenset("/?#%")

# In a tree key a reserved character is a lone surrogate, which is in no text.
_TOKEN = 0xDC00
_EITHER_FORM_TOKENS = frozenset(chr(_TOKEN + ord(char)) for char in _EITHER_FORM)


def pattern_rule(host: str | None, segments: tuple[str, ...]) -> str:
    """The rule that matches exactly the requests below a path, in every percent-encoding of them."""
    return _on_host(host, _path_regexp_rule(segments) if _has_two_forms(segments) else _path_rule(segments))


def default_priority(host: str | None, segments: tuple[str, ...]) -> int | None:
    """A priority that sets :func:`pattern_rule` of longer paths before it; None: the length of the rule does."""
    return len(_on_host(host, _path_rule(segments))) if _has_two_forms(segments) else None


def _on_host(host: str | None, path_rule: str) -> str:
    return path_rule if host is None else f"Host({_go_string(host)}) && ({path_rule})"


def _has_two_forms(segments: tuple[str, ...]) -> bool:
    return any(_EITHER_FORM.intersection(segment) for segment in segments)


def tree_key(host: str | None, segments: tuple[str, ...]) -> str:
    """A pattern as text, for :class:`~jhub_kvproxy.traefik_routers.tree.Tree`.

    Each character of it stands for a thing that a request holds: a byte of UTF-8, or a reserved character in either
    of its forms. Behind the first of those that has two forms it is a whole character instead of a byte, because
    rules are regular expressions from there on, and Go's cannot cut a character.
    """
    to_text: Callable[[str], str] = _bytes_as_text
    key = [host or ""]
    for segment in segments:
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
