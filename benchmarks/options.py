"""The command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from servers.programs import ROOT

from .scenarios import SCENARIOS

#: Seconds that a run of each scale may take until its report; the rest of 3 and 20 minutes is for ending and drawing.
SECONDS: dict[str, float | None] = {"tiny": None, "quick": 160, "default": 1155, "full": None}

RESULTS = ROOT / "benchmarks" / "results"
#: What the documentation shows.
DOCS = ROOT / "docs" / "explanation" / "performance"


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be done."""

    scale: str
    scenarios: list[str]
    backends: list[str]
    sizes: list[int] | None
    output: Path
    config_file: str
    #: A file of results to report again, instead of measuring.
    report: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compares the backends of jhub-kvproxy, the proxies beside it, and the floor, on this machine.",
        epilog="A run with none of the options that cut it ends within 20 minutes on two cores. The exit status tells "
        "whether it could measure; a bound that is missed is marked in the table, and is no failure.",
    )
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this one; may be repeated")
    parser.add_argument(
        "--backend",
        action="append",
        metavar="NAME",
        help="only this one of ours, or another that is installed, or an import path; may be repeated",
    )
    parser.add_argument("--routes", action="append", type=_count, metavar="N", help="only N routes; may be repeated")
    parser.add_argument(
        "--config",
        type=_file,
        metavar="FILE",
        help="the backends' options (Python, as jupyterhub_config.py); no store is started",
    )
    scales = parser.add_mutually_exclusive_group()
    for scale, text in (
        ("quick", "within 3 minutes: fewer sizes and repeats"),
        ("full", "hours: all backends at all sizes, as long as it takes"),
        ("tiny", "each scenario once, at size 1: whether it works at all"),
    ):
        scales.add_argument(f"--{scale}", dest="scale", action="store_const", const=scale, help=text)
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--output", type=Path, metavar="DIR", help="where JSON, tables and plots go (default: benchmarks/results)"
    )
    places.add_argument(
        "--docs",
        action="store_const",
        dest="output",
        const=DOCS,
        help="they go where the documentation shows them: docs/explanation/performance",
    )
    parser.add_argument("--report", type=_file, metavar="FILE", help="report on this JSON again, and measure nothing")
    given = parser.parse_args(arguments)
    if given.output == DOCS and (given.scenario or given.backend or given.routes):
        parser.error("--docs is for a whole run: its page shows all scenarios and backends")
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
