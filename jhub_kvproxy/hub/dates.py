"""Times as configurable-http-proxy reads them, which is JavaScript's ``Date.parse`` (ECMA-262, 21.4.3.2). Pure."""

from __future__ import annotations

import re
import time
from datetime import date

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_YEAR = r"(?P<year>\d{4}|[+-]\d{6})"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_DAY = r"(?P<day>\d\d?)"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d+))?)?"
_OFFSET = r"[+-]\d\d:?\d\d"
_NAMED_ZONE = rf"(?P<zone>(GMT|UTC)?{_OFFSET}|Z|GMT|UTC)"
_FORMS = [
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        # ISO 8601.
        rf"(?!-000000){_YEAR}(-(?P<month>\d\d)(-(?P<day>\d\d))?)?([T ]{_TIME}(?P<zone>Z|{_OFFSET})?)?",
        # RFC 1123, and what toUTCString writes.
        rf"([a-z]{{3}}, )?{_DAY} {_MONTH} (?P<year>(?!00)\d{{4}})( {_TIME}( {_NAMED_ZONE})?)?",
        # What toString writes, and C's ctime in part.
        rf"([a-z]{{3}} )?{_MONTH} {_DAY} (?P<year>(?!00)\d{{4}})( {_TIME}( {_NAMED_ZONE}( \([^()]*\))?)?)?",
    )
]
#: How far from 1970 a time of JavaScript's may be, in seconds.
_FURTHEST = 8.64e12
# Years are those of the Gregorian calendar, before its time too. Python's dates have no year 0 and none of 5 digits.
_YEARS, _DAYS = 400, 146_097


def read_time(text: str) -> float:
    """The time that `text` names, in seconds since 1970. Raises ValueError when it is no time.

    Of what configurable-http-proxy reads, this takes the forms that a standard describes: ISO 8601; and, with years
    from 100 on, RFC 1123 and what JavaScript's ``toString`` writes. A date of ISO 8601 without a time of day is in UTC;
    otherwise a time without a zone is local.
    """
    form, found = next(((form, match) for form in _FORMS if (match := form.fullmatch(text))), (None, None))
    if not found:
        raise ValueError("not a time")
    part = found.groupdict()
    year, day = int(part["year"]), int(part["day"] or 1)
    name = (part["month"] or "1").lower()
    month = _MONTHS.index(name) + 1 if name in _MONTHS else int(name)
    hour, minute, second = (int(part[unit] or 0) for unit in ("hour", "minute", "second"))
    # The 31st of a month of 30 days is the first of the next.
    is_date = 1 <= month <= 12 and 1 <= day <= 31
    fraction = (part["fraction"] or "")[:3].ljust(3, "0")
    is_time = (hour, minute, second, int(fraction)) <= (24, 0, 0, 0) and minute < 60 and second < 60
    if not is_date or not is_time:
        raise ValueError("no such date, or no such time of day")
    if part["zone"] or (form is _FORMS[0] and not part["hour"]):
        whole = 86400.0 * _days(year, month, day) + hour * 3600 + minute * 60 + second - _offset(part["zone"] or "Z")
    else:
        whole = time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
    seconds = whole + int(fraction) / 1000
    if abs(seconds) > _FURTHEST:
        raise ValueError("too far from 1970")
    return seconds


def _days(year: int, month: int, day: int) -> int:
    """The days from 1970 to this one."""
    cycles, year = divmod(year, _YEARS)
    first = date(year + _YEARS, month, 1).toordinal() - date(1970, 1, 1).toordinal()
    return first + day - 1 + (cycles - 1) * _DAYS


def _offset(zone: str) -> int:
    """By how many seconds a clock in `zone`, such as ``+01:00``, ``GMT-0230`` or ``Z``, is before UTC."""
    digits = re.sub("[^0-9]", "", zone)
    if not digits:
        return 0
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError("no such zone")
    return (hours * 3600 + minutes * 60) * (-1 if "-" in zone else 1)
