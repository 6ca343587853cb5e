"""The table in files, under the kit."""

import json

import pytest

from jhub_kvproxy.testing import BackendSuite, TraefikSuite
from jhub_kvproxy_backends.toml import TomlBackend


class TestToml(BackendSuite, TraefikSuite):
    @pytest.fixture
    def backend(self, tmp_path):
        return TomlBackend(path=str(tmp_path / "table"), prefix="hub")

    async def read_raw(self, backend):
        return json.loads(backend.table_file.read_text())["keys"] if backend.table_file.exists() else {}
