"""``python -m matrix``: the tests against other versions of servers, JupyterHub and Python."""

from __future__ import annotations

import argparse
import signal
import sys

from benchmarks import command
from benchmarks.progress import Progress
from servers.errors import Unavailable

from . import code, page, results
from .cells import CELLS, Cell, choose
from .store import alone
from .trial import trial


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m matrix",
        description="Runs the kit for drivers, a hub and more tests against each version that can be had here.",
        epilog="A version that has passed is not tested again until our code changes, so a run can be interrupted. "
        "The exit status is 0 if nothing failed; what is not to be had is no failure.",
    )
    parser.add_argument("cells", nargs="*", metavar="WHAT", help="only these: etcd, redis-8, jupyterhub-6-python-3.14")
    parser.add_argument("--again", action="store_true", help="test also what has passed")
    parser.add_argument("--docs", action="store_true", help=f"write the results into {page.PAGE.name}")
    parser.add_argument("--list", action="store_true", help="print the names of all there are, and end")
    options = parser.parse_args()
    try:
        chosen = choose(options.cells)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print("\n".join(cell.name for cell in chosen))
        return 0
    # A shell that starts this in the background has it ignore Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    return command.run("matrix", lambda: _matrix(chosen, again=options.again, docs=options.docs))


def _matrix(cells: list[Cell], *, again: bool, docs: bool) -> int:
    try:
        return _test(cells, again=again, docs=docs)
    except OSError as error:  # a full disk, say; it names the file
        raise Unavailable(str(error)) from error


def _test(cells: list[Cell], *, again: bool, docs: bool) -> int:
    with alone():
        due = cells if again else results.missing(cells, results.read(), code.state())
        progress = Progress(len(due))
        try:
            for cell in due:
                progress.step(f"{cell.title} ({cell.name})")
                result = trial(cell)
                results.write(cell.name, result)
                progress.say(f"{cell.title} {result.version}: {page.outcome(result)}")
        finally:
            progress.end()
        seen = results.read()
        print(page.table(cells, seen))
        if docs:
            page.write(CELLS, seen)
    return int(any(seen[cell.name].failed for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
