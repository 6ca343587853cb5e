"""Whom the Traefik of a runtime directory belongs to: a hub, or an agent."""

from __future__ import annotations

from typing import Protocol


class Owner(Protocol):
    """The hub or agent. Of two that use one directory, Traefik belongs to the one with the newer term.

    A hub's term comes with the lease: who gets it after another has a larger one
    (:class:`~jhub_kvproxy.routing.revision.Revision`). An agent has no lease; its term is larger if it starts later.
    """

    @property
    def term(self) -> int:
        """Its own, which may grow."""

    async def outdo(self, served: str) -> None:
        """Get a term above that of the revision with the text `served`.

        Raises :class:`~jhub_kvproxy.errors.BackendError`, as when another has the lease.
        """
