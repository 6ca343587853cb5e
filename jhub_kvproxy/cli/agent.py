"""``jhub-kvproxy agent``: run the agent beside a Traefik."""

from __future__ import annotations

import asyncio
import logging
from argparse import ArgumentParser, Namespace
from os.path import expanduser

from ..agent.agent_file import TOML_FILE, read_configuration
from ..agent.configuration import configured
from ..agent.program import run_agent, until_signalled
from ..options.config_file import DEFAULT_FILE
from .agent_check import check_agent
from .arguments import add_file_argument, add_option_words

DESCRIPTION = f"""
Run the agent beside a Traefik, for KVProxy.delivery = "agent": it reads the hub's routes from the store, whether the
hub runs or not, and brings each change to Traefik's plugin. It runs until it gets SIGTERM, and logs to standard error.

The configuration is the hub's own file, or {TOML_FILE}, for a machine without JupyterHub: a table for each class, as in
[KVProxy], with the same options. Secrets stand in neither: set KVPROXY_AGENT_TOKEN, and the store's password, in the
environment.

With --traefik, the agent starts Traefik too, and starts it again whenever it ends. When the agent is told to end,
Traefik first serves the requests that are under way, for up to 40 s. A Traefik that a killed agent left behind serves
on, and the next agent takes it over.

With KVProxy.delivery = "store", the agent tells the hub when users' servers were used, and nothing else.
"""
_EXAMPLES = f"""examples:
  jhub-kvproxy agent --config /etc/jupyterhub/{TOML_FILE} --traefik
  jhub-kvproxy agent --config /etc/jupyterhub/{TOML_FILE} --traefik --check
  jhub-kvproxy agent --Agent.hubs=research --Agent.hubs=teaching --Agent.ip=10.0.0.1
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_file_argument(parser, f"the configuration file (default: {TOML_FILE} or {DEFAULT_FILE}, if one is here)")
    parser.add_argument("--traefik", action="store_true", help="start Traefik, and keep it running")
    parser.add_argument(
        "--check", action="store_true", help="test the configuration, reading the store, and Traefik; then end"
    )
    parser.add_argument(
        "--cache", metavar="FILE", type=expanduser, help="keep the last good table there, as Agent.cache"
    )
    add_option_words(parser)
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    found = read_configuration(options.config, options.configuration)
    if options.cache:
        found.config.Agent.cache = options.cache
    chosen = configured(found, log := _log())
    if options.check:
        return check_agent(chosen, found.file, starts_traefik=options.traefik)
    asyncio.run(until_signalled(run_agent(chosen, log, starts_traefik=options.traefik)))
    return 0


def _log() -> logging.Logger:
    """A log on standard error, whose lines look like those of a hub."""
    handler = logging.StreamHandler()
    line = "[%(levelname)1.1s %(asctime)s.%(msecs)03d agent] %(message)s"
    handler.setFormatter(logging.Formatter(line, "%Y-%m-%d %H:%M:%S"))
    logging.getLogger().addHandler(handler)
    log = logging.getLogger("kvproxy.agent")
    log.setLevel(logging.INFO)
    return log
