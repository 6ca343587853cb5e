"""Find a backend class by the name that an admin wrote."""

from __future__ import annotations

from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion
from traitlets.utils.importstring import import_item

from .._version import __version__
from ..did_you_mean import did_you_mean
from ..errors import BackendNotFound
from .contract import ACCEPTED, CONTRACT, Backend

GROUP = "jhub_kvproxy.backends"
#: The release that takes no version of the contract before the present one.
_WITHOUT_OLDER = "jhub-kvproxy 0.3.0"


def installed_backends() -> dict[str, EntryPoint]:
    """The registered backends by name; none is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def find_backend(name: str) -> type[Backend]:
    """The class that `name` stands for: an entry point's name, or an import path such as ``mine.MyBackend``.

    Raises :class:`BackendNotFound` with the names there are and what to install, or who must be upgraded.
    """
    installed = installed_backends()
    if name not in installed and "." not in name:
        raise BackendNotFound(_unknown(name, list(installed)))
    try:
        found = installed[name].load() if name in installed else import_item(name)
    except Exception as error:  # a stranger's module may raise anything when it is imported
        raise BackendNotFound(_broken(name, installed.get(name), error)) from error
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise BackendNotFound(
            f"KVProxy.backend_class = {name!r} stands for {found!r}, which is no subclass of jhub_kvproxy.Backend."
        )
    return of_this_contract(found)


def of_this_contract(backend: type[Backend]) -> type[Backend]:
    """`backend`, if it is written to a version of the contract that we know, or raises :class:`BackendNotFound`."""
    stated = getattr(backend, "contract", None)
    if stated in ACCEPTED:
        return backend
    package, came_from = _origin(backend)
    if not isinstance(stated, int):
        has, ours, behind = "states no version", f"needs version {CONTRACT}", package
    elif stated < CONTRACT:
        has, ours, behind = f"has version {stated}", f"needs version {CONTRACT}", package
    else:
        has, ours, behind = f"has version {stated}", f"has {CONTRACT}", "jhub-kvproxy"
    raise BackendNotFound(
        f"{backend.__name__} ({came_from}) {has} of the contract for backends, and jhub-kvproxy {__version__} {ours}. "
        + _upgrade(behind)
    )


def older_contract(backend: type[Backend]) -> str | None:
    """A warning for the log if `backend` is written to an older version of the contract, which is taken for now."""
    if backend.contract == CONTRACT:
        return None
    package, came_from = _origin(backend)
    return (
        f"{backend.__name__} ({came_from}) has version {backend.contract} of the contract for backends. "
        f"{_WITHOUT_OLDER} drops that version. " + _upgrade(package)
    )


def _origin(backend: type[Backend]) -> tuple[str | None, str]:
    """The package that brings `backend`, if that registers one, and where `backend` comes from, in words."""
    found = _distribution_of(backend)
    return (found.name, f"{found.name} {found.version}") if found else (None, backend.__module__)


def _upgrade(package: str | None) -> str:
    return f"Upgrade {package}: pip install --upgrade {package}" if package else "Upgrade the backend."


def _distribution_of(backend: type[Backend]) -> Distribution | None:
    """The distribution that brings `backend`, if it registers one."""
    package = backend.__module__.partition(".")[0]
    points = installed_backends().values()
    return next((point.dist for point in points if point.module.partition(".")[0] == package), None)


def missing_requirements(point: EntryPoint) -> list[str]:
    """What the backend's package asks for in the extra of the backend's name, and is not here: ``redis>=6``."""
    return [_without_marker(requirement) for requirement in _of_extra(point) if not _is_met(requirement)]


def pip_command(point: EntryPoint) -> str:
    """The command that installs what :func:`missing_requirements` tells."""
    package = point.dist.name if point.dist else "PACKAGE"
    return f'pip install "{package}[{canonicalize_name(point.name)}]"'


def _of_extra(point: EntryPoint) -> list[Requirement]:
    found = []
    for text in (point.dist.requires if point.dist else None) or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        if marker and marker.evaluate({"extra": point.name}) and not marker.evaluate({"extra": ""}):
            found.append(requirement)
    return found


def _is_met(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except (PackageNotFoundError, InvalidVersion):
        return False


def _without_marker(requirement: Requirement) -> str:
    return str(requirement).partition(";")[0].strip()


def _unknown(name: str, installed: list[str]) -> str:
    return (
        f"There is no backend {name!r} for KVProxy.backend_class{did_you_mean(name, installed)} "
        f"Installed: {', '.join(installed) or 'none'}. "
        "Another one comes with its package: pip install PACKAGE, which registers it "
        f"in the entry-point group {GROUP!r}; or give its import path, such as 'package.module.Class'."
    )


def _broken(name: str, point: EntryPoint | None, error: Exception) -> str:
    broken = f"KVProxy.backend_class = {name!r} cannot be imported: {describe(error)}."
    if point is None:
        return f"{broken} Is its package installed beside JupyterHub?"
    if missing := missing_requirements(point):
        return f"{broken} It needs {', '.join(missing)}: {pip_command(point)}"
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    return f"{broken} It comes with {package}."


def describe(error: Exception) -> str:
    """`error` in words: what it says, and of which class it is unless that is plain."""
    words = str(error).rstrip(".")
    return words if isinstance(error, ImportError) and words else f"{type(error).__name__}: {words}".rstrip(": ")
