"""Drivers for jhub-kvproxy, one module a store. They use only public names of the core."""
