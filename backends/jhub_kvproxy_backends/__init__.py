"""Drivers for jhub-kvproxy, one module a store. They use nothing of the core but its public names."""
