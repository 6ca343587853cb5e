"""Options for the store that keeps the table, and for who may write to it."""

from __future__ import annotations

from typing import Any

from traitlets import CaselessStrEnum, Float, HasTraits, TraitError, Type, Unicode, Union, validate

from ..errors import BackendNotFound
from ..store.contract import Backend
from ..store.registry import find_backend, of_this_contract


class StoreOptions(HasTraits):
    backend_class = Union(
        [Unicode(), Type(klass=Backend)],
        default_value="toml",
        config=True,
        help="""
        The store that keeps the routing table: the name of an installed backend, the import path of a class, or the
        class. Default: `toml`, which keeps the table in files.
        """,
    )
    prefix = Unicode(
        "jupyterhub",
        config=True,
        help="""
        Name of this hub's part of the store. Each hub that shares the store needs a prefix of its own: the hub removes
        all routes below its prefix that it did not write.
        """,
    )
    store_timeout = Float(
        60.0,
        min=0,
        config=True,
        help="""
        Seconds that the Hub waits for the store when it starts. Then it ends with the store's error.

        It does not wait if the store refuses it, for instance because of a wrong password.
        """,
    )
    lease_seconds = Float(
        10.0,
        min=0,
        config=True,
        help="""
        Seconds for which the store grants a Hub the lease: the right to be the only one that writes to the prefix.

        The Hub renews it every third of this time. After a Hub was killed or lost the store, the next Hub waits for up
        to this time. A Hub that is stopped releases the lease, so the next one need not wait. A Hub whose store stays
        slow asks for 2, 4 or 8 times as long, and logs a warning. At least 1, and more than the store takes for that.
        0: no lease; then make sure yourself that no two Hubs use the same prefix.
        """,
    )
    when_lease_held = CaselessStrEnum(
        ["wait", "fail"],
        "wait",
        config=True,
        help="""
        What a Hub does when it starts while another Hub has the lease of the same prefix: `wait` or `fail`.

        With `wait`, it waits until the other Hub has ended, however long that takes, and takes over. With `fail`, it
        ends after twice the time that the other Hub's lease lasts, at least twice `lease_seconds`; by then the lease of
        a Hub that was killed has expired. In both cases the log says every few seconds who has the lease, and since
        when.
        """,
    )

    @validate("backend_class")
    def _validate_backend_class(self, proposal: Any) -> type[Backend]:
        chosen = proposal.value
        try:
            return of_this_contract(chosen) if isinstance(chosen, type) else find_backend(chosen)
        except BackendNotFound as error:
            raise TraitError(str(error)) from error

    @validate("lease_seconds")
    def _validate_lease_seconds(self, proposal: Any) -> float:
        seconds = float(proposal.value)
        if 0 < seconds < 1:
            raise TraitError(f"KVProxy.lease_seconds is {seconds:g}; it must be 1 or more, or 0 for no lease.")
        return seconds

    @validate("prefix")
    def _validate_prefix(self, proposal: Any) -> str:
        if not proposal.value.strip("/"):
            raise TraitError("KVProxy.prefix must not be empty: it is the name of this hub's part of the store.")
        return str(proposal.value)
