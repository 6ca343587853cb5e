"""The command ``jhub-kvproxy``: what an admin asks before, and beside, a running hub."""

from .app import main

__all__ = ["main"]
