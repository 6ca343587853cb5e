"""48 faults that were put into a good driver of a database (PostgreSQL), and the test of the kit that finds each."""

from __future__ import annotations

#: The test that fails; or why none does, in words.
FAULTS = {
    # The table
    "an update is lost: all is read and written back without a lock": "two_writers_lose_nothing",
    "no transaction at all": "a_reader_sees_what_moves_at_one_place",
    "deletes and writes in two transactions": "a_reader_sees_what_moves_at_one_place",
    "each 2000 keys are a transaction": "a_reader_sees_large_batches_whole",
    "load() reads pages, each in a transaction of its own": "a_large_table_is_read_as_of_one_moment",
    "load() answers from memory": "what_another_object_changes_meanwhile_is_seen",
    "load() does not wait for a commit that is under way": "a_change_that_comes_late",
    "load() returns an empty table without permission": "who_has_no_permission_is_told_so",
    "load() returns an empty table on any error": "load_without_the_store",
    "the prefix is taken for a pattern": "prefixes_are_separate",
    "a text that does not fit is rejected for good": "a_text_that_the_store_cannot_hold_is_refused_alone",
    "the lock is taken too late": "a_change_that_comes_late",
    # The connection
    "the answer to a commit gets lost: made again": "a_change_whose_answer_gets_lost",
    "the answer to a commit gets lost: success is reported": "a_change_whose_answer_gets_lost",
    "the answer to a commit gets lost: rejected for good": "apply_without_the_store",
    "errors are not translated": "load_without_the_store",
    "the password is in the errors": "an_outage_shows_no_secret",
    "no time limit": "load_without_the_store",
    "a cancelled call leaves its connection to the next": "a_call_that_is_cancelled_while_its_answer_comes",
    "open() does not look for permissions": "who_has_no_permission_is_told_so",
    "open() connects to nothing": "open_without_the_store",
    "close() leaves the connection open": "nothing_is_left_after_close",
    "close() leaves a watch open": "close_ends_a_watch_without_the_store",
    "close() leaves the lease": "close_releases_the_lease",
    "a client that waits in the event loop": "a_store_that_does_not_answer_does_not_block_the_event_loop",
    # The watch
    "it listens after the first yield only": "a_watch_tells_of_own_changes",
    "it forgets what comes while the consumer works": "a_watch_loses_nothing_between_two_looks",
    "it is not told of deletions": "a_watch_tells_of_others_changes",
    "it hides a lost connection": "a_watch_hides_no_gap",
    "it yields each second": "a_watch_is_quiet_when_nothing_changes",
    "it tells of leases": "a_watch_tells_of_nothing_else",
    # The lease
    "apply() does not look": "who_lost_the_lease_cannot_write",
    "apply() looks before the transaction": "a_lease_that_runs_out_within_a_change",
    "apply() asks its own clock": "a_lease_that_runs_out_within_a_change",
    "one that ran out and nobody took is good": "a_lease_that_ran_out_is_lost_also_if_nobody_took_it",
    "who was refused may write": "who_was_refused_cannot_write",
    "whoever closes releases it": "release_without_a_lease_is_harmless",
    "who lost it gets it back by renewal": "who_lost_the_lease_cannot_write",
    "it never runs out": "who_lost_the_lease_cannot_write",
    "renewal does not extend it": "a_renewed_lease_lasts_as_long_as_it_was_renewed_for",
    # Traefik
    "what Traefik reads is not escaped": "difficult_user_names",
    # What no test finds
    "a call sleeps in the event loop for a moment": "cannot be told: without a clock, from a busy machine",
    "the client's clock says whether a lease has run out": "cannot be told: all tests run on one machine, by one clock",
    "commits are not durable": "cannot be told: the machine of the store would have to fail",
    "what Traefik reads is not mended by load()": "cannot be told: the kit does not know where the driver keeps it",
    "what two drivers write for Traefik races": "cannot be told: one writer has the lease, but for moments",
    "close() raises BackendUnavailable": "is no fault: the contract allows it",
    "a watch tells of keys that were written and stayed the same": "is no fault: most stores tell of writes",
}
