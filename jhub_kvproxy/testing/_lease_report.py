"""Tests of what is said of the lease: SupportsLeaseReport."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar, Protocol, cast

import pytest

from ..errors import BackendUnavailable, LeaseHeld
from ..store.contract import LeaseReport, SupportsLeaseReport
from ._kit import Kit, Suite, asynchronous, batch_of, until
from ._lease import Lessee, lessees

_LONG, _LONGER = 600.0, 900.0
_HOLDER = "hub-1 on node-7 (pid 42)"


class Reporter(Lessee, Protocol):
    """A backend with a lease that says who has it."""

    async def read_lease(self) -> LeaseReport | None: ...


class LeaseReportTests(Suite):
    """`read_lease`, for backends that have it."""

    shortest_lease: ClassVar[float] = 1.0

    @asynchronous
    async def test_a_report_says_who_has_the_lease(self, kit: Kit) -> None:
        first, second = await _reporters(kit)
        reader = cast(Reporter, kit.new(read_only=True))
        await reader.open()
        everybody = {"the holder": first, "another object": second, "one that only reads": reader}
        for holder, seconds in (("hub-0", _LONGER), (_HOLDER, _LONG)):
            await _nobody_has_it(everybody)
            await first.acquire_lease(holder, seconds)
            for who, backend in everybody.items():
                report = await backend.read_lease()
                assert report, f"read_lease() of {who} must report the lease that a writer has."
                assert report.holder == holder, f"LeaseReport.holder must be what the writer said ({who})."
                assert report.seconds in (None, seconds), f"LeaseReport.seconds must be the ttl, or None ({who})."
                assert report.since is None or report.since.utcoffset() == timedelta(0), (
                    f"LeaseReport.since must be a time in UTC, or None ({who})."
                )
            await first.release_lease()
        await _nobody_has_it(everybody)

    @asynchronous
    async def test_a_renewal_changes_the_seconds_and_nothing_else(self, kit: Kit) -> None:
        first, second = await _reporters(kit)
        await first.acquire_lease(_HOLDER, _LONG)
        before = await second.read_lease()
        assert before, "read_lease() must report the lease that a writer has."
        since = before.since
        await until(lambda: _is_past(since), "LeaseReport.since must be no time to come.")
        await first.acquire_lease(_HOLDER, _LONGER)
        after = await second.read_lease()
        assert after, "read_lease() must report the lease that a writer has renewed."
        assert (after.holder, after.since) == (before.holder, before.since), "LeaseReport.since must outlive renewals."
        assert after.seconds in (None, _LONGER), "LeaseReport.seconds must be the ttl of the last renewal, or None."

    @asynchronous
    async def test_a_report_ends_with_the_lease(self, kit: Kit) -> None:
        """Of a writer that was killed, say."""
        first, second = await _reporters(kit)
        await first.acquire_lease(_HOLDER, self.shortest_lease)

        async def is_over() -> bool:
            return await second.read_lease() is None

        await until(is_over, "read_lease() must not report a lease that ran out for ever.")

    @asynchronous
    async def test_who_reads_the_lease_does_not_ask_for_it(self, kit: Kit) -> None:
        first, second = await _reporters(kit)
        await second.read_lease()
        await first.acquire_lease(_HOLDER, _LONG)
        await second.read_lease()
        rule = "read_lease() must not ask for the lease"
        try:
            await second.apply(batch_of(1, "routes/a"))
        except Exception as error:
            pytest.fail(f"{rule}: the object may write as before, without the lease ({error!r}).")
        await first.apply(batch_of(2, "routes/b"))
        await kit.holds({"routes/a": "1", "routes/b": "2"}, f"{rule}, nor change the table.")
        await second.close()
        await second.open()
        report = await second.read_lease()
        assert report, f"{rule}, nor give it up."
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("second", _LONG)
        report = await second.read_lease()
        assert report, "read_lease() of an object that was refused the lease must say who has it."
        assert report.holder == _HOLDER, "read_lease() of an object that was refused the lease must say who has it."

    @asynchronous
    async def test_the_lease_of_another_prefix_is_not_reported(self, kit: Kit) -> None:
        first, _ = await _reporters(kit)
        await first.acquire_lease(_HOLDER, _LONG)
        for end in ("2", "/", "/lease", "*"):
            reader = kit.new(kit.prefix + end, read_only=True)
            assert isinstance(reader, SupportsLeaseReport)
            try:
                await reader.open()
                report = await reader.read_lease()
            except BackendUnavailable:  # nobody has made it yet
                continue
            assert report is None, "Each prefix must have a lease of its own."


async def _reporters(kit: Kit) -> tuple[Reporter, Reporter]:
    """Two objects on one prefix; the test is skipped if they do not say who has the lease."""
    pair = await lessees(kit)
    if not isinstance(kit.backend, SupportsLeaseReport):
        pytest.skip(f"{type(kit.backend).__name__} has no read_lease()")
    return cast(Reporter, pair[0]), cast(Reporter, pair[1])


async def _nobody_has_it(everybody: dict[str, Reporter]) -> None:
    for who, backend in everybody.items():
        assert await backend.read_lease() is None, f"read_lease() of {who} must return None when nobody has the lease."


def _is_past(since: datetime | None) -> bool:
    """Whether a time that is written down from now on, perhaps in whole seconds, is another than `since`."""
    return since is None or since.microsecond != 0 or datetime.now(UTC) - since > timedelta(seconds=1)
