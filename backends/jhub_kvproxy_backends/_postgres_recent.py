"""The last changes of the table, in two rows that only writers can write: a notification itself anybody can send. Pure.

Statements, and what their rows say. A row is of the hubs, with a running number and their last commits. The other is of
everybody else, whose changes the triggers note: it has only a number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jhub_kvproxy import Told

from ._postgres_schema import HUBS, OTHERS, Schema, digest

#: The most bytes of a commit that is told, and of all in a row; each has some more of its own. The oldest go first.
_MOST_BYTES, _MOST_BYTES_OF_ALL, _OWN_BYTES = 8000, 16000, 100


def note(schema: Schema, condition: str) -> str:
    """The statement that must be made with a hub's commit, if `condition` holds; with :func:`note_arguments`.

    A new row begins with the number of the transaction, which is higher than any in a row before: each commit counts
    one, and has used a transaction. So if the row was removed meanwhile, what follows does not follow what was seen.
    """
    return f"""
        INSERT INTO {schema.recent} AS old (prefix, who, first, number, commits)
        SELECT $1, '{HUBS}', now, now, ARRAY[$2::text] FROM (SELECT pg_current_xact_id()::text::bigint) AS xact(now)
        WHERE {condition}
        ON CONFLICT (digest) DO UPDATE SET number = old.number + 1, commits = (
            SELECT array_agg(text ORDER BY place) FROM (
                SELECT text, place, sum(octet_length(text) + {_OWN_BYTES}) OVER (ORDER BY place DESC) AS bytes
                FROM unnest(old.commits || $2::text) WITH ORDINALITY AS each(text, place)
            ) AS sized WHERE bytes <= {_MOST_BYTES_OF_ALL}
        )
        RETURNING set_config('kvproxy.is_told', 'yes', true), pg_notify($3::text, '')
    """


def note_arguments(schema: Schema, prefix: str, changes: Mapping[str, str | None]) -> tuple[str, str, str]:
    """What :func:`note` needs for a commit of `changes`."""
    return prefix, _text(changes), schema.channel(prefix)


def look(schema: Schema) -> str:
    """The statement whose only row :func:`seen` takes, with :func:`look_arguments`."""
    return f"""
        SELECT pg_backend_pid() AS session, to_regclass('{schema.keys}')::oid AS keys, hubs.first, hubs.number,
            hubs.commits, others.number AS others
        FROM (VALUES (1)) AS always LEFT JOIN {schema.recent} AS hubs ON hubs.digest = $1
        LEFT JOIN {schema.recent} AS others ON others.digest = $2
    """


def look_arguments(prefix: str) -> tuple[bytes, bytes]:
    """What :func:`look` needs."""
    return digest(prefix, HUBS), digest(prefix, OTHERS)


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows at some time: the numbers of the first and of the last commit of hubs, and what the last ones changed.

    A number is None if there is no row.
    """

    first: int | None
    number: int | None
    commits: tuple[str, ...]
    others: int | None

    def since(self, before: Seen) -> Told | None:
        """What was changed after `before`. None: the rows do not say."""
        if self.others != before.others:
            return None
        if self.number == before.number:
            return {}
        if self.number is None or self.first is None:
            return None
        new = self.number - (self.first - 1 if before.number is None else before.number)
        if not 0 < new <= len(self.commits):
            return None
        changed: dict[str, str | None] = {}
        for text in self.commits[-new:]:
            changes = _changes(text)
            if changes is None:
                return None
            changed |= changes
        return changed


def seen(row: Mapping[str, Any]) -> Seen:
    """What the row of :func:`look` says."""
    return Seen(row["first"], row["number"], tuple(row["commits"] or ()), row["others"])


def _text(changes: Mapping[str, str | None]) -> str:
    """What tells of `changes`; empty if they are too many: then it only tells that there are some."""
    if sum(len(key) + len(value or "") for key, value in changes.items()) > _MOST_BYTES:
        return ""
    text = json.dumps(dict(changes), ensure_ascii=False, separators=(",", ":"))
    return text if len(text.encode()) <= _MOST_BYTES else ""


def _changes(text: Any) -> dict[str, str | None] | None:
    """The changes in `text`; None if it does not say, or is not a hub's."""
    try:
        changes = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    is_ours = isinstance(changes, dict) and all(value is None or isinstance(value, str) for value in changes.values())
    return changes if is_ours else None
