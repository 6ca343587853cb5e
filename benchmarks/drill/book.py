"""Stands in for the hub's database: which users have a server, and where. Pure."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 50


class Book:
    """Users' servers, which outlive any hub: `users` are names, each with the port of the server."""

    def __init__(self, users: dict[str, str]) -> None:
        self.users = dict(users)
        #: Some users who no longer have a server.
        self.gone: deque[str] = deque(maxlen=_REMEMBERED)

    def put(self, name: str, port: str) -> None:
        """Record that the user has a server, as JupyterHub does before it adds the route."""
        self.users[name] = port

    def drop(self, name: str) -> None:
        """Record that the user has no server, as JupyterHub does after it deletes the route, or could not add it."""
        self.users.pop(name, None)
        self.gone.append(name)

    def expected(self) -> dict[str, str]:
        """The server that must answer each user's path; "": none, so the hub answers."""
        return {**dict.fromkeys(self.gone, ""), **self.users}


def path(name: str) -> str:
    return f"/user/{name}/"
