"""Errors of a benchmark. Each has one sentence for the user."""

from servers.errors import Unavailable


class BenchmarkError(Unavailable):
    """A part of the benchmark cannot be run; its text says why, and what to do."""
