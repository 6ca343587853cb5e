"""What can go wrong with a server, in one sentence for who runs it."""


class Unavailable(Exception):
    """A program cannot be run; its text says why, and what to do."""


class Missing(Unavailable):
    """A program that is not here; its text says how to get it."""


class Refused(Unavailable):
    """A server's words when it refuses a request, with the HTTP status."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status
