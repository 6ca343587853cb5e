"""What the page remembers of changes and faults."""

from __future__ import annotations

from jhub_kvproxy.page.history import Change, Fault, History

A, B = {"/user/a/": "http://a"}, {"/user/b/": "http://b"}


def test_the_first_look_is_no_change():
    assert History().noted(1, A, []).changes == ()


def test_routes_that_come_go_and_move():
    history = (
        History().noted(1, A, []).noted(2, {**A, **B}, []).noted(3, {**B, "/user/a/": "http://c"}, []).noted(4, B, [])
    )
    assert history.changes == (
        Change(4, "removed", "/user/a/", "http://c"),
        Change(3, "moved", "/user/a/", "http://c"),
        Change(2, "added", "/user/b/", "http://b"),
    )


def test_a_store_that_is_away_loses_no_routes():
    history = History().noted(1, A, []).noted(2, None, ["The store cannot be read: gone."]).noted(3, A, [])
    assert history.changes == ()
    assert [change.route for change in history.noted(4, B, []).changes] == ["/user/b/", "/user/a/"]


def test_many_changes_at_once_are_one_line():
    many = {f"/user/{number}/": "http://x" for number in range(5000)}
    history = History().noted(1, A, []).noted(2, many, [])
    assert [(change.what, change.route) for change in history.changes] == [
        ("added", "5000 routes"),
        ("removed", "/user/a/"),
    ]


def test_only_the_last_ones_are_kept():
    history = History().noted(0, {}, [])
    for number in range(1000):
        history = history.noted(number, {f"/user/{number}/": "http://x"}, [f"fault {chr(97 + number % 26)}{number}x"])
    assert (len(history.changes), len(history.faults)) == (50, 50)
    assert history.faults[0].until is None
    assert history.faults[1].until == 999


def test_a_fault_lasts_while_it_is_the_same():
    lags = "Replica local lags: it serves revision 1-2.{}, which is {} commits behind."
    history = History().noted(1, A, [lags.format(1, "2")]).noted(2, A, [lags.format(1, "7")])
    assert history.faults == (Fault(lags.format(1, "7"), 1),)
    history = history.noted(3, A, [])
    assert history.faults == (Fault(lags.format(1, "7"), 1, 3),)
    history = history.noted(4, A, [lags.format(5, "1")])
    assert history.faults == (Fault(lags.format(5, "1"), 4), Fault(lags.format(1, "7"), 1, 3))


def test_replicas_are_told_apart():
    gone = [f"Replica http://10.0.0.{number}:8098: no answer." for number in (1, 2)] + ["Replica local-2: no answer."]
    history = History().noted(1, A, gone).noted(2, A, gone[1:])
    assert [(fault.text, fault.until) for fault in history.faults] == [(gone[1], None), (gone[2], None), (gone[0], 2)]
