"""Benchmarks of jhub-kvproxy, with the proxies beside it: ``python -m benchmarks --help``."""
