"""Which keys jhub-kvproxy would write: a KVProxy whose store only takes note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from traitlets.config import Config

from jhub_kvproxy import Backend, Batch, Snapshot
from jhub_kvproxy.proxy import KVProxy

Changes = Mapping[str, str | None]


class Mirror:
    """A KVProxy that is never started, so that it waits for no Traefik."""

    def __init__(self, config: Config, public_url: str) -> None:
        self.keys: dict[str, str] = {}
        self._noted: list[Changes] = []
        backend = type("MirrorBackend", (_NotingBackend,), {"mirror": self})
        self.proxy = KVProxy(backend_class=backend, delivery="store", config=config, public_url=public_url)

    def note(self, changes: Changes) -> None:
        self._noted.append(changes)
        for key, value in changes.items():
            if value is None:
                self.keys.pop(key, None)
            else:
                self.keys[key] = value

    def taken(self) -> list[Changes]:
        """What was written since this was last asked, one transaction after the other."""
        noted, self._noted = self._noted, []
        return noted


class _NotingBackend(Backend):
    """Keeps the table in the memory of its mirror."""

    provider: ClassVar[str] = "none"
    mirror: ClassVar[Mirror]

    async def apply(self, batch: Batch) -> None:
        self.mirror.note(batch.changes)

    async def load(self) -> Snapshot:
        return Snapshot(dict(self.mirror.keys))

    def traefik_provider_config(self) -> dict[str, Any]:
        return {}
