"""Secrets of a configuration, and how to hide them: no output may contain one, whoever wrote its text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from traitlets import HasTraits

from ..options.secret_names import is_secret, variable_of

_IN_URL = re.compile(r"://[^\s:/]*:(\S*)@")
#: Stands for a secret.
HIDDEN = "***"


class Secrets:
    """The secrets found so far."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def hide(self, text: str) -> str:
        """Replace every secret that is a word of `text` by asterisks."""
        for value in sorted(self._values, key=len, reverse=True):
            before = r"(?<!\w)" if value[0].isalnum() else ""
            after = r"(?!\w)" if value[-1].isalnum() else ""
            text = re.sub(before + re.escape(value) + after, HIDDEN, text)
        return text

    def hide_leaves(self, value: Any) -> Any:
        """Apply :meth:`hide` to all strings in `value`, which has JSON's types; keys stay."""
        if isinstance(value, Mapping):
            return {key: self.hide_leaves(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.hide_leaves(below) for below in value]
        return self.hide(value) if isinstance(value, str) else value

    def learn(self, settings: Mapping[str, Any]) -> None:
        """Find the secrets in a section: values of options such as `password`, and passwords in URLs."""
        for name, value in settings.items():
            if is_secret(str(name)):
                self.add(_leaves(value))
            else:
                self.add(_in_urls(value))

    def learn_traits(self, configurable: HasTraits) -> None:
        """Find the secrets among an object's options, which may come from the environment."""
        self.learn({name: getattr(configurable, name) for name in configurable.trait_names(config=True)})

    def learn_provider(self, tree: Mapping[str, Any]) -> None:
        """Find the secrets in what ``Backend.traefik_provider_secrets`` returns; a user name there is none."""
        for name, value in tree.items():
            if isinstance(value, Mapping):
                self.learn_provider(value)
            elif name != "username":
                self.add(_leaves(value))

    def add(self, values: Iterable[object]) -> None:
        self._values.update(text for text in map(str, values) if text.strip())


def unset(configurable: HasTraits) -> str:
    """A sentence about the secret options of an object that are not set; empty: it seems to have what it needs.

    If some are set, or a URL has a password in it, only those count that a user name asks for.
    """
    values = {name: getattr(configurable, name) for name in sorted(configurable.trait_names(config=True))}
    secret = [name for name in values if is_secret(name)]
    has_some = any(values[name] for name in secret) or any(_in_urls([*values.values()]))
    users = {name: values.get(name.replace("password", "username")) for name in secret}
    missing = [name for name in secret if not values[name] and (users[name] or not has_some)]
    found = []
    for name in missing:
        variable = variable_of(configurable.traits()[name])
        nor = f", nor the environment variable {variable}" if variable else ""
        found.append(f"{type(configurable).__name__}.{name} is not set here{nor}")
    return f"{'; '.join(found)}. Run the check with the hub's environment." if found else ""


def _leaves(value: Any) -> Iterable[object]:
    """All values in `value`, at any depth."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)):
        return [leaf for below in value for leaf in _leaves(below)]
    return [] if value is None or isinstance(value, bool) else [value]


def _in_urls(value: Any) -> Iterable[str]:
    for leaf in _leaves(value):
        for found in _IN_URL.findall(str(leaf)):
            yield from (found, unquote(found))
