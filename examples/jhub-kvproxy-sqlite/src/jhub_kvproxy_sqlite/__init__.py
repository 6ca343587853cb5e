"""A backend for jhub-kvproxy that keeps the routing table in SQLite."""

from .backend import SqliteBackend

__all__ = ["SqliteBackend"]
