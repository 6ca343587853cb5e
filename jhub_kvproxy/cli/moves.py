"""What becomes of the options of another proxy: the lines of ours, and what has no line. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit


@dataclass
class Move:
    """What was found, in the order of the configuration."""

    #: Our options, such as ``KVProxy.timeout``, with their values.
    options: dict[str, Any] = field(default_factory=dict)
    #: The options that were read, as their owner writes them.
    found: list[str] = field(default_factory=list)
    #: Those that have no line of ours, and why, or what to do instead.
    left: list[tuple[str, str]] = field(default_factory=list)
    #: Environment variables that take the place of a secret in the configuration.
    variables: list[tuple[str, str]] = field(default_factory=list)

    def note(self, option: str, text: str) -> None:
        self.left.append((option, text))

    def lines(self) -> list[str]:
        """The options as lines of ``jupyterhub_config.py``."""
        return [f"c.{name} = {literal(value)}" for name, value in self.options.items()]


#: What one option becomes: it changes the move, given the option's name and value.
Rule = Callable[[Move, str, Any], None]


def line(option: str, convert: Callable[[Any], Any] = lambda value: value, note: str = "") -> Rule:
    """A rule: a line that sets `option` to the converted value, and a note if there is one."""

    def apply(move: Move, name: str, value: Any) -> None:
        move.options[option] = convert(value)
        if note:
            move.note(name, note)

    return apply


def fixed(option: str, value: Any) -> Rule:
    """A rule: a line that does not depend on the old value."""
    return line(option, lambda _: value)


def none(text: str) -> Rule:
    """A rule: there is no line, and `text` says why."""

    def apply(move: Move, name: str, value: Any) -> None:
        move.note(name, text)

    return apply


def variable(environment: str) -> Rule:
    """A rule: the secret moves into the environment."""

    def apply(move: Move, name: str, value: Any) -> None:
        move.variables.append((environment, name))

    return apply


def url_of(option: str, environment: str, convert: Callable[[str], Any] = lambda url: url) -> Rule:
    """A rule for the URL of a store: its password moves into the environment."""

    def apply(move: Move, name: str, value: Any) -> None:
        parts = urlsplit(str(value))
        if parts.password is not None:
            user, _, _ = parts.netloc.partition(":")
            _, _, host = parts.netloc.rpartition("@")
            parts = parts._replace(netloc=f"{user}@{host}" if user else host)
            variable(environment)(move, name, value)
        move.options[option] = convert(urlunsplit(parts))

    return apply


def apply_rules(move: Move, rules: Mapping[str, Rule], settings: Iterable[tuple[str, str, Any]]) -> None:
    """`settings` are an option's key in `rules`, its full name, and its value."""
    for key, name, value in settings:
        move.found.append(name)
        try:
            rules.get(key, none("jhub-kvproxy does not know this option."))(move, name, value)
        except (TypeError, ValueError):
            move.note(name, "Its value cannot be read: write the line by hand.")


def literal(value: Any) -> str:
    """`value`, as one writes it in a configuration file."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
