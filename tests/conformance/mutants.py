"""Runs the kit on drivers that break the contract, for ``test_the_kit_catches.py``."""

from __future__ import annotations

import gc
import json
from typing import ClassVar
from uuid import uuid4

import pytest

from jhub_kvproxy.testing import BackendSuite, MemoryBackend, TraefikSuite
from jhub_kvproxy_backends.toml import TomlBackend
from tests.conformance import broken_files, broken_powers, broken_tables

#: For each: the test that must fail, and what its message must say.
CAUGHT = {
    broken_tables.StatesAnotherContract: ("it_states_the_version_of_the_contract", "must state the version"),
    broken_tables.ForgetsDeletes: ("a_batch_changes_its_keys_and_no_others", "set and delete the keys of the batch"),
    broken_tables.DropsEmptyValues: ("difficult_values", "each must come back as it went in"),
    broken_tables.NormalisesKeys: ("difficult_keys", "each must come back as it went in"),
    broken_tables.StripsValues: ("it_holds_what_a_dict_would", "load() must return what was applied"),
    broken_tables.RaisesKeyError: ("deleting_what_is_absent_succeeds", "KeyError"),
    broken_tables.KeepsItInMemory: ("what_goes_in_comes_out", "seen by read_raw"),
    broken_tables.GivesAwayItsTable: ("a_snapshot_stays_as_it_was", "must not change with the table"),
    broken_tables.AppliesPiecemeal: ("a_reader_sees_whole_batches", "this mixes two"),
    broken_tables.ReadsPiecemeal: ("a_large_table_is_read_as_of_one_moment", "this mixes two"),
    broken_tables.LosesUpdates: ("two_writers_lose_nothing", "that another object writes at the same time"),
    broken_tables.TrustsItsCache: ("what_another_object_changes_meanwhile_is_seen", "whoever wrote it"),
    broken_tables.SharesItsState: ("closing_one_object_leaves_the_others_alone", "share no state"),
    broken_tables.TakesThePrefixAsIs: ("prefixes_are_separate", "a table of its own"),
    broken_tables.TakesThePrefixForAPattern: ("prefixes_are_separate", "were deleted"),
    broken_tables.PromisesTooMuch: ("a_batch_may_have_as_many_keys_as_the_driver_says", "BatchRejected"),
    broken_tables.CutsWhatIsTooMuch: ("a_batch_past_the_limits_is_taken_whole_or_refused_whole", "must change nothing"),
    broken_tables.EmptiesWhatItRefuses: (
        "a_batch_past_the_limits_is_taken_whole_or_refused_whole",
        "must change nothing",
    ),
    broken_tables.LooksWhenConstructed: ("construction_does_no_io", "must do no I/O"),
    broken_tables.CannotBeOpenedAgain: ("it_can_be_opened_again", "closed"),
    broken_tables.LeavesATask: ("nothing_is_left_after_close", "no asyncio task"),
    broken_tables.LeavesASocket: ("nothing_is_left_after_close", "no file or socket"),
    broken_tables.LeavesTheTable: ("remove_leaves_nothing_of_this_prefix", "remove() must remove"),
    broken_tables.IsOpenedOnce: ("open_makes_again_what_another_has_removed", "gone"),
    broken_tables.CommitsLate: ("what_a_load_did_not_return_is_not_made_later", "must not be made later"),
    broken_tables.ShowsItsPassword: ("no_secret_is_shown", "No log, error, repr or file"),
    broken_tables.ConfiguresWithItsToken: (
        "the_provider_config_names_the_provider_and_no_secret",
        "traefik_provider_secrets()",
    ),
    broken_powers.LosesWhatComesBetween: ("a_watch_loses_nothing_between_two_looks", "between two iterations"),
    broken_powers.TellsOfItselfOnly: ("a_watch_tells_of_others_changes", "a change by another object"),
    broken_powers.TellsOfLeases: ("a_watch_tells_of_nothing_else", "not for leases"),
    broken_powers.WatchesInATask: ("a_watch_ends_by_aclose", "no task behind"),
    broken_powers.TellsHalf: ("who_follows_a_watch_sees_whole_commits", "this one has a part"),
    broken_powers.TellsOfNoDelete: (
        "a_watch_tells_what_has_changed_and_nothing_else",
        "or None for a key that is gone",
    ),
    broken_powers.TellsOfEverything: ("a_watch_tells_what_has_changed_and_nothing_else", "no others"),
    broken_powers.TellsAtOnce: ("a_watch_tells_of_own_changes", "first yield of watch() must be None"),
    broken_powers.ComparesWithItsLastLook: ("a_watch_tells_also_of_what_changed_back", "loaded in between"),
    broken_powers.LeavesItsWatchesOpen: ("close_ends_a_watch_by_an_error", "must raise BackendUnavailable"),
    broken_powers.EndsItsWatchesQuietly: ("close_ends_a_watch_by_an_error", "must raise BackendUnavailable"),
    broken_powers.WritesThoughItOnlyReads: ("who_reads_only_changes_nothing", "must refuse to write"),
    broken_powers.MakesItsTableThoughItOnlyReads: ("who_reads_only_makes_nothing", "must return nothing"),
    broken_files.WaitsForWhoIsStopped: ("a_holder_that_is_stopped_keeps_nobody_out", "must keep nobody out"),
    broken_files.GoesOnWhereItWasStopped: ("a_holder_that_is_stopped_keeps_nobody_out", "must change nothing"),
    broken_powers.IgnoresFencing: ("who_lost_the_lease_cannot_write", "LeaseLost"),
    broken_powers.FencesOnceItHadTheLease: ("who_was_refused_cannot_write", "LeaseLost"),
    broken_powers.FencesByHolderOnly: ("a_lease_that_ran_out_is_lost_also_if_nobody_took_it", "nobody took it"),
    broken_powers.NeverLetsAnotherIn: ("who_lost_the_lease_cannot_write", "must expire"),
    broken_powers.RenewsNothing: ("a_renewed_lease_lasts_as_long_as_it_was_renewed_for", "LeaseHeld"),
    broken_powers.AnybodyReleases: ("release_without_a_lease_is_harmless", "LeaseHeld"),
    broken_powers.KeepsTheLeaseWhenClosed: ("close_releases_the_lease", "LeaseHeld"),
    broken_powers.KeepsTheHolderSecret: ("a_lease_keeps_another_out_and_says_who_has_it", "must say who"),
    broken_powers.RacesForTheLease: ("of_many_at_once_one_has_it", "exactly one"),
    broken_powers.ReportsTheDead: ("a_report_ends_with_the_lease", "must not report a lease that ran out"),
    broken_powers.ReportsNobody: ("a_report_says_who_has_the_lease", "must report the lease"),
    broken_powers.ReportsItsOwnName: ("a_report_says_who_has_the_lease", "what the writer said"),
    broken_powers.ReportsTheRenewal: ("a_renewal_changes_the_seconds_and_nothing_else", "must outlive renewals"),
    broken_powers.ReportsTheFirstTtl: ("a_renewal_changes_the_seconds_and_nothing_else", "the last renewal"),
    broken_powers.ReportsLocalTime: ("a_report_says_who_has_the_lease", "a time in UTC"),
    broken_powers.AsksForTheLeaseToReadIt: ("who_reads_the_lease_does_not_ask_for_it", "must not ask for the lease"),
    broken_powers.ReportsAnyPrefix: ("the_lease_of_another_prefix_is_not_reported", "a lease of its own"),
}


