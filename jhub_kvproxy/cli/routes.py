"""``jhub-kvproxy routes``: the routes in the store, or those that one replica serves."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RouteRejected
from ..options.config_file import DEFAULT_FILE
from ..routing.routes import Pattern
from ..survey.naming import owner_of
from ..survey.replicas import chosen_replica, find_replicas
from ..survey.served import last_used, served_by, with_last_used
from ..survey.site import read_site_table
from ..survey.table import StoredRoute, Table
from ..words import counted
from .arguments import add_hub_arguments
from .hub_config import HubConfig, hub_config
from .text import aligned, as_json, wrapped

DESCRIPTION = f"""
Show the routes in the store, or with --replica those that one Traefik serves.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does. It changes nothing, and
works whether a hub runs or not. Run it as the hub's user, in the hub's working directory and environment.

The times of last use are what the Traefiks tell, if KVProxy.activity is True.
"""
_EXAMPLES = """examples:
  jhub-kvproxy routes --user alice
  jhub-kvproxy routes --sort last-activity
  jhub-kvproxy routes --replica http://10.0.0.1:8099
"""
_HEADINGS = ("ROUTE", "TARGET", "OF", "LAST ACTIVITY")
_UNKNOWN = "-"


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    parser.add_argument("--user", metavar="NAME", help="only those of this user's servers")
    parser.add_argument("--host", type=_host, help="only those of this host, as with JupyterHub.subdomain_host")
    parser.add_argument(
        "--sort",
        choices=("routespec", "last-activity"),
        default="routespec",
        help="how to sort them: by routespec (the default), or those first that were used last",
    )
    parser.add_argument("--replica", metavar="URL", help="what this one serves: a URL or name that status shows")
    parser.epilog = _EXAMPLES


def _host(text: str) -> str:
    try:
        host = Pattern.parse(f"{text}/").host
    except RouteRejected as error:
        raise ArgumentTypeError(str(error)) from error
    if host is None or "/" in text:
        raise ArgumentTypeError(f"{text!r} is not a host name")
    return host


def run(options: Namespace) -> int:
    config = hub_config(options)
    table, revision, routes = asyncio.run(_read(config, options.replica))
    chosen = [route for route in routes if _is_asked_for(route, options)]
    if options.sort == "last-activity":
        chosen.sort(key=lambda route: route["last_activity"] or "", reverse=True)
    if options.json:
        facts = {"replica": options.replica, "revision": revision, "routes": chosen, "damage": list(table.damage)}
        print(as_json(config.secrets.hide_leaves(facts)))
    else:
        print(config.secrets.hide("\n".join(_lines(chosen, len(routes), revision, table, options.replica))))
    return 1 if table.damage else 0


async def _read(config: HubConfig, replica: str | None) -> tuple[Table, str | None, list[dict[str, Any]]]:
    """The table in the store, the revision and the routes to show, sorted by routespec."""
    settings, prefix = config.settings, config.proxy.prefix
    table, provider = await read_site_table(settings, config.reader)
    found = await find_replicas(settings, config.log) if replica or settings.activity else []
    if replica is None:
        used = await last_used(found, prefix) if settings.activity else {}
        routes = with_last_used(table, used)
        return table, table.revision or None, [routes[routespec].to_json() for routespec in sorted(routes)]
    asked = chosen_replica(found, replica)
    served = await served_by(asked, table, prefix, provider)
    known = with_last_used(table, await last_used([asked], prefix) if settings.activity else {})
    return table, served.revision, [_served(spec, served.targets[spec], known) for spec in sorted(served.targets)]


def _served(routespec: str, target: str, known: Mapping[str, StoredRoute]) -> dict[str, Any]:
    stored = known.get(routespec)
    return {
        "routespec": routespec,
        "target": target,
        "data": dict(stored.data) if stored else None,
        "last_activity": stored.last_activity if stored else None,
    }


def _is_asked_for(route: Mapping[str, Any], options: Namespace) -> bool:
    if options.host is not None and _host_of(route["routespec"]) != options.host:
        return False
    return options.user is None or (route["data"] or {}).get("user") == options.user


def _host_of(routespec: str) -> str | None:
    try:
        return Pattern.parse(routespec).host
    except RouteRejected:  # a router that is of no route in the store
        return None


def _lines(
    routes: Sequence[Mapping[str, Any]], total: int, revision: str | None, table: Table, replica: str | None
) -> list[str]:
    where = f"{replica} serves" if replica else "The store has"
    if revision is None:
        lines = wrapped(f"{where} no table.")
    else:
        which = counted(total, "route")
        shown = "" if len(routes) == total else f"; {len(routes)} of them {'is' if len(routes) == 1 else 'are'} shown"
        lines = wrapped(f"{where} {which} at revision {revision}{shown}.")
    if routes:
        lines += ["", *aligned([_HEADINGS, *map(_row, routes)])]
    for sentence in table.damage:
        lines += ["", *wrapped(f"In the store: {sentence}")]
    return lines


def _row(route: Mapping[str, Any]) -> tuple[str, ...]:
    owner = owner_of(route["data"]) if route["data"] is not None else "not in the store"
    return route["routespec"], route["target"], owner or _UNKNOWN, route["last_activity"] or _UNKNOWN
