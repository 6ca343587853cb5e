"""The command line."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..options import RESULTS
from .faults import FAULTS
from .site import Size


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a test."""

    faults: list[str]
    size: Size
    output: Path

    def to_json(self) -> str:
        return json.dumps({"faults": self.faults, "size": asdict(self.size), "output": str(self.output)})

    @classmethod
    def from_json(cls, text: str) -> Options:
        given = json.loads(text)
        return cls(given["faults"], Size(**given["size"]), Path(given["output"]))


def parse(arguments: list[str] | None = None) -> Options:
    default = Size()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cluster",
        description="Runs the chart, a hub and users' servers on a node of Kubernetes of its own, lets parts fail, and "
        "reports what users noticed. Needs root and Linux.",
        epilog="The exit status is 0 if all bounds are met, and 1 if not.",
    )
    parser.add_argument(
        "--fault", action="append", choices=[fault.name for fault in FAULTS], help="only this fault; may be repeated"
    )
    parser.add_argument(
        "--backend",
        choices=["kubernetes", "etcd"],
        default=default.backend,
        help="where the routing table is: in Kubernetes' own objects, or in an etcd of its own (default: %(default)s)",
    )
    parser.add_argument("--users", type=int, default=default.users, help="number of users (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=default.rate, help="requests a second (default: %(default)g)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="DIR", help="directory for JSON, table and logs"
    )
    given = parser.parse_args(arguments)
    size = Size(users=given.users, rate=given.rate, backend=given.backend)
    return Options(given.fault or [fault.name for fault in FAULTS], size, given.output)
