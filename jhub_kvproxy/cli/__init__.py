"""The command ``jhub-kvproxy``: what an admin asks about a hub, whether it runs or not."""

from .app import main

__all__ = ["main"]
