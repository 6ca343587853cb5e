"""The parts of a transaction for etcd's JSON API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jhub_kvproxy import BatchRejected

from ._etcd_client import encoded


def most_operations(limit: int) -> int:
    """The most operations that :func:`puts_and_deletes` can put into one transaction."""
    half = limit // 2
    return 1 + (half - 1) * half


def puts_and_deletes(root: str, changes: Mapping[str, str | None], limit: int) -> list[dict[str, Any]]:
    """`changes` of keys below `root`; `limit` is the server's ``--max-txn-ops``.

    A transaction may contain transactions, and then all of it is made, or nothing. etcd counts the operations of the
    outer one and of the largest inner one together (``api/v3rpc/key.go``, checkTxnRequest). So each gets half.
    """
    operations = [operation(f"{root}/{key}", value) for key, value in changes.items()]
    if len(operations) <= limit:
        return operations
    half = limit // 2
    count = -(-(len(operations) - half) // (half - 1))
    # At least one stays outside: old servers check no permissions for those inside.
    outside = max(half - count, 1)
    inside = (operations[start : start + half] for start in range(outside, len(operations), half))
    return operations[:outside] + [{"request_txn": {"success": part}} for part in inside]


def operation(key: str, value: str | None) -> dict[str, Any]:
    try:
        if value is None:
            return {"request_delete_range": {"key": encoded(key)}}
        return {"request_put": {"key": encoded(key), "value": encoded(value)}}
    except UnicodeEncodeError as error:
        raise BatchRejected(f"The key {key!r} or its value is not text that can be stored: {error}.") from error


def not_changed_since(revision: int, key: str) -> dict[str, Any]:
    return {"target": "MOD", "result": "LESS", "key": encoded(key), "mod_revision": str(revision + 1)}


def never(key: str) -> dict[str, Any]:
    return {"target": "VERSION", "result": "LESS", "key": encoded(key), "version": "0"}
