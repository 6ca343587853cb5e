"""``python -m benchmarks.cluster``: runs the test within namespaces of its own, and leaves nothing of it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.enclosure import enclosed, remove_cgroups
from servers.helm import find_helm
from servers.kubernetes import find_api_server
from servers.node import PROGRAMS, find_program
from servers.programs import ROOT

from .. import command
from ..errors import BenchmarkError
from .image import make_images
from .inside import CGROUP, FIGURES, TABLE
from .options import Options, parse

#: Of everything that a run makes. One run at a time: its lock is beside it.
_DIRECTORY = Path(tempfile.gettempdir()) / "kvproxy-cluster"
_ENDING_TIMEOUT = 20.0


def main() -> int:
    options = parse()
    return command.run("cluster-test", lambda: _test(options))


def _test(options: Options) -> int:
    _check()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _place() as directory:
        print("cluster-test: making the images", file=sys.stderr, flush=True)
        images = make_images(directory)
        arguments = [str(directory), options.to_json(), *map(str, images)]
        status = 1
        try:
            status = _run([sys.executable, "-m", "benchmarks.cluster.inside", *arguments])
        finally:  # also of a part of the faults
            options.output.mkdir(parents=True, exist_ok=True)
            _keep_results(directory, options.output)
            if status:
                print(f"cluster-test: logs of all parts: {_keep_logs(directory, options.output)}", file=sys.stderr)
        return status


def _check() -> None:
    """Raises an error that says what is missing."""
    if os.geteuid():
        raise BenchmarkError("only root can make a node: it needs namespaces, mounts and control groups")
    find_api_server()
    find_helm(4)
    for program in PROGRAMS:
        find_program(program)


@contextmanager
def _place() -> Iterator[Path]:
    """The directory, new; nothing of it, or of an earlier run's, is left at the end."""
    lock = os.open(_DIRECTORY.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BenchmarkError("another cluster-test runs on this machine") from None
    try:
        _clean()
        _DIRECTORY.mkdir(mode=0o755)
        yield _DIRECTORY
    finally:
        _clean()
        os.close(lock)


def _run(words: list[str]) -> int:
    """The exit status of the enclosed command. What it started ends with it."""
    process = subprocess.Popen(enclosed(words), cwd=ROOT, start_new_session=True)
    try:
        return process.wait()
    finally:
        process.kill()
        process.wait()


def _clean() -> None:
    """Remove what a run leaves. The kernel ends its processes and mounts, which takes a moment."""
    deadline = time.monotonic() + _ENDING_TIMEOUT
    while True:
        try:
            remove_cgroups(CGROUP)
            if _DIRECTORY.exists():
                shutil.rmtree(_DIRECTORY)
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"an earlier run has not ended: {error}") from None
            time.sleep(0.1)


def _keep_results(directory: Path, output: Path) -> None:
    """Print the table, and copy it and the figures to where they stay."""
    if (directory / TABLE).exists():
        for name in (TABLE, FIGURES):
            shutil.copy(directory / name, output)
        print(f"\n{(directory / TABLE).read_text()}\n{output / TABLE}, {output / FIGURES}", flush=True)


def _keep_logs(directory: Path, output: Path) -> Path:
    """Copy the logs of all parts and pods to where they stay; returns where."""
    logs = output / "cluster-logs"
    shutil.rmtree(logs, ignore_errors=True)  # logs of another run would not match this one
    for log in [*directory.glob("*.log"), *directory.glob("api/*.log"), *directory.glob("pods/*/*/*.log")]:
        place = logs / log.relative_to(directory)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, place)
    return logs


if __name__ == "__main__":
    sys.exit(main())
