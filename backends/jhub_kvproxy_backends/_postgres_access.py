"""Finds out whether a connection may be used, and makes the tables if there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from jhub_kvproxy import BackendRejected, BackendUnavailable

from ._postgres_schema import LAYOUT, WRITES, Schema

#: $1: the schema, $2: the rights that we want. All this may be read without any right.
_FIND = """
SELECT pg_backend_pid() AS pid, current_user AS role, current_database() AS database,
    has_database_privilege(current_database(), 'CREATE') AS may_make_schema,
    found.schema IS NOT NULL AS has_schema,
    found.schema IS NOT NULL AND has_schema_privilege(found.schema, 'USAGE') AS may_use,
    found.schema IS NOT NULL AND has_schema_privilege(found.schema, 'CREATE') AS may_make_tables,
    coalesce(tables.count, 0) = 2 AS has_tables, tables.layout, tables.keys, coalesce(tables.lacking, '{}') AS lacking
FROM (SELECT (SELECT oid FROM pg_namespace WHERE nspname = $1) AS schema) AS found
CROSS JOIN LATERAL (
    SELECT count(*), max(obj_description(oid, 'pg_class')) FILTER (WHERE relname = 'keys') AS layout,
        max(oid::bigint) FILTER (WHERE relname = 'keys') AS keys,
        (SELECT array_agg(wanted || ' on ' || of.relname ORDER BY wanted, of.relname)
            FROM pg_class AS of, unnest($2::text[]) AS wanted
            WHERE of.relnamespace = found.schema AND of.relname IN ('keys', 'leases') AND of.relkind = 'r'
                AND NOT has_table_privilege(of.oid, wanted)) AS lacking
    FROM pg_class WHERE relnamespace = found.schema AND relname IN ('keys', 'leases') AND relkind = 'r'
) AS tables
"""
#: $1: the schema.
PROBE = "SELECT pg_backend_pid(), (SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = 'keys')"


class Access:
    """The tables in `schema`, for a hub, or for somebody who reads only."""

    def __init__(self, schema: Schema, place: str, *, read_only: bool) -> None:
        self._schema = schema
        self._place = place
        self._read_only = read_only
        self._wanted = ("SELECT",) if read_only else WRITES

    async def prepare(self, connection: asyncpg.Connection) -> None:
        """Find out whether we may do what we shall, and make the tables if there are none.

        Raises BackendRejected, which says what is to be granted; BackendUnavailable if who only reads must wait.
        """
        found = await self._find(connection)
        if not found["has_tables"] and not self._read_only:
            found = await self._make(connection)
        if not found["has_tables"]:
            raise BackendUnavailable(
                f"PostgreSQL at {self._place} has no tables in the schema {self._schema.name!r} yet; "
                "the Hub makes them when it starts."
            )
        if found["layout"] != LAYOUT:
            raise BackendRejected(
                f"PostgreSQL at {self._place}: {self._schema.keys} is {found['layout'] or 'not ours'!r}, and this "
                f"jhub-kvproxy uses {LAYOUT!r}; upgrade jhub-kvproxy, or choose another PostgresBackend.schema."
            )
        if found["lacking"] or not found["may_use"]:
            lacking = [*([] if found["may_use"] else ["USAGE on the schema"]), *found["lacking"]]
            raise BackendRejected(
                f"PostgreSQL at {self._place}: the role {found['role']!r} lacks {', '.join(lacking)}. As the owner of "
                f"the tables: {self._schema.grants(found['role'], read_only=self._read_only)}"
            )

    async def _find(self, connection: asyncpg.Connection) -> Mapping[str, Any]:
        return await connection.fetchrow(_FIND, self._schema.name, self._wanted)  # type: ignore[no-any-return]

    async def _make(self, connection: asyncpg.Connection) -> Mapping[str, Any]:
        # Another hub may make them at this moment.
        async with connection.transaction():
            await connection.execute(
                f"SET LOCAL search_path = pg_catalog; SELECT pg_advisory_xact_lock({self._schema.lock})"
            )
            found = await self._find(connection)
            if not found["has_tables"]:
                self._check_may_make(found)
                await connection.execute(self._schema.makes(with_schema=not found["has_schema"]))
            return await self._find(connection)

    def _check_may_make(self, found: Mapping[str, Any]) -> None:
        name, role = self._schema.name, found["role"]
        if found["has_schema"] and not found["may_make_tables"]:
            raise BackendRejected(
                f"PostgreSQL at {self._place}: the schema {name!r} has no tables, and the role {role!r} may not make "
                f'them. As its owner: GRANT CREATE, USAGE ON SCHEMA "{name}" TO "{role}"; or make the tables yourself '
                "(the how-to for PostgreSQL has the statements)."
            )
        if not found["has_schema"] and not found["may_make_schema"]:
            raise BackendRejected(
                f"PostgreSQL at {self._place}: there is no schema {name!r}, and the role {role!r} may not make it. "
                f'As the owner of the database: CREATE SCHEMA "{name}" AUTHORIZATION "{role}"; or make the tables '
                "yourself (the how-to for PostgreSQL has the statements)."
            )
