"""What commands that replace a table show before they do, ask, and tell afterwards."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from ..survey.replacement import Replacement
from ..survey.table import Table
from ..words import counted
from .asking import NO_LEASE, add_asking_argument, is_confirmed
from .hub_config import HubConfig
from .text import as_json, visible, wrapped

_SHOWN = 10


def add_replacing_arguments(parser: ArgumentParser) -> None:
    add_asking_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")


def may_replace(before: Table, found: Replacement, config: HubConfig, options: Namespace) -> bool:
    """Show what `found` changes in the table `before`, and ask; with --dry-run, do not."""
    will_ask = not (options.yes or options.dry_run)
    if not options.json or will_ask:
        lines = config.secrets.hide("\n".join(_lines(before, found, config)))
        print(lines, file=sys.stderr if options.json else sys.stdout, flush=True)
    return not options.dry_run and is_confirmed("Replace the table?", options)


def told(found: Replacement, options: Namespace, facts: dict[str, Any], *, is_done: bool, secrets: Any) -> None:
    """Tell what came of it."""
    if options.json:
        print(as_json(secrets.hide_leaves({**facts, **found.to_json(), "done": is_done})))
    elif is_done:
        print("Done.")


def _lines(before: Table, found: Replacement, config: HubConfig) -> Iterator[str]:
    where = f"{config.proxy.backend_class.__name__}, prefix {config.proxy.prefix!r}"
    there = (
        f"has {counted(len(before.routes), 'route')} at revision {before.revision}"
        if before.revision
        else "has no table"
    )
    yield from wrapped(f"{where}, {there}.")
    for sentence in before.damage:
        yield from wrapped(f"There: {sentence}", hanging="  ")
    for verb, routespecs in (("added", found.added), ("changed", found.changed), ("removed", found.removed)):
        if routespecs:
            yield f"{counted(len(routespecs), 'route')} {'is' if len(routespecs) == 1 else 'are'} {verb}:"
            yield from (f"    {visible(routespec)}" for routespec in routespecs[:_SHOWN])
            if len(routespecs) > _SHOWN:
                yield f"    ... and {len(routespecs) - _SHOWN} more"
    if not found.changes:
        yield "No route changes."
    if not config.has_lease:
        yield from wrapped(NO_LEASE)
