import sqlite3
from contextlib import closing

import pytest
from jhub_kvproxy_sqlite import SqliteBackend

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch
from jhub_kvproxy.testing import BackendSuite, TraefikSuite

RULE = "traefik/http/routers/a/rule"


class TestSqlite(BackendSuite, TraefikSuite):
    stopped_holder_blocks = "SQLite waits for the locks of a process that is stopped."

    @pytest.fixture
    def backend(self, tmp_path):
        return SqliteBackend(path=str(tmp_path / "table"), prefix="hub")

    async def read_raw(self, backend):
        with closing(sqlite3.connect(backend.database)) as database:
            return dict(database.execute("SELECT key, value FROM keys WHERE prefix = ?", (backend.prefix,)))

    @pytest.mark.asyncio
    async def test_a_file_that_differs_is_made_again(self, kit):
        """A crash between the commit and the file leaves such a file."""
        file = kit.backend.traefik_file
        await kit.backend.apply(Batch({RULE: 'Path("/{{a")'}))
        written = file.read_text()
        assert "Path" in written
        assert "{{" not in written, "Traefik runs templates."
        for spoil in (file.unlink, lambda: file.write_text("old")):
            spoil()
            await kit.backend.load()
            assert file.read_text() == written

    @pytest.mark.asyncio
    async def test_a_database_that_is_locked_damaged_or_gone_is_no_empty_table(self, kit):
        file = kit.backend.database
        impatient = kit.new(timeout=0.1)
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(BackendUnavailable, match=file.name):
                await impatient.load()
        file.write_text("This is no database." * 100)
        with pytest.raises(BackendRejected, match=file.name):
            await kit.backend.load()
        file.unlink()
        with pytest.raises(BackendRejected, match=file.name):
            await kit.backend.load()
        assert not file.exists()
