"""The check of what runs already: the hub that has the lease, and its own Traefiks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..aio import in_thread
from ..errors import TraefikError
from ..hub.proxy import KVProxy
from ..options.settings import Settings
from ..routing.records import revision_in
from ..store.contract import Backend
from ..survey.lease import read_lease
from ..survey.replicas import Asked, Replica, ask_replicas, find_replicas
from ..survey.site import provider_for
from ..survey.verdict import of_replica
from ..traefik import descriptors
from ..traefik.running import OfAnotherUser, home_of, running_in
from .report import Report, StepFailed
from .store import run_to_end


async def try_hub(proxy: KVProxy, table: Backend, report: Report) -> bool:
    """Report which hub may write to `table`, which is open. Returns whether one may."""
    if not proxy.lease_seconds or not revision_in((await run_to_end(table.load())).keys):
        return False
    lease = await read_lease(table)
    if lease.holder:
        since = f" since {lease.since:%Y-%m-%d %H:%M:%S} UTC" if lease.since else ""
        report.ok("hub", f"{lease.holder} has the lease{since}.")
    elif not lease.unknown:
        report.note("hub", "No hub has the lease: none runs with this prefix, or it does not reach the store.")
    return bool(lease.holder)


def pids_of(settings: Settings) -> dict[int, int]:
    """The processes of the hub's own Traefiks that run, by their number, from 1 on. This blocks.

    Raises :class:`~jhub_kvproxy.traefik.running.OfAnotherUser`.
    """
    directory, found = Path(settings.traefik.runtime_dir).absolute(), {}
    for number in range(1, settings.traefik.local_replicas + 1):
        try:
            found[number] = running_in(home_of(directory, number)).pid
        except OfAnotherUser:
            raise
        except TraefikError:
            continue
    return found


async def try_running(
    proxy: KVProxy, settings: Settings, table: Backend | None, installed: str, report: Report
) -> None:
    """Report whether the hub's own Traefiks, if they run, serve what `table` holds (None: it is not open).

    `installed` is the version of the one that the hub would start; empty: there is none.
    """
    keys = (await run_to_end(table.load())).keys if table else {}
    stored = revision_in(keys) or ""
    asked = [each for each in await find_replicas(settings, proxy.log) if each.api]
    replicas = await ask_replicas(asked, stored, proxy.prefix, provider_for(settings, proxy.backend))
    for each, replica in zip(asked, replicas, strict=True):
        with suppress(StepFailed), report.step("traefik"):
            report.facts["replicas"].append(
                {"url": replica.name, "version": replica.version, "serves_table": replica.is_current}
            )
            await _judge(each, replica, installed, report)


async def _judge(asked: Asked, replica: Replica, installed: str, report: Report) -> None:
    found = await in_thread(descriptors.descriptors_of, asked.pid)
    if found and found.are_used_up:
        raise TraefikError(
            f"Traefik (pid {asked.pid}) has used up its {found.limit:,} file descriptors. Start the hub with a higher "
            "limit (LimitNOFILE in its systemd unit, ulimit -Hn)."
        )
    if problems := [*of_replica(replica)]:
        raise TraefikError(" ".join(problems))
    if replica.version and installed and replica.version != installed:
        report.note(
            "traefik",
            f"Traefik {replica.version} (pid {asked.pid}) runs; the hub's next start replaces it by {installed}, which "
            "ends open connections.",
        )
    does = "serves this table" if replica.is_current else "runs"
    report.ok("traefik", f"{replica.name} (Traefik {replica.version}) {does}.")
