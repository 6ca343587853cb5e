"""The command ``jhub-kvproxy``: answers an admin's questions about a hub, whether the hub runs or not."""

from .app import main

__all__ = ["main"]
