"""What the rows with the last changes say to who has seen them before."""

from __future__ import annotations

import pytest

from jhub_kvproxy_backends._postgres_recent import Seen

NOTHING = Seen(None, None, (), None)
A, B, C = '{"a":"1"}', '{"b":"1"}', '{"a":null}'


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        (NOTHING, NOTHING, {}),
        (NOTHING, Seen(7, 7, (A,), None), {"a": "1"}),
        (NOTHING, Seen(7, 9, (A, B, C), None), {"a": None, "b": "1"}),
        (Seen(7, 7, (A,), None), Seen(7, 9, (A, B, C), None), {"a": None, "b": "1"}),
        (Seen(7, 8, (A, B), 5), Seen(7, 9, (C,), 5), {"a": None}),
        (Seen(7, 9, (C,), 5), Seen(7, 9, (C,), 5), {}),
        # The oldest commits are gone.
        (NOTHING, Seen(7, 9, (B, C), None), None),
        (Seen(7, 7, (A,), None), Seen(7, 9, (C,), None), None),
        # One was too large to be told.
        (Seen(7, 7, (A,), None), Seen(7, 9, (A, "", C), None), None),
        # It is none of ours.
        *((Seen(7, 7, (A,), None), Seen(7, 8, (A, text), None), None) for text in ("[]", '{"a":1}', "{", "[" * 9999)),
        # Others have changed the table.
        (Seen(7, 7, (A,), None), Seen(7, 7, (A,), 8), None),
        (Seen(7, 7, (A,), 9), Seen(7, 8, (A, B), 8), None),
        (Seen(7, 7, (A,), 9), Seen(7, 7, (A,), None), None),
        # The row was removed, or made anew: its number is at least that of the transaction, and one removed it.
        (Seen(7, 7, (A,), None), NOTHING, None),
        (Seen(7, 7, (A,), None), Seen(9, 9, (B,), None), None),
        (Seen(7, 7, (A,), None), Seen(9, 10, (B, C), None), None),
        # It was restored from a backup.
        (Seen(7, 9, (A, B, C), None), Seen(7, 8, (A, B), None), None),
    ],
)
def test_what_is_new(before, now, news):
    assert now.since(before) == news
