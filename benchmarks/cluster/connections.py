"""Which pod each connection went to: the kernel's connection tracking knows."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path

from servers.node import environment, find_program
from servers.process import Process

# [1764160000.12] [NEW] tcp 6 120 SYN_SENT src=US dst=SERVICE sport=1 dport=80 [UNREPLIED] src=POD dst=US sport=8000 ...
_LINE = re.compile(r"\[(\d+\.\d+)\].*\[NEW\] tcp .*? sport=(\d+) dport=80 .*?src=(\S+) .*?sport=8000 ")
# Seconds: when a connection was made is noted when we are told of it.
_LATE = 2.0


def watch(log: Path) -> Process:
    """What writes each new connection of this network namespace into `log`."""
    command = [find_program("conntrack"), "-E", "-e", "NEW", "-o", "timestamp", "-p", "tcp", "-b", "8388608"]
    return Process("conntrack", command, log, env=environment())


class Connections:
    """The connections in a log of :func:`watch`."""

    def __init__(self, log: str) -> None:
        self._by_port: dict[int, list[tuple[float, str]]] = defaultdict(list)
        for when, port, address in _LINE.findall(log):
            self._by_port[int(port)].append((float(when), address))

    def pod(self, port: int, when: float) -> str:
        """The address of the pod that our `port` was connected to at `when` (seconds since the epoch); "": none."""
        made = self._by_port.get(port, [])
        place = bisect_right([since for since, _ in made], when + _LATE)
        return made[place - 1][1] if place else ""
