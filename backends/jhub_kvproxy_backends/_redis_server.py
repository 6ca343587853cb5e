"""Checks whether a Redis can be used, when the backend is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from . import _redis_recent as recent
from ._redis_errors import cluster
from ._redis_events import Events
from ._redis_lease import Lease
from ._redis_session import Command, Session
from ._redis_table import Table


def acl(root: str, db: int) -> str:
    """The rules that the Hub's user needs (Redis docs, "ACL")."""
    return (
        f"~{root}/* &__redis__:invalidate &__keyspace@{db}__:{root}/* "
        "+info +role +ping +select +client|id +client|tracking +subscribe +publish "
        "+watch +multi +exec +discard +exists +get +set +mget +mset +del +hget +hmget +hgetall +hset +hdel "
        "+xadd +xrange"
    )


def reader_acl(root: str) -> str:
    """The rules that the user of an object which only reads needs."""
    return (
        f"~{root}/table* ~{root}/format ~{root}/traefik/* ~{root}/lease &__redis__:invalidate "
        "+info +role +ping +select +client|id +client|tracking +subscribe "
        "+multi +exec +discard +exists +get +mget +hget +hmget +hgetall +xrange"
    )


async def check(session: Session, table: Table, lease: Lease, events: Events, log: Any) -> None:
    """Raise a BackendError if the server cannot be used. Log what the admin should change."""
    string, fields = f"{table.traefik}/", table.table
    writes: list[Command] = [
        *(("GET", lease.key), ("SET", lease.key, ""), ("MSET", string, ""), ("DEL", string)),
        *(("HSET", fields, "", ""), ("HDEL", fields, ""), ("XADD", table.recent, "*", "", "")),
        events.message,
    ]
    info, saves = await _check(session, table, [fields], writes)
    if info.get("aof_enabled") == "0" and not _saves(saves):
        log.warning("%s keeps nothing over a restart; put this line into its redis.conf: appendonly yes", session.place)
    if info.get("maxmemory_policy", "").startswith("allkeys-"):
        log.warning(
            "%s may delete routes when its memory is short (maxmemory-policy %s); "
            "put this line into its redis.conf: maxmemory-policy noeviction",
            session.place,
            info["maxmemory_policy"],
        )


async def check_reader(session: Session, table: Table) -> None:
    """Raise a BackendError if an object that only reads cannot use the server."""
    await _check(session, table, [], [])


async def _check(
    session: Session, table: Table, watched: Sequence[str], writes: Sequence[Command]
) -> tuple[dict[str, str], Any]:
    """What INFO says, and the reply to the question whether the server saves.

    Raises a BackendError if we may not read the table, nor make `writes`, in a transaction, or if it is none of ours.
    """
    save: Command = ("CONFIG", "GET", "save")
    log = recent.query(table.recent, b"+")
    # An empty transaction shows whether we may EXEC.
    said, begun, made, logged, saves, *replies = await session.begin(
        watched, ("INFO",), ("MULTI",), ("EXEC",), log, save, *table.questions
    )
    info = _parsed(said)
    if info.get("cluster_enabled") == "1":
        raise cluster(session.place)
    for reply in (begun, made, logged):
        session.accepted(reply)
    string, fields = f"{table.traefik}/", table.table
    reads: list[Command] = [
        *(("HGET", fields, ""), ("HMGET", fields, ""), ("HGETALL", fields), ("EXISTS", fields), ("MGET", string)),
    ]
    # Try all commands in the transaction that has begun, and discard it.
    await session.ask_all([*reads, *writes, ("DISCARD",)])
    table.exists(session, replies)
    return info, saves


def _parsed(info: Any) -> dict[str, str]:
    """What INFO says; nothing if we may not ask."""
    if isinstance(info, ResponseError):
        return {}
    return dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)


def _saves(reply: Any) -> bool:
    # Without the permission to ask, assume that it saves.
    return isinstance(reply, ResponseError) or bool(b"".join(reply[1:]))
