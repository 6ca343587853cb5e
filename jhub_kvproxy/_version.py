"""The version of what is installed: building took it from git's tag."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("jhub-kvproxy")
except PackageNotFoundError:
    # Somebody runs a checkout that is on the path and nothing more.
    __version__ = "0.0.dev0"
