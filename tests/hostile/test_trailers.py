"""What comes behind a body, once everything has been decided by what came before it."""

from __future__ import annotations

import pytest

from tests.hostile.actor import answering
from tests.hostile.scene import scene
from tests.http2 import fields
from tests.stores import Store
from tests.wire import request

SPOOFED = [("X-Real-Ip", "6.6.6.6"), ("X-Forwarded-Prefix", "/evil"), ("X_Forwarded_For", "6.6.6.6"), ("X-T", "v")]
#: Headers by which a message's end is found; as trailers they would change it afterwards.
FRAMING = ["Content-Length", "Transfer-Encoding", "Trailer"]


async def reads_trailers(actor, reader, writer):
    """Keeps what comes behind the body, and does not answer before it is complete."""
    while True:
        head, lines = await actor.head(reader), b""
        if "\nContent-Length: 4\r" in head:
            await reader.readexactly(4)
        else:
            await reader.readuntil(b"0\r\n")
            while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                lines += line
        actor.bodies.append(lines)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def chunked(path, trailers, *lines):
    announced = [f"Trailer: {', '.join(name for name, _ in trailers)}"] if trailers else []
    body = "4\r\nabcd\r\n0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers) + "\r\n"
    return request(path, "Transfer-Encoding: chunked", *announced, *lines, method="POST") + body.encode("latin-1")


@pytest.fixture(
    scope="module",
    params=[
        {"buffering": {"maxRequestBodyBytes": 10_000}},
        {"retry": {"attempts": 2, "status": ["503"], "retryNonIdempotentMethod": True}},
    ],
    ids=["buffering", "retry"],
)
def reading(request, tmp_path_factory, delivery):
    """A Traefik that has read a body, and what comes behind it, before it asks a server: the admin said so."""
    directory = tmp_path_factory.mktemp("reading")
    traits = {
        "extra_dynamic_config": {"http": {"middlewares": {"whole": request.param}}},
        "extra_static_config": {"entryPoints": {"public": {"http": {"middlewares": ["whole@file"]}}}},
        "delivery": delivery,
    }
    with scene(directory, Store("toml", {"path": str(directory / "table")}), {"/": "hub"}, **traits) as play:
        yield play


def test_a_trailer_does_not_reach_a_server(on_paths):
    """Servers that take it for a header would read what Traefik takes out of headers."""
    no_trailer_arrives(on_paths)


def test_a_trailer_does_not_reach_a_server_through_a_middleware_that_reads_it(reading):
    no_trailer_arrives(reading)


def no_trailer_arrives(scene):
    server = scene.play("/user/reader/", reads_trailers)
    for _ in range(2):
        scene.ask(chunked("/user/reader/", SPOOFED))
    lower = [(name.lower(), value) for name, value in SPOOFED]
    for announced in ([], [("trailer", ", ".join(name for name, _ in lower))]):
        scene.ask2(fields("POST", "/user/reader/", *announced), b"abcd", lower)
    assert server.bodies == [b""] * 4
    assert not any("6.6.6.6" in head or "/evil" in head for head in server.heads)


@pytest.mark.parametrize("name", FRAMING)
def test_a_trailer_that_tells_of_the_messages_end_is_refused(on_paths, name):
    [reply] = on_paths.ask(chunked("/user/alice/", [(name, "5")]))
    assert reply.server == "400"


@pytest.mark.parametrize("name", [*FRAMING, "Host", "Authorization", "Connection"])
def test_a_trailer_that_was_not_announced_is_dropped(on_paths, name):
    raw = chunked("/user/alice/", []).removesuffix(b"\r\n") + f"{name}: 5\r\n\r\n".encode()
    replies, seen = on_paths.converse(raw + request("/user/bob/", "Connection: close"))
    assert [reply.server for reply in replies] == ["alice", "bob"]
    assert sorted(body for _, body in seen) == ["", "abcd"]
    assert replies[0].sent("Host") == ["hub.example"]


@pytest.mark.parametrize("kind", ["value", "names"])
def test_trailers_without_end_are_refused(on_paths, kind):
    """No server gets the request as a complete one, or the trailers; and the others are served."""
    huge = [("X-T", "v" * (2 << 20))] if kind == "value" else [(f"X-{number}", "v") for number in range(100_000)]
    raw = b"4\r\nabcd\r\n0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in huge) + b"\r\n"
    on_paths.forget()
    replies, seen = on_paths.converse(request("/user/alice/", "Transfer-Encoding: chunked", method="POST") + raw)
    assert not any(reply.said for reply in replies)
    assert seen == []
    on_paths.ask2(fields("POST"), b"abcd", [(name.lower(), value) for name, value in huge[:20_000]])
    assert not any("\r\nX-1:" in head or "\r\nX-T:" in head for head, _ in on_paths.seen())
    [after] = on_paths.ask(request("/user/bob/"))
    assert after.server == "bob"


@pytest.mark.parametrize("name", ["content-length", "transfer-encoding", "host", ":path", ":method", "Upper", "a b"])
def test_a_trailer_over_http2_is_no_header(on_paths, name):
    reply = on_paths.ask2(fields("POST"), b"abcd", [(name, "5")])
    seen = on_paths.seen()
    assert reply.status in (200, 400, 0)
    assert [body for _, body in seen] == (["abcd"] if reply.status == 200 else [])
    assert not any(f"\n{name}: 5\r" in head.lower() for head, _ in seen)


def test_a_servers_trailer_stays_one(on_paths):
    """Whatever it is called, it is not among the headers, and what follows is read right."""
    names = ["Set-Cookie", "Content-Length", "Location", "X-T"]
    lines = "".join(f"{name}: 9\r\n" for name in names)
    answer = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n{lines}\r\n"
    on_paths.play("/user/late/", answering(answer.encode()))
    replies, _ = on_paths.converse(request("/user/late/") + request("/user/bob/", "Connection: close"))
    assert [reply.status for reply in replies] == [200, 200]
    assert (replies[0].body, replies[1].server) == (b"abcd", "bob")
    assert not any(f"\n{name}:".lower() in replies[0].head.lower() for name in names)


@pytest.mark.parametrize("name", FRAMING)
def test_a_server_may_not_announce_the_messages_end_as_a_trailer(on_paths, failure, name):
    answer = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: {name}\r\n\r\n0\r\n{name}: 9\r\n\r\n"
    on_paths.play("/user/late/", answering(answer.encode()))
    [reply] = on_paths.ask(request("/user/late/"))
    assert (reply.status, reply.body) == failure
