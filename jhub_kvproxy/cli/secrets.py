"""Secrets that an admin configured: none may be in what we print, whoever wrote the sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from traitlets import HasTraits

_NAME = re.compile(r"(password|passphrase|token|secret)s?$", re.IGNORECASE)
_IN_URL = re.compile(r"://[^\s:/]*:(\S*)@")
_HIDDEN = "***"


class Secrets:
    """The secrets that are known so far."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def hide(self, text: str) -> str:
        """`text` with asterisks in the place of every secret that stands in it as a word."""
        for value in sorted(self._values, key=len, reverse=True):
            before = r"(?<!\w)" if value[0].isalnum() else ""
            after = r"(?!\w)" if value[-1].isalnum() else ""
            text = re.sub(before + re.escape(value) + after, _HIDDEN, text)
        return text

    def hide_leaves(self, value: Any) -> Any:
        """`value`, of JSON's types, with its texts as :meth:`hide` leaves them; the keys stay."""
        if isinstance(value, Mapping):
            return {key: self.hide_leaves(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.hide_leaves(below) for below in value]
        return self.hide(value) if isinstance(value, str) else value

    def learn(self, settings: Mapping[str, Any]) -> None:
        """Take in what is secret in a section: the values of such names, and passwords in URLs."""
        for name, value in settings.items():
            if _NAME.search(str(name)):
                self.add(_leaves(value))
            else:
                self.add(_in_urls(value))

    def learn_traits(self, configurable: HasTraits) -> None:
        """The same for an object, whose options may come from the environment."""
        self.learn({name: getattr(configurable, name) for name in configurable.trait_names(config=True)})

    def learn_provider(self, tree: Mapping[str, Any]) -> None:
        """The same for what ``Backend.traefik_provider_secrets`` tells; a user name may stand there too."""
        for name, value in tree.items():
            if isinstance(value, Mapping):
                self.learn_provider(value)
            elif name != "username":
                self.add(_leaves(value))

    def add(self, values: Iterable[object]) -> None:
        self._values.update(text for text in map(str, values) if text.strip())


def _leaves(value: Any) -> Iterable[object]:
    """What `value` holds, however deep."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)):
        return [leaf for below in value for leaf in _leaves(below)]
    return [] if value is None or isinstance(value, bool) else [value]


def _in_urls(value: Any) -> Iterable[str]:
    for leaf in _leaves(value):
        for found in _IN_URL.findall(str(leaf)):
            yield from (found, unquote(found))
