"""Each of our metrics tells what happens: on a store in memory, without Traefik."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY, generate_latest
from traitlets import TraitError
from traitlets.config import Config

from jhub_kvproxy import BackendUnavailable, BatchRejected, LeaseHeld
from jhub_kvproxy.errors import RouteNotReady
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.metrics import ready_wait, store_call
from jhub_kvproxy.push.lag import Lag
from jhub_kvproxy.routing.revision import Revision
from jhub_kvproxy.testing.faults import flaky, fussy
from jhub_kvproxy.traefik.prometheus import address_of, metrics_config
from tests.hub import until
from tests.hubs_in_memory import ReadableBackend
from tests.metrics import rising, value

TARGET = "http://127.0.0.1:1"


@pytest.fixture
async def new():
    """Makes proxies, each on a store of its own unless it is named, which are stopped with the test."""
    made = []

    def new(backend_class=ReadableBackend, *, store="", **traits):
        name = store or uuid4().hex
        config = Config(
            {
                "KVProxy": {"backend_class": backend_class, "delivery": "store", **traits},
                "MemoryBackend": {"name": name},
            }
        )
        made.append(KVProxy(config=config))
        return made[-1]

    yield new
    for proxy in made:
        await proxy.stop()


async def add_many(proxy, count):
    await asyncio.gather(*(proxy.add_route(f"/user/{number}/", TARGET, {}) for number in range(count)))


async def test_routes_and_the_lease_are_those_of_an_open_proxy_and_nothing_after_it(new):
    proxy = new()
    assert (value("kvproxy_routes"), value("kvproxy_lease_held")) == (0, 0)
    await add_many(proxy, 3)
    assert (value("kvproxy_routes"), value("kvproxy_lease_held")) == (3, 1)
    await proxy.delete_route("/user/1/")
    assert value("kvproxy_routes") == 2
    await proxy.stop()
    assert (value("kvproxy_routes"), value("kvproxy_lease_held")) == (0, 0)
    assert value("kvproxy_replicas", standing="awaited") == 0


async def test_a_proxy_without_a_lease_may_write_while_it_is_open(new):
    proxy = new(lease_seconds=0)
    await proxy.get_all_routes()
    assert value("kvproxy_lease_held") == 1
    await proxy.stop()
    assert value("kvproxy_lease_held") == 0


async def test_a_lease_that_runs_out_is_not_held(new):
    class Away(ReadableBackend):
        is_away = False

        async def acquire_lease(self, holder, ttl):
            if self.is_away:
                raise BackendUnavailable("The store is away.")
            await super().acquire_lease(holder, ttl)

    proxy = new(Away, lease_seconds=1)
    await proxy.get_all_routes()
    with rising("kvproxy_store_errors_total", operation="lease", error="unavailable") as errors:
        Away.is_away = True
        await until(lambda: value("kvproxy_lease_held") == 0, "it is still held")
        assert errors() >= 1
    Away.is_away = False
    await until(lambda: value("kvproxy_lease_held") == 1, "it is not held again")


async def test_several_proxies_share_the_metrics(new):
    for number in (1, 2):
        await add_many(new(), number)
    assert value("kvproxy_routes") == 3
    assert b"kvproxy_routes 3.0" in generate_latest(REGISTRY)


async def test_a_commit_is_counted_with_its_routes_and_its_keys(new):
    proxy = new()
    await proxy.get_all_routes()
    names = ("commit_duration_seconds_count", "commit_routes_count", "commit_routes_sum", "transaction_keys_count")
    with rising(*(f"kvproxy_{name}" for name in names)) as risen, rising("kvproxy_transaction_keys_sum") as keys:
        await add_many(proxy, 5)
        assert risen() == [5, 1, 5, 1]
        assert keys() == len(proxy.control.writer.table.keys) + 1


@pytest.mark.parametrize("operation", ["apply", "load", "lease"])
async def test_calls_to_the_store_are_timed(new, operation):
    with rising("kvproxy_store_duration_seconds_count", operation=operation) as calls:
        await new().add_route("/user/a/", TARGET, {})
        assert calls() >= 1


async def test_a_commit_that_is_tried_again_is_counted(new):
    backend_class = flaky(ReadableBackend)
    proxy = new(backend_class)
    await proxy.get_all_routes()
    backend_class.faults.extend(["before", "before"])  # applying, and reading afterwards
    with (
        rising("kvproxy_commit_retries_total") as retries,
        rising("kvproxy_store_errors_total", operation="apply", error="unavailable") as of_apply,
        rising("kvproxy_store_errors_total", operation="load", error="unavailable") as of_load,
    ):
        await proxy.add_route("/user/a/", TARGET, {})
        assert (retries(), of_apply(), of_load()) == (2, 1, 1)


async def test_a_refusal_of_the_store_is_counted(new):
    proxy = new(fussy(ReadableBackend, "evil"))
    await proxy.get_all_routes()
    with rising("kvproxy_store_errors_total", operation="apply", error="rejected") as errors:
        with pytest.raises(BatchRejected):
            await proxy.add_route("/user/evil/", TARGET, {})
        assert errors() == 1


async def test_a_watch_that_breaks_is_counted(new):
    class Broken(ReadableBackend):
        async def watch(self):
            yield
            raise BackendUnavailable("The watch is over.")

    with rising("kvproxy_store_errors_total", operation="watch", error="unavailable") as errors:
        await new(Broken).get_all_routes()
        await until(errors, "it is not counted")


async def test_drift_is_counted_when_it_is_repaired_and_a_take_over_is_none(new):
    proxy = new()
    await add_many(proxy, 3)
    table = proxy.backend._table
    with rising("kvproxy_drift_repairs_total", "kvproxy_drift_keys_total") as risen:
        await proxy.control.writer.check()
        assert risen() == [0, 0]
        lost = [key for key in table.keys if "user.1" in key]
        for key in lost:
            del table.keys[key]
        await proxy.control.writer.check()
        assert risen() == [1, len(lost)]
        await proxy.stop()
        for key in [key for key in table.keys if "user.2" in key and key.startswith("traefik/")]:
            del table.keys[key]
        await new(store=proxy.backend.name).get_all_routes()
        assert any("user.2" in key and key.startswith("traefik/") for key in table.keys)
        assert risen()[0] == 1


@pytest.mark.parametrize(
    ("error", "label"),
    [(BackendUnavailable, "unavailable"), (BatchRejected, "rejected"), (LeaseHeld, "lease"), (OSError, "rejected")],
)
def test_errors_of_the_store_have_three_kinds(error, label):
    with rising("kvproxy_store_errors_total", operation="apply", error=label) as errors:
        with pytest.raises(error), store_call("apply"):
            raise error
        assert errors() == 1


def test_who_goes_away_is_no_error_of_the_store():
    with rising("kvproxy_store_errors_total", operation="apply", error="rejected") as errors:
        with pytest.raises(asyncio.CancelledError), store_call("apply"):
            raise asyncio.CancelledError
        assert errors() == 0


def test_a_wait_for_traefik_is_timed_and_a_vain_one_is_counted():
    with rising("kvproxy_ready_duration_seconds_count", "kvproxy_ready_failures_total") as risen:
        with ready_wait():
            pass
        assert risen() == [1, 0]
        with pytest.raises(RouteNotReady), ready_wait():
            raise RouteNotReady
        assert risen() == [2, 1]


def test_the_lag_is_the_age_of_the_oldest_revision_that_is_lacked(monkeypatch):
    now = 100.0
    monkeypatch.setattr("jhub_kvproxy.push.lag.time.monotonic", lambda: now)
    lag, revisions = Lag(), [Revision.first()]
    revisions += [revisions[0].next(step) for step in (1, 2, 3)]
    assert lag.seconds == 0
    lag.seen(revisions[0].text)
    lag.due(revisions[1])
    now = 110.0
    lag.due(revisions[2])
    now = 115.0
    assert lag.seconds == 15
    for too_old in (None, "another", revisions[0].text):
        lag.seen(too_old)
        assert lag.seconds == 15
    lag.seen(revisions[1].text)
    assert lag.seconds == 5
    lag.due(revisions[3])
    lag.seen(revisions[3].text)
    assert lag.seconds == 0
    now = 200.0
    lag.due(revisions[3].next())
    assert lag.seconds == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (8082, "127.0.0.1:8082"),
        ("8082", "127.0.0.1:8082"),
        (":8082", ":8082"),
        ("10.0.0.1:8082", "10.0.0.1:8082"),
        ("[::1]:8082", "[::1]:8082"),
        ("traefik.example.org:8082", "traefik.example.org:8082"),
        ("", ""),
        (0, ""),
        (False, ""),
        ("0", ""),
    ],
)
def test_where_traefik_has_metrics(given, kept):
    assert KVProxy(config=Config({"KVProxy": {"traefik_metrics": given}})).traefik_metrics == kept
    assert KVProxy(config=Config({"KVProxy": {"traefik_metrics": kept}})).traefik_metrics == kept


@pytest.mark.parametrize(
    "wrong", ["here", "10.0.0.1", "127.0.0.1:", "::1:8082", 65536, -1, "http://a:1", "a:1/udp", True]
)
def test_where_it_cannot_have_them_is_said(wrong):
    with pytest.raises(TraitError, match=r"KVProxy\.traefik_metrics is .*, which is neither a port nor ADDRESS:PORT"):
        KVProxy(config=Config({"KVProxy": {"traefik_metrics": wrong}}))


def test_unknown_labels_are_refused():
    with pytest.raises(TraitError, match="traefik_metrics_labels"):
        KVProxy(config=Config({"KVProxy": {"traefik_metrics_labels": ["users"]}}))


def test_the_configuration_of_traefiks_metrics():
    assert metrics_config("", ["entrypoints"]) == {}
    made = metrics_config("[::1]:8082", ["services"], 2)
    assert made["entryPoints"] == {"metrics": {"address": "[::1]:8084"}}
    assert made["metrics"]["prometheus"] == {
        "entryPoint": "metrics",
        "addEntryPointsLabels": False,
        "addRoutersLabels": False,
        "addServicesLabels": True,
    }
    assert address_of(":80") == ("", 80)
