"""What the plugin, or what stands in its place, does not take, and what the hub says of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import aiohttp
import pytest
from aiohttp import web

from jhub_kvproxy import RouteNotReady
from jhub_kvproxy.push import plugin
from jhub_kvproxy.routing import routes
from jhub_kvproxy.routing.revision import Revision
from tests.plugin import told
from tests.servers import serving
from tests.site import leave


async def test_a_replica_without_the_plugin_is_explained(site, caplog):
    store = await site.started()
    api = store.control.local.supervisors[0].api
    proxy = site.proxy(
        delivery="push",
        should_start=False,
        traefik_api_urls=[api.url],
        traefik_api_username="kvproxy",
        traefik_api_password=store.control.local.supervisors[0]._instance.api_password,
        ready_timeout=1,
        prefix="other",
    )
    with pytest.raises(RouteNotReady, match="does not have our plugin"):
        await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
    assert "does not have our plugin (404 for /kvproxy/table)" in caplog.text
    assert caplog.text.count("does not have our plugin") == 1


async def test_a_cut_off_or_senseless_message_changes_nothing(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    api = proxy.control.local.supervisors[0].api
    async with aiohttp.ClientSession() as session, told(proxy) as tell:
        before = (await tell()).served
        newest = Revision.read(before.revision).next(9).text
        whole = json.dumps({"revision": newest, "form": "x", "put": {"": {"t": "http://127.0.0.1:1"}}})
        wrong = [whole[:-1], whole[:20], "", "[]", "null", whole + "x", whole.replace("http:", "ftp:")]
        wrong += [
            json.dumps({"revision": newest, "form": "x"}),
            whole.replace(f'"{newest}"', '""'),
            whole.replace('"http://127.0.0.1:1"', "7"),
        ]
        for body in wrong:
            status, answer = await api.exchange(session, "PUT", plugin.TABLE, data=body.encode(), timeout=5)
            assert status == 400, body
            assert json.loads(answer)["error"]
            assert (await tell()).served == before
        assert await site.client.server("/user/a/") == "a"


async def test_an_older_revision_does_not_come_back(site):
    """As when an answer was lost, and the message comes late."""
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    async with told(proxy) as tell:
        served = (await tell()).served
        writer, _, number = served.revision.rpartition(".")
        older = f"{writer}.{int(number) - 1}"
        answer = await tell("PUT", revision=older, form=served.form, put={})
        assert answer.refusal
        assert answer.served == served
        answer = await tell("PATCH", **{"from": older}, revision=served.revision, form=served.form, delete=["/user/a"])
        assert answer.refusal
        assert answer.served == served
    assert await site.client.server("/user/a/") == "a"


async def test_a_wrong_password_is_explained_and_nothing_is_told(site, caplog):
    owner = await site.started(delivery="push")
    await owner.add_route("/user/a/", await site.server("a"), {})
    urls = [owner.control.local.supervisors[0].api.url]
    proxy = site.proxy(
        delivery="push",
        should_start=False,
        traefik_api_urls=urls,
        traefik_api_password="wrong",
        ready_timeout=1,
        prefix="other",
    )
    with pytest.raises(RouteNotReady, match="refuses our credential"):
        await proxy.add_route("/user/b/", "http://127.0.0.1:1", {})
    assert "wrong" not in caplog.text
    assert await site.client.server("/user/a/") == "a"


async def test_what_is_no_traefik_is_down(site, caplog):
    """A web server that answers everything: a wrong port, say."""

    async def anything(_):
        return web.json_response({})

    async with serving(anything) as url:
        for delivery in ("push", "store"):
            proxy = site.proxy(delivery=delivery, should_start=False, traefik_api_urls=[url], ready_timeout=1)
            with pytest.raises(RouteNotReady, match="does not answer as Traefik does"):
                await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
            await proxy.stop()
    assert "Traceback" not in caplog.text


BAD = {"/services/x": {"t": "http://[fe80::1%eth0]:80"}}


async def test_a_route_that_the_plugin_refuses_harms_no_other(site, monkeypatch, caplog):
    """Fake: a target that we take, and the plugin does not. We know of none."""
    monkeypatch.setattr(routes, "_check_target", lambda *_: None)
    proxy = await site.started(delivery="push")
    server = await site.server("a")
    await proxy.add_route("/user/a/", server, {})
    bad = proxy.add_route("/services/x/", BAD["/services/x"]["t"], {})
    others = (proxy.add_route(f"/user/{n}/", server, {}) for n in range(10))
    outcomes = await asyncio.gather(bad, *others, return_exceptions=True)
    assert outcomes[1:] == [None] * 10
    assert isinstance(outcomes[0], RouteNotReady)
    assert "its target is not a URL" in str(outcomes[0])
    assert await site.client.server("/user/9/") == "a"
    assert "/services/x/" not in await proxy.get_all_routes()
    # One that is in the store already, of an earlier hub's.
    await proxy.control.writer.put(routes.Route("/services/x/", BAD["/services/x"]["t"], {}), 5)
    await leave(proxy)
    os.kill(proxy.control.local.supervisors[0]._pid, signal.SIGKILL)
    second = await site.started(delivery="push")
    await site.client.close()
    assert await site.client.server("/user/a/") == "a"
    await second.delete_route("/user/a/")
    assert await site.client.server("/user/a/") is None
    assert "The route is left out; all others are served." in caplog.text
