"""``jhub-kvproxy check``: test a hub's configuration before the hub runs with it."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from traitlets import TraitError

from ..agent.options import Agent
from ..errors import BackendError
from ..hub.proxy import KVProxy
from ..options.chosen import settings_of
from ..options.config_file import DEFAULT_FILE, ConfigurationError, load_for_hub
from ..options.leftovers import leftovers
from ..options.mistakes import mistakes, silent_log
from ..options.settings import Delivery
from ..store.contract import Backend, SupportsTraefik
from ..store.registry import installed_backends
from .agent_needs import agent_needs
from .arguments import add_hub_arguments
from .changing import cancelled_by_signals
from .configured import configured_proxy
from .proxy_class import chosen_proxy
from .replicas import Needs, try_replicas
from .report import Report, StepFailed
from .running import try_hub
from .secrets import Secrets
from .start import try_rest_api, try_start
from .store import Table, backend_for, open_table, run_to_end, try_store
from .text import as_json

DESCRIPTION = f"""
Test the store and Traefik with the configuration of a hub. Exit status 0: all is well; 1: a step failed.

The check loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does, and opens the
store. Below a prefix of its own it writes, reads, deletes, and tests the watch and the lease, if the
store has them. It removes everything again. If the hub starts Traefik, the check tests whether Traefik
is there and new enough. If not (KVProxy.should_start = False), it asks each Traefik, or the agent beside
it, whether it serves this hub's table, and shows what that machine needs.

Run it as the hub's user, in the hub's working directory and environment. It does not disturb a running hub.
"""
_EXAMPLES = """examples:
  jhub-kvproxy check --config /etc/jupyterhub/jupyterhub_config.py
  jhub-kvproxy check --KVProxy.backend_class=etcd --EtcdBackend.timeout=2
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show where in the program an error came from")
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    report = Report(_silent if options.json else partial(print, flush=True), Secrets(), debug=options.debug)
    report.facts = {"backend": None, "prefix": None, "routes": None, "traefik": None, "replicas": []}
    try:
        asyncio.run(cancelled_by_signals(_check(options, report)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        is_clean = all(step.step != "cleanup" for step in report.steps)
        report.failed("check", "The check was interrupted" + (", and has removed what it wrote." if is_clean else "."))
    if options.json:
        steps = [asdict(step) for step in report.steps]
        print(as_json({"ok": report.is_ok, "steps": steps, **report.facts}))
    return 0 if report.is_ok else 1


def _silent(text: str) -> None:
    """Print nothing: with --json, one object is printed at the end."""


async def _check(options: Namespace, report: Report) -> None:
    with suppress(StepFailed):
        with report.step("config"):
            proxy = _configured(options, report)
        backend = backend_for(proxy, proxy.prefix)
        try:
            state = await open_table(backend, report)
            table = backend if state is Table.OPEN else None
            hub_runs = False
            if table:
                with suppress(StepFailed), report.step("hub"):
                    hub_runs = await try_hub(proxy, table, report)
            if state is not Table.FAILED:
                await try_store(proxy, table, report)
            await _try_traefik(proxy, table, report, hub_runs=hub_runs)
        finally:
            await run_to_end(backend.close())


def _configured(options: Namespace, report: Report) -> KVProxy:
    """The proxy as the hub would make it. Nothing is started or opened yet."""
    file, config = load_for_hub(options.config, options.configuration)
    for section in config.values():
        report.secrets.learn(section)
    log = silent_log()
    try:
        proxy = configured_proxy(config, log)
        backend = backend_for(proxy, proxy.prefix)
    except (TraitError, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    report.secrets.learn_traits(proxy)
    report.secrets.learn_traits(backend)
    with suppress(BackendError):
        if isinstance(backend, SupportsTraefik):
            report.secrets.learn_provider(backend.traefik_provider_secrets())
    # Not earlier: `mistakes` explains unknown options better than the warnings of traitlets.
    report.listen_to(log)
    others = {point.attr for point in installed_backends().values()} - {type(backend).__name__}
    for mistake in (wrong := list(mistakes(config, [type(proxy), type(backend), Agent], others))):
        report.failed("config", mistake)
    if wrong:
        raise StepFailed
    where = str(Path(file).absolute()) if file else f"No {DEFAULT_FILE} here"
    report.ok("config", f"{where}: {type(backend).__name__}, prefix {proxy.prefix!r}.")
    if file and chosen_proxy(config) is not type(proxy):
        report.note("config", 'JupyterHub.proxy_class is not "kvproxy", so this hub does not use jhub-kvproxy.')
    else:
        for sentence in leftovers(config, type(proxy)):
            report.note("config", sentence)
    for section in sorted(others & config.keys()):
        report.note("config", f"c.{section} has no effect: KVProxy.backend_class is {type(backend).__name__}.")
    report.facts |= {"backend": type(backend).__name__, "prefix": proxy.prefix}
    return proxy


async def _try_traefik(proxy: KVProxy, table: Backend | None, report: Report, *, hub_runs: bool) -> None:
    needs = None
    with report.step("traefik"):
        try:
            needs = Needs.of(proxy, report.secrets)
        except BackendError as error:
            if proxy.should_start:
                raise
            report.note("traefik", str(error))
    report.facts["traefik"] = needs and asdict(needs)
    if proxy.should_start and proxy.delivery != Delivery.AGENT:
        await try_start(proxy, table, report, hub_runs=hub_runs)
        return
    await try_replicas(proxy, table, report)
    with suppress(StepFailed):
        await try_rest_api(settings_of(proxy), report, hub_runs=hub_runs)
    if proxy.delivery == Delivery.AGENT:
        report.tell("\n".join(["", *agent_needs(proxy, report.secrets)]))
    elif needs:
        report.tell("\n".join(["", *needs.lines()]))
