"""The statement that makes a hub's commit. It is one, since each message to a server may take seconds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._postgres_lease import LASTS
from ._postgres_recent import note, note_arguments
from ._postgres_schema import Schema, digest


def commit(schema: Schema) -> str:
    """The statement, with :func:`commit_arguments`. Its only row says whose lease it has found: null if nobody's.

    It changes nothing if the lease is wanted and another's. Otherwise the lease stays ours until the transaction ends,
    since whoever takes it waits for the lock of its row.
    """
    # Digests as text: for an array of bytes, asyncpg would first ask the server what that is.
    return f"""
        WITH lease AS MATERIALIZED (
            SELECT token, holder, since FROM {schema.leases} AS old
            WHERE digest = $4 AND $5::text <> '' AND {LASTS} FOR UPDATE
        ),
        allowed AS MATERIALIZED (SELECT coalesce((SELECT token FROM lease), '') = $5 AS yes),
        noted AS ({note(schema, "(SELECT yes FROM allowed)")}),
        deleted AS (
            DELETE FROM {schema.keys}
            WHERE digest IN (SELECT decode(unnest($6::text[]), 'hex')) AND (SELECT yes FROM allowed)
        ),
        put AS (
            INSERT INTO {schema.keys} AS old (prefix, key, value)
            SELECT $1, key, value FROM unnest($7::text[], $8::text[]) AS new(key, value)
            WHERE (SELECT yes FROM allowed)
            ON CONFLICT (digest) DO UPDATE SET value = excluded.value WHERE old.value <> excluded.value
        )
        SELECT (SELECT count(*) FROM noted) AS noted, token, holder, since
        FROM (VALUES (1)) AS always LEFT JOIN lease ON true
    """


def commit_arguments(
    schema: Schema, prefix: str, changes: Mapping[str, str | None], lease: tuple[bytes, str]
) -> tuple[Any, ...]:
    """What :func:`commit` needs for `changes`, with the digest and the token of the `lease`; no token: none is wanted.

    A key without a value is deleted.
    """
    written = {key: value for key, value in changes.items() if value is not None}
    deleted = [digest(prefix, key).hex() for key, value in changes.items() if value is None]
    return *note_arguments(schema, prefix, changes), *lease, deleted, list(written), list(written.values())
