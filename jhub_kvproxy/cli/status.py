"""``jhub-kvproxy status``: the hub, the store and each replica at a glance."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from functools import partial

from ..options.config_file import DEFAULT_FILE
from ..survey.facts import facts_of
from ..survey.lease import HubLease
from ..survey.replicas import Replica, find_replicas
from ..survey.site import Site, Store, look
from ..survey.verdict import problems, verdict
from ..words import counted
from .arguments import add_hub_arguments
from .hub_config import HubConfig, hub_config
from .text import ago, aligned, as_json, painted, utc, wrapped

DESCRIPTION = f"""
Show the hub that may write, the store, and what each Traefik serves, with one line that says whether all is well.
Exit status 0: it is; 1: it is not.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does, and looks: it changes
nothing, and works whether a hub runs or not. Run it as the hub's user, in the hub's working directory and
environment.
"""
_EXAMPLES = """examples:
  jhub-kvproxy status
  jhub-kvproxy status --watch --config /etc/jupyterhub/jupyterhub_config.py
"""
_HEADINGS = ("REPLICA", "BY", "TRAEFIK", "REVISION", "LAG", "SINCE", "ROUTES", "REQUESTS", "CONNECTIONS", "STATE")
_UNKNOWN = "-"
_CLEAR = "\x1b[H\x1b[J"


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_interval,
        const=2.0,
        help="show it again every 2 s, or every SECONDS, until Ctrl-C",
    )
    parser.epilog = _EXAMPLES


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 on.")
    return seconds


def run(options: Namespace) -> int:
    config = hub_config(options)
    find = partial(find_replicas, config.settings, config.log)
    status = 1
    try:
        while True:
            site = asyncio.run(look(config.settings, config.reader, find))
            status = 1 if problems(site) else 0
            print(_shown(site, config, options), flush=True)
            if options.watch is None:
                return status
            time.sleep(options.watch)
    except KeyboardInterrupt:
        if options.watch is None:
            raise
        return status


def _shown(site: Site, config: HubConfig, options: Namespace) -> str:
    if options.json:
        facts = config.secrets.hide_leaves(facts_of(site))
        return as_json(facts, is_one_line=options.watch is not None)
    text = config.secrets.hide("\n".join(lines_of(site, time.time())))
    if options.watch is None:
        return text
    head = f"{utc(time.time())}, every {options.watch:g} s; Ctrl-C ends this.\n\n{text}"
    return f"{_CLEAR}{head}" if sys.stdout.isatty() else f"{head}\n"


def lines_of(site: Site, now: float) -> Iterator[str]:
    """The text. Pure, but for the width and the colours of a terminal."""
    yield from _line("hub", _hub_in_words(site.lease, site.store, now))
    yield from _line("store", _store_in_words(site.store))
    yield ""
    if site.replicas:
        yield from aligned([_HEADINGS, *(_row(replica, now) for replica in site.replicas)])
        yield ""
    wrong = problems(site)
    for problem in wrong:
        yield from _line("trouble", problem)
    sentence = verdict(site) if not wrong else f"{counted(len(wrong), 'thing')} to look at."
    first, *more = _line("verdict", sentence)
    yield painted(first, "red" if wrong else "green")
    yield from more


def _line(name: str, text: str) -> list[str]:
    return wrapped(f"{name:<8} {text}", hanging=" " * 9)


def _hub_in_words(lease: HubLease | None, store: Store, now: float) -> str:
    term = f" Term {store.table.term:x} wrote the table." if store.table.term is not None else ""
    if lease is None:
        return f"KVProxy.lease_seconds is 0: any hub may write.{term}"
    if lease.unknown:
        return f"Not known: {lease.unknown}{term}"
    if not lease.holder:
        return f"No hub has the lease.{term}"
    since = " has the lease"
    if lease.since:
        at = lease.since.timestamp()
        since = f" has had the lease since {utc(at)} ({ago(now - at)})"
    length = f", for {lease.seconds:g} s at a time" if lease.seconds else ""
    return f"{lease.holder}{since}{length}.{term}"


def _store_in_words(store: Store) -> str:
    name = f"{store.backend}, prefix {store.prefix!r}"
    if store.latency is None:
        return f"{name}: {store.error}"
    routes = len(store.table.routes)
    table = f"revision {store.table.revision}" if store.table.revision else "no revision"
    return f"{name}: {table}, {counted(routes, 'route')}, read in {store.latency * 1000:.0f} ms."


def _row(replica: Replica, now: float) -> tuple[str, ...]:
    return (
        replica.name,
        replica.kind,
        replica.version or _UNKNOWN,
        replica.revision or _UNKNOWN,
        _UNKNOWN if replica.behind is None else str(replica.behind),
        _UNKNOWN if replica.since is None else ago(now - replica.since),
        _UNKNOWN if replica.routes is None else str(replica.routes),
        str(sum(replica.requests.values())) if replica.requests else _UNKNOWN,
        _UNKNOWN if replica.connections is None else str(replica.connections),
        replica.state,
    )
