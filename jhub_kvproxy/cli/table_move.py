"""``jhub-kvproxy migrate --from-backend A --to-backend B``: the table of a hub goes into another store."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from ..errors import KVProxyError
from ..options.settings import Delivery
from ..survey.replacement import Replacement
from ..survey.site import read_table_if_any
from ..survey.table import Table, read_table
from ..survey.writing import only_writer, replace_table
from .arguments import add_option_words
from .changing import changed
from .hub_config import HubConfig, hub_config
from .replacing import add_replacing_arguments, may_replace, told
from .text import wrapped

_WHO = "jhub-kvproxy migrate"


def add_move_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--from-backend", metavar="NAME", help="the store that has the table: a KVProxy.backend_class")
    parser.add_argument("--to-backend", metavar="NAME", help="the store that is to have it")
    add_replacing_arguments(parser)
    add_option_words(parser)


def is_asked_for(options: Namespace) -> bool:
    """Whether a table is to be moved; a mistake in `options` ends the program."""
    error = options.parser.error
    names = (options.from_backend, options.to_backend)
    if all(names):
        return True
    if any(names):
        error("--from-backend and --to-backend go together.")
    if options.yes or options.dry_run or options.configuration:
        error("--yes, --dry-run and options of the configuration need --from-backend and --to-backend.")
    return False


def move(options: Namespace) -> int:
    source, goal = (_config(options, name) for name in (options.from_backend, options.to_backend))
    if source.proxy.backend_class is goal.proxy.backend_class:
        raise KVProxyError(
            f"Both are {goal.proxy.backend_class.__name__}: to move a table within it, use export and import."
        )
    before, table = asyncio.run(_look(source, goal))
    found = Replacement.of(
        [each.route for each in before.routes.values()], [each.route for each in table.routes.values()]
    )
    is_wanted = may_replace(before, found, goal, options)
    if is_wanted:
        found = changed(_move(source, goal, None if options.yes else found))
    facts = {"from": options.from_backend, "to": options.to_backend, "routes": len(table.routes)}
    steps = [*_steps(goal, options)]
    told(found, options, {**facts, "steps": steps}, is_done=is_wanted, secrets=goal.secrets)
    if is_wanted and not options.json:
        for number, step in enumerate(steps, 1):
            print("\n".join(wrapped(step, f"{number:>5}. ", " " * 7)))
    return 0 if is_wanted or options.dry_run else 1


def _config(options: Namespace, backend: str) -> HubConfig:
    """The hub's configuration with this `backend`."""
    words = [*options.configuration, f"--KVProxy.backend_class={backend}"]
    return hub_config(Namespace(config=options.config, configuration=words))


async def _look(source: HubConfig, goal: HubConfig) -> tuple[Table, Table]:
    """The tables in the goal, and in the source. The latter must be whole."""
    table = await read_table_if_any(source.reader)
    _check(table, source)
    return await read_table_if_any(goal.reader), table


def _check(table: Table, source: HubConfig) -> None:
    name = source.proxy.backend_class.__name__
    if table.damage:
        raise KVProxyError(f"The table in {name} is damaged, so it stays there. {' '.join(table.damage)}")
    if not table.revision:
        raise KVProxyError(f"There is no table below {source.proxy.prefix!r} in {name}.")


async def _move(source: HubConfig, goal: HubConfig, shown: Replacement | None) -> Replacement:
    """While this has the lease of the source, no hub changes the table there, so what is read is the last word."""
    backend = source.writer()
    async with only_writer(backend, source.settings.lease_seconds, _WHO, source.told) as lease:
        table = await read_table(backend)
        _check(table, source)
        found = await replace_table(
            goal.settings,
            goal.writer(),
            [each.route for each in table.routes.values()],
            who=_WHO,
            log=goal.told,
            shown=shown,
            above=table.revision,
        )
        if not await lease.hold():
            raise KVProxyError("Another hub may have changed the table that was read. Do it again.")
        return found


def _steps(goal: HubConfig, options: Namespace) -> Iterator[str]:
    """What is to be done when the table is in the goal."""
    settings = goal.settings
    yield f'In the hub\'s configuration: c.KVProxy.backend_class = "{options.to_backend}".'
    if settings.delivery is Delivery.AGENT:
        yield "Give each agent the same line, and start the agents again, one after the other."
    elif settings.delivery is Delivery.STORE and not settings.should_start:
        yield "Give each Traefik the new store (jhub-kvproxy traefik-config); start them again, one after the other."
    if settings.delivery is Delivery.STORE and settings.should_start:
        yield "Start the hub. It starts Traefik again, which reads the store itself: for a second, nothing is reached."
    else:
        yield "Start the hub. Requests to users' servers go on all the time."
    yield (
        f"When all is well, remove the old table: jhub-kvproxy purge {goal.proxy.prefix} "
        f"--KVProxy.backend_class={options.from_backend}"
    )
