"""Runs what changes a store or ends a process: nobody who ends the command cuts that off."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import KVProxyError

T = TypeVar("T")


def changed(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to. SIGTERM, and SIGHUP of a terminal that goes away, cancel it as Ctrl-C does.

    Raises :class:`~jhub_kvproxy.errors.KVProxyError` then.
    """
    try:
        return asyncio.run(cancelled_by_signals(work))
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        raise KVProxyError("The command was interrupted. What it had begun to change is done, or undone.") from error


async def cancelled_by_signals(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to, the rest of this task. SIGTERM and SIGHUP cancel it."""
    task = asyncio.current_task()
    assert task
    if threading.current_thread() is threading.main_thread():  # signals go to no other
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work
