"""The state file of a Traefik, as we write it and damaged."""

from __future__ import annotations

import pytest

from jhub_kvproxy.traefik.program import Program
from jhub_kvproxy.traefik.state import State


def test_what_is_written_is_read(tmp_path):
    state = State(7, 8099, Program("hash", "3.7.15", {"/x": (1, 2, 3)}), ("dynamic/a.toml",), 12)
    (tmp_path / "state").write_bytes(state.to_bytes())
    assert State.read(tmp_path / "state") == state


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"pid": 1e400, "api_port": 8099}',
        b'{"pid": 0, "api_port": 8099}',
        b'{"pid": -1, "api_port": 8099}',
        b'{"pid": 99999999999999999999, "api_port": 8099}',
        b'{"pid": "7", "api_port": 8099}',
        b'{"pid": 7, "api_port": 70000}',
        b'{"pid": 7, "api_port": null}',
        b'{"pid": 7, "api_port": 8099, "written": 3}',
        b'{"pid": 7, "api_port": 8099, "written": null}',
        b'{"pid": 7, "api_port": 8099, "term": "x"}',
        b'{"pid": 7, "api_port": 8099, "tern": 1}',
    ],
    ids=lambda content: content[:50].decode(errors="replace"),
)
def test_a_damaged_file_is_none(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    assert State.read(tmp_path / "state") is None


def test_no_file_is_none(tmp_path):
    assert State.read(tmp_path / "state") is None
