"""A Consul that is frozen, down, without a leader, of another version, or no Consul at all."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, BatchRejected
from jhub_kvproxy.testing import Line
from servers.consul import ConsulServer
from tests.drivers import numbered
from tests.hub import until
from tests.servers import serving


@asynccontextmanager
async def standing_in(answer):
    """A server that answers what `answer` makes of the operations, or breaks off if that is None; its URL, what it got.

    For what Consul 1.8 does not do, or not when it is asked to.
    """
    got = []

    async def handle(request):
        operations = json.loads(await request.read() or "[]")
        got.append(operations)
        response = answer(operations)
        if response is None:
            request.transport.close()
            return web.Response()
        return response

    async with serving(handle) as url:
        yield url, got


def nothing_there(_operations):
    return web.json_response({"Results": [], "Errors": None})


def breaks_off(_operations):
    return None


async def test_a_newer_consul_takes_more_operations(new_consul):
    async with standing_in(nothing_there) as (url, got):
        backend = new_consul(url=url)
        await backend.open()
        assert backend.max_txn_ops == 125
        assert [len(operations) for operations in got] == [128]


async def test_a_frozen_consul_is_noticed_in_time(tmp_path, new_consul):
    with ConsulServer(tmp_path) as server:
        backends = [new_consul(url=server.url, timeout=1.5) for _ in range(5)]
        for backend in backends:
            await backend.open()
        await backends[0].apply(numbered(1))
        await backends[3].acquire_lease("hub", 60)
        watch = backends[2].watch()
        await anext(watch)
        server.freeze()
        results = await asyncio.gather(
            backends[0].load(),
            backends[1].apply(Batch({"routes/b": "1"})),
            anext(watch),
            backends[3].acquire_lease("hub", 60),
            new_consul(url=server.url, timeout=1.5).open(),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [BackendUnavailable] * 5
        assert f"Consul at {server.url} did not answer in time" in str(results[0])
        server.thaw()
        for backend in backends:
            await backend.load()
        await backends[1].apply(Batch({"routes/b": None}))
        assert (await backends[0].load()).keys == {"routes/0": "1"}


async def test_a_consul_that_is_not_there_yet_is_waited_for(tmp_path, new_consul):
    server = ConsulServer(tmp_path, durable=True)
    with pytest.raises(BackendUnavailable, match=f"Consul at {server.url} cannot be reached"):
        await new_consul(url=server.url, timeout=0.1).open()
    backend = new_consul(url=server.url, timeout=60)
    opening = asyncio.create_task(backend.open())
    await asyncio.sleep(0)
    try:
        await asyncio.to_thread(server.start)
        await opening
        await backend.apply(numbered(3))
        server.kill()
        loading = asyncio.create_task(backend.load())
        await asyncio.to_thread(server.start)
        assert (await loading).keys == numbered(3).changes  # what apply() returned from is durable
    finally:
        opening.cancel()
        server.kill()


async def test_a_consul_without_a_leader_is_unavailable(tmp_path, new_consul):
    alone = {"bootstrap_expect": 2, "performance": {"rpc_hold_timeout": "50ms"}}
    server = ConsulServer(tmp_path, durable=True, config=alone)
    server.launch()

    async def says_so():
        with pytest.raises(BackendUnavailable) as caught:
            await new_consul(url=server.url, timeout=1).open()
        return f"Consul at {server.url} answered 500 (No cluster leader)" in str(caught.value)

    try:
        await until(says_so, "the reason is not told")
    finally:
        server.kill()


async def refusals(new_consul, status, text, kind, *, timeout=60):
    """What load() and apply() say of a store that answers `status` with `text`, each with how often it asked."""
    answer = nothing_there
    async with standing_in(lambda operations: answer(operations)) as (url, got):
        backend = new_consul(url=url, timeout=timeout)
        await backend.open()

        def answer(_operations):
            return web.Response(status=status, text=text, headers={"Location": f"{url}/elsewhere"})

        said = []
        for call in (backend.load, lambda: backend.apply(numbered(1))):
            got.clear()
            with pytest.raises(kind) as caught:
                await call()
            said.append((str(caught.value), len(got)))
        return said


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (500, "No path to datacenter", "No path to datacenter"),
        (500, "rpc error making call: ACL not found", "ConsulBackend.token"),
        (404, "Not Found", "does ConsulBackend.url point to Consul"),
        (301, "", "status 301"),
    ],
)
async def test_what_asking_again_does_not_mend_is_not_asked_again(new_consul, status, text, words):
    for said, times in await refusals(new_consul, status, text, BackendRejected):
        assert words in said
        assert times == 1


async def test_what_may_pass_is_asked_again_and_nothing_is_written_twice(new_consul):
    passing = [
        (500, "No cluster leader"),
        (500, "rpc error making call: EOF"),
        (503, "<html>Sorry</html>"),
        (429, "Your IP is issuing too many requests"),
    ]
    calls = [refusals(new_consul, *response, BackendUnavailable, timeout=1.5) for response in passing]
    for (_, text), (load, apply) in zip(passing, await asyncio.gather(*calls), strict=True):
        assert text in load[0]
        assert text in apply[0]
        assert load[1] > 1
        assert apply[1] == 1  # it may have been carried out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html>", "is it Consul's HTTP API"),
        ('{"Results": [{"KV": {"Key": "hub/a", "Val', "is it Consul's HTTP API"),
        ('{"Results": null, "Errors": null, "ResultsFilteredByACLs": true}', "rules of ConsulBackend.token deny"),
    ],
)
async def test_an_answer_that_is_no_table_is_an_error(new_consul, text, words):
    plan = [nothing_there, lambda _operations: web.Response(text=text)]
    async with standing_in(lambda operations: plan.pop(0)(operations)) as (url, _):
        backend = new_consul(url=url)
        await backend.open()
        with pytest.raises(BackendRejected, match=words):
            await backend.load()


async def test_a_transaction_that_is_rolled_back_is_an_error(new_consul):
    answer = nothing_there
    async with standing_in(lambda operations: answer(operations)) as (url, _):
        backend = new_consul(url=url)
        await backend.open()

        def answer(_operations):
            return web.json_response({"Results": None, "Errors": [{"OpIndex": 1, "What": "no reason"}]}, status=409)

        with pytest.raises(BatchRejected, match=rf"refuses the change of '{backend.root}/routes/0': no reason"):
            await backend.apply(numbered(3))
        with pytest.raises(BackendRejected, match="no reason"):
            await backend.load()


async def test_a_change_that_is_late_leaves_nothing(new_consul, consul):
    """What keeps it out goes with the table."""
    async with Line("127.0.0.1", consul.port) as line:
        backend = new_consul(url=f"http://{line.host}:{line.port}", timeout=1.0)
        await backend.open()
        line.hold_request(b"/v1/txn")
        with pytest.raises(BackendUnavailable):
            await backend.apply(numbered(1, "late"))
        assert (await backend.load()).keys == {}
        await line.deliver()
        assert (await backend.load()).keys == {}
        await backend.remove()
        assert consul.read(f"{backend.root}/") == {}


async def test_a_change_is_sent_once_a_question_again(new_consul):
    """Also by the HTTP library, which takes PUT for idempotent."""
    plan = [nothing_there]
    async with standing_in(lambda operations: plan.pop(0)(operations)) as (url, _):
        backend = new_consul(url=url)
        await backend.open()
        plan += [breaks_off, nothing_there]
        await backend.load()
        assert plan == []
        plan += [breaks_off, nothing_there]
        with pytest.raises(BackendUnavailable, match="broke the connection off"):
            await backend.apply(numbered(1))
        assert len(plan) == 1
