"""The table in files."""

from __future__ import annotations

from pathlib import Path

from .base import Store


class Files(Store):
    """A directory, in which any writer makes a directory of its own."""

    backend, section = "toml", "TomlBackend"

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory / "table"
        self.traits = {"path": str(self._directory)}

    def looks_ready(self) -> bool:
        return True

    async def empty(self) -> None:
        for name in ("table.json", "traefik/routes.toml"):
            for file in self._directory.glob(f"*/{name}"):
                file.unlink()
