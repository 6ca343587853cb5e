"""``jhub-kvproxy page``: a page that shows the hub, the store, each replica and all routes live."""

from __future__ import annotations

import asyncio
import logging
from argparse import ArgumentParser, Namespace
from typing import Any

from ..agent.program import until_signalled
from ..errors import KVProxyError
from ..options.config_file import DEFAULT_FILE
from ..page.lookout import Lookout
from ..page.program import run_page
from ..page.seen import Seen
from ..survey.matching import Request
from .arguments import add_hub_arguments
from .hub_config import HubConfig, hub_config
from .trace import facts_of, followed

DESCRIPTION = f"""
Serve a page for JupyterHub's admins that shows the hub that may write, the store, each Traefik, all routes, and what
has changed and failed lately, as it happens.

JupyterHub starts the command: add it to c.JupyterHub.services. It loads the file (by default {DEFAULT_FILE}, if it is
here) as JupyterHub does. It changes nothing, runs until it gets SIGTERM, and logs to standard error.
"""
_EXAMPLES = """example, for jupyterhub_config.py:
  import sys

  c.JupyterHub.services = [
      {
          "name": "kvproxy",
          "url": "http://127.0.0.1:10101",
          "command": [sys.executable, "-m", "jhub_kvproxy", "page", "--config", "/etc/jupyterhub/jupyterhub_config.py"],
          "oauth_no_confirm": True,
      }
  ]
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    config = hub_config(options)
    log = _log()
    seen = Seen(config.settings, config.proxy.prefix, config.reader, config.log)
    lookout = Lookout(seen.now, config.secrets.hide_leaves, log)
    asyncio.run(until_signalled(run_page(lookout, lambda url: _traced(config, url), log)))
    return 0


async def _traced(config: HubConfig, url: str) -> dict[str, Any]:
    """What ``trace`` says of `url`; what is wrong with that is a finding, too."""
    try:
        # Who may look on may not choose what servers this process sends requests to: the origin is not asked.
        trace = await followed(config, Request.of(url), "jhub-kvproxy page", asks_origin=False)
        facts = facts_of(trace)
    except KVProxyError as error:
        facts = {"ok": False, "findings": [str(error)], "routes": [], "replicas": []}
    hidden: dict[str, Any] = config.secrets.hide_leaves(facts)
    return hidden


def _log() -> logging.Logger:
    """A log on standard error, whose lines look like those of a hub."""
    line = "[%(levelname)1.1s %(asctime)s.%(msecs)03d page] %(message)s"
    logging.basicConfig(format=line, datefmt="%Y-%m-%d %H:%M:%S", level=logging.INFO)
    return logging.getLogger("kvproxy.page")
