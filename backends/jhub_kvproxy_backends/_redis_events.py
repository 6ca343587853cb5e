"""Notifies Traefik of changes: once for each batch, since Traefik then reads the whole table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from ._redis_client import Client
from ._redis_session import Command, Session

_OPTION = "notify-keyspace-events"
#: With any other flag of the option, Redis may send an event for a string that Traefik reads.
_HARMLESS = set("KEhlszxetmd")


class Events:
    """Notifies Traefik of changes to strings below ``<root>/traefik``.

    Traefik listens for Redis's keyspace events: messages on channels with certain names (Redis docs, "Keyspace
    notifications"). Anybody can publish on such a channel, whatever the option ``notify-keyspace-events`` is. So each
    batch ends with one message of ours.

    When Traefik starts, it sets that option, if it may. Then Redis sends a message for each key of a batch, too. If we
    may, we switch the option off within our transaction. Nobody notices: Redis does nothing else meanwhile.
    """

    def __init__(self, client: Client, root: str, db: int, log: Any) -> None:
        self._client = client
        self._log = log
        self._probe_key = f"{root}/probe"
        self._probe_channel = f"__keyspace@{db}__:{root}/probe"
        self.message: Command = ("PUBLISH", f"__keyspace@{db}__:{root}/traefik", "changed")
        self._may_get = self._may_set = True
        self._has_warned = False

    @property
    def questions(self) -> Sequence[Command]:
        """The commands whose replies say what Redis tells Traefik by itself; none if we may not ask."""
        return [("CONFIG", "GET", _OPTION)] if self._may_get else []

    def commands_around(self, replies: Sequence[Any]) -> tuple[list[Command], list[Command]]:
        """The commands for a transaction, before the writes and after them, by the `replies` to the questions."""
        flags = self._flags(replies)
        if flags and self._may_set and _is_noisy(flags):
            return [("CONFIG", "SET", _OPTION, "")], [("CONFIG", "SET", _OPTION, flags), self.message]
        return [], [self.message]

    def give_up_setting(self, place: str) -> None:
        """Record that we may not switch the option off. Warn of it once."""
        self._may_set = False
        if not self._has_warned:
            self._log.warning(
                "%s tells Traefik of each single key that changes, and each time Traefik reads the whole table: that "
                "costs much CPU. If nobody else needs it, remove %s from its redis.conf and forbid CONFIG to Traefik's "
                "user, which sets it. Otherwise allow the Hub's user +config|get +config|set.",
                place,
                _OPTION,
            )
        self._has_warned = True

    async def check(self, session: Session) -> None:
        """Find out whether we may ask for the option, once for each connection. Whether we may set it shows later."""
        if session.is_checked:
            return
        session.is_checked = True
        self._may_get = self._may_set = True
        if self._flags(await session.try_all(self.questions)) is None:
            flags = await self._probe(session)
            if flags and _is_noisy(flags):
                self.give_up_setting(session.place)

    def _flags(self, replies: Sequence[Any]) -> str | None:
        """The option's value; None if we may not ask for it."""
        for reply in replies:
            if isinstance(reply, list):
                return b"".join(reply[1:]).decode()
            self._may_get = False
        return None

    async def _probe(self, session: Session) -> str | None:
        """The option's flags, found out by causing events; None if we may not listen."""
        key = self._probe_key
        async with self._client.listener() as listener:
            if isinstance(await listener.try_to("SUBSCRIBE", self._probe_channel), ResponseError):
                return None
            await session.begin([])
            await session.commit([("SET", key, ""), ("DEL", key)])
            # The reply to PING comes after all events.
            await listener.send("PING")
            heard = set()
            while (message := await listener.message(self._client.timeout)) and message[0] == b"message":
                heard.add(message[2])
        return "".join(flag for name, flag in ((b"set", "K$"), (b"del", "Kg")) if name in heard)


def _is_noisy(flags: str) -> bool:
    return "K" in flags and bool(set(flags) - _HARMLESS)
