"""Asks before a command changes anything."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..errors import KVProxyError

#: For stores where :attr:`~.hub_config.HubConfig.has_lease` is False.
NO_LEASE = "There is no lease (KVProxy.lease_seconds), so nobody knows whether a hub runs: make sure that none does."


def add_asking_argument(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def is_confirmed(question: str, options: Namespace) -> bool:
    """Whether the user says yes to `question`, or has done so by --yes."""
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise KVProxyError("There is no terminal to ask on, so nothing was changed; give --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False
