"""Turns PostgreSQL's answers, and failures on the way to it, into our errors. No other module does."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, BatchRejected


class Transient(BackendUnavailable):
    """Nothing was changed. Another try, by another connection, may succeed soon."""


class TakesNoChanges(Transient):
    """The server reads only. Another one may not."""


class Locked(BackendUnavailable):
    """Another session has a lock, and kept it for too long. Nothing was changed."""


class TablesGone(Transient):
    """The tables are not there, or no longer, or not as a hub makes them."""


_IN_THE_WAY = "no hub has made what is there by this name; choose another PostgresBackend.schema"
_POOLED = (
    "it is reached through a pooler that gives each transaction another session, as pgbouncer does with pool_mode = "
    "transaction; use pool_mode = session for this database and user, or connect to PostgreSQL itself"
)
#: Our error and a remedy, by the beginning of the SQLSTATE; the longest that fits counts.
_KINDS: dict[str, tuple[type[BackendError], str]] = {
    "08": (Transient, "find out whether it runs"),
    "08P01": (BackendRejected, "a pooler refuses what PostgreSQL takes; its log says why"),
    "0A000": (Transient, "it is a standby, or too old: PostgreSQL 14 or newer is needed"),
    "22": (BatchRejected, "it cannot hold this text"),
    "23505": (Transient, "another session made the same at this moment; it is tried again"),
    "25006": (TakesNoChanges, "it takes no changes: it is a standby, or set to read only"),
    "25P03": (Transient, "this hub stood still for too long"),
    "26000": (BackendRejected, _POOLED),
    "28": (BackendRejected, "check the user and the password, and pg_hba.conf"),
    "3D000": (BackendRejected, "create the database, or correct PostgresBackend.url"),
    "3F000": (TablesGone, "the tables were removed; a hub makes them anew"),
    "40": (Transient, "it is tried again"),
    "42501": (BackendRejected, "grant what is missing, or disable row security"),
    "42P01": (TablesGone, "the tables were removed; a hub makes them anew"),
    "42703": (TablesGone, "the tables are not as a hub makes them"),
    "42710": (BackendRejected, _IN_THE_WAY),
    "42723": (BackendRejected, _IN_THE_WAY),
    "42809": (BackendRejected, _IN_THE_WAY),
    "42P10": (
        BackendRejected,
        "an index of the hubs' tables is gone; as their owner, drop keys, leases and recent, which the hub makes again",
    ),
    "42P05": (BackendRejected, _POOLED),
    "42P06": (Transient, "another session made it at this moment; it is tried again"),
    "42P07": (BackendRejected, _IN_THE_WAY),
    "42P13": (BackendRejected, _IN_THE_WAY),
    "42883": (TablesGone, "the functions were removed; a hub makes them anew"),
    "53": (BackendUnavailable, "make room, or raise its limits"),
    "53300": (Transient, "raise its max_connections, or use a pooler"),
    "54": (BatchRejected, "the text is longer than it takes"),
    "55000": (BackendUnavailable, "who runs it must change that"),
    "55P03": (
        Locked,
        "another session has locked rows or a table, and not ended its transaction; pg_locks and pg_stat_activity say "
        "which",
    ),
    "55": (BackendUnavailable, "another session is in the way; pg_stat_activity says which"),
    "57014": (BackendUnavailable, "it is too slow, or another session keeps a lock; see pg_stat_activity"),
    "57": (Transient, "it is being stopped or started"),
    "58": (BackendUnavailable, "look after its disk"),
    "XX": (BackendUnavailable, "see its log"),
}


def translate(error: Exception, place: str) -> BackendError | None:
    """Our error for `error`; None if it is neither PostgreSQL's nor the network's."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        fitting = (_KINDS[state[:length]] for length in (5, 2) if state[:length] in _KINDS)
        kind, remedy = next(fitting, (BackendRejected, "see its log"))
        words = str(error.args[0]) if error.args else f"SQLSTATE {state}"
        return kind(f"PostgreSQL at {place} says: {words}; {remedy}.")
    if isinstance(error, ssl.SSLCertVerificationError):
        return BackendRejected(
            f"The certificate of PostgreSQL at {place} is not accepted ({error.verify_message}); is sslrootcert in "
            "PostgresBackend.url the right one?"
        )
    if isinstance(error, ssl.SSLError):
        return BackendRejected(
            f"The TLS handshake with PostgreSQL at {place} failed ({error}); are sslcert and sslkey in "
            "PostgresBackend.url right?"
        )
    if isinstance(error, (asyncpg.ClientConfigurationError, asyncpg.UnsupportedClientFeatureError)):
        return BackendRejected(f"PostgreSQL at {place} cannot be used: {error}.")
    if isinstance(error, (asyncpg.DataError, UnicodeEncodeError)):
        return BatchRejected(f"PostgreSQL at {place} cannot hold a text of this change.")
    if isinstance(error, TimeoutError):
        return Transient(f"PostgreSQL at {place} did not answer in time.")
    if isinstance(error, OSError) and "rejected SSL upgrade" in str(error):
        return BackendRejected(f"PostgreSQL at {place} does not speak TLS, which sslmode in PostgresBackend.url wants.")
    if isinstance(error, (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        return Transient(f"PostgreSQL at {place} cannot be reached ({error}); find out whether it runs.")
    return None


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raises our errors for those of its block."""
    try:
        yield
    except BackendError:
        raise
    except Exception as error:
        if ours := translate(error, place):
            raise ours from error
        raise
