"""What viewers of the page are sent."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from jhub_kvproxy.page.view import Row, View, events, rows_of, shown
from jhub_kvproxy.survey.lease import HubLease
from jhub_kvproxy.survey.replicas import Replica
from jhub_kvproxy.survey.site import Site, Store
from jhub_kvproxy.survey.table import Table
from tests.unit.page_sites import site_of

A, B = Row("http://a", "a", None, None), Row("http://b", "b", None, "")


def told(sent, view):
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", events(sent, view).decode())
    return {name: json.loads(data) for name, data in found}


def view(number, **rows):
    return View(number, 2.0, 1.0, {"ok": True}, {f"/user/{name}/": row for name, row in rows.items()})


def test_somebody_new_gets_everything():
    assert told(None, view(1, a=A))["routes"] == {"all": True, "put": {"/user/a/": A.to_json()}, "drop": []}


def test_others_get_what_has_changed():
    before, after = view(1, a=A, b=B), view(2, b=A, c=B)
    assert told(before, after)["routes"] == {
        "all": False,
        "put": {"/user/b/": A.to_json(), "/user/c/": B.to_json()},
        "drop": ["/user/a/"],
    }


def test_without_a_change_there_are_no_routes_in_it():
    found = told(view(1, a=A), view(2, a=A))
    assert list(found) == ["site"]
    assert found["site"]["at"] == 2.0


def test_no_text_ends_an_event():
    evil = Row("http://a", "x\n\nevent: site\ndata: {}\n\n", None, "")
    assert len(re.findall(b"\n\n", events(None, view(1, a=evil)))) == 2


def test_rows_say_whose_a_route_is_and_whether_its_target_answers():
    site = site_of(
        {"/user/a/": ("http://a:1", {"user": "a", "server_name": "x"}), "/": ("http://hub:1", {"hub": True})}
    )
    rows = rows_of(site, {"http://a:1": "connection refused"}, str)
    assert rows["/user/a/"] == Row("http://a:1", "a, server x", None, "connection refused")
    assert rows["/"] == Row("http://hub:1", "the hub", None, None)


def test_what_no_viewer_sees_is_not_sent():
    site = site_of({})
    refused = {f"/user/{number}/": "Its target is no URL." for number in range(1000)}
    [replica] = shown(replace(site, replicas=(Replica("r", "", "agent", refused=refused),)), lambda value: value)[
        "replicas"
    ]
    assert "refused" not in replica


def test_secrets_are_hidden_and_long_lists_cut():
    damage = tuple(f"The record {number} holds hush." for number in range(80))
    site = Site(
        Store("B", "p", table=Table(revision="1-2.3", damage=damage)),
        HubLease(holder="hush"),
        (Replica("r", "", "push"),),
    )

    def hide(value):
        return json.loads(json.dumps(value).replace("hush", "***"))

    facts = shown(site, hide)
    assert "hush" not in json.dumps(facts)
    assert (len(facts["problems"]), facts["problems"][-1]) == (51, "And 30 more problems.")
    assert facts["hub"]["holder"] == "***"
