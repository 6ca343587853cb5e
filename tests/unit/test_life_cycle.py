"""How long a Traefik may take to end, by its static configuration."""

from __future__ import annotations

import pytest

from jhub_kvproxy.traefik.external import external_static
from jhub_kvproxy.traefik.life_cycle import draining_seconds
from jhub_kvproxy.traefik.settings import TraefikSettings
from jhub_kvproxy.traefik.upstream import TimeLimits


def static(life_cycle):
    return {"entryPoints": {"public": {"transport": {"lifeCycle": life_cycle}}}}


@pytest.mark.parametrize(
    ("life_cycle", "seconds"),
    [
        ({}, 10),
        ({"graceTimeOut": "2s"}, 2),
        ({"requestAcceptGraceTimeout": "3s"}, 13),
        ({"graceTimeOut": 7, "requestAcceptGraceTimeout": "1m30s"}, 97),
        ({"GRACETIMEOUT": "1500ms", "requestAcceptGraceTimeout": "0.5h"}, 1801.5),
        ({"graceTimeOut": "soon"}, 0),
    ],
    ids=str,
)
def test_durations_are_read_as_traefik_reads_them(life_cycle, seconds):
    assert draining_seconds(static(life_cycle)) == pytest.approx(seconds)


def test_the_slowest_entry_point_counts():
    points = {"api": {"address": ":1"}, "public": static({"graceTimeOut": "2s"})["entryPoints"]["public"]}
    assert draining_seconds({"entryPoints": points}) == 10


def test_one_that_others_start_has_time_for_load_balancers_and_for_requests(tmp_path):
    settings = TraefikSettings(public_url="http://127.0.0.1:8000", limits=TimeLimits(0, 0, 0, 0))
    made = external_static(settings, None, directory=tmp_path, api_address="127.0.0.1:8099")
    assert draining_seconds(made) == 40
