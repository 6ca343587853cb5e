"""Frames of HTTP/2 in any order, with TLS and without: servers see requests or nothing, and others are served."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from tests.hostile.chp import PATHS
from tests.hostile.explore import explore
from tests.hostile.frames import HIDDEN, INJECTED, conversations
from tests.hostile.scene import scene
from tests.http2 import fields
from tests.public_tls import Certificates
from tests.stores import Store


@pytest.fixture(scope="module", params=["tls", "h2c"])
def door(request, tmp_path_factory):
    """A proxy whose public port speaks HTTP/2 over TLS, or without it to those who begin with it."""
    directory = tmp_path_factory.mktemp("door")
    certificates = Certificates(directory) if request.param == "tls" else None
    with scene(directory, Store("toml", {"path": str(directory / "table")}), PATHS, certificates) as play:
        yield play


@pytest.mark.fuzz
def test_any_frames_make_requests_or_nothing(door):
    supervisor, seen = door.proxy.control.local.supervisors[0], 0
    pid = supervisor._pid

    @given(conversations())
    def for_all(raw):
        nonlocal seen
        door.pour(raw)
        for head, _ in door.seen(raw):
            seen += 1
            assert is_a_request(head), f"{head!r} came of {raw!r}"
        reply = door.ask2(fields("GET", "/user/bob/"))
        assert (reply.server, supervisor._pid) == ("bob", pid), raw

    explore(for_all, 200)
    assert seen > 30


def is_a_request(head):
    """Whether there is nothing in it but what a client said in one field, and what Traefik says."""
    line, *lines = head.split("\r\n")
    names = [line.partition(":")[0].lower() for line in lines if line]
    return (
        re.fullmatch(r"[!-~]+ /[!-~]* HTTP/1\.1", line)
        and HIDDEN.decode() not in head
        and INJECTED not in lines
        and names.count("host") == 1
        and "X-Forwarded-For: 127.0.0.1" in lines
    )
