"""What the drill makes of what it saw."""

from __future__ import annotations

import pytest

from benchmarks.drill.balancer import Sessions
from benchmarks.drill.book import Book
from benchmarks.drill.events import HUB, Change, Event, judged
from benchmarks.drill.faults import FAULTS, Times
from benchmarks.drill.judging import Bound, Marks, Row, longest_gap, misses, tally
from benchmarks.drill.report import Drill, text
from benchmarks.drill.site import Size
from benchmarks.drill.sweep import Found, compare_table
from benchmarks.drill.timeline import Bins, bins, draw

FAULT = 103.0
NONE = Bound()
GOOD = Event("request", 101, 101.1, "ok", 5)


def row(**fields) -> Row:
    return Row("fault", "a fault", 100.0, 120.0, **{"marks": Marks(FAULT), "requests": 1, "live_again": 1.0, **fields})


def tallied(*events: Event, bound: Bound = NONE, victim: str = "", changes=(), found=None, marks=None) -> Row:
    """Of a row without a requirement to the changes; every port above 1000 was the victim's."""
    made = Row("fault", "a fault", 100.0, 120.0, marks or Marks(FAULT, victim=victim, killed=FAULT if victim else None))
    changes = changes or [Change("add", FAULT + 1, FAULT + 2, FAULT + 2)]
    found = found or Found()
    tally(made, [GOOD, *events], changes, found, lambda port, when: "traefik-1" if port > 1000 else "traefik-2", bound)
    return made


def failed(ended: float, port: int = 5, kind: str = "request", started: float = FAULT - 0.1) -> Event:
    return Event(kind, started, ended, "failed", port, "it broke")


@pytest.mark.parametrize(
    ("expected", "status", "body", "outcome"),
    [
        ("7", 200, "7", "ok"),
        ("7", 200, "8", "wrong"),
        ("7", 200, "hub-1", "lost"),
        ("7", 404, "", "failed"),
        (HUB, 200, "hub-2", "ok"),
        (HUB, 200, "8", "wrong"),
    ],
)
def test_an_answer_is_judged_by_who_gave_it(expected, status, body, outcome):
    assert judged(expected, status, body)[0] == outcome


def test_nothing_amiss_misses_nothing():
    assert misses(row(), Bound()) == []
    assert tallied().missed == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"failed": 2, "failed_late": 2}, "2 failed requests"),
        ({"dropped": 1}, "1 dropped websockets"),
        ({"lost": 3}, "3 routes lost"),
        ({"wrong": 4}, "4 routes wrong"),
        ({"live_again": None}, "no new route"),
        ({"live_again": 11.0}, "11.0 s, not 10 s"),
        ({"requests": 0}, "no requests"),
    ],
)
def test_each_thing_amiss_misses_the_bound(fields, words):
    (missed,) = misses(row(**fields), Bound())
    assert words in missed


def test_failed_changes_count_where_store_and_hub_are_well():
    assert misses(row(changes_failed=1), Bound()) == []
    assert misses(row(changes_failed=1), Bound(changes_may_fail=False)) == ["1 changes failed"]


def test_what_was_in_flight_on_the_killed_traefik_is_told_from_what_was_not():
    bound = Bound(own_may_fail=True)
    events = [failed(FAULT + 0.1, 2000), failed(FAULT + 0.2, 2001, "websocket"), failed(FAULT + 0.1, 2002, "download")]
    seen = tallied(*events, bound=bound, victim="traefik-1")
    assert (seen.failed, seen.failed_own, seen.dropped, seen.dropped_own) == (2, 2, 1, 1)
    assert seen.missed == []
    for other in (
        failed(FAULT + 0.1, 6),  # on another one
        failed(FAULT + 0.1, 0),  # on none
        failed(FAULT + 5, 2000, started=FAULT + 4),  # long after
        failed(FAULT - 1, 2000, started=FAULT - 2),  # before
        Event("request", FAULT, FAULT + 0.1, "lost", 2000),  # it was answered
    ):
        assert tallied(other, bound=bound, victim="traefik-1").missed == ["1 failed requests"]
    assert tallied(failed(FAULT + 1, 6, "websocket"), bound=bound, victim="traefik-1").missed == [
        "1 dropped websockets"
    ]


def test_a_fault_without_leave_for_its_own_has_none():
    assert tallied(failed(FAULT + 0.1, 2000), victim="traefik-1").missed == ["1 failed requests"]
    assert tallied(failed(FAULT + 0.1, 2000, "websocket"), victim="traefik-1").missed == ["1 dropped websockets"]


def test_a_traefik_may_be_killed_later_than_the_fault_begins():
    marks = Marks(FAULT, victim="traefik-1", killed=FAULT + 8)
    bound = Bound(own_may_fail=True)
    own = failed(FAULT + 8.1, 2000, started=FAULT + 7.9)
    assert tallied(own, bound=bound, marks=marks).missed == []
    early = failed(FAULT + 0.1, 2000)
    assert tallied(early, bound=bound, marks=marks).missed == ["1 failed requests"]


def test_what_the_fault_itself_found_amiss_misses_the_bound():
    assert tallied(marks=Marks(FAULT, missed=["it did not come back"])).missed == ["it did not come back"]


