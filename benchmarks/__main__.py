"""``python -m benchmarks``: measures, and leaves only its report behind."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import tempfile
from pathlib import Path

from servers.errors import Missing
from servers.programs import find

from . import command, environment
from .errors import BenchmarkError
from .field import Field, Job
from .lab import Lab
from .options import SECONDS, Options, parse
from .origin import Origin
from .report import write_report
from .results import Results
from .run import Runner
from .scenarios import SCENARIOS
from .variants import find_variants

# 1,000 websockets are 2,000 sockets of a proxy.
_FILES = 16384


def main() -> int:
    options = parse()
    return command.run("benchmarks", lambda: _report(options), "interrupted; no report was written")


def _report(options: Options) -> int:
    results = Results.read(options.report) if options.report else asyncio.run(_measure(options))
    print(write_report(results, options.output))
    return 0


async def _measure(options: Options) -> Results:
    command.heed_sigterm()
    _allow_many_files()
    for program in ("nginx", "traefik"):  # the origin, and what is measured
        find(program)
    variants, left_out = find_variants(options.backends, bool(options.config_file))
    about = await asyncio.to_thread(environment.describe)
    results = Results({**about, "scale": options.scale}, left_out=left_out)
    settings = {name: SCENARIOS[name].SCALES[options.scale] for name in options.scenarios}
    jobs = _jobs(Field(variants), settings, options, left_out)
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx's workers may be another user
        origin = Origin(directory / "origin")
        try:
            lab = Lab(origin, results, directory, options.config_file)
            await Runner(lab, jobs, settings, SECONDS[options.scale]).run()
        finally:
            origin.stop()
    return results


def _jobs(field: Field, settings: dict[str, object], options: Options, left_out: dict[str, str]) -> list[Job]:
    jobs: list[Job] = []
    for name, of_scenario in settings.items():
        try:
            if name == "requests":
                find("wrk")
        except Missing as error:
            left_out[name] = str(error)
        else:
            jobs += SCENARIOS[name].jobs(field, of_scenario, options.sizes)
    for what, why in left_out.items():
        print(f"Left out: {what}: {why}", file=sys.stderr)
    if not jobs:
        raise BenchmarkError("nothing is left to measure")
    return jobs


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    sys.exit(main())
