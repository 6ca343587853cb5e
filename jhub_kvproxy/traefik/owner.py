"""Which hub the Traefik of a runtime directory belongs to."""

from __future__ import annotations

from typing import Protocol


class Owner(Protocol):
    """The hub. Of two that use one directory, Traefik belongs to the one with the newer term.

    A term comes with the lease: who gets it after another has a larger one
    (:class:`~jhub_kvproxy.routing.revision.Revision`).
    """

    @property
    def term(self) -> int:
        """The hub's own, which may grow."""

    async def outdo(self, served: str) -> None:
        """Get a term above that of the revision with the text `served`.

        Raises :class:`~jhub_kvproxy.errors.BackendError`, as when another hub has the lease.
        """
