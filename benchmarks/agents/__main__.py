"""``python -m benchmarks.agents``: changes by an agent and by the hub's push, what an agent costs, ten agents."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from .. import command
from ..markdown import table
from ..options import RESULTS
from ..origin import Origin
from ..probe import Probe
from ..processes import usage
from ..routes import routespec, some, standing, user, user_route
from .fleet import Fleet, add_all

#: What must hold, by the issue that asked for agents.
BOUNDS = {
    "change, agent against push": 2.0,
    "CPU of the agent a change, ms": 5.0,
    "start without a hub until served, s": 2.0,
    "lag with ten agents, p99, s": 0.5,
    "changes of these lost": 0.0,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description="Measures the way by agents.")
    parser.add_argument("--routes", type=int, default=10000, help="standing routes (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=30, help="changes of each kind (default: %(default)s)")
    parser.add_argument("--agents", type=int, default=10, help="agents of the last part (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they get changes (default: %(default)g)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="where the table goes")
    options = parser.parse_args()
    return command.run("agents", lambda: asyncio.run(_measure(options)))


async def _measure(options: argparse.Namespace) -> int:
    command.heed_sigterm()
    measured: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="kvproxy-agents-") as name:
        origin = await asyncio.to_thread(Origin, Path(name) / "origin")
        try:
            (Path(name) / "one").mkdir()
            async with Fleet(1, Path(name) / "one") as fleet:
                measured |= await _one(fleet, origin, options)
            (Path(name) / "many").mkdir()
            async with Fleet(options.agents, Path(name) / "many") as fleet:
                measured |= await _many(fleet, origin, options)
        finally:
            origin.stop()
    rows = [[what, f"{value:.3g}", f"{BOUNDS[what]:g}" if what in BOUNDS else ""] for what, value in measured.items()]
    text = table(["what", "measured", "at most"], rows)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "agents.md").write_text(text + "\n")
    print(text)
    return int(any(measured[what] > bound for what, bound in BOUNDS.items()))


async def _one(fleet: Fleet, origin: Origin, options: argparse.Namespace) -> dict[str, float]:
    """One agent against the hub's own push, a change at a time, one after the other in turns."""
    routes = standing(options.routes, origin.targets)
    agent, hub = fleet.agents[0], fleet.hub
    _say(f"adding {len(routes)} routes by an agent, and by push")
    await add_all(hub, routes)
    pushing = fleet.new_hub(prefix=f"{fleet.prefix}-push", delivery="push")
    await pushing.start()
    try:
        await add_all(pushing, routes)
        port = urlsplit(pushing.public_url).port
        assert port
        times: dict[str, list[float]] = {"agent": [], "push": []}
        async with Probe(agent.public) as by_agent, Probe(port) as by_push:
            for number in range(options.rounds):
                for name, proxy, probe in (("agent", hub, by_agent), ("push", pushing, by_push)):
                    times[name].append(await _change(proxy, probe, f"round{number}", origin))
    finally:
        await pushing.stop()
    count = 2 * options.rounds
    before = usage([agent.pid]).cpu
    for number in range(options.rounds):
        await hub.add_route(*user_route(f"cpu{number}", origin.targets["a"]))
        await hub.delete_route(routespec(f"cpu{number}"))
    cpu = (usage([agent.pid]).cpu - before) / count
    memory = usage([agent.pid]).memory
    _say("starting agent and Traefik without a hub")
    await hub.control.close()
    await asyncio.to_thread(agent.stop)
    began = time.monotonic()
    agent.launch()
    wanted = {routespec(name): "a" for name in some(map(user, range(options.routes)), 200)}
    async with Probe(agent.public) as probe:
        served = max((await probe.until(wanted, 60)).values()) - began
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "change by an agent, ms": 1000 * median["agent"],
        "change by push, ms": 1000 * median["push"],
        "change, agent against push": median["agent"] / median["push"],
        "CPU of the agent a change, ms": 1000 * cpu,
        "memory of the agent, MB": memory / 1e6,
        "start without a hub until served, s": served,
    }


async def _change(proxy: object, probe: Probe, name: str, origin: Origin) -> float:
    """Seconds until a new route is served and the call has returned."""
    spec, target, data = user_route(name, origin.targets["b"])
    await probe.who(["/"])
    began = time.monotonic()
    watching = asyncio.create_task(probe.until({spec: "b"}, 30))
    await proxy.add_route(spec, target, data)  # type: ignore[attr-defined]
    returned = time.monotonic()
    seen = (await watching)[spec]
    await asyncio.sleep(0.05)
    return max(returned, seen) - began


async def _many(fleet: Fleet, origin: Origin, options: argparse.Namespace) -> dict[str, float]:
    """Many agents, 50 changes a second: how long until all serve each, and whether any is lost."""
    hub, count = fleet.hub, options.routes // 2
    _say(f"{len(fleet.agents)} agents, {count} routes, 50 changes a second for {options.seconds:g} s")
    await add_all(hub, standing(count, origin.targets))
    lags: list[float] = []

    async def change(number: int) -> None:
        began = time.monotonic()
        await hub.add_route(*user_route(f"new{number}", origin.targets["b"]))
        lags.append(time.monotonic() - began)

    tasks = []
    began = time.monotonic()
    for number in range(int(50 * options.seconds)):
        tasks.append(asyncio.create_task(change(number)))
        await asyncio.sleep(max(0.0, began + (number + 1) / 50 - time.monotonic()))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    lost = sum(isinstance(outcome, BaseException) for outcome in outcomes)
    paths = [routespec(f"new{number}") for number in range(len(tasks))]
    for agent in fleet.agents:
        async with Probe(agent.public) as probe:
            lost += sum(name != "b" for name in await probe.who(paths))
    return {
        "lag with ten agents, p50, s": statistics.median(lags),
        "lag with ten agents, p99, s": sorted(lags)[int(0.99 * len(lags))],
        "changes of these lost": float(lost),
    }


def _say(text: str) -> None:
    print(f"agents: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
