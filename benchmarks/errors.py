"""What can go wrong in a benchmark, in one sentence for who runs it."""


class BenchmarkError(Exception):
    """A part of the benchmark cannot be run; its text says why, and what to do."""


class Missing(BenchmarkError):
    """A program that is not here; its text says how to get it."""
