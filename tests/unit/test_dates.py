"""Times that tools ask for, read as JavaScript (V8 11.3, in Node.js 20) reads them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from jhub_kvproxy.hub.dates import read_time

NEW_YEAR = datetime(2020, 1, 1, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def an_hour_before_greenwich(monkeypatch):
    monkeypatch.setenv("TZ", "<+01>-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2020", NEW_YEAR),
        ("2020-01", NEW_YEAR),
        ("2020-01-01", NEW_YEAR),
        ("2020-01-01T00:00", NEW_YEAR - 3600),
        ("2020-01-01 00:00:00", NEW_YEAR - 3600),
        ("2020-01-01T00:00:00.1239Z", NEW_YEAR + 0.123),
        ("2020-01-01t00:00:00z", NEW_YEAR),
        ("2020-01-01T00:00:00+02:00", NEW_YEAR - 7200),
        ("2020-01-01T00:00:00-0230", NEW_YEAR + 9000),
        ("2019-12-31T24:00:00Z", NEW_YEAR),
        ("2019-02-31T00:00Z", datetime(2019, 3, 3, tzinfo=UTC).timestamp()),
        ("+002020-01-01T00:00:00Z", NEW_YEAR),
        ("0000", -62167219200),
        ("-271821-04-20T00:00:00Z", -8.64e12),
        ("+275760-09-13T00:00:00.000Z", 8.64e12),
        ("9999-12-31T23:59:59-10:00", 253402336799),
        ("0001-01-01T00:00:00+10:00", -62135632800),
        ("Wed, 01 Jan 2020 00:00:00 GMT", NEW_YEAR),
        ("1 jan 2020 00:00:00 +0200", NEW_YEAR - 7200),
        ("01 Jan 2020", NEW_YEAR - 3600),
        ("Wed Jan 01 2020 00:00:00 GMT+0100 (Central European Standard Time)", NEW_YEAR - 3600),
    ],
)
def test_what_is_a_time(text, seconds):
    assert read_time(text) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "yesterday", "20200101", "2020-W01", "2020-13-01", "2020-00-01", "2020-01-00", "2020-01-32"),
        *("2020-01-01T00", "2020-01-01T24:00:01Z", "2020-01-01T00:60Z", "2020-01-01T00:00:60Z", "2020-01-01T00:00:00."),
        *("2020-01-01T00:00:00+24:00", "2020-01-01T00:00:00+10:60", "2020-01-01T00:00:00+02", "-000000-01-01"),
        *("+275760-09-13T00:00:00.001Z", "-271821-04-19T23:59:59Z", "1577836800", "1e9", "2020-01-01T00:00:00Z\n"),
        *("32 Jan 2020 00:00:00 GMT", "1 Mai 2020", "1 Jan 2020 +0100", "\u0662\u0660\u0662\u0660", "9" * 5000),
    ],
)
def test_what_is_none(text):
    with pytest.raises(ValueError, match=r"not a time|no such|too far"):
        read_time(text)
