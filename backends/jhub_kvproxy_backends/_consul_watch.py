"""Watches the table in Consul by blocking queries (Consul docs, "Blocking Queries")."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable

from jhub_kvproxy import BackendRejected, Told

from . import _consul_recent as recent
from ._consul_api import ConsulAPI, kv_path, parsed
from ._network import Answer

#: Lists only the first segments of keys.
_LISTED = {"keys": "", "separator": "/"}


async def changes(
    api: ConsulAPI, below: str, *, log_key: str, without: Collection[str], wait: float
) -> AsyncGenerator[Told | None]:
    """Yield None when the watch has begun, then what has changed of the keys `below` other than those `without`.

    A later None means that this is not known. Each question waits `wait` seconds for a change.

    A query tells the index of the last change only, so the log in `log_key` tells what it was. If the log is not the
    last that has changed, somebody else may have changed the table. Then the index of each first segment is asked for.
    """
    block = {"wait": f"{wait * 1000:.0f}ms"}
    index = 0
    last, parts, found = "", set[str](), dict[str, int]()
    ours = set[str]()
    has_begun = False
    while True:
        answer = await api.ask("GET", kv_path(below), _LISTED | block | {"index": str(index)}, again=False)
        now = _index(answer)
        if has_begun and now == index:
            continue
        # The index goes back if Consul was emptied, or restored, or forgets deleted keys.
        is_foreign = not has_begun or now < index
        index = 0 if now < index else now
        before, parts = parts, set(parsed(answer, list) if answer.status == 200 else []) - {*without, log_key}
        log_index, log = await recent.read(api, log_key)
        news, last = log.since(last), log.last
        # The log may be newer than the list of parts.
        ours, lately = _parts_of(news or (), below), ours
        if is_foreign or now > log_index:
            indexes = {part: await _index_of(api, part) for part in parts}
            is_foreign = is_foreign or any(new > log_index and new != found.get(part) for part, new in indexes.items())
            found = indexes
        has_begun = True
        if news is None or is_foreign or not (parts ^ before) <= ours | lately:
            yield None
        elif news:
            yield news


def _parts_of(keys: Iterable[str], below: str) -> set[str]:
    """The first segments of `keys`, as Consul lists them."""
    return {below + first + slash for first, slash, _ in (key.partition("/") for key in keys)}


async def _index_of(api: ConsulAPI, part: str) -> int:
    """The index of the last change of the keys whose first segment is `part`."""
    return _index(await api.ask("GET", kv_path(part.rstrip("/")), _LISTED))


def _index(answer: Answer) -> int:
    try:
        return int(answer.headers["X-Consul-Index"])
    except (LookupError, ValueError) as error:
        raise BackendRejected(f"What answers at {answer.url} does not tell an index as Consul does.") from error
