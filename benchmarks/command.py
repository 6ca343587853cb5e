"""What the commands have in common: how they end, and what they say then."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

from servers.errors import Unavailable


def run(name: str, work: Callable[[], int], interrupted: str = "interrupted") -> int:
    """The exit status of the command `name`: what `work` returns, 1 if something is not available, 130 if it is
    ended by Ctrl-C or SIGTERM (see :func:`heed_sigterm`), with one line on standard error."""
    try:
        return work()
    except Unavailable as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"{name}: {interrupted}", file=sys.stderr)
        return 130


def heed_sigterm() -> None:
    """From now on SIGTERM cancels the task that calls this, so that all it has started is ended."""
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
