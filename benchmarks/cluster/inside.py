"""The test within its own namespaces: ``python -m benchmarks.cluster.inside DIRECTORY OPTIONS IMAGE...``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from servers.enclosure import furnish, make_cgroups, make_network
from servers.node import ADDRESS

from .. import command
from ..drill.judging import Row
from ..drill.report import as_json, text
from ..progress import Progress
from .faults import FAULTS
from .options import Options
from .run import run
from .site import Site

#: Of all pods.
CGROUP = "kvproxy-cluster"
#: What it finds, in its directory.
TABLE, FIGURES = "cluster.md", "cluster.json"


def main() -> int:
    directory, options, *images = sys.argv[1:]
    work = _test(Path(directory), Options.from_json(options), [Path(image) for image in images])
    return command.run("cluster-test", lambda: asyncio.run(work))


async def _test(directory: Path, options: Options, images: Sequence[Path]) -> int:
    furnish(directory)
    make_network(f"{ADDRESS}/24")
    make_cgroups(CGROUP)
    faults = [fault for fault in FAULTS if fault.name in options.faults]
    progress = Progress(len(faults))
    rows: list[Row] = []
    try:
        async with Site(options.size, directory, images, CGROUP, progress.note) as site:
            async for row in run(site, faults, progress):
                rows.append(row)
                _write(directory, rows, site.began)
    finally:
        progress.end()
    return int(any(row.missed for row in rows))


def _write(directory: Path, rows: Sequence[Row], began: float) -> None:
    (directory / TABLE).write_text(text(rows))
    figures: dict[str, Any] = {"rows": [as_json(row, began) for row in rows]}
    (directory / FIGURES).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
