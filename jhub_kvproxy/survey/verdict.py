"""What is wrong with a site, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..words import counted
from .replicas import Replica
from .site import Site


def problems(site: Site) -> list[str]:
    """A sentence for each thing that is wrong, the gravest first; none: all is well."""
    return list(_problems(site))


def verdict(site: Site) -> str:
    """All of it in one sentence."""
    wrong = problems(site)
    if wrong:
        others = len(wrong) - 1
        more = f" And {counted(others, 'more problem')}." if others else ""
        return f"{wrong[0]}{more}"
    routes, replicas = len(site.store.table.routes), len(site.replicas)
    who = "The only replica serves" if replicas == 1 else f"All {replicas} replicas serve"
    return f"{who} all of the table: {counted(routes, 'route')}."


def _problems(site: Site) -> Iterator[str]:
    store, lease = site.store, site.lease
    if store.error:
        yield f"The store cannot be read: {store.error}"
    else:
        if not store.table.revision and not store.table.routes:
            yield f"There is no table below {store.prefix!r}: no hub has written one there."
        yield from store.table.damage
        if lease and not lease.holder and not lease.unknown:
            yield "No hub has the lease: JupyterHub does not run, or does not reach the store, or has another prefix."
    if site.error:
        yield f"{site.error.rstrip('.')}."
    elif not site.replicas:
        yield "There is no replica."
    for replica in site.replicas:
        yield from of_replica(replica)


def of_replica(replica: Replica) -> Iterator[str]:
    """A sentence for each thing that is wrong with a replica."""
    if replica.errors:
        yield from (f"Replica {replica.name}: {error}" for error in replica.errors)
    elif replica.is_current is False:
        yield f"Replica {replica.name} {_lag(replica)}"


def _lag(replica: Replica) -> str:
    if replica.revision is None:
        return "has no table" + _WHY_NONE[replica.kind]
    if replica.behind:
        commits = counted(replica.behind, "commit")
        return f"lags: it serves revision {replica.revision}, which is {commits} behind. {_WHY_BEHIND[replica.kind]}"
    return (
        f"serves revision {replica.revision}, which is of another hub or store, or of an earlier hub. "
        f"{_WHY_BEHIND[replica.kind]}"
    )


_WHY_NONE = {
    "push": ": no hub has sent it one since it was started. Does the hub run?",
    "agent": " from its agent yet. Does that read this store?",
    "store": " of this store. Look at its log, and at the section providers of its static configuration.",
}
_WHY_BEHIND = {
    "push": "The hub sends it the table: look at the hub's log, whether it reaches this replica.",
    "agent": "Look at the log of its agent, which says whether it reaches the store.",
    "store": "Look at its log, whether it reaches the store.",
}
