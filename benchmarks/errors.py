"""Errors of a benchmark. Each has one sentence for the user."""


class BenchmarkError(Exception):
    """A part of the benchmark cannot be run; its text says why, and what to do."""


class Missing(BenchmarkError):
    """A program that is not here; its text says how to get it."""
