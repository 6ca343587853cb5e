"""``python -m benchmarks.drill``: runs the drill, and leaves only its report behind."""

from __future__ import annotations

import asyncio
import sys

from servers.programs import find

from .. import command, environment
from ..progress import Progress
from .faults import FAULTS, Times
from .options import Options, parse
from .report import name_of, text, write
from .run import drill

_PROGRAMS = {"etcd": ["etcd"], "consul": ["consul"], "redis": ["redis-server"], "toml": []}


def main() -> int:
    options = parse()
    return command.run("drill", lambda: asyncio.run(_drill(options)))


async def _drill(options: Options) -> int:
    command.heed_sigterm()
    for backend in options.backends:
        for program in ("haproxy", "traefik", *_PROGRAMS[backend]):
            find(program)
    about = await asyncio.to_thread(environment.describe)
    faults = [fault for fault in FAULTS if fault.name in options.faults]
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
        print(f"\n## {result.name}\n\n{text(result)}\n{', '.join(map(str, files))}", flush=True)
        status |= not result.is_met
    return status


if __name__ == "__main__":
    sys.exit(main())
