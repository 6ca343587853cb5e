"""The faults: what each does to a site, and what visitors may notice."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from servers.calls import Gone
from servers.disk import SmallDisk
from servers.errors import Unavailable
from servers.process import Process

from .judging import Bound, Marks
from .site import Site

_BURST = 30
# Seconds within which an old hub that goes on must learn that it may not write.
_INTRUDER_TIMEOUT = 40.0
# The default of KVProxy.lease_seconds.
_LEASE = 10.0
# Seconds within which the balancer has noticed that a Traefik is dead.
_NOTICED_AFTER = 2.0
# Seconds within which a Traefik that was started again must serve everything that it did.
_SERVED_WITHIN = 10.0
_ANSWERS_AFTER = 2.5
_CLOCK_AHEAD = 2 * 3600.0


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a row without a fault, before each fault, of an outage, and after it."""

    alone: float
    quiet: float
    outage: float
    after: float

    @classmethod
    def within(cls, minutes: float) -> Times:
        """Times for all faults in about so many minutes. An outage is 20 s at most, and no time is 0."""
        share = minutes / 6
        return cls(max(60 * share, 2), max(3 * share, 0.5), min(20.0, max(20 * share, 1)), max(10 * share, 2))


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that may go wrong in a site."""

    name: str
    title: str
    #: What visitors may notice, with the table pushed into Traefik.
    bound: Bound
    do: Callable[[Site, Marks, Times], Awaitable[None]]
    #: Whether it needs a store with processes, or one that is a directory, on a file system of its own.
    needs_processes: bool = False
    needs_disk: bool = False
    needs_agents: bool = False
    #: Whether it needs a store of several members.
    needs_leader: bool = False
    #: What they may notice where each Traefik reads the store by itself; None: the same.
    store_bound: Bound | None = None

    def bound_with(self, delivery: str) -> Bound:
        """What visitors may notice with this :attr:`KVProxy.delivery`."""
        return self.store_bound if delivery == "store" and self.store_bound else self.bound


async def _changes(site: Site, marks: Marks, times: Times) -> None:
    await asyncio.sleep(times.alone)


async def _traefik_killed(site: Site, marks: Marks, times: Times) -> None:
    marks.fault = time.monotonic()
    _kill_traefik(site, marks)
    await asyncio.sleep(times.outage / 2)
    site.replicas[0].process.launch()


async def _store_killed(site: Site, marks: Marks, times: Times) -> None:
    marks.fault = time.monotonic()
    for member in site.store.members:
        member.kill()
    await asyncio.sleep(times.outage)
    site.store.launch()
    await asyncio.to_thread(site.store.wait)
    marks.back = time.monotonic()


async def _store_frozen(site: Site, marks: Marks, times: Times) -> None:
    marks.fault = time.monotonic()
    for member in site.store.members:
        member.freeze()
    await asyncio.sleep(times.outage)
    for member in site.store.members:
        member.thaw()
    marks.back = time.monotonic()


async def _store_emptied(site: Site, marks: Marks, times: Times) -> None:
    marks.fault = time.monotonic()
    await asyncio.to_thread(site.store.empty)


async def _member_killed(site: Site, marks: Marks, times: Times) -> None:
    leader = await asyncio.to_thread(site.store.leader)
    marks.notes.append(f"{leader.name} led")
    marks.fault = time.monotonic()
    leader.kill()
    await asyncio.sleep(times.outage)
    leader.launch()
    await asyncio.to_thread(site.store.wait)


async def _hub_killed(site: Site, marks: Marks, times: Times) -> None:
    site.changes.burst(_BURST)
    await asyncio.sleep(0.05)  # so that some are written, some not
    marks.fault = time.monotonic()
    await site.hub.kill()
    marks.back = time.monotonic()
    await site.boot(await site.same_hub())


async def _hub_paused(site: Site, marks: Marks, times: Times) -> None:
    old = site.hub
    marks.fault = time.monotonic()
    old.freeze()
    second = await site.new_hub()
    site.changes.burst(_BURST)  # which the first hub gets when it goes on
    await asyncio.sleep(times.quiet)
    old.give_up()
    await site.changes.pause()
    await site.boot(second)
    marks.notes.append(f"the second hub took over after {time.monotonic() - marks.fault:.1f} s")
    site.changes.resume()
    await asyncio.sleep(times.after)
    old.thaw()
    # The first hub goes on as usual, and does not know what has happened since.
    site.book.gone.append("intruder")
    for do, arguments in (("poll", {}), ("add", {"name": "intruder", "port": site.spare})):
        try:
            await old.call(do, timeout=_INTRUDER_TIMEOUT, **arguments)
            marks.notes.append(f"the first hub could still {do}")
        except (Unavailable, Gone) as error:
            marks.notes.append(f"the first hub could not {do}: {error}")
    await old.kill()


async def _hub_out_of_files(site: Site, marks: Marks, times: Times) -> None:
    pid = site.hub.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    marks.fault = time.monotonic()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))  # those are open, and all others above stay so
    await asyncio.sleep(times.outage)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    marks.back = time.monotonic()


async def _disk_full(site: Site, marks: Marks, times: Times) -> None:
    assert site.disk
    site.disk.fill()
    filling = asyncio.create_task(_keep_full(site.disk))
    try:
        marks.fault = time.monotonic()
        _kill_traefik(site, marks)
        await asyncio.sleep(times.outage / 2)
        await _start_traefik(site, marks)
        await asyncio.sleep(times.outage / 2)
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
    site.disk.make_room()
    marks.back = time.monotonic()


async def _keep_full(disk: SmallDisk) -> None:
    """A hub that removes a file makes room for another, as long as nobody else takes it."""
    while True:
        disk.fill()
        await asyncio.sleep(0.01)


async def _both_killed(site: Site, marks: Marks, times: Times) -> None:
    marks.fault = time.monotonic()
    for member in site.store.members:
        member.kill()
    await asyncio.sleep(max(times.outage, 1.2 * _LEASE))
    _kill_traefik(site, marks)
    await asyncio.sleep(_NOTICED_AFTER)
    if site.delivery != "store":
        await _start_traefik(site, marks)
    else:
        site.replicas[0].process.launch()  # it has nothing to serve until it can read the store
    await asyncio.sleep(times.outage / 4)
    site.store.launch()
    await asyncio.to_thread(site.store.wait)
    marks.back = time.monotonic()


async def _hub_ahead(site: Site, marks: Marks, times: Times) -> None:
    await site.replace_hub(await site.new_hub(clock_ahead=_CLOCK_AHEAD))
    await asyncio.sleep(times.after)
    site.changes.burst(_BURST)
    await asyncio.sleep(0.05)
    marks.fault = time.monotonic()
    await site.hub.kill()
    marks.back = time.monotonic()
    await site.boot(await site.same_hub())


async def _store_slow(site: Site, marks: Marks, times: Times) -> None:
    way = await site.slow_store()
    await site.replace_hub(await site.new_hub(way=way))
    await asyncio.sleep(times.quiet)
    marks.fault = time.monotonic()
    way.delay = _ANSWERS_AFTER
    await asyncio.sleep(2 * times.outage)
    way.delay = 0.0
    marks.back = time.monotonic()


def _kill_traefik(site: Site, marks: Marks) -> None:
    traefik = site.replicas[0].process
    marks.victim, marks.killed = traefik.name, time.monotonic()
    traefik.kill()


async def _start_traefik(site: Site, marks: Marks) -> None:
    """Start the killed Traefik again; it must serve everything while the fault lasts."""
    began = time.monotonic()
    site.replicas[0].process.launch()
    try:
        served = await site.until_served(site.replicas[0], _SERVED_WITHIN)
        marks.notes.append(f"the Traefik that was started again served all routes after {served - began:.1f} s")
    except TimeoutError:
        marks.missed.append(f"a Traefik that was started again did not serve all routes within {_SERVED_WITHIN:g} s")


async def _agent_killed(site: Site, marks: Marks, times: Times) -> None:
    await _without_an_agent(site, marks, times, Process.kill, Process.launch)


async def _agent_frozen(site: Site, marks: Marks, times: Times) -> None:
    await _without_an_agent(site, marks, times, Process.freeze, Process.thaw)


async def _without_an_agent(
    site: Site, marks: Marks, times: Times, take: Callable[[Process], None], bring_back: Callable[[Process], None]
) -> None:
    agent = site.replicas[0].agent
    assert agent
    marks.fault = time.monotonic()
    take(agent)
    await asyncio.sleep(times.outage / 2)
    bring_back(agent)
    marks.back = time.monotonic()


async def _traefik_killed_without_a_hub(site: Site, marks: Marks, times: Times) -> None:
    await site.changes.pause()
    marks.fault = time.monotonic()
    await site.hub.kill()
    _kill_traefik(site, marks)
    await asyncio.sleep(_NOTICED_AFTER)
    await _start_traefik(site, marks)
    await asyncio.sleep(times.quiet)
    marks.back = time.monotonic()
    await site.boot(await site.same_hub())
    site.changes.resume()


async def _all_restart(site: Site, marks: Marks, times: Times) -> None:
    """Store, hub, agents and Traefiks are killed; agents and Traefiks come back first."""
    await site.changes.pause()
    marks.fault = time.monotonic()
    await site.hub.kill()
    for process in [*site.store.members, *(each for replica in site.replicas for each in replica.processes)]:
        process.kill()
    for replica in site.replicas:
        replica.launch()
    for replica in site.replicas:
        try:
            served = await site.until_served(replica, _SERVED_WITHIN)
            marks.notes.append(f"{replica.process.name} served all routes after {served - marks.fault:.1f} s")
        except TimeoutError:
            marks.missed.append(f"{replica.process.name} did not serve all routes within {_SERVED_WITHIN:g} s")
    await asyncio.sleep(times.outage / 2)
    site.store.launch()
    await asyncio.to_thread(site.store.wait)
    marks.back = time.monotonic()
    await site.boot(await site.same_hub())
    site.changes.resume()


async def _store_wiped(site: Site, marks: Marks, times: Times) -> None:
    marks.fault = time.monotonic()
    await asyncio.to_thread(site.store.stop_and, site.store.wipe)
    marks.back = time.monotonic()


async def _store_restored(site: Site, marks: Marks, times: Times) -> None:
    await site.changes.pause()
    await asyncio.to_thread(site.store.stop_and, site.store.back_up)
    site.changes.resume()
    await asyncio.sleep(times.after)
    site.changes.burst(_BURST)
    await asyncio.sleep(times.quiet)
    marks.fault = time.monotonic()
    await asyncio.to_thread(site.store.stop_and, site.store.restore)
    marks.back = time.monotonic()


FAULTS = [
    Fault("changes", "route changes only", Bound(changes_may_fail=False), _changes),
    Fault("traefik-killed", "one Traefik killed", Bound(own_may_fail=True, changes_may_fail=False), _traefik_killed),
    Fault(
        "store-killed",
        "store killed, then restarted",
        Bound(),
        _store_killed,
        needs_processes=True,
        # The longer a store is away, the longer Traefik waits between two attempts to reach it, up to about 20 s.
        store_bound=Bound(live_within=25.0),
    ),
    Fault("store-frozen", "store frozen", Bound(), _store_frozen, needs_processes=True),
    Fault("store-emptied", "store emptied", Bound(), _store_emptied, store_bound=Bound(grace=5.0)),
    Fault("member-killed", "leader of three killed", Bound(live_within=20.0), _member_killed, needs_leader=True),
    # The dead hub's lease must run out first: KVProxy.lease_seconds.
    Fault("hub-killed", "hub killed, then restarted", Bound(live_within=20.0), _hub_killed),
    Fault("hub-paused", "hub paused, a second one takes over", Bound(live_within=20.0), _hub_paused),
    Fault("hub-out-of-files", "hub out of file descriptors", Bound(), _hub_out_of_files),
    Fault(
        "disk-full",
        "disk of the table full, one Traefik killed",
        Bound(own_may_fail=True),
        _disk_full,
        needs_disk=True,
    ),
    Fault(
        "both-killed",
        "store killed, then one Traefik",
        Bound(own_may_fail=True),
        _both_killed,
        needs_processes=True,
        store_bound=Bound(own_may_fail=True, live_within=25.0),
    ),
    Fault("hub-ahead", "hub with its clock ahead killed", Bound(live_within=20.0), _hub_ahead),
    Fault("agent-killed", "one agent killed, then restarted", Bound(), _agent_killed, needs_agents=True),
    Fault("agent-frozen", "one agent frozen", Bound(), _agent_frozen, needs_agents=True),
    Fault(
        "no-hub",
        "hub killed, then one Traefik",
        Bound(own_may_fail=True, live_within=20.0),
        _traefik_killed_without_a_hub,
        needs_agents=True,
    ),
    Fault(
        "store-wiped",
        "store killed, its data lost",
        Bound(live_within=20.0),
        _store_wiped,
        needs_agents=True,
        needs_processes=True,
    ),
    Fault(
        "store-restored",
        "store restored from an older copy",
        Bound(live_within=20.0),
        _store_restored,
        needs_agents=True,
        needs_processes=True,
    ),
    Fault(
        "all-restart",
        "all but users' servers killed, store last",
        Bound(grace=10.0, live_within=30.0, all_websockets_may_end=True),
        _all_restart,
        needs_agents=True,
        needs_processes=True,
    ),
    # The last: the hub goes on by the way that was slow.
    Fault("store-slow", "store slow", Bound(changes_may_fail=False), _store_slow, needs_processes=True),
]
