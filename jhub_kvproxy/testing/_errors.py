"""Tests that a driver's errors and logs show no secret."""

from __future__ import annotations

import logging
import traceback
from uuid import uuid4

import pytest
from traitlets import TraitError

from ..errors import BackendError
from ..store.contract import Backend, SupportsTraefik
from ._kit import Kit, Suite, asynchronous, batch_of

SECRET_NAMES = ("password", "token", "secret")


def secret_traits(backend: Backend) -> list[str]:
    """The names of the secret options of `backend`."""
    return [name for name in backend.trait_names(config=True) if name.endswith(SECRET_NAMES)]


class ErrorTests(Suite):
    """Errors and logs."""

    @asynchronous
    async def test_no_secret_is_shown(self, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
        """Whether the store accepts the secret or refuses it."""
        for name in secret_traits(kit.backend):
            marker = f"marker-{uuid4().hex}"
            shown = []
            with caplog.at_level(logging.DEBUG):
                try:
                    backend = kit.new(**{name: marker}, log=logging.getLogger(__name__))
                    shown += [repr(backend), str(backend)]
                    if isinstance(backend, SupportsTraefik):
                        shown.append(repr(backend.traefik_provider_config()))
                    await backend.open()
                    await backend.apply(batch_of(1, "routes/a"))
                    await backend.load()
                except (BackendError, TraitError) as error:
                    shown += [str(error), repr(error), *traceback.format_exception(error)]
            shown += [record.getMessage() for record in caplog.records] + [caplog.text]
            where = [text for text in shown if marker in text]
            assert not where, (
                f"No log, error, repr or file may contain the value of {type(kit.backend).__name__}.{name}."
            )

    @asynchronous
    async def test_who_has_no_permission_is_told_so(self, kit: Kit) -> None:
        """And gets no empty table. For suites that have :meth:`forbid`."""
        await kit.backend.apply(batch_of(1, "routes/a"))
        await self.forbid(kit.backend)
        for call, rule in (
            (kit.backend.load, "load() must raise an error when the store forbids to read, and return no empty table."),
            (kit.new().open, "open() must find out whether the store permits what the driver needs."),
        ):
            try:
                returned = await call()
            except BackendError:
                continue
            pytest.fail(f"{rule} It returned {returned!r}.")
