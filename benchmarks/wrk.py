"""Runs wrk, the load generator."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import signal
from dataclasses import dataclass

from servers.process import tied
from servers.programs import find

from .errors import BenchmarkError
from .processes import usage

_CONNECTIONS = 32
_GRACE = 20.0
_POLL = 0.02
# Ctrl-C lets wrk report early. One that comes before it listens for it is lost, and does not kill it.
_IGNORING_INTERRUPTS = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk measured: how many requests, how many a second, and latencies in seconds."""

    requests: int
    throughput: float
    p50: float
    p99: float


async def load(url: str, seconds: float, *headers: str) -> Load:
    """Ask for `url` over 32 connections, as fast as answers come, for `seconds`.

    Less than one means seconds of CPU that wrk has to itself, so that also on a busy machine there are answers.

    Raises BenchmarkError when any answer is an error.
    """
    whole = math.ceil(seconds)
    command = [*_IGNORING_INTERRUPTS] if seconds < 1 else []
    command += [find("wrk"), "--threads=1", f"--connections={_CONNECTIONS}", f"--duration={whole}s"]
    command += ["--latency", "--timeout=10s", *(f"--header={header}" for header in headers), url]
    process = await asyncio.create_subprocess_exec(
        *tied(command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    try:
        async with asyncio.timeout(whole + _GRACE):
            output, _ = await asyncio.gather(process.communicate(), _interrupt(process, seconds))
    except TimeoutError:
        raise BenchmarkError(f"wrk does not end ({url})") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return parse(output[0].decode(errors="replace"))


async def _interrupt(process: asyncio.subprocess.Process, cpu: float) -> None:
    """Let `process` report when it has used so much CPU, unless that is a second or more."""
    while cpu < 1 and process.returncode is None:
        if usage([process.pid]).cpu >= cpu:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            return
        await asyncio.sleep(_POLL)


def parse(output: str) -> Load:
    """What wrk prints. Raises BenchmarkError when it saw errors."""
    if trouble := re.findall(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", output):
        raise BenchmarkError(f"wrk had errors: {'; '.join(trouble)}")
    requests = re.search(r"^\s+(\d+) requests in ", output, re.MULTILINE)
    throughput = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if not requests or not throughput or int(requests[1]) == 0:
        raise BenchmarkError(f"wrk got no answers: {output.strip()[-200:]}")
    return Load(int(requests[1]), float(throughput[1]), _percentile(output, "50%"), _percentile(output, "99%"))


def _percentile(output: str, name: str) -> float:
    found = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s|m)\s*$", output, re.MULTILINE)
    if not found:
        raise BenchmarkError(f"wrk does not tell its {name} latency: {output.strip()[-200:]}")
    return float(found[1]) * _SECONDS[found[2]]
