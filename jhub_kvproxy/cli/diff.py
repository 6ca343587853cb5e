"""``jhub-kvproxy diff``: the store against each replica, and against what JupyterHub knows."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import TraefikError
from ..options.config_file import DEFAULT_FILE
from ..survey.comparison import Difference, advice, with_jupyterhub, with_replica
from ..survey.replicas import Asked, find_replicas
from ..survey.served import served_by
from ..survey.site import read_site_table
from ..survey.table import Table
from ..words import counted
from .arguments import add_hub_arguments
from .hub_config import HubConfig, hub_config
from .hub_routes import TOKEN, HubServers, from_api, from_database
from .text import aligned, as_json, painted, wrapped

DESCRIPTION = f"""
Compare the routes in the store with those that each Traefik serves, and with the servers that JupyterHub has.
Exit status 0: all have the same; 1: they do not, or one could not be asked.

JupyterHub's servers are read from its database (JupyterHub.db_url, or jupyterhub.sqlite here), or with --hub-api from
its API, with the token in the environment variable {TOKEN}.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does. It changes nothing, and
works whether a hub runs or not. Run it as the hub's user, in the hub's working directory and environment.
"""
_EXAMPLES = """examples:
  jhub-kvproxy diff
  jhub-kvproxy diff --hub-api http://127.0.0.1:8081/hub/api
"""
_HEADINGS = ("ROUTE", "WHERE", "STORE", "THERE")
_NOTHING = "-"


@dataclass(frozen=True)
class Compared:
    """What was found."""

    table: Table
    #: The names of the replicas, and why one could not be asked, if so.
    replicas: dict[str, str]
    #: Where JupyterHub's servers were read; None: nowhere.
    hub: str | None
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return not (self.differences or any(self.replicas.values()) or self.table.damage)


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    hub = parser.add_mutually_exclusive_group()
    hub.add_argument("--db", metavar="URL", default="", help="JupyterHub's database: a URL, or the file of SQLite")
    hub.add_argument("--hub-api", metavar="URL", help="JupyterHub's API, such as http://127.0.0.1:8081/hub/api")
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    config = hub_config(options)
    config.secrets.learn({"db": options.db})
    compared = asyncio.run(_compare(config, options))
    if options.json:
        print(as_json(config.secrets.hide_leaves(_facts(compared))))
    else:
        print(config.secrets.hide("\n".join(_lines(compared))))
    return 0 if compared.is_ok else 1


async def _compare(config: HubConfig, options: Namespace) -> Compared:
    settings, prefix = config.settings, config.proxy.prefix
    table, provider = await read_site_table(settings, config.reader)
    hub: HubServers | None
    if options.hub_api:
        hub = await from_api(options.hub_api)
    else:
        hub = await from_database(options.db or str(config.proxy.config.JupyterHub.get("db_url", "")))
    found = await find_replicas(settings, config.log)
    asked = await asyncio.gather(*(_differences(each, table, prefix, provider) for each in found))
    differences = with_jupyterhub(table, hub.servers) if hub else []
    errors = {}
    for each, (of_replica, error) in zip(found, asked, strict=True):
        differences += of_replica
        errors[each.name] = error
    return Compared(table, errors, hub.source if hub else None, differences)


async def _differences(asked: Asked, table: Table, prefix: str, provider: str) -> tuple[Sequence[Difference], str]:
    """How the replica differs, or why it could not be asked."""
    try:
        served = await served_by(asked, table, prefix, provider)
    except TraefikError as error:
        return [], f"{str(error).rstrip('.')}."
    return with_replica(table, asked.name, served.targets), ""


def _facts(compared: Compared) -> dict[str, Any]:
    return {
        "ok": compared.is_ok,
        "hub": compared.hub,
        "routes": len(compared.table.routes),
        "replicas": [{"name": name, "error": error or None} for name, error in compared.replicas.items()],
        "differences": [{**each.to_json(), "advice": advice(each)} for each in compared.differences],
        "damage": list(compared.table.damage),
    }


def _lines(compared: Compared) -> Iterator[str]:
    replicas, routes = len(compared.replicas), len(compared.table.routes)
    hub = f"JupyterHub ({compared.hub})" if compared.hub else "not JupyterHub, whose database is not here"
    yield from wrapped(
        f"The store has {counted(routes, 'route')}. Compared with it: {counted(replicas, 'replica')}, and {hub}."
    )
    yield ""
    if compared.differences:
        rows = [(each.routespec, each.where, *_targets(each)) for each in compared.differences]
        yield from [*aligned([_HEADINGS, *rows]), ""]
    for name, error in compared.replicas.items():
        if error:
            yield from wrapped(f"Replica {name} could not be asked: {error}", hanging="  ")
    for sentence in compared.table.damage:
        yield from wrapped(f"In the store: {sentence}", hanging="  ")
    for sentence in dict.fromkeys(f"{_described(each)}: {advice(each)}" for each in compared.differences):
        yield from wrapped(sentence, hanging="  ")
    if compared.is_ok:
        yield painted("All have the same.", "green")


def _targets(difference: Difference) -> tuple[str, str]:
    """What stands in the columns: a target, or whether there is a route."""
    is_there = difference.kind != "missing"
    is_stored = difference.kind != "extra"
    return (
        difference.in_store or ("yes" if is_stored else _NOTHING),
        difference.there or ("yes" if is_there else _NOTHING),
    )


def _described(difference: Difference) -> str:
    what = {"missing": "only in the store", "extra": "not in the store", "target": "another target"}[difference.kind]
    return f"{difference.where}, {what}"
