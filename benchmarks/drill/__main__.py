"""``python -m benchmarks.drill``: drills, reports, and leaves nothing behind but the report."""

from __future__ import annotations

import asyncio
import signal
import sys

from servers.errors import Unavailable
from servers.programs import find

from .. import environment
from ..progress import Progress
from .faults import FAULTS, Times
from .options import Options, parse
from .report import name_of, text, write
from .run import drill

_PROGRAMS = {"etcd": ["etcd"], "consul": ["consul"], "redis": ["redis-server"], "toml": []}


def main() -> int:
    options = parse()
    try:
        return asyncio.run(_drill(options))
    except Unavailable as error:
        print(f"drill: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("drill: interrupted", file=sys.stderr)
        return 130


async def _drill(options: Options) -> int:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
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
