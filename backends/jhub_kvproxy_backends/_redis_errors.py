"""Turns redis-py's errors into ours, with text for an admin. No other module does."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from redis import exceptions as redis

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, BatchRejected

#: The server's errors by their first word: whether the error passes within moments, and what it means.
_BY_CODE = {
    "LOADING": (True, "is still loading its data"),
    "BUSY": (True, "is busy with a script"),
    "TRYAGAIN": (True, "asks to try again"),
    "MASTERDOWN": (True, "is a replica that has lost its master"),
    "READONLY": (
        True,
        "is a read-only replica; RedisBackend.url must lead to the master, or RedisBackend.sentinels to its Sentinels",
    ),
    "OOM": (False, "has no memory left (maxmemory); give it more, or remove what else it holds"),
    "MISCONF": (False, "takes no changes because it cannot save its data; its log says why"),
    "NOREPLICAS": (False, "takes no changes because too few replicas are connected (min-replicas-to-write)"),
}
# redis-py cuts the first word off these.
_CODES: list[tuple[type[Exception], str]] = [
    (redis.BusyLoadingError, "LOADING"),
    (redis.MasterDownError, "MASTERDOWN"),
    (redis.ReadOnlyError, "READONLY"),
    (redis.TryAgainError, "TRYAGAIN"),
    (redis.OutOfMemoryError, "OOM"),
]


class Transient(BackendUnavailable):
    """An error that may pass within moments. Nothing was changed, so the call can be made again at once."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server, as error messages describe it."""

    place: str
    #: Our user there, the options that set it, and the ACL rules that it needs.
    user: str
    options: str
    acl: str
    is_tls: bool
    #: Whether we have no connection yet.
    is_new: bool = True


def translate(error: Exception, peer: Peer) -> BackendError:
    """Our error for `error`, which came from `peer`. Its cause is set."""
    ours = _translated(error, peer)
    # Redis repeats the arguments of a command that it does not know. If that is AUTH, they hold the password.
    repeats = any("args beginning with" in str(known) for known in _chain(error))
    ours.__cause__ = None if repeats else error
    return ours


def _translated(error: Exception, peer: Peer) -> BackendError:
    place, user = peer.place, peer.user
    if isinstance(error, UnicodeEncodeError):
        return BatchRejected(f"A key or value is not text that Redis at {place} could hold: {error.reason}.")
    if isinstance(error, (redis.AuthenticationError, redis.AuthenticationWrongNumberOfArgsError)):
        return BackendRejected(f"{place} refuses the login as {user} ({_text(error)}); check {peer.options}.")
    if isinstance(error, redis.NoPermissionError) or "NOPERM" in str(error):
        return BackendRejected(
            f"{place} forbids {user} what is needed ({_text(error)}); the ACL of {user} needs {peer.acl}"
        )
    # EXEC repeats the error for which it refuses: "Transaction discarded because of: OOM ..."
    first_word = str(error).rpartition("because of: ")[2].partition(" ")[0]
    code = next((code for kind, code in _CODES if isinstance(error, kind)), first_word)
    if code in _BY_CODE:
        passes, words = _BY_CODE[code]
        return (Transient if passes else BackendUnavailable)(f"{place} {words}.")
    if isinstance(error, (redis.AskError, redis.ClusterError)) or "cluster mode" in str(error):
        return cluster(place)
    if isinstance(error, redis.ResponseError):
        return _refused(_text(error), place)
    if isinstance(error, redis.InvalidResponse):
        return BackendRejected(f"{place} does not answer as a Redis does; check the address.")
    for cause in _chain(error) if peer.is_new else ():
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BackendRejected(
                f"{place}: its certificate is not accepted ({cause.verify_message}); "
                "is RedisBackend.ca_file the right one?"
            )
        if isinstance(cause, ssl.SSLError):
            return BackendRejected(
                f"{place}: the TLS handshake failed ({cause.reason or cause}); "
                "does it speak TLS, and accept RedisBackend.cert_file?"
            )
    return Transient(f"{place} {_network_words(error, peer)}")


def cluster(place: str) -> BackendRejected:
    return BackendRejected(f"{place} is a Redis Cluster, which Traefik cannot read; use a Redis that is none.")


def _refused(text: str, place: str) -> BackendError:
    if "DB index is out of range" in text:
        return BackendRejected(f"{place} has no such database; see `databases` in its redis.conf.")
    if "unknown command" in text:
        return BackendRejected(f"{place} does not know what is needed ({text}); it must be Redis 6 or newer.")
    return BackendRejected(f"{place} refuses: {text}.")


def _network_words(error: Exception, peer: Peer) -> str:
    if "max number of clients" in str(error):
        return "has reached its limit of clients (maxclients)."
    for cause in _chain(error):
        if isinstance(cause, TimeoutError):
            return "did not answer in time" + ("; does it speak TLS?" if peer.is_tls and peer.is_new else ".")
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ConnectionResetError):
            words = os.strerror(cause.errno) if cause.errno > 0 else cause.strerror
            return f"cannot be reached ({words})."
    return "broke off the connection" + ("; does it want TLS (rediss://)?" if peer.is_new and not peer.is_tls else ".")


def _text(error: Exception) -> str:
    return str(error).partition(", with args beginning with")[0].removesuffix(".")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
