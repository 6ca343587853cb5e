"""The command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from servers.programs import ROOT

from .scenarios import SCENARIOS

#: Seconds that a run of each scale may measure; the rest of 3 and 20 minutes is for stopping everything and drawing.
SECONDS: dict[str, float | None] = {"tiny": None, "quick": 160, "default": 1155, "full": None}

RESULTS = ROOT / "benchmarks" / "results"
#: The documentation shows the files here.
DOCS = ROOT / "docs" / "explanation" / "performance"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run."""

    scale: str
    scenarios: list[str]
    backends: list[str]
    sizes: list[int] | None
    output: Path
    config_file: str
    #: A file of results, to repeat its report instead of measuring.
    report: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compares the backends of jhub-kvproxy, other proxies and a bare Traefik on this machine.",
        epilog="A whole run ends within 20 minutes on two cores. The exit status says whether it could measure; "
        "a missed bound is marked in the table, and does not change the exit status.",
    )
    parser.add_argument(
        "--scenario", action="append", choices=list(SCENARIOS), help="only this scenario; may be repeated"
    )
    parser.add_argument(
        "--backend",
        action="append",
        metavar="NAME",
        help="only this backend: one of ours, another installed one, or an import path; may be repeated",
    )
    parser.add_argument("--routes", action="append", type=_count, metavar="N", help="only N routes; may be repeated")
    parser.add_argument(
        "--config",
        type=_file,
        metavar="FILE",
        help="a file with the backends' options, like jupyterhub_config.py; the command then starts no store",
    )
    scales = parser.add_mutually_exclusive_group()
    for scale, text in (
        ("quick", "within 3 minutes: fewer sizes and repeats"),
        ("full", "all backends at all sizes, without a time limit: hours"),
        ("tiny", "each scenario once, with one route, to see whether it works"),
    ):
        scales.add_argument(f"--{scale}", dest="scale", action="store_const", const=scale, help=text)
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--output", type=Path, metavar="DIR", help="directory for JSON, tables and plots (default: benchmarks/results)"
    )
    places.add_argument(
        "--docs",
        action="store_const",
        dest="output",
        const=DOCS,
        help="write them into docs/explanation/performance, where the documentation shows them",
    )
    parser.add_argument(
        "--report", type=_file, metavar="FILE", help="repeat the report from this JSON file, without measuring"
    )
    given = parser.parse_args(arguments)
    if given.output == DOCS and (given.scenario or given.backend or given.routes):
        parser.error("--docs needs a whole run, because its page shows all scenarios and backends")
    scale = given.scale or "default"
    return Options(
        scale,
        given.scenario or list(SCENARIOS),
        given.backend or [],
        sorted(set(given.routes)) if given.routes else None,
        given.output or (given.report.parent if given.report else RESULTS),
        str(given.config.absolute()) if given.config else "",
        given.report,
    )


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return Path(text)


def _count(text: str) -> int:
    count = int(text.replace(",", "").replace("_", ""))
    if not 1 <= count <= 100_000:
        raise argparse.ArgumentTypeError("must be from 1 to 100000")
    return count
