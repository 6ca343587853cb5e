"""The command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jhub_kvproxy.errors import BackendNotFound

from ..options import RESULTS
from ..stores import is_read_by_traefik
from .faults import FAULTS
from .site import Size
from .stores import STORES


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a drill."""

    backends: list[str]
    faults: list[str]
    #: How the table gets to Traefik: "push", "agent" or "store".
    delivery: str
    minutes: float
    size: Size
    output: Path


def parse(arguments: list[str] | None = None) -> Options:
    default = Size()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drill",
        description="Kills, freezes and restarts each part under load, and reports what users noticed.",
        epilog="The exit status is 0 if all bounds are met, and 1 if not.",
    )
    parser.add_argument("--backend", action="append", choices=list(STORES), help="only this backend; may be repeated")
    parser.add_argument(
        "--fault", action="append", choices=[fault.name for fault in FAULTS], help="only this fault; may be repeated"
    )
    parser.add_argument(
        "--delivery",
        choices=["push", "agent", "store"],
        default="push",
        help="how the table gets to Traefik: the hub pushes it into a plugin, or an agent beside each Traefik does, or "
        "each Traefik reads the store",
    )
    parser.add_argument(
        "--minutes",
        type=_between(0.01, 600),
        default=6.0,
        help="minutes for each backend, about, with all faults (default: %(default)g)",
    )
    parser.add_argument(
        "--replicas", type=_count(9), default=default.replicas, help="number of Traefiks (default: %(default)s)"
    )
    parser.add_argument(
        "--users", type=_count(2000), default=default.users, help="number of users (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=_between(1, 2000), default=default.rate, help="requests a second (default: %(default)g)"
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="DIR", help="directory for JSON, tables and pictures"
    )
    given = parser.parse_args(arguments)
    backends = given.backend or list(STORES)
    if given.delivery == "store":
        try:
            unreadable = [backend for backend in backends if not is_read_by_traefik(backend)]
        except BackendNotFound as error:
            parser.error(str(error))
        if given.backend and unreadable:
            parser.error(f"Traefik cannot read {' and '.join(unreadable)} by itself; choose another --delivery")
        backends = [backend for backend in backends if backend not in unreadable]
    return Options(
        backends,
        given.fault or [fault.name for fault in FAULTS],
        given.delivery,
        given.minutes,
        Size(replicas=given.replicas, users=given.users, rate=given.rate),
        given.output,
    )


def _count(most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be from 1 to {most}")
        return int(text)

    return count


def _between(least: float, most: float) -> Callable[[str], float]:
    def between(text: str) -> float:
        if not least <= float(text) <= most:
            raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:g}")
        return float(text)

    return between
