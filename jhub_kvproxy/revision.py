"""Which state of the routing table a replica serves."""

from __future__ import annotations

import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Revision:
    """A state of the table: `text` stands in the store beside it, `number` orders the states that one writer saw.

    `epoch` is that writer's life. A state that it found in the store, another's work, has a number too.
    """

    epoch: str
    number: int
    text: str

    def is_reached_by(self, seen: str) -> bool:
        """Whether a replica that serves the revision with the text `seen` is at this one, or past it."""
        epoch, _, number = seen.partition(".")
        return seen == self.text or (epoch == self.epoch and number.isdecimal() and int(number) >= self.number)

    @classmethod
    def first(cls) -> Revision:
        """The one before a new writer's first commit."""
        epoch = secrets.token_hex(4)
        return cls(epoch, 0, f"{epoch}.0")

    def next(self) -> Revision:
        """The one after a commit of the same writer."""
        return Revision(self.epoch, self.number + 1, f"{self.epoch}.{self.number + 1}")

    def found(self, text: str) -> Revision:
        """The one that the same writer has found in the store, another's work."""
        return Revision(self.epoch, self.number + 1, text)
