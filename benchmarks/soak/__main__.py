"""``python -m benchmarks.soak``: a site for a long time, in which parts are killed and frozen at random."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from .. import command
from ..drill.site import Site, Size
from ..drill.stores import STORES
from ..options import RESULTS
from .report import write
from .soak import Soak


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Kills and freezes parts at random, for as long as you like, until anything grows or is lost.",
        epilog="The exit status is 0 if nothing was found, 1 if something was; its words name the seed.",
    )
    parser.add_argument("--backend", action="append", choices=list(STORES), help="only this one; may be repeated")
    parser.add_argument("--minutes", type=float, default=20.0, help="for all backends together (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=random.randrange(10000), help="repeats the faults of a run")
    parser.add_argument("--pause", type=float, default=45.0, help="seconds between two faults (default: %(default)g)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="where table and picture go")
    options = parser.parse_args()
    return command.run("soak", lambda: asyncio.run(_soak(options)))


async def _soak(options: argparse.Namespace) -> int:
    command.heed_sigterm()
    # How the memory of an API server grows was never measured.
    backends = options.backend or [name for name in STORES if name != "kubernetes"]
    size = Size(replicas=2, users=20, rate=20, websockets=4, downloads=0)
    status = 0
    for backend in backends:
        print(f"soak: {backend}, seed {options.seed}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="kvproxy-soak-") as name:
            async with Site(backend, "push", size, Path(name)) as site:
                soak = Soak(site, random.Random(options.seed), options.pause)
                await soak.run(60 * options.minutes / len(backends))
        files = write(soak, backend, options.seed, options.output)
        print(files[0].read_text(), ", ".join(map(str, files)), sep="\n", flush=True)
        for found in soak.found:
            print(f"soak: {backend}, seed {options.seed}: {found}", file=sys.stderr, flush=True)
        status |= bool(soak.found)
    return status


if __name__ == "__main__":
    sys.exit(main())
