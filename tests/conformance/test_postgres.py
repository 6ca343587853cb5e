"""The driver for PostgreSQL is what the contract says, on a real server, as a role with the documented rights only."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite, TraefikSuite
from jhub_kvproxy_backends._postgres_schema import Schema
from jhub_kvproxy_backends.postgres import PostgresBackend

SCHEMA = Schema("kvproxy")


class TestPostgres(BackendSuite, OutageSuite, TraefikSuite):
    unsupported_characters = "\0"
    # A transaction may stand still for 0.3 of it, on a busy machine too.
    time_limit = 4.0

    @pytest.fixture
    def backend(self, postgres):
        self.postgres = postgres
        self.role = f"hub-{uuid4().hex}"
        postgres.add_role(self.role)
        if postgres.ask(f"SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA.name}'") == "":
            postgres.ask(SCHEMA.makes())
        postgres.ask(SCHEMA.grants(self.role, read_only=False))
        yield PostgresBackend(url=postgres.url_of(self.role), prefix=self.role)
        postgres.ask(f'DROP OWNED BY "{self.role}"; DROP ROLE "{self.role}"')

    async def forbid(self, backend):
        self.postgres.ask(f'REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA.name} FROM "{self.role}"')

    @pytest.fixture
    def address(self, postgres):
        return "127.0.0.1", postgres.port

    def through(self, host, port):
        return {"url": f"postgresql://{self.role}@{host}:{port}/postgres", "timeout": self.time_limit}

    async def read_raw(self, backend):
        prefix = backend.prefix.replace("'", "''")
        rows = f"SELECT json_agg(json_build_array(key, value)) FROM {SCHEMA.keys} WHERE prefix = '{prefix}'"
        return dict(json.loads(self.postgres.ask(rows) or "[]"))
