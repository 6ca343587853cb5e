"""Messages to the plugin that are no tables, or half of one: all of it is taken, or nothing, and nothing panics."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy.push.plugin import ACTIVITY, TABLE
from jhub_kvproxy.routing.revision import Revision
from tests.hostile.explore import explore
from tests.hostile.messages import FOUND, NOBODY, ONE, TERM, TWO, messages, read
from tests.hostile.scene import scene
from tests.stores import Store
from tests.wire import Wire, request

PATHS = ["/x", "/a/x", "/a/b/x", "/a/b/c%2Fd"]
METHODS = ["PUT", "PUT", "PATCH", "PATCH", "PATCH", "GET", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "put", "X"]
PLACES = [*[TABLE] * 8, f"{TABLE}?x=%zz", f"{TABLE}/", f"{TABLE}x", ACTIVITY, "/kvproxy/", "/kvproxy/%74able"]
HEADERS = [[], [], [], ["Content-Encoding: gzip"], ["Content-Type: text/plain"], ["Expect: 100-continue"]]


class Plugin:
    """What the plugin should serve, and a connection to it on which nothing is checked before it is sent."""

    def __init__(self, play):
        self._play = play
        self._supervisor = play.proxy.control.local.supervisors[0]
        self.pid, instance = self._supervisor._pid, self._supervisor._instance
        self._wire = Wire(instance.api_port)
        self._credential = base64.b64encode(f"kvproxy:{instance.api_password}".encode()).decode()
        self._urls = {name: play.run(play.echo(name)).url for name in ("one", "two")}
        self._term = 1 << 40

    def begin(self):
        """Let it have a table of two routes, newer than any before."""
        self._term += 1
        self.revision, self.form = f"{self._term:x}-w.5", "f"
        self.routes = {"": {"t": self._urls["one"]}, "/a": {"t": self._urls["two"]}}
        message = {"revision": self.revision, "form": self.form, "put": self.routes}
        assert self.send("PUT", TABLE, json.dumps(message).encode()).status == 200

    def send(self, method, path, body, *headers):
        credential = f"Authorization: Basic {self._credential}"
        return self._play.run(self._wire.ask(request(path, credential, *headers, method=method, body=body)))

    def filled(self, body):
        """The message as it is sent."""
        for name, value in ((TERM, f"{self._term:x}"), (ONE, self._urls["one"]), (TWO, self._urls["two"])):
            body = body.replace(name.encode(), value.encode())
        return body

    def take(self, method, message):
        """Know what an accepted message says."""
        assert method == "PUT" or (message["from"], message["form"]) == (self.revision, self.form)
        assert Revision.read(message["revision"]).rank >= Revision.read(self.revision).rank
        kept = self.routes if method == "PATCH" else {}
        self.routes = {key: route for key, route in kept.items() if key not in message["delete"]} | message["put"]
        self.revision, self.form = message["revision"], message["form"]

    def try_message(self, method, place, body, *headers):
        """The status of the answer to it, once it is clear that it was taken whole or not at all."""
        self.begin()
        body = self.filled(body)
        reply = self.send(method, place, body, *headers)
        said = f"CORPUS {method} {place} {body[:500]!r}: {reply}"
        assert reply.status in (200, 400, 404, 405, 409), said
        try:
            if reply.status == 200 and method in ("PUT", "PATCH"):
                self.take(method, read(body))
            self.check()
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            raise AssertionError(said) from error
        return reply.status

    def check(self):
        """It serves what it should, and still runs."""
        said = json.loads(self.send("GET", TABLE, b"").body)
        assert (said["revision"], said["form"], said["routes"]) == (self.revision, self.form, len(self.routes))
        servers = {path: server for path in PATHS if (server := self._server(path))}
        assert [reply.server for reply in self._play.ask(*map(request, servers))] == [*servers.values()]
        assert self._supervisor._pid == self.pid

    def _server(self, key):
        """Who gets requests for this path; None: a changed bit made the target, which may be anybody's."""
        while key not in self.routes:
            if not key:
                return "404"
            key = key.rpartition("/")[0]
        known = {url: name for name, url in self._urls.items()} | {NOBODY: "502"}
        return known.get(self.routes[key]["t"])

    async def close(self):
        await self._wire.close()


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    directory = tmp_path_factory.mktemp("messages")
    with scene(directory, Store("toml", {"path": str(directory / "table")}), {"/": "hub"}) as play:

        async def be_silent():
            play.proxy.control.delivery.watch([])  # or the hub would bring its own table back

        play.run(be_silent())
        plugin = Plugin(play)
        yield plugin
        play.run(plugin.close())


@pytest.mark.fuzz
def test_any_message_is_taken_whole_or_not_at_all(plugin):
    seen = set()

    @given(st.sampled_from(METHODS), st.sampled_from(PLACES), messages(), st.sampled_from(HEADERS))
    def for_all(method, place, body, headers):
        seen.add((method, plugin.try_message(method, place, body, *headers)))

    explore(for_all, 500)
    assert {("PUT", 200), ("PUT", 400), ("PUT", 409), ("PATCH", 200), ("PATCH", 400), ("PATCH", 409)} <= seen


@pytest.mark.parametrize("name", FOUND)
def test_a_message_that_was_found_is_taken_whole_or_not_at_all(plugin, name):
    method, text, status = FOUND[name]
    assert plugin.try_message(method, TABLE, text.encode()) == status


_MB = 1 << 20
_HEAD = f'{{"revision":"{1 << 50:x}-w.1","form":"f",'
REFUSED = {
    "names of routes without end": f'{_HEAD}"delete":[' + '"",' * (_MB // 3),
    "names of routes, and no table": f'{_HEAD}"delete":[' + '"",' * (_MB // 3) + '""]}',
    "depth without end": f'{_HEAD}"later":' + "[" * _MB,
    "a list without end": f'{_HEAD}"later":[' + "[]," * (_MB // 3),
    "a text without end": f'{_HEAD}"later":"' + "x" * _MB,
    "a name without end": f'{_HEAD}"' + "x" * _MB,
    "a route without end": f'{_HEAD}"put":{{"/' + "x" * _MB,
    "routes without end": f'{_HEAD}"put":{{' + "".join(f'"/user/{n}":{{"t":"http://a"}},' for n in range(500)),
    "a target that is none": f'{_HEAD}"put":{{"/a":{{"t":"http://' + "a" * _MB + '"}}',
    "a number that is none": f'{_HEAD}"put":{{"/a":{{"t":"http://a","s":' + "1" * _MB + "}}}",
}


def test_what_is_refused_stays_nowhere(plugin):
    """100 MB of it: Traefik needs a few MB for one, and gives them back."""
    plugin.begin()
    before = resident(plugin.pid)
    for _ in range(12):
        for text in REFUSED.values():
            reply = plugin.send("PUT", TABLE, text.encode())
            assert (reply.status, len(reply.body) < 5000) == (400, True)
    plugin.check()
    assert resident(plugin.pid) < before + 80 * _MB


def resident(pid):
    """How many bytes of memory the process has."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024
