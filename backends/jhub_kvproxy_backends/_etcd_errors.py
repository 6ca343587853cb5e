"""Turns etcd's answers into our errors. No other module does."""

from __future__ import annotations

import json
from typing import Any

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, BatchRejected

from ._network import Answer

_BUSY = (429, 500, 502, 503, 504)
#: Another try gets the same answer, whatever its status.
_TOO_LARGE = ("request is too large", "message larger than max")
_FULL = "database space exceeded"
_STALE_TOKEN = ("invalid auth token", "revision of auth store is old")
_NO_SUCH_REVISION = ("revision has been compacted", "is a future revision")
_NO_USER = "user name is empty"


class NotEtcd(BackendRejected):
    """The answer is not one of etcd's JSON API."""


class AuthDisabled(BackendRejected):
    """etcd's authentication is not enabled."""


class Full(BackendUnavailable):
    """etcd is full and accepts no writes. Nothing was changed."""


class LeaseGone(BackendUnavailable):
    """etcd's lease has expired or was revoked."""


class Compacted(BackendUnavailable):
    """etcd does not have the state of that revision: no longer, or not yet, since it was restored."""


class StaleToken(BackendUnavailable):
    """etcd does not accept the token, or no longer. Nothing was changed."""


def parsed(answer: Answer, *, root: str, username: str, access: str) -> dict[str, Any]:
    """The message in `answer`. Raises the BackendError that it stands for, if it is an error.

    Its text names what etcd must let us do: `access`, such as "read", to the keys below `root`.
    """
    try:
        message = json.loads(answer.body)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        message = {}
    if answer.status == 200 and ("header" in message or "result" in message):
        return message
    words = str(message.get("message") or answer.body[:200].decode(errors="replace").strip())
    raise _error(answer, words, is_api="code" in message, root=root, username=username, access=access)


def is_transient(answer: Answer) -> bool:
    """Whether another try, or another server, may bring another answer."""
    return answer.status in _BUSY and not any(words.encode() in answer.body for words in (*_TOO_LARGE, _FULL))


def _error(answer: Answer, words: str, *, is_api: bool, root: str, username: str, access: str) -> BackendError:
    place = f"etcd at {answer.url}"
    if any(part in words for part in _TOO_LARGE):
        return BatchRejected(f"{place} refuses the change as too large (its --max-request-bytes): {words}.")
    if "too many operations" in words:
        return BatchRejected(f"{place} refuses the change: {words}. Set EtcdBackend.txn_ops to its --max-txn-ops.")
    if _FULL in words:
        return Full(
            f"{place} is full and takes no changes ({words}): compact and defragment it or raise its "
            "--quota-backend-bytes, then run: etcdctl alarm disarm."
        )
    if "requested lease not found" in words:
        return LeaseGone(f"{place}: {words}.")
    if any(part in words for part in _NO_SUCH_REVISION):
        return Compacted(f"{place}: {words}.")
    if _NO_USER in words and not username:
        return BackendRejected(f"{place} asks for a user: set EtcdBackend.username and EtcdBackend.password.")
    if any(part in words for part in (*_STALE_TOKEN, _NO_USER)):
        return StaleToken(f"{place} does not accept the token that it has just given: {words}.")
    if "authentication is not enabled" in words:
        return AuthDisabled(f"{place}: {words}.")
    if "authentication failed" in words:
        return BackendRejected(f"{place} refuses EtcdBackend.username = {username!r} with its password.")
    if "permission denied" in words:
        return BackendRejected(
            f"{place} does not let {f'the user {username!r}' if username else 'us'} use the keys below {root}/. "
            f"Give the user a role for them: etcdctl role add ROLE; etcdctl role grant-permission ROLE "
            f"--prefix=true {access} {root}/; etcdctl user grant-role {username or 'USER'} ROLE."
        )
    if "CommonName of client" in words:
        return BackendRejected(
            f"{place} accepts a password only with a client certificate that has no common name (CN): "
            "use one without for EtcdBackend.cert_file; it may have other names."
        )
    if answer.status in _BUSY:
        return BackendUnavailable(f"{place} answered {answer.status}: {words or 'nothing more'}.")
    if is_api:
        return BackendRejected(f"{place} refuses: {words}.")
    return NotEtcd(f"What answers at {answer.url} is not the API of an etcd: HTTP status {answer.status}, {words!r}.")
