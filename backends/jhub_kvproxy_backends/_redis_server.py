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
    save: Command = ("CONFIG", "GET", "save")
    # An empty transaction shows whether we may EXEC.
    said, begun, made, saves, *replies = await session.begin(
        [table.table], ("INFO",), ("MULTI",), ("EXEC",), save, *table.questions
    )
    info = _parsed(said)
    if info.get("cluster_enabled") == "1":
        raise cluster(session.place)
    for reply in (begun, made):
        session.accepted(reply)
    await _check_permissions(session, table, lease, events)
    table.exists(session, replies)
    if info.get("aof_enabled") == "0" and not _saves(saves):
        log.warning("%s keeps nothing over a restart; put this line into its redis.conf: appendonly yes", session.place)
    if info.get("maxmemory_policy", "").startswith("allkeys-"):
        log.warning(
            "%s may delete routes when its memory is short (maxmemory-policy %s); "
            "put this line into its redis.conf: maxmemory-policy noeviction",
            session.place,
            info["maxmemory_policy"],
        )


async def _check_permissions(session: Session, table: Table, lease: Lease, events: Events) -> None:
    """Try all commands that we need in the transaction that has begun, and discard it."""
    string, fields = f"{table.traefik}/", table.table
    commands: list[Command] = [
        *(("GET", lease.key), ("SET", lease.key, ""), ("MGET", string), ("MSET", string, ""), ("DEL", string)),
        *(("HGET", fields, ""), ("HMGET", fields, ""), ("HGETALL", fields), ("EXISTS", fields)),
        *(("HSET", fields, "", ""), ("HDEL", fields, "")),
        events.message,
    ]
    await session.ask_all([*commands, ("DISCARD",)])


def _parsed(info: Any) -> dict[str, str]:
    """What INFO says; nothing if we may not ask."""
    if isinstance(info, ResponseError):
        return {}
    return dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)


def _saves(reply: Any) -> bool:
    # Without the permission to ask, assume that it saves.
    return isinstance(reply, ResponseError) or bool(b"".join(reply[1:]))
