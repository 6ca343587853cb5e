"""What the backend makes in a database: tables, triggers, and the rights that a role needs. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from jhub_kvproxy import BackendRejected

#: The comment on each table and function that a hub made. A later jhub-kvproxy may have another layout.
LAYOUTS = "jhub-kvproxy layout "
LAYOUT = f"{LAYOUTS}1"
COLUMNS = {
    "keys": ("digest", "prefix", "key", "value"),
    "leases": ("digest", "prefix", "token", "holder", "since", "seconds", "expiry"),
    "recent": ("digest", "prefix", "who", "first", "number", "commits"),
}
TABLES = tuple(COLUMNS)
#: All that a hub makes, except an index.
PARTS = (*TABLES, "digest()", "tell()", "tell_inserts", "tell_updates", "tell_deletes", "tell_truncates")
#: Found in an index: B-trees refuse longer texts than 2700 bytes.
_INDEXED = 200
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
#: Whose changes a row of the table with the last changes tells.
HUBS, OTHERS = "hubs", "others"
WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema `name` of a database."""

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BackendRejected(
                "PostgresBackend.schema must have lower-case letters, digits and underscores only, at most 63."
            )
        if self.name in ("public", "information_schema") or self.name.startswith("pg_"):
            raise BackendRejected(
                f"PostgresBackend.schema must not be {self.name!r}: others keep tables and functions there, and "
                "their names may be those that a hub uses. Name a schema for hubs alone; the hub makes it."
            )

    @property
    def keys(self) -> str:
        """The table with the keys of all hubs."""
        return f'"{self.name}".keys'

    @property
    def leases(self) -> str:
        """The table that says which hub may write."""
        return f'"{self.name}".leases'

    @property
    def recent(self) -> str:
        """The table with the last changes."""
        return f'"{self.name}".recent'

    @property
    def of_prefix(self) -> str:
        """The condition for the rows of the prefix $1, by an index."""
        return f"left(prefix, {_INDEXED}) = left($1, {_INDEXED}) AND prefix = $1"

    @property
    def lock(self) -> int:
        """The number of the lock for who makes the tables."""
        return lock_of(f"{self.name} is made")

    def channel(self, prefix: str) -> str:
        """Where changes of the table of `prefix` are told."""
        return f"kvproxy_{digest(self.name, prefix).hex()[:40]}"

    def makes(self, *, with_schema: bool = True) -> str:
        """The statements that make all of it; they leave the rows alone that are there."""
        schema = f'"{self.name}"'
        first = f"CREATE SCHEMA IF NOT EXISTS {schema};\n\n" if with_schema else ""
        return f"""\
{first}CREATE OR REPLACE FUNCTION {schema}.digest(prefix text, key text) RETURNS bytea
    IMMUTABLE PARALLEL SAFE LANGUAGE sql
    RETURN sha256(convert_to(length(prefix) || ':' || prefix || key, 'UTF8'));

CREATE TABLE IF NOT EXISTS {schema}.keys (
    digest bytea PRIMARY KEY GENERATED ALWAYS AS ({schema}.digest(prefix, key)) STORED,
    prefix text NOT NULL,
    key text NOT NULL,
    value text NOT NULL
);
CREATE INDEX IF NOT EXISTS keys_of_prefix ON {schema}.keys (left(prefix, {_INDEXED}));

CREATE TABLE IF NOT EXISTS {schema}.leases (
    digest bytea PRIMARY KEY GENERATED ALWAYS AS ({schema}.digest(prefix, '')) STORED,
    prefix text NOT NULL,
    token text NOT NULL,
    holder text NOT NULL,
    since timestamptz NOT NULL,
    seconds double precision NOT NULL,
    expiry timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS {schema}.recent (
    digest bytea PRIMARY KEY GENERATED ALWAYS AS ({schema}.digest(prefix, who)) STORED,
    prefix text NOT NULL,
    who text NOT NULL,
    first bigint NOT NULL,
    number bigint NOT NULL,
    commits text[] NOT NULL
);

CREATE OR REPLACE FUNCTION {schema}.tell() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
DECLARE
    changed text;
BEGIN
    -- A hub notes by itself what it has changed.
    IF current_setting('kvproxy.is_told', true) = 'yes' THEN
        RETURN NULL;
    END IF;
    FOR changed IN EXECUTE CASE TG_OP
        WHEN 'TRUNCATE' THEN 'SELECT DISTINCT prefix FROM {schema}.keys'
        WHEN 'UPDATE' THEN 'SELECT prefix FROM touched UNION SELECT prefix FROM before'
        ELSE 'SELECT DISTINCT prefix FROM touched'
    END LOOP
        INSERT INTO {schema}.recent (prefix, who, first, number, commits)
            SELECT changed, '{OTHERS}', now, now, '{{}}' FROM (SELECT pg_current_xact_id()::text::bigint) AS xact(now)
            ON CONFLICT (digest) DO UPDATE SET number = excluded.number;
        PERFORM pg_notify('kvproxy_' || left(encode({schema}.digest(TG_TABLE_SCHEMA, changed), 'hex'), 40), '');
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_inserts AFTER INSERT ON {schema}.keys
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION {schema}.tell();
CREATE OR REPLACE TRIGGER tell_updates AFTER UPDATE ON {schema}.keys
    REFERENCING OLD TABLE AS before NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION {schema}.tell();
CREATE OR REPLACE TRIGGER tell_deletes AFTER DELETE ON {schema}.keys
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION {schema}.tell();
CREATE OR REPLACE TRIGGER tell_truncates BEFORE TRUNCATE ON {schema}.keys
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.tell();

COMMENT ON TABLE {schema}.keys IS '{LAYOUT}';
COMMENT ON TABLE {schema}.leases IS '{LAYOUT}';
COMMENT ON TABLE {schema}.recent IS '{LAYOUT}';
COMMENT ON FUNCTION {schema}.digest(text, text) IS '{LAYOUT}';
COMMENT ON FUNCTION {schema}.tell() IS '{LAYOUT}';
"""

    def grants(self, role: str, *, read_only: bool) -> str:
        """The statements that give `role` what a hub needs, or an agent, which reads only."""
        rights = "SELECT" if read_only else ", ".join(WRITES)
        to = quoted(role)
        grants = [f'GRANT USAGE ON SCHEMA "{self.name}" TO {to};']
        grants.append(f'GRANT {rights} ON ALL TABLES IN SCHEMA "{self.name}" TO {to};')
        if not read_only:
            grants.append(f'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "{self.name}" TO {to};')
        return " ".join(grants)


def quoted(name: str) -> str:
    """`name` as it may be in a statement."""
    return '"' + name.replace('"', '""') + '"'


def digest(prefix: str, key: str) -> bytes:
    """The primary key of a row, as the function ``digest`` of a schema computes it."""
    return hashlib.sha256(f"{len(prefix)}:{prefix}{key}".encode()).digest()


def lock_of(text: str) -> int:
    """A number for an advisory lock: the same for the same text, and another for any other."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)
