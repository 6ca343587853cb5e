"""Lets the hub open as many files as it may: it needs one for each connection (setrlimit(2))."""

from __future__ import annotations

import os
import resource
from functools import partial
from typing import Any

#: The kernel's own most, unless it was told otherwise (fs.nr_open, proc(5)).
_MOST = 1 << 20


def raise_limit(log: Any) -> None:
    """Raise the soft limit of this process to its hard limit, and log it. Without need, or twice, do nothing.

    The kernel gives every program a soft limit of 1,024, since select(2) can handle no more. Programs that do without
    it, as asyncio does, raise the limit themselves, and start others with the former one (systemd.exec(5),
    "LimitNOFILE"). So what this process forks has the former one: the servers of JupyterHub's own spawners, for
    instance. What is started without a fork of Python's (Popen without `preexec_fn`) inherits the raised one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError) as error:
        log.warning(
            "The hub can have %d files and connections open at a time, and cannot raise that to its hard limit, %d: "
            "%s. Start it with a higher limit (LimitNOFILE in its systemd unit, ulimit -Hn).",
            soft,
            most,
            error,
        )
        return
    os.register_at_fork(after_in_child=partial(_set_soft, soft))
    log.info("Raised the hub's limit of open files from %d to %d", soft, most)


def _set_soft(soft: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
