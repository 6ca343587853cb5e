"""``python -m benchmarks.drill``: runs the drill, and leaves only its report behind."""

from __future__ import annotations

import asyncio
import sys

from servers.disk import own_mounts
from servers.errors import Unavailable
from servers.programs import find

from .. import command, environment
from ..progress import Progress
from ..stores import find_programs
from .faults import FAULTS, Fault, Times
from .options import Options, parse
from .report import name_of, text, write
from .run import drill


def main() -> int:
    options = parse()
    return command.run("drill", lambda: asyncio.run(_drill(options)))


async def _drill(options: Options) -> int:
    command.heed_sigterm()
    for program in ("haproxy", "traefik"):
        find(program)
    for backend in options.backends:
        find_programs(backend)
    faults = _possible([fault for fault in FAULTS if fault.name in options.faults], options)
    about = await asyncio.to_thread(environment.describe)
    times = Times.within(options.minutes)
    progress = Progress(len(faults) * len(options.backends))
    status = 0
    for backend in options.backends:
        try:
            logs = options.output / f"drill-{name_of(backend, options.delivery)}-logs"
            result = await drill(backend, options.delivery, faults, times, options.size, progress, logs)
        finally:
            progress.end()
        files = write(result, about, options.output)
        print(f"\n## {result.name}\n\n{text(result.rows)}\n{', '.join(map(str, files))}", flush=True)
        status |= not result.is_met
    return status


def _possible(faults: list[Fault], options: Options) -> list[Fault]:
    """Those of `faults` that can be made here; of each other one, print why not. No thread may run yet."""
    if "toml" not in options.backends or not any(fault.needs_disk for fault in faults):
        return faults
    try:
        own_mounts()
    except Unavailable as error:
        for fault in faults:
            if fault.needs_disk:
                print(f"drill: without '{fault.title}': {error}", file=sys.stderr)
        return [fault for fault in faults if not fault.needs_disk]
    return faults


if __name__ == "__main__":
    sys.exit(main())