def test_within_the_grace_requests_may_fail():
    bound = Bound(grace=5.0)
    seen = tallied(failed(FAULT + 4.9), bound=bound)
    assert (seen.failed, seen.failed_late, seen.missed) == (1, 0, [])
    assert tallied(failed(FAULT + 5.1), bound=bound).missed == ["1 failed requests later than 5 s"]
    wrong = Event("request", FAULT, FAULT + 5.1, "wrong", 5)
    assert tallied(wrong, bound=bound).missed == ["1 routes wrong"]


def test_the_hub_itself_may_fail_and_other_rows_do_not_count():
    seen = tallied(failed(FAULT + 1, kind="hub"), failed(99.9), failed(120.1))
    assert (seen.hub_failed, seen.failed, seen.missed) == (1, 0, [])


def test_new_routes_are_counted_from_the_return():
    marks = Marks(FAULT, FAULT + 10)
    early = Change("add", FAULT - 1, FAULT + 11, FAULT + 11)
    refused = Change("add", FAULT + 1, FAULT + 5, None, "no store")
    waiting = Change("retarget", FAULT + 5, FAULT + 12, FAULT + 12)
    fresh = Change("add", FAULT + 11, FAULT + 14, FAULT + 14)
    gone = Change("delete", FAULT + 11, FAULT + 11, FAULT + 11)
    seen = tallied(changes=[early, refused, waiting, fresh, gone], marks=marks)
    assert (seen.live_again, seen.slowest_route) == (2, 3)
    assert (seen.changes, seen.changes_failed) == (5, 1)
    assert tallied(changes=[early, refused, gone], marks=marks).missed == ["no new route was live again"]


def test_the_longest_time_without_service_has_both_ends():
    assert longest_gap([3, 2, 5], 1, 6) == 2
    assert longest_gap([], 1, 6) == 5


def test_a_port_may_be_used_again():
    lines = ["5000 100.000 traefik-1 --", "something else", "5000 200.500 traefik-2 SD", "5001 1.0 <NOSRV> SC"]
    sessions = Sessions("\n".join(f"session {line}" for line in lines))
    assert [sessions.server(5000, when) for when in (99, 100, 150, 200.5, 300)] == [
        "",
        "traefik-1",
        "traefik-1",
        "traefik-2",
        "traefik-2",
    ]
    assert sessions.server(1, 300) == ""


def test_routes_are_compared_with_the_book():
    book = Book({"ann": "1", "bob": "2"})
    book.put("cid", "3")
    book.drop("cid")
    found = Found()
    found.compare("t", book.expected(), {"ann": "1", "bob": "2", "cid": "hub-1"})
    compare_table(found, book.expected(), {"/": "hub", "/user/ann/": "http://h:1", "/user/bob/": "http://h:2"})
    assert (found.lost, found.wrong) == ([], [])
    found.compare("t", book.expected(), {"ann": "hub-1", "bob": "1", "cid": "3"})
    assert (len(found.lost), len(found.wrong)) == (1, 2)
    found = Found()
    compare_table(found, book.expected(), {"/user/bob/": "http://h:2", "/user/dan/": "http://h:4"})
    assert found.lost == ["the table: ann does not lead to 1"]
    assert found.wrong == ["the table: /user/dan/ is nobody's"]


def test_what_the_sweep_found_is_in_the_row():
    seen = tallied(found=Found(["a"], ["b", "c"]))
    assert seen.missed == ["1 routes lost", "2 routes wrong"]


def test_every_fault_has_a_name_of_its_own_and_an_outage_has_an_end():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert Times.within(6).outage == Times.within(60).outage == 20
    assert all(seconds > 0 for seconds in (Times.within(0.01).outage, Times.within(0.01).quiet))


def test_a_store_that_is_emptied_may_be_noticed_only_where_traefik_reads_it():
    emptied = next(fault for fault in FAULTS if fault.name == "store-emptied")
    seen = {
        delivery: tallied(failed(FAULT + 1), bound=emptied.bound_with(delivery)).missed
        for delivery in ("push", "store")
    }
    assert seen == {"push": ["1 failed requests"], "store": []}


def test_the_table_tells_what_missed_its_bound(tmp_path):
    counts = bins([GOOD, failed(101.5), failed(103.2, kind="hub")], [Change("add", 100, 102, 102)], 100.0, 104.0)
    assert counts == Bins([0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0] * 5, [0, 0, 1, 0, 0], [0] * 5)
    rows = [tallied(), tallied(failed(FAULT + 1))]
    drill = Drill("toml", "store", Size(), 100.0, rows, counts)
    assert not drill.is_met
    met, missed = [line for line in text(drill.rows).splitlines() if line.startswith("| a fault")]
    assert met.split("|")[-2].strip() == "met"
    assert missed.split("|")[-2].strip() == "missed"
    assert "- a fault: missed: 1 failed requests" in text(drill.rows)
    pytest.importorskip("matplotlib")
    draw("toml", rows, 100.0, counts, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size


def test_where_it_takes_seconds_to_notice_requests_go_to_the_dead_one_for_longer():
    late = failed(FAULT + 3, 2000, started=FAULT + 2)
    assert tallied(late, bound=Bound(own_may_fail=True), victim="traefik-1").missed == ["1 failed requests"]
    assert tallied(late, bound=Bound(own_may_fail=True, noticed_within=2.5), victim="traefik-1").missed == []


def test_a_bound_may_say_how_long_nobody_is_served():
    assert misses(row(without_service=6.0), Bound()) == []
    assert misses(row(without_service=6.0), Bound(without_service=5.0)) == ["6.0 s without service, not 5 s"]
    assert misses(row(without_service=4.0), Bound(without_service=5.0)) == []
