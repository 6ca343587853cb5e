"""Finds out whether a connection may be used, and makes the tables if there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from jhub_kvproxy import BackendRejected, BackendUnavailable

from ._postgres_schema import COLUMNS, LAYOUT, LAYOUTS, PARTS, TABLES, WRITES, Schema, quoted

#: $1: the schema, $2: the rights on the tables that we want, $3: whether we write; $4: what a comment of ours begins
#: with; $5: the columns that our tables have, each after that of the table. All this may be read without any right.
_FIND = """
WITH found AS (SELECT (SELECT oid FROM pg_namespace WHERE nspname = $1) AS schema),
parts AS (
    SELECT relname::text AS name, c.oid, relkind = 'r' AS is_table, false AS is_function, relowner AS owner,
        obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class AS c JOIN found ON relnamespace = found.schema WHERE relname IN ('keys', 'leases', 'recent')
    UNION ALL
    SELECT proname || '()', p.oid, false, prokind = 'f', proowner, obj_description(p.oid, 'pg_proc')
    FROM pg_proc AS p JOIN found ON pronamespace = found.schema
    WHERE (proname, proargtypes::text) IN (('digest', '25 25'), ('tell', ''))
),
ours AS (SELECT * FROM parts WHERE starts_with(comment, $4) AND (is_table OR is_function)),
triggers AS (
    SELECT tgname::text AS name FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours WHERE name = 'keys')
        AND tgfoid IN (SELECT oid FROM ours WHERE name = 'tell()')
        AND tgenabled IN ('O', 'A') -- otherwise it is disabled, as by a restore that was interrupted
),
lacking AS (
    SELECT wanted || ' on ' || name AS words FROM ours, unnest($2::text[]) AS wanted
    WHERE is_table AND NOT has_table_privilege(oid, wanted)
    UNION ALL
    SELECT 'EXECUTE on ' || name FROM ours
    WHERE $3 AND name = 'digest()' AND NOT has_function_privilege(oid, 'EXECUTE')
)
SELECT pg_backend_pid() AS pid, current_user AS role, current_database() AS database,
    current_setting('server_encoding') AS encoding,
    has_database_privilege(current_database(), 'CREATE') AS may_make_schema,
    schema IS NOT NULL AS has_schema,
    schema IS NOT NULL AND has_schema_privilege(schema, 'USAGE') AS may_use,
    schema IS NOT NULL AND has_schema_privilege(schema, 'CREATE') AS may_make_tables,
    ARRAY(SELECT name FROM ours UNION ALL SELECT name FROM triggers) AS parts,
    ARRAY(SELECT name FROM parts EXCEPT SELECT name FROM ours ORDER BY name) AS in_the_way,
    ARRAY(SELECT DISTINCT comment FROM ours) AS layouts,
    ARRAY(
        SELECT wanted FROM unnest($5::text[]) WITH ORDINALITY AS each(wanted, place)
        JOIN ours ON is_table AND name = split_part(wanted, '.', 1)
        WHERE NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = oid AND attname = split_part(wanted, '.', 2) AND attnum > 0 AND NOT attisdropped
        ) ORDER BY place
    ) AS lost,
    ARRAY(SELECT name FROM ours WHERE NOT pg_has_role(owner, 'USAGE') ORDER BY name) AS of_others,
    ARRAY(SELECT words FROM lacking ORDER BY words) AS lacking,
    ARRAY(SELECT name FROM ours WHERE is_table AND row_security_active(oid) ORDER BY name) AS hiding
