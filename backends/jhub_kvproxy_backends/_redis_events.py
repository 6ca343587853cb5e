"""Notifies Traefik of changes: once for each batch, since Traefik then reads the whole table."""

from __future__ import annotations

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

    async def commands_around(self, session: Session) -> tuple[list[Command], list[Command]]:
        """The commands for the next transaction, before the writes and after them."""
        flags = await self._flags(session)
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
        """Find out which permissions we have, once for each connection."""
        if session.is_checked:
            return
        session.is_checked = True
        self._may_get = self._may_set = True
        flags = await self._flags(session)
        if flags is None:
            flags = await self._probe(session)
            self._may_set = False
        elif _is_noisy(flags):
            await session.ask("MULTI")
            self._may_set = not isinstance(await session.try_to("CONFIG", "SET", _OPTION, flags), ResponseError)
            await session.ask("DISCARD")
        if flags and _is_noisy(flags) and not self._may_set:
            self.give_up_setting(session.place)

    async def _flags(self, session: Session) -> str | None:
        """The option's value; None if we may not ask for it."""
        if self._may_get:
            reply = await session.try_to("CONFIG", "GET", _OPTION)
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
            await session.transact([("SET", key, ""), ("DEL", key)])
            # The reply to PING comes after all events.
            await listener.send("PING")
            heard = set()
            while (message := await listener.message(self._client.timeout)) and message[0] == b"message":
                heard.add(message[2])
        return "".join(flag for name, flag in ((b"set", "K$"), (b"del", "Kg")) if name in heard)


def _is_noisy(flags: str) -> bool:
    return "K" in flags and bool(set(flags) - _HARMLESS)
