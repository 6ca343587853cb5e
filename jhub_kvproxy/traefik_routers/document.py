"""For stores that Traefik reads as one document: its nested form, made again only where a change touches it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .order import element_of


class Fragments:
    """Keys, and a text for each router, service, ... that they describe.

    `render` makes the text of one from its name, such as ``traefik/http/routers/NAME``, and its keys.
    """

    def __init__(self, render: Callable[[str, Mapping[str, str]], str]) -> None:
        self.keys: dict[str, str] = {}
        #: By element.
        self.texts: dict[str, str] = {}
        self._render = render
        self._elements: dict[str, dict[str, str]] = {}

    def update(self, changes: Mapping[str, str | None]) -> None:
        touched = set()
        for key, value in changes.items():
            element = element_of(key)
            if value is None:
                self.keys.pop(key, None)
                self._elements.get(element, {}).pop(key, None)
            else:
                self.keys[key] = value
                self._elements.setdefault(element, {})[key] = value
            touched.add(element)
        for element in touched:
            if keys := self._elements.get(element):
                self.texts[element] = self._render(element, keys)
            else:
                self._elements.pop(element, None)
                self.texts.pop(element, None)


def unflatten(keys: Mapping[str, str]) -> dict[str, Any]:
    """The nested form of keys in the layout of Traefik's KV providers: ``a/b/0/c`` is ``{"a": {"b": [{"c": ...}]}}``.

    For drivers whose store Traefik reads as one document. Values stay text: Traefik parses them.
    """
    tree: dict[str, Any] = {}
    for key, value in keys.items():
        node = tree
        *parents, leaf = key.split("/")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    nested = _lists(tree)
    assert isinstance(nested, dict)
    return nested


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(part.isdecimal() for part in node):
        return [_lists(node[part]) for part in sorted(node, key=int)]
    return {part: _lists(below) for part, below in node.items()}
