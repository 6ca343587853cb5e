"""What a store answers may be anything, such as JSON that is nested too deeply for Python to read."""

from __future__ import annotations

import base64
import json

import pytest

from jhub_kvproxy import BackendRejected
from jhub_kvproxy_backends import _consul_api, _etcd_lease, _redis_lease
from jhub_kvproxy_backends._network import Answer

DEEP = b"[" * 100_000


def test_an_answer_that_is_too_deep_is_not_consuls():
    with pytest.raises(BackendRejected):
        _consul_api.parsed(Answer(200, {}, DEEP, "http://127.0.0.1:8500"), dict)


async def test_neither_is_a_table():
    body = b'{"Results": [' + DEEP
    with pytest.raises(BackendRejected):
        await _consul_api.read_tree(Answer(200, {}, body, "http://127.0.0.1:8500"), "kvproxy/")


def test_a_lease_that_is_too_deep_is_somebodys():
    value = {"value": base64.b64encode(DEEP).decode()}
    assert _etcd_lease._holder(json.loads(json.dumps(value))) == "somebody (the key does not say who)"
    assert _redis_lease._holder(_redis_lease._read(DEEP)).startswith("something that is no lease of ours")
