"""Runs the kit on drivers that make batches in parts or cannot bear outages, for ``test_the_kit_catches.py``."""

from __future__ import annotations

import pytest

from tests.conformance import broken_batches, broken_networks
from tests.conformance.mutants import Mutant
from tests.conformance.mutants import collected as collected
from tests.conformance.test_networked import NetworkedSuite

#: For each: the test that must fail, and what its message must say.
IN_PARTS = {
    broken_batches.DeletesThenWrites: ("a_reader_sees_what_moves_at_one_place", "a part of a batch"),
    broken_batches.WritesPageByPage: ("a_reader_sees_large_batches_whole", "a part of a batch"),
    broken_batches.LooksForTheLeaseFirst: (
        "who_loses_the_lease_while_it_writes_writes_no_more",
        "in the transaction of the change",
    ),
    broken_batches.IsEmptyWhenClosed: ("a_table_that_cannot_be_read_is_not_empty", "never return an empty one"),
    broken_batches.RejectsATextForGood: ("a_text_that_the_store_cannot_hold_is_refused_alone", "BackendRejected"),
}
ON_A_NETWORK = {
    broken_networks.OpensNothing: ("open_without_the_store", "it returned None"),
    broken_networks.HasNoLimit: ("load_without_the_store", "within the driver's time limit"),
    broken_networks.DoesNotTranslate: ("load_without_the_store", "ConnectionError"),
    broken_networks.IsEmptyOnAnyError: ("load_without_the_store", "it returned Snapshot(keys={})"),
    broken_networks.IsEmptyWithoutPermission: ("who_has_no_permission_is_told_so", "when the store forbids to read"),
    broken_networks.LooksForNoPermission: ("who_has_no_permission_is_told_so", "open() must find out"),
    broken_networks.RejectsForGood: ("apply_without_the_store", "BackendRejected"),
    broken_networks.TellsItsPassword: ("an_outage_shows_no_secret", "TellsItsPassword.password"),
    broken_networks.SucceedsInAnyCase: ("a_request_that_gets_lost", "when its change was not made"),
    broken_networks.SucceedsWithoutAnAnswer: (
        "a_change_whose_answer_gets_lost",
        "when the answer to its change gets lost",
    ),
    broken_networks.MakesItAgain: ("a_change_whose_answer_gets_lost", "must not make a change again"),
    broken_networks.LetsLateChangesIn: ("a_change_that_comes_late", "must not be made later"),
    broken_networks.ChecksTheLeaseBefore: ("a_lease_that_runs_out_within_a_change", "in the transaction"),
    broken_networks.ChecksTheLeaseByItsClock: ("a_lease_that_runs_out_within_a_change", "in the transaction"),
    broken_networks.ReleasesLate: ("a_release_that_comes_late", "acquired after it"),
    broken_networks.ForgetsTheLeaseInAnOutage: ("other_calls_whose_connection_breaks", "LeaseHeld"),
    broken_networks.KeepsTheConnectionOfACancelledCall: ("a_call_that_is_cancelled_while_its_answer_comes", "KeyError"),
    broken_networks.IsNotUsableAgain: ("a_request_that_gets_lost", "the driver must be usable"),
    broken_networks.LeavesItsConnectionWhenTheStoreIsAway: ("close_without_the_store", "must close all connections"),
    broken_networks.CloseWaitsForTheStore: ("close_without_the_store", "within the driver's time limit"),
    broken_networks.LeavesATaskWhenTheStoreIsAway: ("close_without_the_store", "no task behind"),
    broken_networks.WaitsInTheEventLoop: ("a_store_that_does_not_answer_does_not_block_the_event_loop", "no answer"),
    broken_networks.WatchNoticesNoDeath: ("a_watch_notices_that_the_store_is_away", "within the driver's time limit"),
    broken_networks.WatchHidesTheGap: ("a_watch_hides_no_gap", "within the driver's time limit"),
    broken_networks.CloseLeavesItsWatch: ("close_ends_a_watch_without_the_store", "the connections of a watch"),
    broken_networks.WatchYieldsForNothing: ("a_watch_is_quiet_when_nothing_changes", "again and again"),
    broken_networks.WatchYieldsInALoop: ("a_watch_notices_that_the_store_is_away", "again and again"),
    broken_networks.WatchLeavesItsConnection: ("a_watch_ends_without_the_store", "must leave no connection"),
}
CAUGHT = {**IN_PARTS, **ON_A_NETWORK}


class InParts(Mutant):
    unsupported_characters = "\0"


class OnANetwork(NetworkedSuite):
    @pytest.fixture(autouse=True)
    def _little_patience(self, monkeypatch):
        monkeypatch.setattr("jhub_kvproxy.testing._kit.PATIENCE", 2.0)
        monkeypatch.setattr("jhub_kvproxy.testing._far.GRACE", 2.0)


for suite, mutants in ((InParts, IN_PARTS), (OnANetwork, ON_A_NETWORK)):
    for mutant in mutants:
        globals()[f"Test{mutant.__name__}"] = type(mutant.__name__, (suite,), {"backend_class": mutant})
