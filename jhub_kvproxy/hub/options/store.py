"""Which store keeps the table, and who may write to it."""

from __future__ import annotations

from typing import Any

from traitlets import CaselessStrEnum, Float, HasTraits, TraitError, Type, Unicode, Union, validate

from ...errors import BackendNotFound
from ...store.contract import Backend
from ...store.registry import find_backend


class StoreOptions(HasTraits):
    backend_class = Union(
        [Unicode(), Type(klass=Backend)],
        default_value="toml",
        config=True,
        help="""
        The store that keeps the routing table: the name of an installed backend, such as `toml`,
        or the import path of a class, or the class. Default: `toml`, the table in files.
        """,
    )
    prefix = Unicode(
        "jupyterhub",
        config=True,
        help="""
        Name of this hub's part of the store. Hubs that share a store need different ones; everything
        below the prefix is the hub's, and what it did not write there is removed.
        """,
    )
    store_timeout = Float(
        60.0,
        min=0,
        config=True,
        help="""
        Seconds that the Hub, when it starts, waits for a store that is away. Then it ends, and says what is wrong.

        A store that refuses the Hub, for a wrong password say, is not waited for.
        """,
    )
    lease_seconds = Float(
        10.0,
        min=0,
        config=True,
        help="""
        For how long after a Hub was killed, or has lost the store, no other Hub may write to the same prefix.

        The Hub that runs renews its right to write (the lease) every third of it. So a Hub that is started again
        after it was killed waits for up to this time; one that was stopped leaves nothing to wait for. 0: there is no
        lease. See to it yourself then that no two Hubs use the same prefix.
        """,
    )
    when_held = CaselessStrEnum(
        ["wait", "fail"],
        "wait",
        config=True,
        help="""
        What a Hub does, when it starts, while another Hub has the lease of the same prefix: `wait`, or `fail`.

        With `wait` it takes over when the other has ended, for however long that takes. With `fail` it waits for twice
        `lease_seconds`, so that the lease of a Hub that was killed has run out, and then ends. Both say in the log,
        every few seconds, who has the lease, and since when.
        """,
    )

    @validate("backend_class")
    def _validate_backend_class(self, proposal: Any) -> type[Backend]:
        if isinstance(proposal.value, type):
            return proposal.value
        try:
            return find_backend(proposal.value)
        except BackendNotFound as error:
            raise TraitError(str(error)) from error

    @validate("prefix")
    def _validate_prefix(self, proposal: Any) -> str:
        if not proposal.value.strip("/"):
            raise TraitError("KVProxy.prefix must not be empty: it is the name of this hub's part of the store.")
        return str(proposal.value)
