"""The parts of a transaction, as etcd's JSON API wants them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jhub_kvproxy import BatchRejected

from ._etcd_client import encoded


def most_operations(limit: int) -> int:
    """How many operations :func:`puts_and_deletes` puts into one transaction at most."""
    half = limit // 2
    return 1 + (half - 1) * half


def puts_and_deletes(root: str, changes: Mapping[str, str | None], limit: int) -> list[dict[str, Any]]:
    """`changes` of keys below `root`; `limit` is the server's ``--max-txn-ops``.

    A transaction with half as many operations may have transactions in it with the other half each (etcd,
    ``api/v3rpc/key.go``, checkTxnRequest), and all of it is made at once, or nothing.
    """
    operations = [operation(f"{root}/{key}", value) for key, value in changes.items()]
    if len(operations) <= limit:
        return operations
    half = limit // 2
    count = -(-(len(operations) - half) // (half - 1))
    # One stands outside at least: old servers do not look whether we may write what stands inside.
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
