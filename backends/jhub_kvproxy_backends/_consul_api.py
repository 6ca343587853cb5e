"""Consul's HTTP API, as far as the driver needs it, and Consul's refusals in our words."""

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
#: What Consul says with status 500 and does not take back by itself.
_LASTING = (*_DENIED, "No path to datacenter", "Invalid Session TTL")
_RESULTS = re.compile(r'\s*\{\s*"Results"\s*:\s*(\[|null)')
_BETWEEN = re.compile(r"[\s,]*")
#: Where the core has its keys: rules may differ.
_PARTS = ("", "routes/", "traefik/")
_SLICE = 0.005  # seconds for which the event loop may be kept busy


class RolledBack(Exception):
    """Consul made none of a transaction's changes, because the operation at `place` failed for this `reason`."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason


class ConsulAPI:
    """Asks `servers` with a token, in a datacenter (empty: the agent's own), about the keys below `root`."""

    READ_OPS = len(_PARTS)

    def __init__(self, servers: HTTPServers, *, token: str, datacenter: str, root: str) -> None:
        self._servers = servers
        self._headers = {"Accept-Encoding": "identity"} | ({"X-Consul-Token": token} if token else {})
        self._datacenter = {"dc": datacenter} if datacenter else {}
        self._root = root

    async def close(self) -> None:
        await self._servers.close()

    def unused_key(self, part: str = "") -> str:
        """A key below `part` of the root that nobody has."""
        return f"{self._root}/{part}kvproxy-{secrets.token_hex(8)}"

    async def read(self, questions: Sequence[Operation]) -> Answer:
        """What the store holds now, and an error if we may not read it or write to it.

        Consul leaves out of its answers what the token has no permission for. So the questions go together with
        :attr:`READ_OPS` operations that it refuses without permission, and which otherwise succeed.
        """
        probes = [kv("check-not-exists", self.unused_key(part)) for part in _PARTS]
        try:
            return await self.txn([*probes, *questions], again=True)
        except RolledBack as error:
            raise BackendRejected(f"Consul does not answer a question about {self._root}/: {error.reason}.") from error

    async def txn(self, operations: Sequence[Operation], *, again: bool) -> Answer:
        """Carry out `operations` all together or not at all; with `again`, more than once if need be.

        Raises :class:`RolledBack` (Consul docs, "Transactions HTTP API").
        """
        # Consistent: a deposed leader, which does not know of the latest changes, may not answer.
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
        """The answer, if its status is 200, 404 or 409; whatever else Consul says becomes a BackendError.

        With `own_datacenter` the question is about the datacenter of the agent, whatever we were told.
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
            raise BatchRejected(f"Consul at {answer.url} does not take a transaction of this size: {words}")
        if _is_transient(answer):
            raise BackendUnavailable(f"Consul at {answer.url} answered {answer.status} ({words}).")
        if answer.status >= 500:
            raise BackendRejected(f"Consul at {answer.url} refuses: {words}.")
        raise self._not_consul(answer)

    def _denied(self, answer: Answer, words: str) -> str:
        has_token = "X-Consul-Token" in self._headers
        token = "ConsulBackend.token needs" if has_token else "set ConsulBackend.token to a token with"
        return (
            f"Consul at {answer.url} denies us a part of what we need ({words}): {token} the rules key_prefix "
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
    """What `read` makes of the JSON in `answer`; BackendRejected if it cannot."""
    try:
        return read(json.loads(answer.body))
    except (ValueError, LookupError, TypeError) as error:
        raise _unreadable(answer) from error


async def read_tree(answer: Answer, below: str) -> dict[str, str]:
    """All keys, without `below`, and their values in the answer to a transaction, which may be long."""
    await asyncio.sleep(0)  # to put it together took a while
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
    except (ValueError, LookupError, TypeError) as error:
        raise _unreadable(answer) from error
    if rest.get("ResultsFilteredByACLs"):
        raise BackendRejected(
            f"Consul at {answer.url} keeps a part of the table from us: ConsulBackend.token has rules that deny it."
        )
    return keys


def _after(what: re.Pattern[str], text: str, position: int) -> int:
    found = what.match(text, position)
    return found.end() if found else position


def _unreadable(answer: Answer) -> BackendRejected:
    return BackendRejected(f"What answers at {answer.url} does not answer as Consul; is it Consul's HTTP API?")


def _is_transient(answer: Answer) -> bool:
    """Whether Consul has no leader, is overloaded, or whatever else passes."""
    if answer.status == 429:
        return True
    return answer.status >= 500 and not any(words in _words(answer) for words in _LASTING)


def _words(answer: Answer) -> str:
    return answer.body[:300].decode(errors="replace").strip()
