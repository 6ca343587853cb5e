"""All routes, asked for on every Traefik that is up, and in the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..probe import Probe
from .book import path
from .events import HUB
from .replicas import Replica


@dataclass(slots=True)
class Found:
    """What was found amiss: routes that are not there, and routes that lead elsewhere, each with the place."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def compare(self, place: str, expected: Mapping[str, str], seen: Mapping[str, str]) -> None:
        """`expected` and `seen` say who answers for each name; "" or a hub: no server does."""
        for name, server in expected.items():
            answer = "" if seen.get(name, "").startswith(HUB) else seen.get(name, "")
            if answer == server:
                continue
            if answer:
                self.wrong.append(f"{place}: {name} leads to {answer}, not to {server or 'the hub'}")
            else:
                self.lost.append(f"{place}: {name} does not lead to {server}")


async def sweep(replicas: Sequence[Replica], expected: Mapping[str, str], hub: str) -> Found:
    """Ask every replica for all of `expected`, and for the hub, which must be `hub`."""
    found = Found()
    names = list(expected)
    for replica in replicas:
        if not replica.process.is_running:
            continue
        async with Probe(replica.port) as probe:
            answers = await probe.who([path(name) for name in names])
            (hub_answer,) = await probe.who(["/hub/"])
        found.compare(replica.process.name, expected, dict(zip(names, answers, strict=True)))
        if hub_answer != hub:
            # Not by `compare`, for which a hub is nobody.
            (found.wrong if hub_answer else found.lost).append(
                f"{replica.process.name}: the hub's route leads to {hub_answer or 'nobody'}, not to {hub}"
            )
    return found


def compare_table(found: Found, expected: Mapping[str, str], table: Mapping[str, str]) -> None:
    """The same for the table, whose targets are by routespec."""
    seen = {name: table.get(path(name), "").rpartition(":")[2] for name in expected}
    found.compare("the table", expected, seen)
    known = {path(name) for name, server in expected.items() if server} | {"/"}
    found.wrong += [f"the table: {spec} is nobody's" for spec in table if spec not in known and table[spec]]