@pytest.fixture(autouse=True)
def collected():
    """Collects garbage after a test, and not while pytest parses the source for its report of a failure.

    What mutants leave behind may have tracebacks written meanwhile, and Python 3.11 cannot parse then
    (https://github.com/python/cpython/issues/106905).
    """
    gc.disable()
    yield
    gc.enable()
    gc.collect()


class Mutant(BackendSuite, TraefikSuite):
    backend_class: ClassVar[type[MemoryBackend]]
    shortest_lease = 0.2
    stopped_holder_blocks = "The table is in the memory of one process."

    @pytest.fixture
    def backend(self):
        return self.backend_class(name=uuid4().hex, prefix="hub-1")

    @pytest.fixture(autouse=True)
    def _no_patience(self, monkeypatch):
        """What does not come from memory will not come later."""
        monkeypatch.setattr("jhub_kvproxy.testing._kit.PATIENCE", 1.0)

    async def read_raw(self, backend):
        table = MemoryBackend.tables.get((backend.name, backend.prefix))
        return table.keys if table else {}


class FileMutant(BackendSuite, TraefikSuite):
    backend_class: ClassVar[type[TomlBackend]]
    shortest_lease = 0.5

    @pytest.fixture
    def backend(self, tmp_path):
        return self.backend_class(path=str(tmp_path / "table"), prefix="hub", timeout=3)

    @pytest.fixture(autouse=True)
    def _little_patience(self, monkeypatch):
        monkeypatch.setattr("jhub_kvproxy.testing._kit.PATIENCE", 30.0)

    async def read_raw(self, backend):
        return json.loads(backend.table_file.read_text())["keys"] if backend.table_file.exists() else {}


for mutant in CAUGHT:
    base = FileMutant if issubclass(mutant, TomlBackend) else Mutant
    globals()[f"Test{mutant.__name__}"] = type(mutant.__name__, (base,), {"backend_class": mutant})
