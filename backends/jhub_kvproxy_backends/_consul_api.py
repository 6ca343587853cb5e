"""The part of Consul's HTTP API that the driver needs. Consul's refusals become our errors here."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from jhub_kvproxy import BackendRejected, BackendUnavailable, BatchRejected

from ._network import Answer, HTTPServers

T = TypeVar("T")

Operation = dict[str, dict[str, Any]]

_DENIED = ("Permission denied", "ACL not found")
#: Errors with status 500 that another try does not mend.
_LASTING = (*_DENIED, "No path to datacenter", "Invalid Session TTL")
_RESULTS = re.compile(r'\s*\{\s*"Results"\s*:\s*(\[|null)')
_BETWEEN = re.compile(r"[\s,]*")
#: The core's keys begin with these. ACL rules may differ between them.
_PARTS = ("", "routes/", "traefik/")
_SLICE = 0.005  # seconds that parsing may take before other tasks run


class RolledBack(Exception):
    """Consul made no change of a transaction, because its operation number `place` failed for this `reason`."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason


class ConsulAPI:
    """Sends requests to `servers` with a token. Without a `datacenter`, they are for that of the agent.

    With `read_only`, the token needs no permission to write.
    """

    def __init__(self, servers: HTTPServers, *, token: str, datacenter: str, root: str, read_only: bool) -> None:
        self._servers = servers
        self._headers = {"Accept-Encoding": "identity"} | ({"X-Consul-Token": token} if token else {})
        self._datacenter = {"dc": datacenter} if datacenter else {}
        self._root = root
        self._read_only = read_only
        #: The operations that :meth:`read` adds.
        self.read_ops = 0 if read_only else len(_PARTS)

    async def close(self) -> None:
        await self._servers.close()

    def unused_key(self, part: str = "") -> str:
        """A key below `part` of the root that does not exist."""
        return f"{self._root}/{part}kvproxy-{secrets.token_hex(8)}"

    async def read(self, questions: Sequence[Operation]) -> Answer:
        """The answer to `questions`. Raises BackendRejected without permission to read our keys, and to write them.

        Consul leaves out of an answer what the token may not read. So this sends :attr:`read_ops` operations along,
        which Consul refuses without permission to write, and which succeed otherwise. If we only read, it asks for
        single keys, which Consul refuses without permission to read.
        """
        if self._read_only:
            for part in _PARTS:
                await self.ask("GET", kv_path(self.unused_key(part)))
            return await self.txn(questions, again=True)
        probes = [kv("check-not-exists", self.unused_key(part)) for part in _PARTS]
        try:
            return await self.txn([*probes, *questions], again=True)
        except RolledBack as error:
            raise BackendRejected(f"Consul cannot read {self._root}/: {error.reason}.") from error

    async def txn(self, operations: Sequence[Operation], *, again: bool) -> Answer:
        """Make all `operations`, or none. With `again`, they may be sent more than once.

        Raises :class:`RolledBack` (Consul docs, "Transactions HTTP API").
        """
        # With "consistent", a deposed leader does not answer: it does not know the latest changes.
        answer = await self.ask("PUT", "/v1/txn", {"consistent": ""}, operations, again=again)
        if answer.status == 409:
            place, reason = parsed(
                answer, lambda said: (int(said["Errors"][0]["OpIndex"]), str(said["Errors"][0]["What"]))
            )
            if any(words in reason for words in _DENIED):
                raise BackendRejected(self._denied(answer, f"{reason} for {operations[place]['KV']['Key']}"))
            raise RolledBack(place, reason)
        if answer.status != 200:
            raise self._not_consul(answer)
        return answer

    async def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        message: Any = None,
        *,
        again: bool = True,
        own_datacenter: bool = False,
    ) -> Answer:
        """The answer, if its status is 200, 404 or 409. Raises a BackendError for any other.

        With `own_datacenter`, the request is for the datacenter of the agent, not for ours.
        """
        answer = await self._servers.ask(
            method,
            path,
            again=again,
            is_transient=_is_transient,
            params={**(params or {}), **({} if own_datacenter else self._datacenter)},
            headers=self._headers,
            data=None if message is None else json.dumps(message, ensure_ascii=False).encode(),
            # A redirect could take the token elsewhere.
            allow_redirects=False,
        )
        if answer.status in (200, 404, 409):
            return answer
        words = _words(answer)
        if answer.status in (401, 403) or any(denied in words for denied in _DENIED):
            raise BackendRejected(self._denied(answer, words))
        if answer.status == 413:
            raise BatchRejected(f"Consul at {answer.url} refuses a transaction of this size: {words}")
        if _is_transient(answer):
            raise BackendUnavailable(f"Consul at {answer.url} answered {answer.status} ({words}).")
        if answer.status >= 500:
            raise BackendRejected(f"Consul at {answer.url} refuses: {words}.")
        raise self._not_consul(answer)

    def _denied(self, answer: Answer, words: str) -> str:
        has_token = "X-Consul-Token" in self._headers
        token = "ConsulBackend.token needs" if has_token else "set ConsulBackend.token to a token with"
        if self._read_only:
            return (
                f"Consul at {answer.url} denies us a permission that we need ({words}): {token} the rule key_prefix "
                f'"{self._root}/" {{ policy = "read" }} (or "list", with enable_key_list_policy).'
            )
        return (
            f"Consul at {answer.url} denies us a permission that we need ({words}): {token} the rules key_prefix "
            f'"{self._root}/" {{ policy = "write" }} and, for a lease, session "NODE" {{ policy = "write" }} with the '
            "name of its agent's node."
        )

    def _not_consul(self, answer: Answer) -> BackendRejected:
        if "HTTPS server" in _words(answer):
            return BackendRejected(f"Consul at {answer.url} speaks TLS: write https:// in ConsulBackend.url.")
        return BackendRejected(
            f"What answers at {answer.url} does not know Consul's HTTP API (status {answer.status}); "
            "does ConsulBackend.url point to Consul?"
        )


