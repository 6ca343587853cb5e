"""Which state of the routing table a replica serves, and who wrote the one in the store."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache

# Python reads no decimal number of more than 4,300 digits.
_FORM = re.compile(r"([0-9a-f]{1,1000})-(.*)\.([0-9]{1,1000})", re.DOTALL | re.IGNORECASE)
#: The plugin's numbers have 64 bits.
_LARGEST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Revision:
    """A state of the table: `text` stands in the store beside it, `number` orders the states that one writer saw.

    A state that it found in the store, another's work, has a number too. `term` orders the writers: each has a
    larger one than whoever wrote what it found. The text of a writer's own is ``term-writer.number``.
    """

    writer: str
    number: int
    text: str
    term: int = 0

    @property
    def rank(self) -> tuple[int, str, int]:
        """Orders what several writers wrote: whoever came later is above, and of one writer's the later."""
        return self.term, self.writer, self.number

    def is_reached_by(self, seen: str) -> bool:
        """Whether a replica that serves the revision with the text `seen` is at this one, or past it."""
        other = Revision.read(seen)
        return seen == self.text or (other.writer == self.writer and other.number >= self.number)

    def is_followed_by(self, stored: str) -> bool:
        """Whether another writer wrote the revision with the text `stored` after this one."""
        other, this = Revision.read(stored), Revision.read(self.text)
        if not stored or other.writer == self.writer:
            return False
        if other.writer == this.writer:  # whose work this writer has found
            return (other.term, other.number) > (this.term, this.number)
        return other.term >= this.term

    @classmethod
    def read(cls, text: str) -> Revision:
        """The one that `text` tells of, which anybody may have written."""
        return _read(text)

    @classmethod
    def first(cls) -> Revision:
        """The one before a new writer's first commit."""
        return cls._written(secrets.token_hex(4), 0, _now())

    @classmethod
    def of_term(cls, term: int) -> Revision:
        """One that every writer with a larger term is above, and none with a smaller one."""
        return cls("", 0, f"{term:x}-.0", term)

    def next(self, after: int = 0) -> Revision:
        """The one after a commit of the same writer, with a larger number than `after` too."""
        return self._written(self.writer, max(self.number, after) + 1, self.term)

    def found(self, text: str, after: int = 0) -> Revision:
        """The one that the same writer has found in the store, another's work; `after` as for :meth:`next`."""
        # The time, so that a backup is older than whoever is there when it is restored, also if the store
        # was emptied in between.
        term = max(_now(), Revision.read(text).term + 1)
        return Revision(self.writer, max(self.number, after) + 1, text, term)

    @classmethod
    def _written(cls, writer: str, number: int, term: int) -> Revision:
        return cls(writer, number, f"{term:x}-{writer}.{number}", term)


# Thousands may ask for the same.
@lru_cache(maxsize=64)
def _read(text: str) -> Revision:
    """As the plugin reads it (``traefik/plugin/revision.go``): both must find the same one newer."""
    if found := _FORM.fullmatch(text):
        term, writer, number = int(found[1], 16), found[2], int(found[3])
        if max(term, number) <= _LARGEST:
            return Revision(writer, number, text, term)
    return Revision(text, 0, text)


def _now() -> int:
    return int(time.time())
