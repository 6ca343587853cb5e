"""``jhub-kvproxy options``: what can be set in the configuration, told by the traits."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from traitlets import Bool, Container, Dict, Enum, Float, HasTraits, Integer, TraitType, Type, Undefined, Unicode, Union

from ..errors import BackendNotFound
from ..store.registry import find_backend, installed_backends
from .app import Command
from .text import did_you_mean, paragraphs, width, wrapped

_PROXY = "kvproxy"
_TYPES: tuple[tuple[type[TraitType[Any, Any]], str], ...] = (
    (Bool, "bool"),
    (Integer, "int"),
    (Float, "float"),
    (Unicode, "str"),
    (Dict, "dict"),
    (Type, "class"),
)
_VARIABLE = re.compile(r"environment variable\s+`*([A-Z][A-Z0-9_]+)")


@dataclass(frozen=True, slots=True)
class Option:
    """An option as an admin sees it."""

    #: As in ``c.NAME``: ``EtcdBackend.urls``.
    name: str
    #: In Python's words, such as ``list of str``.
    type: str
    default: Any
    #: The environment variable that the default comes from, as the help tells.
    environment: str | None
    help: str


def options_of(configurable: type[HasTraits]) -> list[Option]:
    """All options of a class, those that it inherits too, by name."""
    return [
        _option(f"{configurable.__name__}.{name}", trait)
        for name, trait in sorted(configurable.class_traits(config=True).items())
    ]


def _option(name: str, trait: TraitType[Any, Any]) -> Option:
    variable = _VARIABLE.search(trait.help)
    # Without an object: what this process's environment holds is not asked, and may be secret.
    default = trait.default()
    default = None if default is Undefined else default
    help = inspect.cleandoc(trait.help)
    return Option(name, _type(trait), default, variable[1] if variable else None, help)


def _type(trait: TraitType[Any, Any]) -> str:
    if isinstance(trait, Union):
        words = " or ".join(dict.fromkeys(map(_type, trait.trait_types)))
    elif isinstance(trait, Enum):
        words = "one of " + ", ".join(map(str, trait.values or ()))
    elif isinstance(trait, Container):
        inner = getattr(trait, "_trait", None)
        kind = trait.klass.__name__ if trait.klass else "list"
        words = f"{kind} of {_type(inner)}" if inner else kind
    else:
        words = next((words for kind, words in _TYPES if isinstance(trait, kind)), type(trait).__name__)
    return f"{words} or None" if trait.allow_none else words


def _literal(value: Any) -> str:
    """`value` as it is written in the configuration file."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


class OptionsApp(Command):
    """The command."""

    usage = "options [BACKEND] [--json]"
    description = """
    List the options of a backend, or without a name those of KVProxy, with their defaults.

    A backend is given by its name (jhub-kvproxy backends lists them) or by the import path of its class.
    Options are set in jupyterhub_config.py, or on the command line: --KVProxy.prefix=hub1.
    """
    arguments = 1

    def run(self) -> None:
        name = (self.extra_args or [_PROXY])[0]
        configurable = self._find(name)
        options = options_of(configurable)
        if self.as_json:
            self.print_json({"class": configurable.__name__, "options": [asdict(option) for option in options]})
        else:
            self.print("\n".join(_rendered(options)).rstrip())

    def _find(self, name: str) -> type[HasTraits]:
        if name.lower() == _PROXY:
            from ..hub.proxy import KVProxy  # half a second, which the other commands need not wait

            return KVProxy
        names = [*installed_backends(), _PROXY]
        if name not in names and "." not in name:
            self.fail(f"there is no backend {name!r}{did_you_mean(name, names)} Installed: {', '.join(names[:-1])}.")
        try:
            return find_backend(name)
        except BackendNotFound as error:
            self.fail(str(error))


def _rendered(options: list[Option]) -> Iterator[str]:
    for option in options:
        setting = f"c.{option.name} = {_literal(option.default)}"
        facts = option.type + (f", from {option.environment}" if option.environment else "")
        if len(setting) + len(facts) + 4 <= width():
            yield f"{setting}  # {facts}"
        else:
            yield setting
            yield from wrapped(facts, "    # ")
        yield from paragraphs(option.help, "    ")
        yield ""