FROM found
"""
_OUR_COLUMNS = [f"{table}.{name}" for table, names in COLUMNS.items() for name in names]


class Access:
    """The tables in `schema`, for a hub, or for somebody who reads only."""

    def __init__(self, schema: Schema, place: str, *, read_only: bool) -> None:
        self._schema = schema
        self._place = place
        self.read_only = read_only
        self._wanted = ("SELECT",) if read_only else WRITES

    async def prepare(self, connection: asyncpg.Connection) -> None:
        """Find out whether we may do what we shall, and make the tables if there are none.

        Whoever calls it drops the connection if it fails: a transaction may be open.
        Raises BackendRejected, which says what is to be granted; BackendUnavailable if who only reads must wait.
        """
        found = await self._find(connection)
        if not self._missing(found):
            self._check_is_ours(found)
        elif not self.read_only:
            found = await self._make(connection)
        if self._missing(found):
            raise BackendUnavailable(
                f"PostgreSQL at {self._place} has no tables in the schema {self._schema.name!r} yet; "
                "the Hub makes them when it starts."
            )
        if found["lacking"] or not found["may_use"]:
            lacking = [*([] if found["may_use"] else ["USAGE on the schema"]), *found["lacking"]]
            raise BackendRejected(
                f"PostgreSQL at {self._place}: the role {found['role']!r} lacks {', '.join(lacking)}. As the owner of "
                f"the tables: {self._schema.grants(found['role'], read_only=self.read_only)}"
            )
        if hiding := found["hiding"]:
            off = "; ".join(f'ALTER TABLE "{self._schema.name}".{table} DISABLE ROW LEVEL SECURITY' for table in hiding)
            raise BackendRejected(
                f"PostgreSQL at {self._place}: row security of {', '.join(hiding)} may hide rows from the role "
                f"{found['role']!r}. As the owner of the tables: {off};"
            )

    async def _find(self, connection: asyncpg.Connection) -> Mapping[str, Any]:
        return await connection.fetchrow(  # type: ignore[no-any-return]
            _FIND, self._schema.name, self._wanted, not self.read_only, LAYOUTS, _OUR_COLUMNS
        )

    def _missing(self, found: Mapping[str, Any]) -> list[str]:
        """What we need of what a hub makes, and is not there."""
        return [part for part in (TABLES if self.read_only else PARTS) if part not in found["parts"]]

    def _check_is_ours(self, found: Mapping[str, Any]) -> None:
        name = self._schema.name
        if found["encoding"] != "UTF8":
            raise BackendRejected(
                f"PostgreSQL at {self._place}: the database {found['database']!r} has the encoding "
                f"{found['encoding']}, and the table may have any character: it needs UTF8. Make a database by CREATE "
                "DATABASE kvproxy ENCODING 'UTF8' TEMPLATE template0, and name it in PostgresBackend.url."
            )
        if strange := [layout for layout in found["layouts"] if layout != LAYOUT]:
            raise BackendRejected(
                f"PostgreSQL at {self._place}: the schema {name!r} has {strange[0]!r}, and this jhub-kvproxy uses "
                f"{LAYOUT!r}; upgrade jhub-kvproxy, or choose another PostgresBackend.schema."
            )
        if found["in_the_way"]:
            raise BackendRejected(
                f"PostgreSQL at {self._place}: in the schema {name!r}, {', '.join(found['in_the_way'])} is there, "
                "which no hub has made; choose another PostgresBackend.schema."
            )
        if lost := found["lost"]:
            tables = [f'"{name}".{table}' for table in dict.fromkeys(column.partition(".")[0] for column in lost)]
            raise BackendRejected(
                f"PostgreSQL at {self._place}: in the schema {name!r}, columns are gone: {', '.join(lost)}. As the "
                f"owner of the tables: DROP TABLE {', '.join(tables)}; the hub then makes and fills them again."
            )

    async def _make(self, connection: asyncpg.Connection) -> Mapping[str, Any]:
        # Another hub may make them at this moment. After an error, who has the connection drops it: to wait for the
        # answer to a ROLLBACK could take for ever.
        await connection.execute(
            f"BEGIN; SET LOCAL search_path = pg_catalog; SELECT pg_advisory_xact_lock({self._schema.lock})"
        )
        found = await self._find(connection)
        self._check_is_ours(found)
        if self._missing(found):
            self._check_may_make(found)
            await connection.execute(self._schema.makes(with_schema=not found["has_schema"]))
            found = await self._find(connection)
        await connection.execute("COMMIT")
        return found

    def _check_may_make(self, found: Mapping[str, Any]) -> None:
        name, role, missing = self._schema.name, found["role"], ", ".join(self._missing(found))
        by_hand = "(the how-to for PostgreSQL has the statements)."
        if found["of_others"]:
            raise BackendRejected(
                f"PostgreSQL at {self._place}: the schema {name!r} has lost {missing}, and the role {role!r} may not "
                f"make them, since it does not own {', '.join(found['of_others'])}. As their owner, make them again "
                f"{by_hand}"
            )
        if found["has_schema"] and not (found["may_make_tables"] and found["may_use"]):
            raise BackendRejected(
                f"PostgreSQL at {self._place}: the schema {name!r} lacks {missing}, and the role {role!r} may not "
                f'make them. As its owner: GRANT CREATE, USAGE ON SCHEMA "{name}" TO {quoted(role)}; or make the '
                f"tables yourself {by_hand}"
            )
        if not found["has_schema"] and not found["may_make_schema"]:
            raise BackendRejected(
                f"PostgreSQL at {self._place}: there is no schema {name!r}, and the role {role!r} may not make it. "
                f'As the owner of the database: CREATE SCHEMA "{name}" AUTHORIZATION {quoted(role)}; or make the '
                f"tables yourself {by_hand}"
            )
