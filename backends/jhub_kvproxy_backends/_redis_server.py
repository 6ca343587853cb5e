"""Checks whether a Redis can be used, when the backend is opened."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

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
        "+watch +multi +exec +discard +exists +get +set +mget +mset +del +hget +hmget +hgetall +hset +hdel"
    )


async def check(session: Session, table: Table, lease: Lease, events: Events, log: Any) -> None:
    """Raise a BackendError if the server cannot be used. Log what the admin should change."""
    info = await session.try_to("INFO")
    if isinstance(info, ResponseError):  # we may not ask
        info = {}
    if info.get("cluster_enabled"):
        raise cluster(session.place)
    await _check_permissions(session, table, lease, events)
    if info.get("aof_enabled") == 0 and not await _saves(session):
        log.warning("%s keeps nothing over a restart; put this line into its redis.conf: appendonly yes", session.place)
    if info.get("maxmemory_policy", "").startswith("allkeys-"):
        log.warning(
            "%s may delete routes when its memory is short (maxmemory-policy %s); "
            "put this line into its redis.conf: maxmemory-policy noeviction",
            session.place,
            info["maxmemory_policy"],
        )


async def _check_permissions(session: Session, table: Table, lease: Lease, events: Events) -> None:
    """Try all commands that we need in a transaction, and discard it."""
    string, fields = f"{table.traefik}/", table.table
    commands: list[Command] = [
        *(("GET", lease.key), ("SET", lease.key, ""), ("MGET", string), ("MSET", string, ""), ("DEL", string)),
        *(("HGET", fields, ""), ("HMGET", fields, ""), ("HGETALL", fields), ("EXISTS", fields)),
        *(("HSET", fields, "", ""), ("HDEL", fields, "")),
        events.message,
    ]
    for command in (("WATCH", fields), ("MULTI",), *commands, ("DISCARD",)):
        await session.ask(*command)
    await session.transact([])


async def _saves(session: Session) -> bool:
    reply = await session.try_to("CONFIG", "GET", "save")
    # Without the permission to ask, assume that it saves.
    return isinstance(reply, ResponseError) or bool(b"".join(reply[1:]))