def kv(verb: str, key: str, value: str | None = None, **fields: Any) -> Operation:
    """An operation of a transaction."""
    if value is not None:
        fields["Value"] = base64.b64encode(value.encode()).decode()
    return {"KV": {"Verb": verb, "Key": key, **fields}}


def kv_path(key: str) -> str:
    return "/v1/kv/" + quote(key)


def parsed(answer: Answer, read: Callable[[Any], T]) -> T:
    """The result of `read` on the JSON in `answer`. Raises BackendRejected if that fails."""
    try:
        return read(json.loads(answer.body))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _unreadable(answer) from error


async def read_tree(answer: Answer, below: str) -> dict[str, str]:
    """The keys, without `below`, and values in the answer to a transaction. Reading pauses for other tasks."""
    await asyncio.sleep(0)  # reading the answer took a while
    text = answer.body.decode()
    start = _RESULTS.match(text)
    if start is None:
        raise _unreadable(answer)
    keys = {}
    decode = json.JSONDecoder().raw_decode
    position, rested = start.end(), time.monotonic()
    try:
        while start[1] == "[":
            position = _after(_BETWEEN, text, position)
            if text[position] == "]":
                position += 1
                break
            result, position = decode(text, position)
            key = result["KV"]["Key"].removeprefix(below)
            keys[key] = base64.b64decode(result["KV"]["Value"] or "").decode(errors="replace")
            if time.monotonic() - rested > _SLICE:
                await asyncio.sleep(0)
                rested = time.monotonic()
        rest = json.loads("{" + text[_after(_BETWEEN, text, position) :])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _unreadable(answer) from error
    if rest.get("ResultsFilteredByACLs"):
        raise BackendRejected(
            f"Consul at {answer.url} does not let us read a part of the table: rules of ConsulBackend.token deny it."
        )
    return keys


def _after(what: re.Pattern[str], text: str, position: int) -> int:
    found = what.match(text, position)
    return found.end() if found else position


def _unreadable(answer: Answer) -> BackendRejected:
    return BackendRejected(f"What answers at {answer.url} does not answer as Consul; is it Consul's HTTP API?")


def _is_transient(answer: Answer) -> bool:
    """Whether the same request may succeed soon: Consul has no leader, or is overloaded."""
    if answer.status == 429:
        return True
    return answer.status >= 500 and not any(words in _words(answer) for words in _LASTING)


def _words(answer: Answer) -> str:
    return answer.body[:300].decode(errors="replace").strip()
