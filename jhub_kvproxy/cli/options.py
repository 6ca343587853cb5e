"""``jhub-kvproxy options``: list the options of a class, from its traits."""

from __future__ import annotations

import inspect
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from traitlets import Bool, Container, Dict, Enum, Float, HasTraits, Integer, TraitType, Type, Undefined, Unicode, Union

from ..did_you_mean import did_you_mean
from ..errors import BackendNotFound
from ..options.secret_names import variable_of
from ..store.registry import find_backend, installed_backends
from .text import as_json, paragraphs, width, wrapped

PROXY, AGENT = "kvproxy", "agent"
_TYPES: tuple[tuple[type[TraitType[Any, Any]], str], ...] = (
    (Bool, "bool"),
    (Integer, "int"),
    (Float, "float"),
    (Unicode, "str"),
    (Dict, "dict"),
    (Type, "class"),
)


@dataclass(frozen=True, slots=True)
class Option:
    """An option as an admin sees it."""

    #: As in ``c.NAME``: ``EtcdBackend.urls``.
    name: str
    #: In Python's words, such as ``list of str``.
    type: str
    default: Any
    #: The environment variable that the default comes from, according to the help.
    environment: str | None
    help: str


def options_of(configurable: type[HasTraits]) -> list[Option]:
    """All options of a class, inherited ones too, sorted by name."""
    return [
        _option(f"{configurable.__name__}.{name}", trait)
        for name, trait in sorted(configurable.class_traits(config=True, renamed_to=None).items())
    ]


def _option(name: str, trait: TraitType[Any, Any]) -> Option:
    # The class's default, not an object's: that may come from the environment, and be secret.
    default = trait.default()
    default = None if default is Undefined else default
    help = inspect.cleandoc(trait.help)
    return Option(name, _type(trait), default, variable_of(trait), help)


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


def literal(value: Any) -> str:
    """`value`, as one writes it in the configuration file."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


DESCRIPTION = """
List the options of a backend with their defaults; without a name, those of KVProxy; for "agent", those of Agent.

Give the backend's name (jhub-kvproxy backends lists them), or the import path of its class.
Set options in jupyterhub_config.py, or on JupyterHub's command line: --KVProxy.prefix=hub1.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("backend", nargs="?", default=PROXY, metavar="BACKEND", help="default: KVProxy")


def run(options: Namespace) -> int:
    configurable = find_class(options.backend)
    found = options_of(configurable)
    if options.json:
        print(as_json({"class": configurable.__name__, "options": [asdict(option) for option in found]}))
    else:
        print("\n".join(_rendered(found)).rstrip())
    return 0


def find_class(name: str) -> type[HasTraits]:
    """The class of a backend, of the proxy, or of the agent. Raises :class:`~jhub_kvproxy.errors.BackendNotFound`."""
    if name.lower() == PROXY:
        from ..hub.proxy import KVProxy  # takes half a second, so only here

        return KVProxy
    if name.lower() == AGENT:
        from ..agent.options import Agent

        return Agent
    names = [*installed_backends(), PROXY, AGENT]
    if name not in names and "." not in name:
        raise BackendNotFound(
            f"There is no backend {name!r}{did_you_mean(name, names)} Installed: {', '.join(names[:-2])}."
        )
    return find_backend(name)


def _rendered(options: list[Option]) -> Iterator[str]:
    for option in options:
        setting = f"c.{option.name} = {literal(option.default)}"
        facts = option.type + (f", from {option.environment}" if option.environment else "")
        if len(setting) + len(facts) + 4 <= width():
            yield f"{setting}  # {facts}"
        else:
            yield setting
            yield from wrapped(facts, "    # ")
        yield from paragraphs(option.help, "    ")
        yield ""
