"""A stranger writes into the store where Traefik reads: users have their servers back when it is repaired.

He may do everything there; what he does is undone, and with ``delivery = "push"`` nobody notices it.
"""

from __future__ import annotations

import time

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend
from tests.hostile.scene import scene
from tests.stores import find_store
from tests.wire import request

ROUTES = {"/": "hub", "/user/alice/": "alice", "/user/bob/": "bob"}
ASKED = {"/hub/login": "hub", "/user/alice/": "alice", "/user/bob/x": "bob", "/user/carol/": "hub"}
ROUTERS, MIDDLEWARES = "traefik/http/routers", "traefik/http/middlewares"
ALL = "PathPrefix(`/`)"

POISONS = {
    "takes everything": {
        f"{ROUTERS}/evil/rule": ALL,
        f"{ROUTERS}/evil/priority": "2000000000",
        f"{ROUTERS}/evil/service": "evil",
        "traefik/http/services/evil/loadBalancer/servers/0/url": "http://127.0.0.1:1",
    },
    "a broken rule": {f"{ROUTERS}/evil/rule": "PathPrefix(`/user`", f"{ROUTERS}/evil/service": "nobody"},
    "a wrong type": {f"{ROUTERS}/evil/rule": ALL, f"{ROUTERS}/evil/priority": "much"},
    "parents in a circle": {
        f"{ROUTERS}/a/rule": ALL,
        f"{ROUTERS}/a/parentRefs": "b",
        f"{ROUTERS}/b/rule": ALL,
        f"{ROUTERS}/b/parentRefs": "a",
    },
    "a middleware that is its own": {
        f"{MIDDLEWARES}/loop/chain/middlewares": "loop",
        f"{ROUTERS}/evil/rule": "PathPrefix(`/user/carol`)",
        f"{ROUTERS}/evil/middlewares": "loop",
        f"{ROUTERS}/evil/service": "14.p",
    },
    "an unknown kind": {"traefik/http/routers/evil/nonsense/more": "1", f"{MIDDLEWARES}/evil/nonsense": "1"},
    "no text": {f"{ROUTERS}/evil/rule": "\x00\x01\x7f", f"{ROUTERS}/\u202e\u00e9/rule": ALL},
    "much": {f"{MIDDLEWARES}/evil/headers/customResponseHeaders/X": "x" * 200_000},
    "a record that is none": {"routes/evil": "{", "routes/p.user.alice": "[]"},
    "another's address": {"traefik/http/services/14.p/loadBalancer/servers/0/url": "http://127.0.0.1:1"},
}


@pytest.fixture(params=["toml", "etcd", "consul", "redis"])
def store(request, tmp_path):
    return find_store(request.param, request, tmp_path)


def asked(play):
    return [reply.server for reply in play.ask(*map(request, ASKED))]


async def poison(store, keys):
    """Write `keys` as one who has what the hub has, and no lease."""
    backend = find_backend(store.name)(config=store.config, prefix=store.prefix)
    await backend.open()
    try:
        await backend.apply(Batch(keys))
    finally:
        await backend.close()


async def is_repaired(store, keys):
    backend = find_backend(store.name)(config=store.config, prefix=store.prefix)
    await backend.open()
    try:
        there = (await backend.load()).keys
        return not any(there.get(key) == value for key, value in keys.items())
    finally:
        await backend.close()


def wait(condition, why):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def test_what_a_stranger_writes_is_undone(store, tmp_path):
    """Traefik reads the store: until it is repaired, users may notice it; then they have all that they had."""
    with scene(tmp_path, store, ROUTES, delivery="store") as play:
        assert asked(play) == list(ASKED.values())
        for name, keys in POISONS.items():
            play.run(poison(store, keys))
            wait(lambda keys=keys: play.run(is_repaired(store, keys)), f"{name}: it is not repaired")
            wait(lambda: asked(play) == list(ASKED.values()), f"{name}: users do not have their servers back")
        play.run(play.proxy.add_route("/user/dave/", play.echoes["bob"].url, {}))
        assert len(play.run(play.proxy.get_all_routes())) == len(ROUTES) + 1


def test_nobody_notices_when_the_hub_hands_out_the_table(store, tmp_path):
    keys = {key: value for poison in POISONS.values() for key, value in poison.items()}
    with scene(tmp_path, store, ROUTES, delivery="push") as play:
        play.run(poison(store, keys))
        while not play.run(is_repaired(store, keys)):
            assert asked(play) == list(ASKED.values())
        assert asked(play) == list(ASKED.values())


DAMAGE = [
    b"",
    b"\x00\xff\xfe",
    b"[http",
    b"[http.routers.evil]\nrule = 1\n",
    b"{{ env `HOME` }}",
    b"x = '" + b"y" * (1 << 20),
]


@pytest.mark.parametrize("store", ["toml"], indirect=True)
def test_a_damaged_table_file_is_written_anew(store, tmp_path):
    with scene(tmp_path, store, ROUTES, delivery="store") as play:
        [file] = tmp_path.rglob("routes.toml")
        good = file.read_bytes()
        for damage in DAMAGE:
            file.write_bytes(damage)
            # Traefik keeps what it had while it cannot read one; the next change writes it anew at the latest.
            play.run(play.proxy.add_route("/user/dave/", play.echoes["bob"].url, {}))
            play.run(play.proxy.delete_route("/user/dave/"))
            assert asked(play) == list(ASKED.values()), damage[:20]
        assert [line for line in file.read_bytes().splitlines() if b"evision" not in line] == [
            line for line in good.splitlines() if b"evision" not in line
        ]
