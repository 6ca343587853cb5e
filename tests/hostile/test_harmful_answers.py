"""What users' servers answer to harm whoever is behind them, or before them: other users, and Traefik."""

from __future__ import annotations

import asyncio

import pytest

from tests.hostile.actor import answering
from tests.http2 import fields
from tests.wire import request

OK = "HTTP/1.1 200 OK\r\n"
EVIL = f"{OK}Content-Length: 4\r\n\r\nevil"
BOB = request("/user/bob/", "Connection: close")

#: Where such an answer ends can be read in two ways, or not at all.
UNCLEAR = {
    "two lengths": f"{OK}Content-Length: 2\r\nContent-Length: 51\r\n\r\nab{EVIL}",
    "a list of lengths": f"{OK}Content-Length: 2, 2\r\n\r\nab",
    "a negative length": f"{OK}Content-Length: -1\r\n\r\n",
    "a signed length": f"{OK}Content-Length: +2\r\n\r\nab",
    "a hexadecimal length": f"{OK}Content-Length: 0x2\r\n\r\nab",
    "a length of many digits": f"{OK}Content-Length: 99999999999999999999\r\n\r\nab",
    "another coding": f"{OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": f"{OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no coding": f"{OK}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "no HTTP": "ab\r\n\r\n",
    "no status": "HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "a long status": "HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n",
    "a NUL": f"{OK}X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": f"{OK}X: a\rX-B: c\r\nContent-Length: 0\r\n\r\n",
    "a header without name": f"{OK}: a\r\nContent-Length: 0\r\n\r\n",
    "a header that is none": f"{OK}X\r\nContent-Length: 0\r\n\r\n",
    "a first line that goes on": f"{OK} X: a\r\nContent-Length: 0\r\n\r\n",
    "a head without bound": f"{OK}X: {'a' * (11 << 20)}\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_is_an_error(on_paths, failure, answer):
    """The client gets the proxy's own answer, without the server's bytes, and its next request goes where it should."""
    server = on_paths.play("/user/evil/", answering(answer.encode("latin-1")))
    replies, _ = on_paths.converse(request("/user/evil/") + BOB)
    assert [reply.server for reply in replies] == [str(failure[0]), "bob"]
    assert replies[0].body == failure[1]
    [again] = on_paths.ask(request("/user/evil/"))
    assert again.status == failure[0]
    assert server.connections == 2


#: And such an answer breaks off.
BROKEN = {
    "too short": f"{OK}Content-Length: 9\r\nConnection: close\r\n\r\nab",
    "chunks without end": f"{OK}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n",
    "a chunk too short": f"{OK}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\nab",
    "no chunk": f"{OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "a huge chunk": f"{OK}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n",
    "a chunk without its end": f"{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n",
    "a chunk with a bare line feed": f"{OK}Transfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n",
    "chunks of extensions": f"{OK}Transfer-Encoding: chunked\r\n\r\n" + f"1;{'a' * 4000}\r\nx\r\n" * 200 + "0\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_not_ended_properly(on_paths, answer):
    """The client's connection breaks as well: else half an answer would be taken, and kept, for a whole one."""
    server = on_paths.play("/user/evil/", answering(answer.encode()))
    replies, seen = on_paths.converse(request("/user/evil/") + BOB)
    assert replies == []
    assert seen == []
    over_http2 = on_paths.ask2(fields("GET", "/user/evil/"))
    assert over_http2.status == 0
    assert server.connections == 2
    [after] = on_paths.ask(request("/user/bob/"))
    assert after.server == "bob"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", f"{OK}Content-Length: {len(EVIL)}\r\n\r\n"),
        ("HEAD", f"{OK}Transfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", f"HTTP/1.1 204 No Content\r\nContent-Length: {len(EVIL)}\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET", f"HTTP/1.1 304 Not Modified\r\nContent-Length: {len(EVIL)}\r\n\r\n"),
        ("GET", f"{OK}Content-Length: 0\r\n\r\n"),
        ("GET", f"{OK}Content-Length: 2\r\n\r\nok"),
        ("GET", f"{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("GET", f"{OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
def test_an_answer_that_nobody_asked_for_is_nobodys(on_paths, method, answer):
    """A server that says more than was asked loses its connection; the next request gets its own answer."""
    gone = asyncio.Event()

    async def act(actor, reader, writer):
        head = await actor.head(reader)
        if "/first" not in head:
            writer.write(f"{OK}Content-Length: 4\r\n\r\nmine".encode())
            return await actor.rest(reader)
        writer.write(f"{answer}{EVIL}".encode())
        try:
            await actor.rest(reader)
        finally:
            gone.set()

    server = on_paths.play("/user/evil/", act)
    [first] = on_paths.ask(request("/user/evil/first", method=method))
    assert first.status in (200, 204, 304)
    on_paths.run(asyncio.wait_for(gone.wait(), 30))
    [second] = on_paths.ask(request("/user/evil/second"))
    assert second.body == b"mine"
    assert (server.bodies, server.connections) == ([], 2)


def test_what_a_server_says_reaches_its_own_users_only(on_paths):
    """Connections are kept for each server by itself, so that it can spoil its own answers at most."""
    server = on_paths.play("/user/evil/", answering(f"{OK}Content-Length: 0\r\n\r\n{EVIL}".encode()))
    for _ in range(50):
        replies = on_paths.ask(request("/user/evil/"), request("/user/bob/"), request("/user/alice/"))
        assert [reply.server for reply in replies[1:]] == ["bob", "alice"]
    assert server.heads


def test_servers_are_not_offered_http2_by_the_plugin(on_paths, delivery):
    """With HTTP/1.1 alone, nothing has to be translated, where an answer's end could change its place."""

    async def act(actor, reader, writer):
        actor.bodies.append(await reader.read(65536))  # the first message of TLS, which has what is offered (ALPN)

    server = on_paths.play("/user/secret/", act, scheme="https")
    on_paths.ask(request("/user/secret/"))
    assert server.bodies[0].startswith(b"\x16\x03")
    assert (b"\x02h2" in server.bodies[0]) == (delivery == "store")


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_informational_answers_are_handed_on_one_by_one(on_paths, status):
    """A thousand of them come before the answer; nobody waits for memory, and what follows is read right."""
    answer = f"HTTP/1.1 {status}\r\nLink: </a>\r\n\r\n" * 1000 + f"{OK}Content-Length: 2\r\n\r\nok"
    on_paths.play("/user/talker/", answering(answer.encode()))
    replies, _ = on_paths.converse(request("/user/talker/") + BOB)
    assert [(reply.status, reply.body[:2]) for reply in replies[-2:]] == [(200, b"ok"), (200, b'{"')]
    assert {reply.status for reply in replies[:-2]} == {int(status[:3])}
    assert "link" not in replies[-2].head.lower()


def test_what_is_meant_for_the_connection_stays_there(on_paths):
    """The client may not be told of the connection behind: not to upgrade it, not to authenticate on it."""
    hop = ["Keep-Alive: 5", "Proxy-Authenticate: Basic", "Proxy-Connection: x", "Te: x", "Upgrade: h2c", "X-Named: a"]
    lines = "\r\n".join(["Connection: X-Named, Upgrade", *hop, "X-Other: b", "Set-Cookie: c=d", "Content-Length: 0"])
    on_paths.play("/user/near/", answering(f"{OK}{lines}\r\n\r\n".encode()))
    [reply] = on_paths.ask(request("/user/near/"))
    names = {line.partition(":")[0].lower() for line in reply.head.split("\r\n")[1:-2]}
    assert names == {"x-other", "set-cookie", "content-length", "date"}


def test_an_answer_of_two_framings_has_one_for_the_client(on_paths):
    """Chunks count (RFC 9112, 6.3); two equal lengths are one."""
    both = f"{OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    on_paths.play("/user/both/", answering(both.encode()))
    on_paths.play("/user/twice/", answering(f"{OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok".encode()))
    [chunks], [length] = on_paths.ask(request("/user/both/")), on_paths.ask(request("/user/twice/"))
    assert (chunks.body, length.body) == (b"hello", b"ok")
    assert "content-length" not in chunks.head.lower()
    assert length.head.lower().count("content-length") == 1


@pytest.mark.parametrize("status", ["000", "099"])
def test_a_status_that_is_none_harms_nobody_else(on_paths, status):
    """Go does not write such an answer, and panics."""
    on_paths.play("/user/evil/", answering(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()))
    replies, _ = on_paths.converse(request("/user/evil/") + BOB)
    assert [reply.status for reply in replies] in ([], [500, 200])
    [after] = on_paths.ask(request("/user/bob/"))
    assert after.server == "bob"
