"""Find a backend class by the name that an admin wrote."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from traitlets.utils.importstring import import_item

from .backend import Backend
from .errors import BackendNotFound

GROUP = "jhub_kvproxy.backends"


def installed_backends() -> dict[str, EntryPoint]:
    """The registered backends by name; none is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def find_backend(name: str) -> type[Backend]:
    """The class that `name` stands for: an entry point's name, or an import path such as ``mine.MyBackend``.

    Raises :class:`BackendNotFound` with the names there are and what to install.
    """
    installed = installed_backends()
    try:
        if name in installed:
            found = installed[name].load()
        elif "." in name:
            found = import_item(name)
        else:
            raise BackendNotFound(_unknown(name, list(installed)))
    except (ImportError, AttributeError) as error:
        raise BackendNotFound(_broken(name, installed.get(name), error)) from error
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise BackendNotFound(
            f"KVProxy.backend_class = {name!r} stands for {found!r}, which is no subclass of jhub_kvproxy.Backend."
        )
    return found


def _unknown(name: str, installed: list[str]) -> str:
    nearest = difflib.get_close_matches(name.lower(), installed, n=1, cutoff=0.5)
    return (
        f"There is no backend {name!r} for KVProxy.backend_class. "
        f"Installed: {', '.join(installed) or 'none'}."
        + (f" Did you mean {nearest[0]!r}?" if nearest else "")
        + " Another one comes with its package: pip install PACKAGE, which registers it"
        f" in the entry-point group {GROUP!r}; or give its import path, such as 'package.module.Class'."
    )


def _broken(name: str, point: EntryPoint | None, error: Exception) -> str:
    missing = f"KVProxy.backend_class = {name!r} cannot be imported: {error}."
    if point is None or point.dist is None:
        return missing
    extra = f"[{name}]" if name in (point.dist.metadata.get_all("Provides-Extra") or ()) else ""
    return f'{missing} Install what it needs: pip install "{point.dist.name}{extra}"'
