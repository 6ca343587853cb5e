"""A document that is made of parts, of which only those are made again that a change touches. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..routing.changes import element_of


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
