"""What can go wrong in a benchmark, in one sentence for who runs it."""

from servers.errors import Unavailable


class BenchmarkError(Unavailable):
    """A part of the benchmark cannot be run; its text says why, and what to do."""
