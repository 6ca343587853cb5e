"""Keyspace events: Traefik must hear of each batch, and once, since it reads the whole table each time it hears."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from ._redis_client import Client
from ._redis_session import Command, Session

_OPTION = "notify-keyspace-events"
# Keyspace events, of changes to hashes: `Table.signal` is one.
_NEEDED = "Kh"
_NOT_OURS = set("KEh")


class Events:
    """Redis's option ``notify-keyspace-events``: seen to, and worked around, as far as we may.

    With it, Redis tells Traefik of each single key that changes. Where we may set it, it is off within our
    transactions until the last command, which is safe because a transaction is made at one go. Otherwise it can be
    such in redis.conf that Redis tells of that last command only.
    """

    def __init__(self, client: Client, root: str, db: int, log: Any) -> None:
        self._client = client
        self._log = log
        self._probe_key = f"{root}/probe"
        self._channel = f"__keyspace@{db}__:{root}/probe"
        self._may_get = self._may_set = True
        self._said = ""

    @property
    def questions(self) -> list[Command]:
        """What to ask before a transaction."""
        return [("CONFIG", "GET", _OPTION)] if self._may_get else []

    def heard(self, replies: list[Any]) -> str | None:
        """The option's value, from the replies to `questions`; None: we may not know."""
        if replies and isinstance(replies[0], list):
            return b"".join(replies[0][1:]).decode()
        self._may_get = False
        return None

    def around(self, flags: str | None) -> tuple[list[Command], list[Command]]:
        """What to do before and after the writes of a transaction."""
        if flags is None or not self._may_set or not (_missing(flags) or _is_noisy(flags)):
            return [], []
        return [("CONFIG", "SET", _OPTION, "")], [("CONFIG", "SET", _OPTION, flags + _missing(flags))]

    def may_not_set(self) -> None:
        self._may_set = False

    def report(self, place: str, flags: str | None) -> None:
        """Log what is wrong with the option's value, which was `flags`; what was said last is not said again."""
        if flags is None:
            self._say(
                self._log.warning,
                f"{place} does not let us find out whether it tells Traefik of changes. "
                f"Make sure that its redis.conf has the line: {_OPTION} {_NEEDED}",
            )
        elif missing := _missing(flags):
            self._say(
                self._log.error,
                f"{place} does not tell Traefik of changes, because its option {_OPTION} is {flags!r}. "
                + ("It is set now, until Redis starts again. " if self._may_set else "New routes will not be served. ")
                + f"Put this line into its redis.conf: {_OPTION} {flags + missing}",
            )
            if self._may_set:
                self._said = ""
        elif _is_noisy(flags) and not self._may_set:
            self._say(
                self._log.warning,
                f"{place} tells Traefik of each single key that changes, and Traefik reads the whole table each time. "
                f"If nobody else needs that, put this line into its redis.conf: {_OPTION} {_NEEDED} (and forbid CONFIG "
                "to Traefik's user, which would change it). Otherwise allow the Hub's user +config|get +config|set.",
            )
        else:
            self._said = ""

    async def check(self, session: Session) -> None:
        """See that Traefik is told of changes, if we have just connected to the server."""
        if session.is_checked:
            return
        session.is_checked = True
        self._may_get = self._may_set = True
        flags = self.heard(await session.try_to(*self.questions))
        if flags is None:
            self._may_set = False
            flags = await self._probe(session)
        else:
            wanted = ("CONFIG", "SET", _OPTION, flags + _missing(flags))
            if _missing(flags):
                (reply,) = await session.try_to(wanted)
            else:
                await session.begin()
                reply, _ = await session.try_to(wanted, ("DISCARD",))
            self._may_set = not isinstance(reply, ResponseError)
        self.report(session.place, flags)

    async def _probe(self, session: Session) -> str | None:
        """What the option seems to be, by events that we cause; None: that is forbidden too."""
        key = self._probe_key
        async with self._client.session() as listener:
            (subscribed,) = await listener.try_to(("SUBSCRIBE", self._channel))
            if isinstance(subscribed, ResponseError):
                return None
            await session.begin()
            await session.transact([("HSET", key, "", ""), ("SET", key, ""), ("DEL", key)])
            # Events come before the replies to what is sent after them.
            await listener.send("PING")
            heard = set()
            while (message := await listener.message(self._client.timeout)) and message[0] == b"message":
                heard.add(message[2])
            await listener.ask(("UNSUBSCRIBE",))
        if message is None:
            return None
        return "".join(flag for name, flag in ((b"hset", "Kh"), (b"set", "$"), (b"del", "g")) if name in heard)

    def _say(self, log: Any, text: str) -> None:
        if text != self._said:
            log("%s", text)
        self._said = text


def _missing(flags: str) -> str:
    return "".join(flag for flag in _NEEDED if flag not in flags and not (flag == "h" and "A" in flags))


def _is_noisy(flags: str) -> bool:
    return bool(set(flags) - _NOT_OURS)
