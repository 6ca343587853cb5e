"""What Traefik's API answers, and answers of programs that are no Traefik, or of a broken one."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from jhub_kvproxy import TraefikError
from jhub_kvproxy.push import plugin
from jhub_kvproxy.routing.records import REVISION_HEADER, REVISION_NAME
from jhub_kvproxy.traefik.api import TraefikAPI
from jhub_kvproxy.traefik.endpoint import NoAnswer

MIDDLEWARE = {"headers": {"customResponseHeaders": {REVISION_HEADER: "a.1"}}}
#: Bodies that are no answer of Traefik's, whatever it was asked.
STRANGE = [
    b"",
    b"Hello",
    b"\xff\xfe",
    b"[" * 100_000,
    b"null",
    b"true",
    b"1",
    b'"text"',
    b"{}",
    b"[]",
    b'[{"name": 1}]',
    b'{"Version": null, "http": null, "headers": null}',
    b'{"Version": 3, "http": 3, "headers": 3}',
    b'{"Version": {}, "http": {"routers": null}, "headers": {"customResponseHeaders": null}}',
    b'{"Version": [], "http": {"routers": {"errors": "many"}}, "headers": {"customResponseHeaders": {"X": "a.1"}}}',
    json.dumps({"headers": {"customResponseHeaders": {REVISION_HEADER: None}}}).encode(),
]


@asynccontextmanager
async def server(answers):
    """An API that answers each path with what `answers` has for it, and others with 404."""

    async def answer(request):
        body = answers.get(request.path)
        if body is None:
            return web.Response(status=404)
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            yield TraefikAPI(f"http://127.0.0.1:{runner.addresses[0][1]}"), session
    finally:
        await runner.cleanup()


OVERVIEW, ROUTERS, REVISION = "/api/overview", "/api/http/routers", f"/api/http/middlewares/{REVISION_NAME}@file"


async def test_answers_of_traefik():
    answers = {
        "/api/version": {"Version": "3.7.15", "Codename": "x"},
        REVISION: MIDDLEWARE,
        OVERVIEW: {"http": {"routers": {"total": 2, "errors": 2}}},
        ROUTERS: [{"name": "a@file", "error": ["bad rule", "no service"]}, {"name": "b@file", "status": "disabled"}],
    }
    async with server({path: json.dumps(body).encode() for path, body in answers.items()}) as (api, session):
        assert await api.version(session) == "3.7.15"
        assert await api.revision(session, "file") == "a.1"
        assert await api.revision(session, "redis") is None
        assert await api.errors(session) == {"a@file": "bad rule; no service", "b@file": ""}


async def test_a_traefik_that_is_just_starting_is_said_to_be():
    async with server({}) as (api, session):
        with pytest.raises(
            TraefikError, match="/api/version answers 404; it is just starting, or is not Traefik's API"
        ):
            await api.version(session)


@pytest.mark.parametrize(
    "body",
    [
        *STRANGE,
        b'{"revision": "a.1", "form": "1", "routes": 1e999}',
        b'{"ages": {"a": 1%s}}' % (b"0" * 400),
        b'{"ages": {"a": NaN}}',
    ],
)
async def test_answers_that_are_not_of_the_plugin(body):
    async with server({plugin.TABLE: body, plugin.ACTIVITY: body}) as (api, session):
        for ask in (plugin.ask, plugin.ages):
            with pytest.raises(TraefikError, match="is not of our plugin"):
                await ask(api, session)


async def test_without_disabled_routers_there_are_no_errors():
    async with server({OVERVIEW: b'{"http": {"routers": {"total": 2, "errors": 0}}}'}) as (api, session):
        assert await api.errors(session) == {}


@pytest.mark.parametrize("body", STRANGE, ids=lambda body: body[:40].decode(errors="replace"))
async def test_a_strange_answer_is_a_traefik_error_that_names_the_question(body):
    async with server({"/api/version": body, REVISION: body, OVERVIEW: body}) as (api, session):
        for question, path in (
            (api.version(session), "/api/version"),
            (api.revision(session, "file"), REVISION),
            (api.errors(session), OVERVIEW),
        ):
            with pytest.raises(TraefikError, match=rf"{api.url} does not answer as Traefik does \({path}: ") as caught:
                await question
            # Whoever answers runs: it does not hang.
            assert not isinstance(caught.value, NoAnswer)
            assert len(str(caught.value)) < 400


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[1]", b'[{"name": 1}]', b'[{"name": "a", "error": [1]}]'])
async def test_a_strange_list_of_routers_is_a_traefik_error(body):
    async with server({OVERVIEW: b'{"http": {"routers": {"errors": 1}}}', ROUTERS: body}) as (api, session):
        with pytest.raises(TraefikError, match=rf"{api.url} does not answer as Traefik does \({ROUTERS}"):
            await api.errors(session)


SERVICES = "/api/http/services"


async def test_the_targets_of_a_providers_routers():
    routers = [
        {"name": "a@redis", "service": "x"},
        {"name": "b@redis", "service": "y@redis"},
        {"name": "c@file", "service": "x"},
        {"name": "parent@redis"},
    ]
    services = [
        {"name": "x@redis", "loadBalancer": {"servers": [{"url": "http://x:1"}]}},
        {"name": "y@redis", "loadBalancer": {"servers": [{"url": "http://y:1"}]}},
        {"name": "api@internal"},
    ]
    answers = {ROUTERS: json.dumps(routers).encode(), SERVICES: json.dumps(services).encode()}
    async with server(answers) as (api, session):
        assert await api.routes(session, "redis") == {"a": "http://x:1", "b": "http://y:1"}


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"1", b"[1]", b'{"message": "no"}', b"[" * 100_000])
async def test_strange_routers_or_services_are_a_traefik_error(body):
    for answers in ({ROUTERS: body, SERVICES: b"[]"}, {ROUTERS: b"[]", SERVICES: body}):
        async with server(answers) as (api, session):
            with pytest.raises(TraefikError, match=rf"{api.url} does not answer as Traefik does \(/api/http/"):
                await api.routes(session, "redis")
