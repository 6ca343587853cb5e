"""What the hub's database says: who has a server, and where. Pure."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 50


class Book:
    """Users' servers, which outlive any hub: `users` by name, each with the port of the server."""

    def __init__(self, users: dict[str, str]) -> None:
        self.users = dict(users)
        #: Names of some who have no server any more.
        self.gone: deque[str] = deque(maxlen=_REMEMBERED)

    def put(self, name: str, port: str) -> None:
        """The user has a server, as JupyterHub notes before it asks for the route."""
        self.users[name] = port

    def drop(self, name: str) -> None:
        """The user has none, as JupyterHub notes after the route has gone, or could not be added."""
        self.users.pop(name, None)
        self.gone.append(name)

    def expected(self) -> dict[str, str]:
        """Who must answer each user's path; "": the hub, since there is no server."""
        return {**dict.fromkeys(self.gone, ""), **self.users}


def path(name: str) -> str:
    return f"/user/{name}/"
